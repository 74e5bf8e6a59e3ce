package intake

import (
	"context"
	"time"

	"rbcs"
)

// enqueueBatch bounds the transactions that are made durable in one commit.
const enqueueBatch = 10_000

// submission is one caller of Enqueue, who waits for done.
type submission struct {
	txs     []*rbcs.Transaction
	bytes   int
	done    chan struct{}
	results []rbcs.IntakeResult
	err     error
}

// Enqueue makes transactions durable and returns one result for each, in their
// order, after the commit. Those of one call are accepted in its order.
// Whatever arrives while a commit is under way shares the next one.
//
// The error is a [*rbcs.Error]. With [rbcs.Overloaded] or [rbcs.Unavailable]
// nothing was accepted; with [rbcs.OutcomeUnknown] it may have been: submitting
// the same again is safe and tells.
func (q *Queue) Enqueue(ctx context.Context, txs []*rbcs.Transaction) ([]rbcs.IntakeResult, error) {
	if len(txs) == 0 {
		return nil, nil
	}
	s := &submission{txs: txs, bytes: sizeOf(txs), done: make(chan struct{})}
	if err := q.admit(s); err != nil {
		return nil, err
	}
	select {
	case <-s.done:
		return s.results, s.err
	case <-ctx.Done():
		return nil, &rbcs.Error{
			Code: rbcs.OutcomeUnknown, Message: "the request ended before it was known to be accepted; submit the same IDs again to learn it",
			RetryAfter: time.Second, Err: context.Cause(ctx),
		}
	}
}

func (q *Queue) admit(s *submission) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	switch {
	case q.stopped:
		return &rbcs.Error{Code: rbcs.Unavailable, Message: "the service is stopping; nothing was accepted", RetryAfter: time.Second}
	case len(s.txs) > enqueueBatch:
		return rbcs.Errorf(rbcs.InvalidRequest, "%d transactions are more than the %d that can be queued at once", len(s.txs), enqueueBatch)
	case q.pending+len(s.txs) > q.cfg.MaxEnqueue, q.pending > 0 && q.bytes+s.bytes > q.cfg.MaxEnqueueBytes:
		return &rbcs.Error{Code: rbcs.Overloaded, Message: "too many submissions wait to be accepted; come back later", RetryAfter: time.Second}
	}
	q.pending += len(s.txs)
	q.bytes += s.bytes
	q.waiting = append(q.waiting, s)
	if !q.enqueueing {
		q.enqueueing = true
		q.run.Go(q.enqueueAll)
	}
	return nil
}

// sizeOf returns about how many bytes transactions take in memory: what is of any
// length, and the rest of them.
func sizeOf(txs []*rbcs.Transaction) (bytes int) {
	for _, t := range txs {
		if t != nil {
			bytes += 512 + len(t.Description) + len(t.Metadata)
		}
	}
	return bytes
}

// enqueueAll makes durable what waits, until nothing does.
func (q *Queue) enqueueAll() {
	for {
		batch, size := q.takeSubmissions()
		if batch == nil {
			return
		}
		txs := make([]*rbcs.Transaction, 0, size)
		for _, s := range batch {
			txs = append(txs, s.txs...)
		}
		// Whoever asked may have gone: that retracts nothing, as with the engine.
		ctx, cancel := context.WithTimeout(context.Background(), q.cfg.Timeout)
		results, err := q.store.Enqueue(ctx, txs)
		cancel()
		q.mu.Lock()
		q.pending -= size
		for _, s := range batch {
			q.bytes -= s.bytes
		}
		q.mu.Unlock()
		for _, s := range batch {
			if s.err = err; err == nil {
				s.results, results = results[:len(s.txs):len(s.txs)], results[len(s.txs):]
			}
			close(s.done)
		}
		if err == nil {
			q.Wake()
		}
	}
}

// takeSubmissions returns what is made durable together; nil where nothing waits.
func (q *Queue) takeSubmissions() (batch []*submission, size int) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for len(q.waiting) > 0 && (batch == nil || size+len(q.waiting[0].txs) <= enqueueBatch) {
		size += len(q.waiting[0].txs)
		batch = append(batch, q.waiting[0])
		q.waiting = q.waiting[1:]
	}
	if batch == nil {
		q.waiting, q.enqueueing = nil, false
	}
	return batch, size
}
