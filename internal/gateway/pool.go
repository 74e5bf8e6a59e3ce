package gateway

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// pool is the instances that are known, and which of them take requests.
//
// What an instance says of itself is believed at once: that it is ready or not,
// and that nobody listens. Silence is believed the second time. An instance that
// is ready and loses requests all the same is out for a pause that grows. One on
// another database than the others takes none (database.go).
type pool struct {
	logger  *slog.Logger
	now     func() time.Time
	every   time.Duration // between two probes
	http2   bool          // to the instances
	metrics *metrics

	mu       sync.Mutex
	all      map[string]*instance
	database string                      // that is pinned; "" where none is yet
	ready    atomic.Pointer[[]*instance] // never changed in place
	served   atomic.Bool                 // an instance took requests once
	group    sync.WaitGroup              // of those who watch
}

func newPool(logger *slog.Logger, now func() time.Time, every time.Duration) *pool {
	p := &pool{logger: logger, now: now, every: every, all: map[string]*instance{}}
	p.ready.Store(new([]*instance))
	return p
}

// takers returns the instances that take requests. It must not be changed.
func (p *pool) takers() []*instance { return *p.ready.Load() }

func (p *pool) known() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.all)
}

// set makes the addresses those that are known. Those that stay are not
// disturbed; requests on those that go are answered.
func (p *pool) set(ctx context.Context, addresses []string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for address, i := range p.all {
		if !slices.Contains(addresses, address) {
			p.logger.InfoContext(ctx, "an instance is gone", slog.String("instance", address))
			delete(p.all, address)
			i.ready = false
			i.cancel()
			i.transport.CloseIdleConnections()
			p.metrics.forget(address)
		}
	}
	for _, address := range addresses {
		if p.all[address] == nil {
			p.logger.InfoContext(ctx, "an instance is known", slog.String("instance", address))
			p.add(ctx, address)
		}
	}
	p.settle(ctx)
	p.publish()
}

// add begins to watch an instance. REQUIRES: the mutex is held.
func (p *pool) add(ctx context.Context, address string) {
	i := newInstance(address)
	if p.http2 {
		i.speakHTTP2()
	}
	i.counters = p.metrics.counters(address)
	ctx, i.cancel = context.WithCancel(ctx)
	p.all[address] = i
	p.group.Go(func() { i.watch(ctx, p.every, func(database string, err error) { p.probed(ctx, i, database, err) }) })
}

// publish makes the takers those that are ready. REQUIRES: the mutex is held.
func (p *pool) publish() {
	takers := make([]*instance, 0, len(p.all))
	for _, i := range p.all {
		if i.ready {
			takers = append(takers, i)
		}
	}
	p.ready.Store(&takers)
}

// probed takes what a probe has found: the database that the instance tells, or
// why it takes no requests.
func (p *pool) probed(ctx context.Context, i *instance, database string, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.all[i.address] != i {
		return // it went while it was asked
	}
	if err == nil {
		p.welcome(ctx, i, database)
		return
	}
	if _, said := err.(notReady); !said && !refused(err) { //nolint:errorlint // probe returns it as it is
		if i.misses++; i.misses <= missesAllowed {
			i.probeNow()
			return
		}
	}
	i.asked = true
	p.settle(ctx)
	switch {
	case i.ready:
		p.turn(ctx, i, false, err)
	case !i.told: // it never was: a wrong address would be found nowhere else
		i.told = true
		p.logger.WarnContext(ctx, "an instance takes no requests yet", slog.String("instance", i.address), slog.Any("error", err))
	}
}

// welcome takes that an instance says it is ready. REQUIRES: the mutex is held.
func (p *pool) welcome(ctx context.Context, i *instance, database string) {
	i.misses, i.asked, i.database = 0, true, database
	settled := p.settle(ctx)
	if p.stray(i) {
		p.exclude(ctx, i, settled)
		return
	}
	i.foreign = false
	if !i.ready && p.now().Sub(i.brokenAt) >= i.pause {
		p.turn(ctx, i, true, nil)
	}
}

// turn makes an instance ready or not. REQUIRES: the mutex is held.
func (p *pool) turn(ctx context.Context, i *instance, ready bool, why error) {
	i.ready, i.told = ready, true
	i.losses.Store(0)
	p.publish()
	if ready {
		p.served.Store(true)
		p.logger.InfoContext(ctx, "an instance takes requests", slog.String("instance", i.address))
		return
	}
	i.transport.CloseIdleConnections()
	p.logger.WarnContext(ctx, "an instance takes no requests", slog.String("instance", i.address), slog.Any("error", why))
}

// lost takes that a request was sent to the instance, or could not be, and not answered.
func (p *pool) lost(ctx context.Context, i *instance, err error) {
	i.probeNow()
	nobody := refused(err)
	if !nobody && (p.http2 && !i.lostAnew(p.now()) || i.losses.Add(1) <= lossesAllowed) {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if !i.ready {
		return
	}
	if !nobody { // one that nobody listens at says itself when it is back
		now := p.now()
		if now.Sub(i.brokenAt) > forgivenAfter {
			i.pause = 0
		}
		i.pause = min(max(2*i.pause, firstPause), longestPause)
		i.brokenAt = now
	}
	p.turn(ctx, i, false, err)
}

// answered takes that the instance answered a request.
func (p *pool) answered(i *instance) {
	if i.losses.Load() != 0 { // reading is cheap, writing is shared
		i.losses.Store(0)
	}
}

// pick returns the instance with fewer requests in flight of two that take
// requests, chosen at random, and none of those tried before. It is nil where there is none.
func (p *pool) pick(tried []*instance) *instance {
	takers := p.takers()
	if len(tried) > 0 {
		takers = slices.DeleteFunc(slices.Clone(takers), func(i *instance) bool { return slices.Contains(tried, i) })
	}
	switch len(takers) {
	case 0:
		return nil
	case 1:
		return takers[0]
	}
	a := rand.IntN(len(takers))
	b := rand.IntN(len(takers) - 1)
	if b >= a {
		b++
	}
	if takers[b].inFlight.Load() < takers[a].inFlight.Load() {
		a = b
	}
	return takers[a]
}

// stop ends the watching and closes what is idle.
func (p *pool) stop() {
	p.mu.Lock()
	for _, i := range p.all {
		i.cancel()
	}
	p.mu.Unlock()
	p.group.Wait()
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, i := range p.all {
		i.transport.CloseIdleConnections()
	}
}
