// Package testenv starts real PostgreSQL, Redis and PgBouncer servers for tests
// and for programs that measure.
//
// The programs are looked for in PATH and where Debian installs them. A missing
// one fails the test and names the package to install; it never skips it.
//
// # How servers end
//
// Every server listens on a free port of the loopback interface and keeps its
// files in a temporary folder. A small shell process guards each of them: it
// waits for the end of the pipe that this process holds open, so that the server
// is stopped and its folder removed however this process ends, by a normal exit,
// a panic, a time limit or SIGKILL. No TestMain is needed.
//
// [NewPostgres], [NewRedis] and [NewPgBouncer] are for programs; [Postgres],
// [PostgresServer], [Redis], [RedisServer] and [PgBouncer] wrap them for tests.
//
// # The service itself
//
// [Run] builds rbcs and runs it as a process, for tests that see it from outside.
// [Proxy] and [Link] stand between it and a server, and break what passes.
package testenv

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"syscall"
	"time"
)

// startTimeout bounds the wait for a server's first answer: recovery after a
// crash is the slowest.
const startTimeout = 30 * time.Second

// Server is a server process that this process started. Its methods are not
// safe for concurrent use.
type Server struct {
	URL string // how clients reach it

	dir   string
	argv  []string
	owner *syscall.Credential             // nil for the user that runs this process
	ready func(ctx context.Context) error // whether it answers

	cmd   *exec.Cmd
	ended chan struct{} // closed once the process is gone
	guard *os.File      // the guard cleans up when this is closed
}

// newServer makes a folder for a server and sets its guard. Where this process
// is root the server runs as owner, since both PostgreSQL and PgBouncer refuse root.
func newServer(name, owner string) (*Server, error) {
	dir, err := os.MkdirTemp("", "rbcs-"+name+"-")
	if err != nil {
		return nil, fmt.Errorf("testenv: %w", err)
	}
	s := &Server{dir: dir}
	if err := s.own(owner); err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	if err := s.setGuard(); err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	return s, nil
}

func (s *Server) own(owner string) error {
	if owner == "" || os.Getuid() != 0 {
		return nil
	}
	u, err := user.Lookup(owner)
	if err != nil {
		return fmt.Errorf("testenv: %w; the Debian package postgresql creates it", err)
	}
	uid, err1 := strconv.ParseUint(u.Uid, 10, 32)
	gid, err2 := strconv.ParseUint(u.Gid, 10, 32)
	if err := errors.Join(err1, err2); err != nil {
		return fmt.Errorf("testenv: user %s: %w", owner, err)
	}
	s.owner = &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
	return os.Chown(s.dir, int(uid), int(gid))
}

// guardScript ends the server whose process ID stands in the file and removes
// the folder, once its standard input ends.
const guardScript = `cat >/dev/null
pid=$(cat "$0/guard.pid" 2>/dev/null)
if [ -n "$pid" ]; then
	kill -QUIT "$pid" && for i in 1 2 3 4 5 6 7 8 9 10; do kill -0 "$pid" || break; sleep 0.2; done
	kill -KILL "$pid"
fi 2>/dev/null
rm -rf "$0"`

func (s *Server) setGuard() error {
	r, w, err := os.Pipe()
	if err != nil {
		return fmt.Errorf("testenv: %w", err)
	}
	defer func() { _ = r.Close() }()
	cmd := exec.Command("sh", "-c", guardScript, s.dir)
	cmd.Stdin = r
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // Ctrl-C ends the test, not its guard
	if err := cmd.Start(); err != nil {
		_ = w.Close()
		return fmt.Errorf("testenv: guard: %w", err)
	}
	s.guard = w
	go func() { _ = cmd.Wait() }()
	return nil
}

// Start starts the server, after [Server.Stop] or [Server.Crash] again with the
// same data and URL, and returns once it answers.
func (s *Server) Start(ctx context.Context) error {
	logFile, err := os.OpenFile(s.logPath(), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	if err != nil {
		return fmt.Errorf("testenv: %w", err)
	}
	defer func() { _ = logFile.Close() }()
	s.cmd = s.command(s.argv[0], s.argv[1:]...)
	s.cmd.Stdout, s.cmd.Stderr = logFile, logFile
	if err := s.cmd.Start(); err != nil {
		return fmt.Errorf("testenv: %w", err)
	}
	if err := os.WriteFile(s.pidPath(), []byte(strconv.Itoa(s.cmd.Process.Pid)), 0o644); err != nil {
		return fmt.Errorf("testenv: %w", err)
	}
	s.ended = make(chan struct{})
	go func(cmd *exec.Cmd, ended chan struct{}) {
		_ = cmd.Wait() // how it ended is in its log
		_ = os.Remove(s.pidPath())
		close(ended)
	}(s.cmd, s.ended)
	return s.await(ctx)
}

// await polls until the server answers.
func (s *Server) await(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		err := s.ready(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("testenv: %s does not answer: %w; its log ends with:\n%s", s.argv[0], err, s.logTail())
		case <-s.ended:
			return fmt.Errorf("testenv: %s ended; its log ends with:\n%s", s.argv[0], s.logTail())
		case <-tick.C:
		}
	}
}

// Stop ends the server in its orderly way and waits for that. Its data stay.
// Connections are ended; nobody is waited for.
func (s *Server) Stop() error { return s.end(syscall.SIGINT) }

// Crash ends the server at once, as a loss of power would, and waits for that.
// Its data stay as they are on disk.
func (s *Server) Crash() error { return s.end(syscall.SIGQUIT) }

// Signal sends a signal to the server's process, such as SIGSTOP and SIGCONT.
func (s *Server) Signal(signal syscall.Signal) error {
	if err := s.cmd.Process.Signal(signal); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("testenv: %w", err)
	}
	return nil
}

func (s *Server) end(signal syscall.Signal) error {
	if s.cmd == nil {
		return nil
	}
	if err := s.Signal(signal); err != nil {
		return err
	}
	select {
	case <-s.ended:
		return nil
	case <-time.After(startTimeout):
		return fmt.Errorf("testenv: %s does not end; its log ends with:\n%s", s.argv[0], s.logTail())
	}
}

// Close stops the server and has its files removed.
func (s *Server) Close() error {
	return errors.Join(s.Stop(), s.guard.Close(), os.RemoveAll(s.dir))
}

// command prepares a program that runs as the server's user.
func (s *Server) command(program string, args ...string) *exec.Cmd {
	cmd := exec.Command(program, args...)
	cmd.Dir = s.dir
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Credential: s.owner}
	return cmd
}

func (s *Server) logPath() string { return filepath.Join(s.dir, "server.log") }
func (s *Server) pidPath() string { return filepath.Join(s.dir, "guard.pid") }

// logTail returns the end of the server's log, for error messages.
func (s *Server) logTail() []byte {
	b, err := os.ReadFile(s.logPath())
	if err != nil {
		return []byte(err.Error())
	}
	return tail(b)
}

// Log returns what the server has written to its log so far.
func (s *Server) Log() (string, error) {
	b, err := os.ReadFile(s.logPath())
	return string(b), err
}

// find returns the path of a program, from PATH or else from the newest of the
// folders that the patterns match.
func find(program, debianPackage string, patterns ...string) (string, error) {
	if path, err := exec.LookPath(program); err == nil {
		return path, nil
	}
	for _, pattern := range patterns {
		found, err := filepath.Glob(filepath.Join(pattern, program))
		if err == nil && len(found) > 0 {
			return found[len(found)-1], nil
		}
	}
	return "", fmt.Errorf("testenv: %s is neither in PATH nor in %v: install the Debian package %s", program, patterns, debianPackage)
}

// HostOf returns the HOST:PORT of a server's URL, which must be sound.
func HostOf(serverURL string) string {
	u, err := url.Parse(serverURL)
	if err != nil {
		panic(err)
	}
	return u.Host
}

// FreeAddress returns a HOST:PORT of the loopback interface that nothing listens on now.
func FreeAddress() (string, error) {
	port, err := freePort()
	return net.JoinHostPort("127.0.0.1", strconv.Itoa(port)), err
}

func freePort() (int, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, fmt.Errorf("testenv: %w", err)
	}
	port := l.Addr().(*net.TCPAddr).Port
	return port, l.Close()
}
