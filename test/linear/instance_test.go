package linear

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"rbcs"
	"rbcs/client"
	"rbcs/internal/engine"
	"rbcs/internal/postgres"
	"rbcs/internal/redis"
	"rbcs/internal/testenv"
)

// instance is one instance of the service: what `rbcs serve` puts together, but
// for the ways in. It has proxies of its own to all that it talks to.
type instance struct {
	name    string
	backing *testenv.Proxy // before PostgreSQL
	link    *testenv.Link  // before Redis; nil without a cache
	store   *postgres.Store
	cache   *redis.Cache // nil without one
	reader  rbcs.BalanceReader
	engine  *engine.Engine

	process *testenv.Process // of a `rbcs serve`; nil where the instance lives in this process
	api     *client.Client   // and how it is used; all of the above but the proxies are nil then

	commits, fills atomic.Pointer[plan]
	release        chan struct{} // of the world: once closed, nothing is stopped any more
	ctx            context.Context
	cancel         context.CancelFunc
	killing        sync.Once
}

// config is how instances of a world are made.
type config struct {
	dsn     string // of PostgreSQL, and HOST:PORT of Redis
	redis   string
	variant variant
	patient bool // an attempt to commit may take longer than a mark lives
	release chan struct{}
}

// Few connections, since there are many instances.
const (
	connections = 5
	inFlight    = 3

	// More patience with Redis than the defaults: on a busy machine it is slow at
	// times without any fault, and then the cache would be off for most of the test.
	readPatience = 50 * time.Millisecond
	markPatience = 400 * time.Millisecond
)

func startInstance(ctx context.Context, name string, c config, cached bool) (in *instance, err error) {
	in = &instance{name: name, release: c.release}
	in.ctx, in.cancel = context.WithCancel(context.WithoutCancel(ctx))
	defer func() {
		if err != nil {
			err = errors.Join(err, in.stop())
		}
	}()
	var dsn string
	if in.backing, dsn, err = testenv.NewProxy(c.dsn); err != nil {
		return in, err
	}
	quiet := slog.New(slog.DiscardHandler)
	in.store, err = postgres.Open(ctx, dsn, postgres.Options{Instance: name, MaxConns: connections, Logger: quiet})
	if err != nil {
		return in, err
	}
	in.reader = in.store
	cfg := engine.Config{InFlight: inFlight, Check: in.store.Check, Logger: quiet}
	if c.patient {
		cfg.CommitTimeout, cfg.Deadline = 3*rbcs.MarkLife, 4*rbcs.MarkLife
	}
	if cached {
		if err := in.openCache(ctx, c, quiet); err != nil {
			return in, err
		}
		in.reader, cfg.Cache = in.cache, stops{c.variant.engineCache(marker{in.cache}), in}
	}
	in.engine, err = engine.New(in.store, cfg)
	return in, err
}

func (in *instance) openCache(ctx context.Context, c config, log *slog.Logger) (err error) {
	if in.link, err = testenv.NewLink(c.redis); err != nil {
		return err
	}
	in.cache, err = redis.Open(ctx, "redis://"+in.link.Address()+"/0", redis.Options{
		Store: slowReader{c.variant.store(in.store), in}, Control: c.variant.control(in.store), Logger: log, CheckEvery: -1,
		Timeout: readPatience, MarkTimeout: markPatience,
	})
	if err == nil {
		in.cache.Start(ctx)
	}
	return err
}

// marker is the cache as the engine knows it, as in cmd/rbcs.
type marker struct{ *redis.Cache }

func (m marker) Mark(ctx context.Context, l rbcs.Locked) engine.Marks { return m.Cache.Mark(ctx, l) }

func (in *instance) submit(ctx context.Context, txs []*rbcs.Transaction) ([]rbcs.Result, error) {
	if in.api != nil {
		return in.submitOverHTTP(ctx, txs)
	}
	return in.engine.Submit(ctx, txs)
}

// balances reads balances of now, strong: past the cache.
func (in *instance) balances(ctx context.Context, numbers []string, strong bool) ([]rbcs.BalanceReading, error) {
	switch {
	case in.api != nil:
		return in.balancesOverHTTP(ctx, numbers, strong)
	case strong:
		return in.store.Balances(ctx, numbers)
	}
	return in.reader.Balances(ctx, numbers)
}

// kill takes the instance away from the world, as SIGKILL does: its connections
// are cut, no new one leads anywhere, and its clients hear nothing any more.
func (in *instance) kill() {
	in.killing.Do(func() {
		in.backing.Lead(nowhere)
		if in.link != nil {
			in.link.Cut()
		}
		in.backing.Cut()
		in.cancel()
	})
}

// nowhere is an address that refuses connections.
const nowhere = "127.0.0.1:1"

// alive reports whether it was not killed.
func (in *instance) alive() bool { return in.ctx.Err() == nil }

// stop ends everything. REQUIRES: no client is at work, and its plans are released.
func (in *instance) stop() error {
	var errs []error
	if in.process != nil {
		_, err := in.process.End(syscall.SIGKILL)
		errs = append(errs, err)
	}
	if in.engine != nil {
		ctx, cancel := context.WithTimeout(context.Background(), stopTimeout)
		if !in.alive() {
			cancel() // what it has begun will never end well
		}
		if err := in.engine.Stop(ctx); err != nil {
			if in.alive() {
				errs = append(errs, err)
			}
			errs = append(errs, in.engine.Stop(context.Background()))
		}
		cancel()
	}
	in.cancel()
	if in.cache != nil {
		errs = append(errs, in.cache.Close())
	}
	if in.link != nil {
		in.link.Cut()
	}
	if in.backing != nil { // a store whose connections lead nowhere closes at once
		in.backing.Cut()
	}
	if in.store != nil {
		errs = append(errs, in.store.Close())
	}
	if in.backing != nil {
		errs = append(errs, in.backing.Close())
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("instance %s: %w", in.name, err)
	}
	return nil
}

const stopTimeout = 30 * time.Second
