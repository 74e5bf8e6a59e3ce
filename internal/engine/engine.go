package engine

import (
	"context"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"rbcs"
)

// retryAfter is when a refused caller should come back. A full queue is worked
// off in far less; HTTP cannot say less.
const retryAfter = time.Second

// Engine batches transactions and commits them. It is safe for concurrent use.
type Engine struct {
	store   rbcs.Committer
	cfg     Config
	breaker *breaker

	ctx    context.Context // of every attempt; ends when a Stop has been impatient
	cancel context.CancelFunc
	staged sync.Pool // of *[]entry: what Submit prepares before it takes the mutex

	warned     atomic.Int64  // when a failed attempt was last logged, in nanoseconds since 1970
	previews   chan struct{} // one for each preview that is with the store
	previewing atomic.Int64  // these, and those that wait for one of them to end

	mu       sync.Mutex
	schedule *schedule
	flying   []*batch // taken from the schedule, and not finished
	spare    []*batch // their memory, for the next ones
	pending  int      // admitted and unanswered transactions
	bytes    int      // and their size
	starting bool     // a goroutine is about to take a batch: one at a time is enough
	running  int      // goroutines that commit, and previews; 0 only if nothing is pending
	stopped  bool
	idle     chan struct{} // closed when stopped and nothing runs any more
}

// batch is what is committed together.
type batch struct {
	entries  []entry
	txs      []*rbcs.Transaction
	stuck    stuck
	answered bool // by an impatient Stop; guarded by Engine.mu. Nothing is admitted any more then
}

// New returns an engine over a store. Its error lists every fault of the
// configuration, with code [rbcs.InvalidRequest].
func New(store rbcs.Committer, cfg Config) (*Engine, error) {
	cfg = cfg.withDefaults()
	if err := cfg.validate(store); err != nil {
		return nil, err
	}
	e := &Engine{store: store, cfg: cfg, schedule: newSchedule(&cfg), idle: make(chan struct{})}
	e.breaker = newBreaker(&e.cfg)
	e.previews = make(chan struct{}, cfg.Previews)
	e.staged.New = func() any { return new([]entry) }
	e.ctx, e.cancel = context.WithCancel(context.Background())
	return e, nil
}

// Submit commits transactions and returns one result for each, in their order.
// They may be spread over several commits, but those that share an account, or
// of which one refers to another, are decided in the order given, and an atomic
// group goes in one commit. A failure of the infrastructure is told in the
// Err of each result that it concerns: [rbcs.Unavailable] or [rbcs.Internal]
// (certainly nothing was recorded), or [rbcs.OutcomeUnknown].
//
// The error is nil or a [*rbcs.Error]. With [rbcs.InvalidRequest] (more than can
// ever be admitted at once, or an atomic group that is not whole), [rbcs.Overloaded] or [rbcs.Unavailable] (stopped, or
// ctx ended before), nothing was admitted. With [rbcs.OutcomeUnknown] ctx ended
// while the transactions were on their way: that retracts nothing.
//
// The transactions must be valid ([rbcs.Transaction.Prepare]) and must never be
// modified after the call, whatever it returns. The slice is not kept.
func (e *Engine) Submit(ctx context.Context, txs []*rbcs.Transaction) ([]rbcs.Result, error) {
	if len(txs) == 0 {
		return nil, nil
	}
	if ctx.Err() != nil {
		return nil, &rbcs.Error{
			Code: rbcs.Unavailable, Message: "the request ended before it was admitted; nothing was recorded", Err: context.Cause(ctx),
		}
	}
	req := newRequest(len(txs))
	if err := e.enqueue(txs, req); err != nil {
		return nil, err
	}
	select {
	case <-req.done:
		return req.results, nil
	case <-ctx.Done():
	}
	select {
	case <-req.done:
		return req.results, nil
	default:
		return nil, &rbcs.Error{
			Code:       rbcs.OutcomeUnknown,
			Message:    "the request ended before its outcome was known; submit the same IDs again to learn it",
			RetryAfter: retryAfter,
			Err:        context.Cause(ctx),
		}
	}
}

// whole fails where an atomic group is incomplete or out of order.
func whole(txs []*rbcs.Transaction) error {
	for i := 0; i < len(txs); {
		if txs[i].Group.ID == "" {
			i++
			continue
		}
		n, err := rbcs.Unit(txs[i:])
		if err != nil {
			return err
		}
		i += n
	}
	return nil
}

// enqueue prepares the transactions and admits all of them or none.
func (e *Engine) enqueue(txs []*rbcs.Transaction, req *request) error {
	staged := e.staged.Get().(*[]entry)
	entries, size, grouped := (*staged)[:0], 0, false
	for i, tx := range txs {
		entries = append(entries, e.schedule.newEntry(tx, req, i))
		size += int(entries[i].size)
		grouped = grouped || tx.Group.ID != ""
	}
	var err error
	if grouped {
		err = whole(txs)
	}
	if err == nil {
		err = e.admit(entries, size)
	}
	clear(entries) // the pool must not keep transactions alive
	*staged = entries
	e.staged.Put(staged)
	return err
}

func (e *Engine) admit(entries []entry, size int) error {
	if len(entries) > e.cfg.MaxPending || size > e.cfg.MaxPendingBytes {
		return e.tooMuch(len(entries), size)
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	switch {
	case e.stopped:
		return stopping()
	case e.breaker.refuses():
		return away()
	case e.pending+len(entries) > e.cfg.MaxPending || e.bytes+size > e.cfg.MaxPendingBytes:
		return &rbcs.Error{
			Code: rbcs.Overloaded, Message: "too many transactions are pending; nothing was recorded, submit again later", RetryAfter: retryAfter,
		}
	}
	e.pending += len(entries)
	e.bytes += size
	e.schedule.push(entries)
	e.wake()
	return nil
}

func (e *Engine) tooMuch(transactions, bytes int) *rbcs.Error {
	return rbcs.Errorf(rbcs.InvalidRequest, "%d transactions of %d bytes are more than can be taken at once, %d of %d bytes; submit fewer",
		transactions, bytes, e.cfg.MaxPending, e.cfg.MaxPendingBytes)
}

func stopping() *rbcs.Error {
	return &rbcs.Error{
		Code: rbcs.Unavailable, Message: "the service is stopping; nothing was recorded, submit again", RetryAfter: retryAfter,
	}
}

// wake starts a commit if there is something to start and room beside those in
// flight. REQUIRES: e.mu is held. It is called after everything that can make
// this true: an arrival, the taking of a batch and the end of one.
func (e *Engine) wake() {
	if e.starting || len(e.flying) >= e.cfg.InFlight || !e.schedule.startable() {
		return
	}
	e.starting = true
	e.running++
	go e.run()
}

// run takes one batch and carries it through.
func (e *Engine) run() {
	// Those who are about to submit, such as everyone whom the last commit
	// answered, get the chance to be in this batch. It costs nothing when idle,
	// and over a store that costs nothing it makes batches ten times as large.
	runtime.Gosched()
	b := e.take()
	if b != nil {
		results, marked := e.commit(b)
		e.finish(b, results, marked)
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if b != nil {
		e.spare = append(e.spare, b)
	}
	e.leave()
}

// leave ends what was counted as running. REQUIRES: e.mu is held.
func (e *Engine) leave() {
	e.running--
	if e.stopped && e.running == 0 {
		close(e.idle)
	}
}

// take forms the next batch; nil if no batch should start any more.
func (e *Engine) take() *batch {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.starting = false
	b := new(batch)
	if n := len(e.spare); n > 0 {
		b, e.spare = e.spare[n-1], e.spare[:n-1]
	}
	if b.entries = e.schedule.take(b.entries); len(b.entries) == 0 {
		e.spare = append(e.spare, b)
		return nil
	}
	for i := range b.entries {
		b.txs = append(b.txs, b.entries[i].tx)
		b.stuck.join(b.entries[i].req.stuck)
	}
	e.flying = append(e.flying, b)
	e.wake()
	return b
}

// finish lets the next batch start, refreshes the cache and answers this batch.
func (e *Engine) finish(b *batch, results []rbcs.Result, marked []marked) {
	e.mu.Lock()
	e.flying = slices.DeleteFunc(e.flying, func(other *batch) bool { return other == b })
	b.stuck.tell(b.entries)
	e.schedule.finish(b.entries)
	answered := b.answered
	if !answered {
		e.forget(b.entries)
	}
	e.wake()
	e.mu.Unlock()
	refresh(marked)
	if !answered {
		answer(b.entries, results)
	}
	clear(b.entries) // the spare must not keep transactions alive
	clear(b.txs)
	b.entries, b.txs, b.stuck = b.entries[:0], b.txs[:0], nil
}

// forget takes entries that are being answered off the count. REQUIRES: e.mu is held.
func (e *Engine) forget(entries []entry) {
	e.pending -= len(entries)
	for i := range entries {
		e.bytes -= int(entries[i].size)
	}
}
