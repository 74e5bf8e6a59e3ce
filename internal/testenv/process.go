package testenv

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"sync"
	"testing"
	"time"
)

// processTimeout bounds the wait for a process that starts, recovery of its
// database included, or ends.
const processTimeout = 60 * time.Second

// Process is a running rbcs that serves, as its own process.
type Process struct {
	URL   string // where it serves, after [Process.Await]
	Cmd   *exec.Cmd
	Log   *Log
	Ended chan struct{} // closed once it is gone and its log is read

	serving chan string
}

// Run starts the [Program] with these arguments, which must have it serve, and
// waits until it does. The end of the test kills it, and shows its log where the
// test failed.
func Run(t testing.TB, args ...string) *Process {
	t.Helper()
	path, err := Program()
	if err != nil {
		t.Fatal(err)
	}
	p, err := StartProcess(exec.Command(path, args...), new(Log))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if _, err := p.End(os.Kill); err != nil {
			t.Error(err)
		}
		if t.Failed() {
			t.Logf("log of rbcs %q:\n%s", args, p.Log)
		}
	})
	ctx, cancel := context.WithTimeout(t.Context(), processTimeout)
	defer cancel()
	if err := p.Await(ctx); err != nil {
		t.Fatal(err)
	}
	return p
}

// StartProcess starts a command that runs the program, and returns at once. What
// it writes to standard error is appended to the log.
func StartProcess(cmd *exec.Cmd, log *Log) (*Process, error) {
	stderr, err := cmd.StderrPipe()
	if err != nil {
		return nil, fmt.Errorf("testenv: %w", err)
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("testenv: %w", err)
	}
	p := &Process{Cmd: cmd, Log: log, Ended: make(chan struct{}), serving: make(chan string, 1)}
	go func() {
		p.read(stderr)
		_ = cmd.Wait() // its ProcessState says how it ended
		close(p.Ended)
	}()
	return p, nil
}

// read keeps the log, and sends the URL of the line that says where it serves.
func (p *Process) read(stderr io.Reader) {
	for lines := bufio.NewReader(stderr); ; {
		text, err := lines.ReadBytes('\n')
		_, _ = p.Log.Write(text)
		var line struct{ Msg, URL string }
		if json.Unmarshal(text, &line) == nil && line.Msg == "serving" {
			select {
			case p.serving <- line.URL:
			default: // it is known
			}
		}
		if err != nil {
			return
		}
	}
}

// Await waits until the process says where it serves. One that has ended is an error.
func (p *Process) Await(ctx context.Context) error {
	select {
	case p.URL = <-p.serving:
		return nil
	case <-p.Ended:
		return fmt.Errorf("testenv: %s ended, %s; its log ends with:\n%s", p.Cmd, p.Cmd.ProcessState, p.Log.Tail())
	case <-ctx.Done():
		return fmt.Errorf("testenv: %s does not serve: %w; its log ends with:\n%s", p.Cmd, ctx.Err(), p.Log.Tail())
	}
}

// Signal sends a signal. It is no error that the process has ended.
func (p *Process) Signal(s os.Signal) error {
	if err := p.Cmd.Process.Signal(s); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("testenv: %s: %w", s, err)
	}
	return nil
}

// Wait waits for the end of the process, and returns its exit code: -1 after a
// signal that it does not handle.
func (p *Process) Wait() (code int, err error) {
	select {
	case <-p.Ended:
		return p.Cmd.ProcessState.ExitCode(), nil
	case <-time.After(processTimeout):
		return 0, fmt.Errorf("testenv: %s does not end; its log ends with:\n%s", p.Cmd, p.Log.Tail())
	}
}

// End sends a signal that ends the process, and waits for that.
func (p *Process) End(s os.Signal) (code int, err error) {
	if err := p.Signal(s); err != nil {
		return 0, err
	}
	return p.Wait()
}

// Log keeps what is written to it while others read it. Its zero value is ready.
type Log struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *Log) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(p)
}

// String returns all that was written.
func (l *Log) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}

// Tail returns the end of it, for error messages.
func (l *Log) Tail() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return string(tail(l.buf.Bytes()))
}

// tail returns the end of a log.
func tail(log []byte) []byte {
	const most = 4000
	return bytes.TrimSpace(log[max(0, len(log)-most):])
}
