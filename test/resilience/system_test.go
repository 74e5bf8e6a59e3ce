package resilience

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync/atomic"
	"syscall"

	"rbcs/internal/audit"
	"rbcs/internal/testenv"
)

// dumper reads a store.
type dumper interface {
	audit.Dumper
	io.Closer
}

// system is running instances of the service, and how to look at their store from outside.
type system struct {
	instances   []*instance
	balancer    *balancer
	dump        func(ctx context.Context) (dumper, error)
	verifyStore func() string
	accounts    string // begins the numbers of the load's accounts
	promotions  atomic.Int64
}

// start starts so many instances of the service.
func (s *system) start(ctx context.Context, count int, args []string) error {
	s.instances = nil
	path, err := testenv.Program()
	if err != nil {
		return err
	}
	for n := range count {
		address, err := testenv.FreeAddress()
		if err != nil {
			return err
		}
		i := &instance{name: string(rune('a' + n)), address: address, program: path, args: args}
		s.instances = append(s.instances, i)
		if err := i.start(ctx); err != nil {
			return err
		}
	}
	s.balancer = newBalancer(s.instances)
	return nil
}

// stop ends the instances at once.
func (s *system) stop() {
	if s.balancer != nil {
		s.balancer.close()
		s.balancer = nil
	}
	for _, i := range s.instances {
		_, _ = i.end(syscall.SIGKILL)
	}
	s.instances = nil
}

// restart restarts all instances, each with the program and the environment that as says.
func (s *system) restart(ctx context.Context, as func(n int) (path string, env []string)) error {
	for n, i := range s.instances {
		if code, err := i.end(syscall.SIGTERM); err != nil || code != 0 {
			return errors.Join(err, fmt.Errorf("instance %s ended with %d", i.name, code))
		}
		i.program, i.env = as(n)
		if err := i.start(ctx); err != nil {
			return err
		}
	}
	return nil
}
