package redis

import (
	"context"
	"log/slog"
	"sync"

	"rbcs"
)

// Cache is a [rbcs.BalanceReader] that answers from Redis where it may. All
// instances that share a database and a Redis are one cache. Its methods are
// safe for concurrent use.
type Cache struct {
	opts    Options
	log     *slog.Logger
	link    *link
	looks   *looks
	reads   *collector
	work    *worker
	sampled samples
	stats   counters

	ctx    context.Context // of everything that nobody waits for
	cancel context.CancelFunc
	group  sync.WaitGroup
}

var _ rbcs.BalanceReader = (*Cache)(nil)

// Open returns the cache at a URL, which [clientOptions] describes. It fails
// where the URL or the options are wrong, never because Redis is away. Until
// [Cache.Start] every balance comes from the store, and no mark is confirmed.
func Open(ctx context.Context, url string, opts Options) (*Cache, error) {
	opts, err := opts.withDefaults()
	if err != nil {
		return nil, rbcs.Errorf(rbcs.InvalidRequest, "the cache's options: %w", err)
	}
	option, err := clientOptions(url)
	if err != nil {
		return nil, rbcs.Errorf(rbcs.InvalidRequest, "redis: %w", err)
	}
	c := &Cache{opts: opts, log: opts.Logger, link: newLink(option, opts.Logger), looks: newLooks(opts.Control, opts.Logger)}
	c.ctx, c.cancel = context.WithCancel(context.WithoutCancel(ctx))
	c.reads = newCollector(c.ctx, opts.Store)
	c.work = newWorker(c.apply, &c.stats)
	return c, nil
}

// Start connects and looks at the switch, and waits for that first look, but not
// for Redis. What fails is tried again in the background. REQUIRES: it is called
// once, before the first commit and not after Stop.
func (c *Cache) Start(ctx context.Context) {
	c.group.Go(func() { c.link.run(c.ctx) })
	c.group.Go(func() { c.work.run(c.ctx) })
	c.looks.look(ctx)
	c.group.Go(func() { c.looks.run(c.ctx) })
	if c.opts.CheckEvery > 0 {
		c.group.Go(func() { c.check(c.ctx) })
	}
}

// Stop ends everything that runs in the background and waits for it. Balances
// are then read from the store, and no mark is confirmed. REQUIRES: no commit is
// under way. It may be called again.
func (c *Cache) Stop() {
	c.link.breaker.open()
	c.link.dead.Store(true)
	c.cancel()
	c.group.Wait()
	c.link.close()
}

// Close stops the cache and waits for store reads. REQUIRES: nobody reads any more.
func (c *Cache) Close() error {
	c.Stop()
	c.reads.wait()
	return nil
}
