package resilience

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"

	"rbcs/internal/testenv"
)

// Faults of the database servers.

func (c *cluster) promoted() fault {
	return fault{
		name: "primary: killed, standby promoted", touches: "servers", hold: 200 * time.Millisecond, from: fromBegun,
		begin: func(ctx context.Context) (func(ctx context.Context) error, error) {
			return c.rebuild, c.promote(ctx, func() {})
		},
	}
}

// promotedLagging promotes a standby that did not get the last of what was acknowledged.
func (c *cluster) promotedLagging(b *books) fault {
	f := c.promoted()
	f.name = "primary: killed, lagging asynchronous standby promoted"
	f.begin = func(ctx context.Context) (func(ctx context.Context) error, error) {
		err := c.execute(ctx, c.standby.URL, "alter system set primary_conninfo = ''", "select pg_reload_conf()")
		if err != nil {
			return nil, err
		}
		<-time.After(200 * time.Millisecond) // it lags by that
		return c.rebuild, c.promote(ctx, b.forget)
	}
	return f
}

func (c *cluster) restarted() fault {
	return fault{
		name: "primary: immediate shutdown, restart", touches: "servers", from: fromBegun,
		begin: instant(func(ctx context.Context) error { return errors.Join(c.primary.Crash(), c.primary.Start(ctx)) }),
	}
}

// sequencesLost is how many sequences a crash has handed out again: so many that
// whoever takes them for the end of the log passes over what gets them then.
const sequencesLost = 20_000

// loseSequencesSQL takes sequences as a large batch does.
const loseSequencesSQL = "select count(nextval('transactions_sequence')) from pg_current_xact_id(), generate_series(1, %d)"

// crashedInFlight crashes the primary while COMMITs are on their way, so that
// nothing has put on disk which sequences were taken.
func (c *cluster) crashedInFlight() fault {
	return fault{
		name: "primary: crash with COMMITs on their way, restart", touches: "servers", from: fromBegun,
		begin: instant(func(ctx context.Context) error {
			over, held := make(chan struct{}), make(chan struct{}, 1)
			var hold testenv.CommitFault
			proxy := c.hosts[c.active].back
			hold = func(client, server net.Conn, message []byte) {
				proxy.OnCommit.CompareAndSwap(nil, &hold) // and the next one
				select {
				case held <- struct{}{}:
				default:
				}
				<-over
				testenv.LoseCommit(client, server, message)
			}
			proxy.OnCommit.Store(&hold)
			select {
			case <-held:
			case <-time.After(startTimeout):
			}
			<-time.After(20 * time.Millisecond) // for those that were faster
			conn, err := pgx.Connect(ctx, c.direct()+"&application_name=checks")
			if err == nil {
				defer func() { _ = conn.Close(ctx) }()
				_, err = conn.Exec(ctx, "begin; "+fmt.Sprintf(loseSequencesSQL, sequencesLost)) // a rollback would have it written to disk
			}
			<-time.After(200 * time.Millisecond) // followers look at the log
			err = errors.Join(err, c.primary.Crash())
			proxy.OnCommit.CompareAndSwap(&hold, nil)
			close(over)
			return errors.Join(err, c.primary.Start(ctx))
		}),
	}
}

// standbyLost takes the synchronous standby away: commits wait, until whoever
// manages the cluster lets them go on without it.
func (c *cluster) standbyLost() fault {
	return fault{
		name: "standby: killed, commits wait for it", touches: "servers", hold: 500 * time.Millisecond, from: fromEnd,
		begin: lasting(
			func() error { return c.standby.Crash() },
			func(ctx context.Context) error {
				return errors.Join(c.alone(ctx, c.primary), c.standby.Start(ctx), c.wait(ctx))
			}),
	}
}

// exhausted takes all connections of the primary from outside.
func (c *cluster) exhausted() fault {
	return fault{
		name: "primary: max_connections taken", touches: "servers", hold: 500 * time.Millisecond, from: fromEnd,
		begin: func(ctx context.Context) (func(ctx context.Context) error, error) {
			var taken []*pgx.Conn
			ctxTake, cancel := context.WithTimeout(ctx, startTimeout)
			defer cancel()
			take := func() error { // as many as there are
				for {
					conn, err := pgx.Connect(ctxTake, c.primary.URL+"&application_name=outside")
					if err != nil {
						if strings.Contains(err.Error(), "53300") {
							return nil
						}
						return err
					}
					taken = append(taken, conn)
				}
			}
			release := func(ctx context.Context) error {
				var errs []error
				for _, conn := range taken {
					errs = append(errs, conn.Close(ctx))
				}
				return errors.Join(errs...)
			}
			err := take()
			for range 20 { // what the service had is free only now
				if err == nil {
					_, err = taken[0].Exec(ctxTake, terminateSQL)
				}
				if err == nil {
					err = take()
				}
			}
			return release, err
		},
	}
}

const terminateSQL = `select pg_terminate_backend(pid) from pg_stat_activity where backend_type = 'client backend' and application_name not in ('outside', 'checks')`

// terminated ends all sessions of the service, as an administrator may.
func (c *cluster) terminated() fault {
	return fault{
		name: "primary: sessions terminated", touches: "servers",
		begin: instant(func(ctx context.Context) error {
			return c.execute(ctx, c.primary.URL+"&application_name=checks", terminateSQL)
		}),
	}
}

// deadlocks locks accounts from outside in the reverse order of the service's,
// until PostgreSQL has found a deadlock.
func (c *cluster) deadlocks() fault {
	return fault{
		name: "locks: deadlocks from outside", touches: "servers",
		begin: instant(func(ctx context.Context) error {
			ctx, cancel := context.WithTimeout(ctx, startTimeout)
			defer cancel()
			before, err := c.found()
			if err != nil {
				return err
			}
			done, stop := context.WithCancel(ctx)
			defer stop()
			var sessions sync.WaitGroup
			failures := make(chan error, 3)
			for range 3 {
				sessions.Go(func() { failures <- c.lockBackwards(ctx, done) })
			}
			for {
				now, err := c.found()
				if err != nil || now > before || ctx.Err() != nil {
					stop()
					sessions.Wait()
					return errors.Join(err, ctx.Err(), <-failures, <-failures, <-failures)
				}
				<-time.After(4 * pause)
			}
		}),
	}
}

// found counts the deadlocks that the primary has logged.
func (c *cluster) found() (int, error) {
	log, err := c.primary.Log()
	return strings.Count(log, "deadlock detected"), err
}

// lockBackwards locks many accounts, the last one first, again and again until done.
func (c *cluster) lockBackwards(ctx, done context.Context) error {
	conn, err := pgx.Connect(ctx, c.direct())
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close(ctx) }()
	for done.Err() == nil {
		high := accounts/2 + 1 + rand.Int32N(accounts/2)
		for _, sql := range []string{
			"begin",
			fmt.Sprintf("select from accounts where number = '%s' for update", numberOf(c.accounts, high)),
			"select pg_sleep(0.02)",
			fmt.Sprintf("select from accounts where number < '%s' and number > '%s' order by number desc for update", numberOf(c.accounts, accounts/2), c.accounts),
			"rollback",
		} {
			if _, err := conn.Exec(ctx, sql); err != nil && !strings.Contains(err.Error(), "40P01") && !strings.Contains(err.Error(), "25P02") {
				return err
			}
		}
	}
	return nil
}

// Faults of the network between the service and the database.

// commitsBroken breaks connections in the middle of COMMIT: half of these
// commits take place and half do not.
func (c *cluster) commitsBroken(random *rand.Rand) fault {
	return fault{
		name: "network: cut in the middle of COMMIT", touches: "commits",
		begin: instant(func(ctx context.Context) error {
			ctx, cancel := context.WithTimeout(ctx, startTimeout)
			defer cancel()
			for range 4 {
				var once sync.Once
				broken := make(chan struct{})
				lose := testenv.LoseAnswer
				if random.IntN(2) == 0 {
					lose = testenv.LoseCommit
				}
				do := testenv.CommitFault(func(client, server net.Conn, message []byte) {
					lose(client, server, message)
					once.Do(func() { close(broken) })
				})
				for _, h := range c.hosts { // whichever is the primary by then
					h.back.OnCommit.Store(&do)
				}
				select {
				case <-broken:
				case <-ctx.Done():
					return fmt.Errorf("no COMMIT came: %w", ctx.Err())
				}
			}
			return nil
		}),
	}
}

func (c *cluster) slow() fault {
	return c.poisoned("network: latency of 100 ms to the database", "latency", map[string]int{"latency": 50, "jitter": 20}, fromStart)
}

// silent loses everything that is sent; connections only seem to be there.
func (c *cluster) silent() fault {
	return c.poisoned("network: everything to the database lost", "timeout", map[string]int{"timeout": 0}, fromEnd)
}

func (c *cluster) reset() fault {
	return c.poisoned("network: connections to the database reset", "reset_peer", map[string]int{"timeout": 20}, fromEnd)
}

func (c *cluster) poisoned(name, kind string, attributes map[string]int, from origin) fault {
	return fault{
		name: name, touches: "network", hold: 700 * time.Millisecond, from: from,
		begin: lasting(
			func() error {
				return errors.Join(c.hosts[0].front.Poison(kind, attributes), c.hosts[1].front.Poison(kind, attributes))
			},
			func(ctx context.Context) error {
				c.hosts[0].front.Cure(ctx)
				c.hosts[1].front.Cure(ctx)
				return nil
			}),
	}
}

// send sends one command to Redis, which answers OK.
func send(ctx context.Context, address, command string) error {
	_, err := ask(ctx, address, command, "+OK")
	return err
}

// ask returns the beginning of what Redis answers to a command, which must begin so.
func ask(ctx context.Context, address, command, begin string) (string, error) {
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", address)
	if err != nil {
		return "", err
	}
	defer func() { _ = conn.Close() }()
	if _, err := io.WriteString(conn, command+"\r\n"); err != nil {
		return "", err
	}
	answer := make([]byte, 4096)
	n, err := conn.Read(answer)
	text := string(answer[:n])
	if err == nil && !strings.HasPrefix(text, begin) {
		err = fmt.Errorf("redis answers %s with %q", command, text)
	}
	return text, err
}
