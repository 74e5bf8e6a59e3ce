package resilience

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"sync"
	"syscall"
	"time"

	"rbcs/internal/testenv"
)

// startTimeout bounds every wait for a process to start.
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
	log     testenv.Log // of all its processes

	mu      sync.Mutex
	process *testenv.Process // the last one
}

// start starts the process and waits until it serves. A process that ends
// before, since its database is away, is started again.
func (i *instance) start(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	for {
		p, err := i.spawn()
		if err != nil {
			return err
		}
		err = p.Await(ctx)
		if err == nil || ctx.Err() != nil {
			return err
		}
		select {
		case <-time.After(100 * time.Millisecond):
		case <-ctx.Done():
			return err
		}
	}
}

func (i *instance) spawn() (*testenv.Process, error) {
	args := append([]string{"serve", "--listen", i.address, "--instance", i.name, "--log-format", "json", "--webhook-private"}, i.args...)
	cmd := exec.Command(i.program, args...)
	cmd.Env = append(os.Environ(), i.env...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} // however this process ends
	p, err := testenv.StartProcess(cmd, &i.log)
	if err == nil {
		i.mu.Lock()
		i.process = p
		i.mu.Unlock()
	}
	return p, err
}

func (i *instance) signal(s syscall.Signal) error {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.process == nil {
		return nil
	}
	return i.process.Signal(s)
}

// end sends a signal that ends the process, waits for that, and returns its exit code.
func (i *instance) end(s syscall.Signal) (int, error) {
	if err := i.signal(s); err != nil || i.process == nil {
		return 0, err
	}
	return i.process.Wait()
}

// alive fails where the process is gone, though nobody ended it.
func (i *instance) alive() error {
	select {
	case <-i.process.Ended:
		return fmt.Errorf("instance %s ended by itself, %s\n%s", i.name, i.process.Cmd.ProcessState, i.log.Tail())
	default:
		return nil
	}
}
