package resilience

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"rbcs/internal/postgres"
	"rbcs/internal/testenv"
)

// serverSettings are those of both database servers.
var serverSettings = []string{
	"max_connections=60",
	"deadlock_timeout=200ms",
	"wal_keep_size=256MB",               // a standby that was away catches up
	"wal_retrieve_retry_interval=100ms", // and soon
	"wal_writer_delay=10s",              // only a commit writes to disk what was done before it
}

// cluster is all that the service stands on, and two instances of it.
type cluster struct {
	system
	primary, standby *testenv.Server // standby is nil while there is none
	async            bool            // commits do not wait for the standby
	hosts            [2]*host        // as the service knows them
	active           int             // which of the hosts is the primary
	redis            *testenv.Server
	redisLink        *testenv.Link
	database         string
}

// host is a database host's address, behind which servers come and go.
type host struct {
	back  *testenv.Proxy
	front *testenv.Link
}

func newHost(dsn string) (*host, error) {
	back, through, err := testenv.NewProxy(dsn)
	if err != nil {
		return nil, err
	}
	front, err := testenv.NewLink(testenv.HostOf(through))
	return &host{back, front}, err
}

// startCluster starts everything; the end of the test ends it.
func startCluster(t *testing.T) *cluster {
	t.Helper()
	ctx := t.Context()
	c := &cluster{}
	t.Cleanup(func() {
		if err := c.close(); err != nil {
			t.Error(err)
		}
	})
	err := c.startServers(ctx)
	if err == nil {
		err = c.startInstances(ctx)
	}
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func (c *cluster) startServers(ctx context.Context) (err error) {
	if c.primary, err = testenv.NewPostgres(ctx, serverSettings...); err != nil {
		return err
	}
	if c.standby, err = testenv.NewStandby(ctx, c.primary); err != nil {
		return err
	}
	for i, s := range []*testenv.Server{c.primary, c.standby} {
		if c.hosts[i], err = newHost(s.URL); err != nil {
			return err
		}
	}
	if c.redis, err = testenv.NewRedis(ctx); err != nil {
		return err
	}
	if c.redisLink, err = testenv.NewLink(testenv.HostOf(c.redis.URL)); err != nil {
		return err
	}
	return c.wait(ctx)
}

// startInstances makes a database and starts two instances on it.
func (c *cluster) startInstances(ctx context.Context) error {
	c.database = "rbcs_" + strings.ToLower(rand.Text())
	create := []string{"create database " + c.database}
	if !c.async { // the standby is to know it too: it may be the first host to be asked
		create = append([]string{"set synchronous_commit = remote_apply"}, create...)
	}
	if err := c.execute(ctx, c.primary.URL, create...); err != nil {
		return err
	}
	store := fmt.Sprintf("postgres://postgres@%s,%s/%s?sslmode=disable", c.hosts[0].front.Address(), c.hosts[1].front.Address(), c.database)
	args := []string{"--store", store, "--migrate", "--drain-delay", "300ms", "--redis", "redis://" + c.redisLink.Address() + "/0"}
	c.dump = func(ctx context.Context) (dumper, error) {
		return postgres.Open(ctx, c.direct(), postgres.Options{MaxConns: 2})
	}
	c.verifyStore = c.direct
	return c.start(ctx, 2, args)
}

// direct returns the database's DSN on the primary, past the proxies.
func (c *cluster) direct() string {
	return strings.Replace(c.primary.URL, "/postgres?", "/"+c.database+"?", 1)
}

// renew puts the instances on a new database: what a scenario left is not another's matter.
func (c *cluster) renew(ctx context.Context) error {
	c.stop()
	if err := c.execute(ctx, c.primary.URL, "drop database "+c.database+" with (force)"); err != nil {
		return err
	}
	return c.startInstances(ctx)
}

func (c *cluster) close() error {
	c.stop()
	var errs []error
	for _, h := range c.hosts {
		if h != nil {
			h.front.Cut()
			errs = append(errs, h.back.Close())
		}
	}
	if c.redisLink != nil {
		c.redisLink.Cut()
	}
	for _, s := range []*testenv.Server{c.primary, c.standby, c.redis} {
		if s != nil {
			errs = append(errs, s.Close())
		}
	}
	return errors.Join(errs...)
}

// execute runs statements on one server, past the proxies.
func (c *cluster) execute(ctx context.Context, dsn string, statements ...string) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	conn, err := pgx.Connect(ctx, dsn)
	if err != nil {
		return err
	}
	for _, sql := range statements {
		if _, err := conn.Exec(ctx, sql); err != nil {
			return errors.Join(fmt.Errorf("%s: %w", sql, err), conn.Close(ctx))
		}
	}
	return conn.Close(ctx)
}

const setSync = "alter system set synchronous_standby_names = '%s'"

// alone lets commits wait for nobody, as whoever manages a cluster does when its standby is gone.
func (c *cluster) alone(ctx context.Context, s *testenv.Server) error {
	return c.execute(ctx, s.URL, fmt.Sprintf(setSync, ""), "select pg_reload_conf()")
}

// wait lets commits wait for the standby, unless the cluster is an asynchronous
// one, and returns once the standby streams.
func (c *cluster) wait(ctx context.Context) error {
	name := testenv.StandbyName
	if c.async {
		name = ""
	}
	if err := c.execute(ctx, c.primary.URL, fmt.Sprintf(setSync, name), "select pg_reload_conf()"); err != nil {
		return err
	}
	state := "sync"
	if c.async {
		state = "async"
	}
	return c.poll(ctx, "select exists (select from pg_stat_replication where state = 'streaming' and sync_state = '"+state+"')")
}

// poll asks the primary until the answer is true.
func (c *cluster) poll(ctx context.Context, question string) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	conn, err := pgx.Connect(ctx, c.primary.URL)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close(ctx) }()
	for {
		var yes bool
		if err := conn.QueryRow(ctx, question).Scan(&yes); err != nil || yes {
			return err
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return fmt.Errorf("%s: %w", question, ctx.Err())
		}
	}
}

// promote kills the primary, fences it, calls fenced and promotes the standby. It
// returns once that accepts writes.
func (c *cluster) promote(ctx context.Context, fenced func()) error {
	old, next := c.primary, c.standby
	if !c.async {
		if err := c.alone(ctx, next); err != nil {
			return err
		}
	}
	if err := old.Signal(syscall.SIGKILL); err != nil {
		return err
	}
	// A backend of a dead postmaster may still answer: nobody shall hear it.
	c.hosts[c.active].back.Lead("127.0.0.1:1")
	c.hosts[c.active].back.Cut()
	fenced()
	c.promotions.Add(1)
	if err := next.Promote(ctx); err != nil {
		return err
	}
	c.primary, c.standby, c.active = next, nil, 1-c.active
	return old.Close()
}

// rebuild makes a new standby where the old primary was.
func (c *cluster) rebuild(ctx context.Context) (err error) {
	if c.standby, err = testenv.NewStandby(ctx, c.primary); err != nil {
		return err
	}
	c.hosts[1-c.active].back.Lead(testenv.HostOf(c.standby.URL))
	return c.wait(ctx)
}
