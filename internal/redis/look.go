package redis

import (
	"context"
	"log/slog"
	"sync/atomic"
	"time"

	"rbcs"
)

// look is what a look at the switch found.
type look struct {
	state rbcs.CacheState
	space keySpace
	began time.Time // the moment before it: what it found was true at this moment or later
}

// looks polls the switch for as long as the cache runs.
//
// Invariant (rule 6): a look is handed out for serving only to a read that began
// within [rbcs.Trust] of the moment before the look. Whoever turns the cache off
// waits that long, so that no read that begins after its COMMIT is served a hit.
// The difference is measured on the monotonic clock, which runs on while a process is stopped.
type looks struct {
	control rbcs.CacheControl
	log     *slog.Logger
	last    atomic.Pointer[look] // nil before the first
	every   time.Duration

	failing atomic.Bool // whether the last look failed, so that it is logged once
}

func newLooks(control rbcs.CacheControl, log *slog.Logger) *looks {
	return &looks{control: control, log: log, every: lookEvery}
}

// run looks until the context ends.
func (l *looks) run(ctx context.Context) {
	tick := time.NewTicker(l.every)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			l.look(ctx)
		}
	}
}

// look looks once, and returns nil where that failed.
func (l *looks) look(ctx context.Context) *look {
	ctx, cancel := context.WithTimeout(ctx, lookTimeout)
	defer cancel()
	began := time.Now()
	state, err := l.control.Cache(ctx)
	l.report(ctx, err)
	if err != nil {
		return nil
	}
	found := &look{state: state, space: spaceOf(state.Database, state.Timeline), began: began}
	for {
		last := l.last.Load()
		if last != nil && last.began.After(began) || l.last.CompareAndSwap(last, found) {
			return found
		}
	}
}

// report logs that looks began to fail, or that they succeed again.
func (l *looks) report(ctx context.Context, err error) {
	changed := l.failing.Swap(err != nil) != (err != nil)
	switch {
	case !changed || ctx.Err() == context.Canceled:
	case err != nil:
		l.log.WarnContext(ctx, "the cache's switch cannot be read; balances come from the store until it can", slog.Any("error", err))
	default:
		l.log.InfoContext(ctx, "the cache's switch is read again")
	}
}

// latest returns the last look, nil where there was none yet.
func (l *looks) latest() *look { return l.last.Load() }

// serves reports whether hits may be served to a read that began then (rule 6).
func (k *look) serves(began time.Time) bool {
	return k.state.Serve && began.Sub(k.began) <= rbcs.Trust
}

// oldest is how old an entry can become: the mark that it replaced, and its own life.
const oldest = rbcs.MarkLife + rbcs.ValueLife

// outlived reports whether an entry lives that must be dead by now. Its life is
// on the clock of Redis; where that was set back, the entry is there when the
// switch is on again, and has missed the commit that the switch was off for (rule 6).
// Both times are of the database's clock, which the switch is reckoned by too.
func (k *look) outlived(asOf time.Time) bool {
	return !k.state.Now.IsZero() && k.state.Now.Sub(asOf) > oldest
}
