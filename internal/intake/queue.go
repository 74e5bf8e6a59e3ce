package intake

import (
	"context"
	"crypto/rand"
	"log/slog"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"rbcs"
)

// Submitter commits transactions, as the engine's Submit does.
type Submitter interface {
	Submit(ctx context.Context, txs []*rbcs.Transaction) ([]rbcs.Result, error)
}

// Queue accepts transactions into the durable queue of a store, and from Start
// to Stop posts those that are due.
type Queue struct {
	store  rbcs.IntakeStore
	engine Submitter
	cfg    Config

	ctx    context.Context // ends with Stop
	cancel context.CancelFunc
	run    sync.WaitGroup
	wake   chan struct{}
	name   string        // begins the names of this process's claims
	claims atomic.Uint64 // their number
	warned atomic.Int64  // the second of the last warning

	mu         sync.Mutex
	stopped    bool
	waiting    []*submission
	pending    int // their transactions, and those of the commit under way
	bytes      int // and their size
	enqueueing bool

	stats cachedStats
}

// New returns a queue that posts nothing before Start; it accepts at once.
func New(store rbcs.IntakeStore, engine Submitter, cfg Config) *Queue {
	q := &Queue{store: store, engine: engine, cfg: cfg.withDefaults(), wake: make(chan struct{}, 1)}
	q.name = q.cfg.Instance + "/" + strings.ToLower(rand.Text()[:12]) + "/"
	q.ctx, q.cancel = context.WithCancel(context.Background())
	return q
}

// Start begins to post what is due. It must be called at most once.
func (q *Queue) Start() {
	for range q.cfg.Workers {
		q.run.Go(q.work)
	}
}

// Stop refuses submissions, waits until those that were admitted are answered
// and claims under way are ended, so that another instance goes on at once. What
// a worker still holds when ctx ends is free after its lease. It may be called again.
func (q *Queue) Stop(ctx context.Context) error {
	q.mu.Lock()
	q.stopped = true
	q.mu.Unlock()
	q.cancel()
	done := make(chan struct{})
	go func() {
		defer close(done)
		q.run.Wait()
	}()
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return rbcs.Errorf(rbcs.Unavailable, "the queue's workers have not ended: %w", context.Cause(ctx))
	}
}

// Wake has a worker look at the queue at once.
func (q *Queue) Wake() {
	select {
	case q.wake <- struct{}{}:
	default:
	}
}

// claimant returns the name of a new claim.
func (q *Queue) claimant() string { return q.name + strconv.FormatUint(q.claims.Add(1), 36) }

// warn logs a failure of the queue's own work, at most once a second.
func (q *Queue) warn(what string, err error) {
	if second := time.Now().Unix(); q.warned.Swap(second) != second {
		q.cfg.Logger.LogAttrs(q.ctx, slog.LevelWarn, what, slog.Any("error", err))
	}
}

// cachedStats counts the queue at most once a second, however often it is asked.
type cachedStats struct {
	mu    sync.Mutex
	at    time.Time
	stats rbcs.IntakeStats
	ok    bool
}

// statsLife is how long a count holds: counting a long queue is not free.
const statsLife = time.Second

// Stats counts the queue, or says what it was a moment ago; ok is false where it
// could not be counted.
func (q *Queue) Stats() (stats rbcs.IntakeStats, ok bool) {
	s := &q.stats
	s.mu.Lock()
	defer s.mu.Unlock()
	if time.Since(s.at) < statsLife {
		return s.stats, s.ok
	}
	ctx, cancel := context.WithTimeout(q.ctx, q.cfg.Timeout)
	defer cancel()
	counted, err := q.store.IntakeStats(ctx)
	s.at, s.ok = time.Now(), err == nil
	if s.ok {
		s.stats = counted
	}
	return s.stats, s.ok
}

// Oldest returns how long the entry that is due first has been due.
func Oldest(s rbcs.IntakeStats) time.Duration {
	if s.OldestDue.IsZero() {
		return 0
	}
	return max(s.Now.Sub(s.OldestDue), 0)
}
