package events

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"rbcs"
)

// Bounds that need no configuration.
const (
	// maxCatchingUp is how many readers read the store at once: a storm of
	// reconnects must not take the connections that commits need.
	maxCatchingUp = 4
	// minGap passes between two looks at the log: one query per commit is no gain over one for several.
	minGap = 5 * time.Millisecond
	// lookTimeout bounds one look at the log, and maxBackoff the wait after failures.
	lookTimeout = 10 * time.Second
	maxBackoff  = 5 * time.Second
	// maxMoves is how many changes of the timeline are remembered: each is an outage.
	maxMoves = 16
	// retryAfter is when a refused reader should come back.
	retryAfter = time.Second
)

// Log is the part of [rbcs.Store] that is followed. Asked for what is behind the
// largest possible sequence, it tells the settled end of the log, or fails with
// [rbcs.Unavailable] while it does not know that.
type Log interface {
	Log(ctx context.Context, after int64, limit int) (rbcs.LogPage, error)
}

// Config bounds a feed. A field that is not greater than zero takes its default.
type Config struct {
	Ring       int           // decisions in memory for live readers; 4,096, usually some MB
	Page       int           // decisions read at once, and returned at once; 500
	MaxReaders int           // of [Feed.Subscribe]; 1,000. Beyond it: Overloaded
	Poll       time.Duration // between two looks for other instances' commits; 100 ms
	// Patience is how long a reader that fell out of the ring may take to come
	// back for more before it is dropped; 30 s.
	Patience time.Duration
	Logger   *slog.Logger // nil for slog.Default()
}

func (c Config) withDefaults() Config {
	setDefault(&c.Ring, 4_096)
	setDefault(&c.Page, 500)
	setDefault(&c.MaxReaders, 1_000)
	setDefault(&c.Poll, 100*time.Millisecond)
	setDefault(&c.Patience, 30*time.Second)
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	return c
}

func setDefault[T int | time.Duration](field *T, value T) {
	if *field <= 0 {
		*field = value
	}
}

// Feed follows the log and serves readers. It is safe for concurrent use.
type Feed struct {
	log Log
	cfg Config

	ctx        context.Context // of all that reads the store; ends with Stop
	cancel     context.CancelFunc
	wake       chan struct{}
	looking    chan struct{} // held by who changes the ring: one look at a time
	catchingUp chan struct{} // held by readers that read the store
	running    sync.WaitGroup
	interested atomic.Int64 // the number of readers

	mu       sync.Mutex
	stopped  bool
	known    bool // whether timeline and ring mean anything yet
	timeline int64
	ring     ring
	moves    []move
	changed  chan struct{} // closed when there is something new, and replaced
	readers  map[*Reader]struct{}
	counted  int // those of them that MaxReaders bounds
	dropped  int64

	unsettled backlog
}

// New returns a feed. It does nothing until [Feed.Start].
func New(log Log, cfg Config) *Feed {
	cfg = cfg.withDefaults()
	f := &Feed{
		log: log, cfg: cfg, ring: ring{size: cfg.Ring}, readers: map[*Reader]struct{}{},
		wake: make(chan struct{}, 1), changed: make(chan struct{}),
		looking: make(chan struct{}, 1), catchingUp: make(chan struct{}, maxCatchingUp),
	}
	f.ctx, f.cancel = context.WithCancel(context.Background())
	return f
}

// Start begins to follow the log. REQUIRES: it is called once, and not after Stop.
func (f *Feed) Start() { f.running.Go(f.follow) }

// Stop ends every reader with [rbcs.Unavailable] and waits until nothing reads
// the store any more, or for ctx.
func (f *Feed) Stop(ctx context.Context) error {
	f.mu.Lock()
	f.stopped = true
	for r := range f.readers {
		f.end(r, stopping())
	}
	f.mu.Unlock()
	f.cancel()
	done := make(chan struct{})
	go func() {
		f.running.Wait()
		close(done)
	}()
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return &rbcs.Error{Code: rbcs.Unavailable, Message: "the event stream did not stop in time", Err: context.Cause(ctx)}
	}
}

func stopping() *rbcs.Error {
	return &rbcs.Error{
		Code: rbcs.Unavailable, Message: "the service is stopping; resume from the last event ID", RetryAfter: retryAfter,
	}
}

// Wake tells the feed that a sequence is committed, so that it looks at the log
// at once. It is to be called after every local commit, with the largest
// sequence of the batch, and never blocks.
func (f *Feed) Wake(sequence int64) {
	if f.interested.Load() == 0 {
		return
	}
	f.unsettled.committed(sequence, time.Now())
	f.nudge()
}

func (f *Feed) nudge() {
	select {
	case f.wake <- struct{}{}:
	default: // it is about to look anyway
	}
}

// Stats is what a feed is busy with.
type Stats struct {
	Readers int      // of all kinds
	Dropped int64    // readers that were too slow, ever
	End     Position // up to where the log was followed
	// Lag is how long ago the oldest sequence was committed here that is not in
	// the stream yet. It grows while a transaction that someone forgot to end
	// keeps the log from settling.
	Lag time.Duration
}

// Stats returns what the feed is busy with now.
func (f *Feed) Stats() Stats {
	f.mu.Lock()
	defer f.mu.Unlock()
	stats := Stats{Readers: len(f.readers), Dropped: f.dropped, End: Position{f.timeline, f.ring.end}}
	if stats.Readers > 0 {
		stats.Lag = f.unsettled.age(time.Now())
	}
	return stats
}

// broadcast wakes all readers that wait. REQUIRES: f.mu is held.
func (f *Feed) broadcast() {
	close(f.changed)
	f.changed = make(chan struct{})
}

// backlog remembers which local commits are not in the stream yet: the oldest
// and the latest are enough to tell a delay from a stall.
type backlog struct {
	mu             sync.Mutex
	oldest, latest commit
}

type commit struct {
	sequence int64
	at       time.Time
}

func (b *backlog) committed(sequence int64, at time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if sequence <= b.latest.sequence {
		return
	}
	b.latest = commit{sequence, at}
	if b.oldest == (commit{}) {
		b.oldest = b.latest
	}
}

func (b *backlog) settled(end int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.oldest.sequence > end {
		return
	}
	if b.oldest = b.latest; b.oldest.sequence <= end {
		b.oldest = commit{}
	}
}

// reset forgets everything: in a new timeline the sequences mean nothing.
func (b *backlog) reset() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.oldest, b.latest = commit{}, commit{}
}

func (b *backlog) age(now time.Time) time.Duration {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.oldest == (commit{}) {
		return 0
	}
	return now.Sub(b.oldest.at)
}
