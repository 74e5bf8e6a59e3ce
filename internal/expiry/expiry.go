// Package expiry releases the holds whose time is over, through the same way
// that every transaction takes.
//
// # Invariants
//
//  1. A hold that is due is released once, however many instances look for it
//     and whenever they crash: the release has an ID that follows from the hold's
//     ([ID]), and the commit decides it under the lock of the hold's account.
//  2. What is due is decided by the database's clock, by [rbcs.Store.DueHolds]
//     and once more by the commit after its locks. No clock of an instance matters.
//  3. Nothing is kept in memory that a restart would miss.
//
// While all is well a hold is released within about [Config].Interval of its
// time. While something fails, the store or a single hold, looks become rarer,
// down to one each [Config].MaxPause: soon enough for what falls due meanwhile.
package expiry

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

// idPrefix begins the ID of every expiry. What follows is the hold's ID.
const idPrefix = rbcs.ReservedPrefix + "expiry."

// Actor is who submits expiries.
const Actor = rbcs.ReservedPrefix + "expiry"

// ID returns the ID of the expiry of a hold. It may be longer than [rbcs.MaxIDBytes].
func ID(hold string) string { return idPrefix + hold }

// DueHolds is the part of a [rbcs.Store] that finds what is due.
type DueHolds interface {
	DueHolds(ctx context.Context, limit int) ([]rbcs.Transaction, error)
}

// Submitter commits transactions, as the engine's Submit does.
type Submitter interface {
	Submit(ctx context.Context, txs []*rbcs.Transaction) ([]rbcs.Result, error)
}

// Config bounds an [Expirer]. A zero field takes its default.
type Config struct {
	Interval time.Duration // between two looks at what is due; 250 ms
	MaxPause time.Duration // the longest pause after failures, which double it from Interval; 1 s
	Timeout  time.Duration // of one look at what is due; 5 s
	Page     int           // holds that are released together; 500

	Logger *slog.Logger // nil for slog.Default()
}

func (c Config) withDefaults() Config {
	if c.Interval <= 0 {
		c.Interval = 250 * time.Millisecond
	}
	if c.MaxPause <= 0 {
		c.MaxPause = time.Second
	}
	c.MaxPause = max(c.MaxPause, c.Interval)
	if c.Timeout <= 0 {
		c.Timeout = 5 * time.Second
	}
	if c.Page <= 0 {
		c.Page = 500
	}
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	return c
}

// Expirer releases what is due, from Start to Stop.
type Expirer struct {
	store  DueHolds
	submit Submitter
	cfg    Config

	ctx    context.Context // ends with Stop
	cancel context.CancelFunc
	run    sync.WaitGroup

	failures int          // polls that failed one after the other
	overdue  atomic.Int64 // holds that the last look found due and that are not settled
}

// New returns an expirer that is not started.
func New(store DueHolds, submit Submitter, cfg Config) *Expirer {
	e := &Expirer{store: store, submit: submit, cfg: cfg.withDefaults()}
	e.ctx, e.cancel = context.WithCancel(context.Background())
	return e
}

// Start begins to look for what is due. It must be called at most once.
func (e *Expirer) Start() { e.run.Go(e.loop) }

// Stop ends it and waits until the store and the engine are not in use any more.
// What was submitted and not answered is decided or not, and found again by the
// next instance that looks. It may be called again, and without a Start.
func (e *Expirer) Stop() {
	e.cancel()
	e.run.Wait()
}

// Overdue returns how many holds the last look found due and could not settle:
// usually none, and at most [Config].Page.
func (e *Expirer) Overdue() int { return int(e.overdue.Load()) }

func (e *Expirer) loop() {
	for e.ctx.Err() == nil {
		err := e.poll()
		if e.ctx.Err() != nil {
			return
		}
		e.report(err)
		select {
		case <-time.After(e.pause()):
		case <-e.ctx.Done():
		}
	}
}

// report logs that expiring began to fail, and that it works again.
func (e *Expirer) report(err error) {
	switch {
	case err != nil:
		if e.failures++; e.failures == 1 {
			e.cfg.Logger.LogAttrs(e.ctx, slog.LevelError, "holds that are due cannot be released; it is tried again and again", slog.Any("error", err))
		}
	case e.failures > 0:
		e.cfg.Logger.LogAttrs(e.ctx, slog.LevelInfo, "holds that are due are released again", slog.Int("failed_polls", e.failures))
		e.failures = 0
	}
}

// pause returns how long to wait before the next look: after failures
// exponentially longer, capped, and with jitter, so that instances come back apart.
func (e *Expirer) pause() time.Duration {
	if e.failures == 0 {
		return e.cfg.Interval
	}
	pause := e.cfg.Interval
	for n := e.failures; n > 0 && pause < e.cfg.MaxPause; n-- {
		pause *= 2
	}
	pause = min(pause, e.cfg.MaxPause)
	return pause/2 + rand.N(pause/2+1)
}

// poll releases all that is due. While pages are full it goes on at once, unless
// a page helped nobody: the same holds would come again.
func (e *Expirer) poll() error {
	var failed error
	for e.ctx.Err() == nil {
		holds, err := e.due()
		if err != nil {
			return err
		}
		if len(holds) == 0 {
			e.overdue.Store(0)
			break
		}
		settled, err := e.expire(holds)
		e.overdue.Store(int64(len(holds) - settled))
		if err != nil && failed == nil {
			failed = err
		}
		if settled == 0 || len(holds) < e.cfg.Page {
			break
		}
	}
	return failed
}

func (e *Expirer) due() ([]rbcs.Transaction, error) {
	ctx, cancel := context.WithTimeout(e.ctx, e.cfg.Timeout)
	defer cancel()
	return e.store.DueHolds(ctx, e.cfg.Page)
}

// expire submits the release of each hold. It returns how many are settled now,
// and why another is not, unless that is only a matter of a moment.
func (e *Expirer) expire(holds []rbcs.Transaction) (settled int, err error) {
	txs := make([]*rbcs.Transaction, len(holds))
	for i := range holds {
		hold := &holds[i]
		txs[i] = &rbcs.Transaction{
			ID: ID(hold.ID), Type: rbcs.Expiry, Original: hold.ID, Source: hold.Source, Destination: hold.Destination, Actor: Actor,
		}
	}
	results, err := e.submit.Submit(e.ctx, txs)
	if err != nil {
		return 0, err
	}
	for i := range results {
		switch problem := outcome(&results[i]); {
		case problem == nil:
			settled++
		case rbcs.CodeOf(problem) != rbcs.InvalidRequest && err == nil:
			err = problem
		}
	}
	return settled, err
}

// outcome returns nil where the hold is settled, by whomever. With
// [rbcs.InvalidRequest] it is not due yet by the clock of the commit, which is
// behind that of the look: the next look finds it again.
func outcome(r *rbcs.Result) error {
	switch {
	case r.Err != nil:
		return r.Err
	case r.Status == rbcs.Rejected && r.Code != rbcs.HoldNotOpen:
		return errors.New("the expiry of the hold " + r.Transaction.Original + " was rejected: " + string(r.Code))
	}
	return nil
}
