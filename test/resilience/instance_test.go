package resilience

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"sync"
	"syscall"
	"time"
)

// startTimeout bounds every wait for a process.
const startTimeout = 40 * time.Second

// pause is the time between two looks at a condition.
const pause = 5 * time.Millisecond

// instance is a `rbcs serve` that is started again and again at one address.
type instance struct {
	name    string
	address string
	program string
	args    []string
	env     []string
	log     syncBuffer

	mu    sync.Mutex
	cmd   *exec.Cmd
	ended chan struct{} // closed once the process is gone
}

// freeAddress returns an address that nothing listens on now.
func freeAddress() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return l.Addr().String(), l.Close()
}

// start starts the process and waits until it serves. A process that ends
// before, since its database is away, is started again.
func (i *instance) start(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	for {
		serving, ended, err := i.spawn()
		if err != nil {
			return err
		}
		select {
		case <-serving:
			return nil
		case <-ended:
		case <-ctx.Done():
			return fmt.Errorf("instance %s does not serve: %w\n%s", i.name, ctx.Err(), i.log.tail())
		}
		select {
		case <-time.After(100 * time.Millisecond):
		case <-ctx.Done():
			return fmt.Errorf("instance %s ends again and again\n%s", i.name, i.log.tail())
		}
	}
}

func (i *instance) spawn() (serving, ended chan struct{}, err error) {
	args := append([]string{"serve", "--listen", i.address, "--instance", i.name, "--log-format", "json"}, i.args...)
	cmd := exec.Command(i.program, args...)
	cmd.Env = append(os.Environ(), i.env...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} // however this process ends
	stderr, err := cmd.StderrPipe()
	if err != nil {
		return nil, nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, nil, err
	}
	serving, ended = make(chan struct{}), make(chan struct{})
	i.mu.Lock()
	i.cmd, i.ended = cmd, ended
	i.mu.Unlock()
	go func() {
		i.read(stderr, serving)
		_ = cmd.Wait() // its ProcessState says how it ended
		close(ended)
	}()
	return serving, ended, nil
}

// read keeps the log, and closes serving at the line that says that it serves.
func (i *instance) read(stderr io.Reader, serving chan struct{}) {
	for lines := bufio.NewScanner(stderr); lines.Scan(); {
		_, _ = i.log.Write(append(lines.Bytes(), '\n'))
		var line struct{ Msg string }
		if json.Unmarshal(lines.Bytes(), &line) == nil && line.Msg == "serving" {
			close(serving)
			serving = make(chan struct{})
		}
	}
}

func (i *instance) signal(s syscall.Signal) error {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.cmd == nil {
		return nil
	}
	if err := i.cmd.Process.Signal(s); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("%s of instance %s: %w", s, i.name, err)
	}
	return nil
}

// end sends a signal that ends the process, waits for that, and returns its exit code.
func (i *instance) end(s syscall.Signal) (int, error) {
	if err := i.signal(s); err != nil || i.cmd == nil {
		return 0, err
	}
	select {
	case <-i.ended:
		return i.cmd.ProcessState.ExitCode(), nil
	case <-time.After(startTimeout):
		return 0, fmt.Errorf("instance %s does not end after %s\n%s", i.name, s, i.log.tail())
	}
}

// alive fails where the process is gone, though nobody ended it.
func (i *instance) alive() error {
	select {
	case <-i.ended:
		return fmt.Errorf("instance %s ended by itself, %s\n%s", i.name, i.cmd.ProcessState, i.log.tail())
	default:
		return nil
	}
}

// syncBuffer is a buffer that is read while it is written.
type syncBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *syncBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

// tail returns the end of what was written.
func (b *syncBuffer) tail() string {
	const most = 3000
	b.mu.Lock()
	defer b.mu.Unlock()
	text := b.buf.Bytes()
	return string(text[max(0, len(text)-most):])
}
