package resilience

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"syscall"
	"time"

	"rbcs/internal/testenv"
)

// fault is one thing that breaks.
type fault struct {
	name    string
	touches string // what it breaks: two faults of one thing are never injected together
	// begin injects it, and returns how to end it.
	begin func(ctx context.Context) (end func(ctx context.Context) error, err error)
	hold  time.Duration // how long it lasts at least; at most twice as long
	from  origin        // since when the service could work again
}

// origin is the moment from which a recovery is timed.
type origin int

const (
	fromStart origin = iota // of the fault: the rest of the system could go on
	fromBegun               // when it was done: a new primary accepts writes, a server is back
	fromEnd                 // of the fault: nothing could be committed before
)

// instant is a fault that needs no end.
func instant(do func(ctx context.Context) error) func(ctx context.Context) (func(ctx context.Context) error, error) {
	return func(ctx context.Context) (func(ctx context.Context) error, error) {
		return func(context.Context) error { return nil }, do(ctx)
	}
}

// lasting is a fault with an end.
func lasting(do func() error, undo func(ctx context.Context) error) func(ctx context.Context) (func(ctx context.Context) error, error) {
	return func(context.Context) (func(ctx context.Context) error, error) { return undo, do() }
}

// Faults of the instances.

func (s *system) killed(n int) fault {
	return fault{
		name: "instance: SIGKILL", touches: s.instances[n].name, hold: 300 * time.Millisecond,
		begin: lasting(
			func() error {
				_, err := s.instances[n].end(syscall.SIGKILL)
				return err
			},
			func(ctx context.Context) error { return s.instances[n].start(ctx) }),
	}
}

func (s *system) paused(n int, hold time.Duration) fault {
	return fault{
		name: "instance: SIGSTOP, SIGCONT", touches: s.instances[n].name, hold: hold,
		begin: lasting(
			func() error { return s.instances[n].signal(syscall.SIGSTOP) },
			func(context.Context) error { return s.instances[n].signal(syscall.SIGCONT) }),
	}
}

// stopped ends an instance in its orderly way and starts it again.
func (s *system) stopped(n int) fault {
	return fault{
		name: "instance: SIGTERM, restart", touches: s.instances[n].name,
		begin: instant(func(ctx context.Context) error {
			code, err := s.instances[n].end(syscall.SIGTERM)
			if err == nil && code != 0 {
				err = fmt.Errorf("after SIGTERM instance %s exits with %d", s.instances[n].name, code)
			}
			return errors.Join(err, s.instances[n].start(ctx))
		}),
	}
}

// clientsCut resets every connection between the clients and the instances.
func (s *system) clientsCut() fault {
	return fault{
		name: "clients: connections reset", touches: "clients",
		begin: instant(func(context.Context) error {
			s.balancer.cut()
			return nil
		}),
	}
}

// Faults of Redis.

func (c *cluster) redisKilled() fault {
	return fault{
		name: "Redis: killed, restarted empty", touches: "redis", hold: 300 * time.Millisecond,
		begin: lasting(
			func() error { return errors.Join(c.redis.Signal(syscall.SIGKILL), c.redis.Stop()) },
			func(ctx context.Context) error { return c.redis.Start(ctx) }),
	}
}

func (c *cluster) redisPaused() fault {
	return fault{
		name: "Redis: SIGSTOP, SIGCONT", touches: "redis", hold: 700 * time.Millisecond,
		begin: lasting(
			func() error { return c.redis.Signal(syscall.SIGSTOP) },
			func(context.Context) error { return c.redis.Signal(syscall.SIGCONT) }),
	}
}

func (c *cluster) redisFlushed() fault {
	return fault{
		name: "Redis: FLUSHALL", touches: "redis",
		begin: instant(func(ctx context.Context) error { return send(ctx, testenv.HostOf(c.redis.URL), "FLUSHALL") }),
	}
}

// redisEvicting has Redis evict with each write and forget its scripts, and ends
// the connections at last.
func (c *cluster) redisEvicting() fault {
	return fault{
		name: "Redis: evicting, scripts forgotten, connections ended", touches: "redis", hold: 100 * time.Millisecond,
		begin: func(ctx context.Context) (func(ctx context.Context) error, error) {
			address := testenv.HostOf(c.redis.URL)
			end := func(ctx context.Context) error {
				_, err := ask(ctx, address, "CLIENT KILL TYPE normal SKIPME yes", ":")
				return errors.Join(err, send(ctx, address, "CONFIG SET maxmemory 0"))
			}
			err := send(ctx, address, "CONFIG SET maxmemory-policy allkeys-random")
			for range 30 {
				var used int
				info, failure := ask(ctx, address, "INFO memory", "$")
				if _, after, ok := strings.Cut(info, "used_memory:"); ok && failure == nil {
					_, failure = fmt.Sscan(after, &used)
				}
				err = errors.Join(err, failure, send(ctx, address, fmt.Sprintf("CONFIG SET maxmemory %d", used)), send(ctx, address, "SCRIPT FLUSH"))
				<-time.After(4 * pause)
			}
			return end, err
		},
	}
}

func (c *cluster) redisCut() fault {
	return fault{
		name: "Redis: connections cut", touches: "redis", hold: 300 * time.Millisecond,
		begin: lasting(
			func() error {
				c.redisLink.Cut()
				return nil
			},
			func(context.Context) error { return c.redisLink.Join() }),
	}
}

func (c *cluster) redisSlow() fault {
	return fault{
		name: "Redis: latency of 50 ms", touches: "redis", hold: 500 * time.Millisecond,
		begin: lasting(
			func() error { return c.redisLink.Poison("latency", map[string]int{"latency": 25, "jitter": 10}) },
			func(ctx context.Context) error {
				c.redisLink.Cure(ctx)
				return nil
			}),
	}
}

// all returns every fault that may come together with others.
func (c *cluster) all(random *rand.Rand) []fault {
	list := []fault{
		c.clientsCut(), c.promoted(), c.restarted(), c.crashedInFlight(), c.standbyLost(), c.exhausted(), c.terminated(), c.deadlocks(),
		c.commitsBroken(rand.New(rand.NewPCG(random.Uint64(), 0))), c.slow(), c.silent(), c.reset(),
		c.redisKilled(), c.redisPaused(), c.redisFlushed(), c.redisEvicting(), c.redisCut(), c.redisSlow(),
	}
	for n := range c.instances {
		list = append(list, c.killed(n), c.paused(n, 500*time.Millisecond), c.stopped(n))
	}
	return list
}
