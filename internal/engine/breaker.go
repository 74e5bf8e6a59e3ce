package engine

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"rbcs"
)

const (
	// awayFailures is how many attempts in a row must have found the store away,
	// beside [Config].AwayAfter: one connection that breaks is no outage.
	awayFailures = 3

	// probePause is how long the prober waits at most between two looks. It is
	// a part of how long a service is refused after its database is back.
	probePause = 500 * time.Millisecond
)

// breakerState is what the breaker believes of the store.
type breakerState int32

const (
	closed breakerState = iota // it answers: everything goes
	open                       // it is away: nothing goes, and the prober looks for it
	ready                      // the prober found it: the next batch tries it
	trial                      // that batch is on its way; everything else waits, or is refused
)

// breaker keeps submissions from a store that is away, so that they are refused
// at once and not after a deadline. It opens when attempts have failed for a
// while because the store is away ([rbcs.Error].Away), and only for that: a
// deadlock or a slow statement is an answer. While it is open a prober looks for
// the store, whether or not anybody submits, and once it is found one batch is
// tried. An attempt that began before the breaker opened is not judged any more:
// one that hangs long would otherwise close or open it on old news.
type breaker struct {
	check     func(context.Context) error
	awayAfter time.Duration // since the first failure in a row
	grace     time.Duration // and for how long what was admitted waits, since then
	timeout   time.Duration // of one look
	log       *slog.Logger
	state     atomic.Int32 // a breakerState; changed under mu
	probers   sync.WaitGroup

	mu       sync.Mutex
	round    int           // counts the openings
	failures int           // in a row
	since    time.Time     // the first of them
	changed  chan struct{} // closed when the state changes
}

func newBreaker(cfg *Config) *breaker {
	return &breaker{
		check: cfg.Check, awayAfter: cfg.AwayAfter, grace: cfg.Deadline, timeout: cfg.CommitTimeout,
		log: cfg.Logger, changed: make(chan struct{}),
	}
}

func (b *breaker) is() breakerState { return breakerState(b.state.Load()) }

// refuses reports whether what is not admitted yet should be refused.
func (b *breaker) refuses() bool {
	s := b.is()
	return s == open || s == trial
}

// set changes the state and wakes those who wait. REQUIRES: b.mu is held.
func (b *breaker) set(s breakerState) {
	b.state.Store(int32(s))
	close(b.changed)
	b.changed = make(chan struct{})
}

// enter waits until an attempt may be made, at most until the deadline, and while
// the store is away at most for the grace since it went. The ticket is for leave.
func (b *breaker) enter(ctx context.Context, deadline time.Time) (ticket int, ok bool) {
	for {
		b.mu.Lock()
		limit := deadline
		switch b.is() {
		case closed:
			defer b.mu.Unlock()
			return b.round, true
		case ready:
			defer b.mu.Unlock()
			b.set(trial)
			return b.round, true
		case open:
			if end := b.since.Add(b.grace); end.Before(limit) {
				limit = end
			}
		}
		changed := b.changed
		b.mu.Unlock()
		wait := time.Until(limit)
		if wait <= 0 || ctx.Err() != nil {
			return 0, false
		}
		timer := time.NewTimer(wait)
		select {
		case <-changed:
		case <-timer.C:
		case <-ctx.Done():
		}
		timer.Stop()
	}
}

// leave tells how an attempt ended. ctx is the engine's.
func (b *breaker) leave(ctx context.Context, ticket int, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	away, answered := judge(err)
	switch state := b.is(); {
	case ticket != b.round:
	case state == trial && answered:
		b.log.LogAttrs(ctx, slog.LevelInfo, "the database is back", slog.Duration("away", time.Since(b.since)))
		b.failures = 0
		b.set(closed)
	case state == trial:
		b.open(ctx)
	case answered:
		b.failures = 0
	case away:
		if b.failures++; b.failures == 1 {
			b.since = time.Now()
		}
		if b.failures >= awayFailures && time.Since(b.since) >= b.awayAfter {
			b.log.LogAttrs(ctx, slog.LevelError, "the database is away: transactions are refused until it is back", slog.Any("error", err))
			b.open(ctx)
		}
	}
}

// judge says what the end of an attempt tells about the store: that it is away,
// that it answered, or neither, where only time ran out.
func judge(err error) (away, answered bool) {
	var known *rbcs.Error
	switch {
	case errors.As(err, &known) && known.Away:
		return true, false
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled):
		return false, false
	}
	return false, true
}

// open refuses, and looks for the store. REQUIRES: b.mu is held.
func (b *breaker) open(ctx context.Context) {
	b.round++
	b.set(open)
	b.probers.Go(func() { b.probe(ctx) })
}

// probe looks for the store until it is there or the engine stops.
func (b *breaker) probe(ctx context.Context) {
	for {
		select {
		case <-time.After(probePause/2 + rand.N(probePause/2)):
		case <-ctx.Done():
			return
		}
		if b.found(ctx) {
			b.mu.Lock()
			defer b.mu.Unlock()
			b.set(ready)
			return
		}
	}
}

func (b *breaker) found(ctx context.Context) bool {
	ctx, cancel := context.WithTimeout(ctx, b.timeout)
	defer cancel()
	return b.check(ctx) == nil
}

// away is what is answered while the breaker is open.
func away() *rbcs.Error {
	return &rbcs.Error{
		Code: rbcs.Unavailable, Message: "the database is away; nothing was recorded, submit again later", RetryAfter: retryAfter, Away: true,
	}
}
