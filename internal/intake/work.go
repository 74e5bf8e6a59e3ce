package intake

import (
	"cmp"
	"context"
	"strings"
	"time"

	"rbcs"
)

// worker is one goroutine's view of the queue.
type worker struct {
	*Queue
	sources int // how many to claim next: as many as a batch had lately, and more
}

// work claims, posts and settles until Stop.
func (q *Queue) work() {
	w := &worker{Queue: q, sources: q.cfg.Batch}
	failures := 0
	for q.ctx.Err() == nil {
		some, err := w.round()
		pause := time.Duration(0)
		switch {
		case q.ctx.Err() != nil:
			return
		case err != nil:
			failures++
			q.warn("the queue cannot be worked; it is tried again and again", err)
			pause = min(q.cfg.backoff(failures), q.cfg.Lease/4)
		case !some:
			failures, pause = 0, q.cfg.Interval
		default:
			failures = 0
			q.Wake() // there may be more, and others to do it
			continue
		}
		timer := time.NewTimer(pause)
		select {
		case <-timer.C:
		case <-q.wake:
		case <-q.ctx.Done():
		}
		timer.Stop()
	}
}

// round claims once and does what it got. It reports whether that was anything.
func (w *worker) round() (some bool, err error) {
	claimant := w.claimant()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(w.ctx), w.cfg.Timeout) // a claim that nobody knows of would block its sources
	defer cancel()
	batch, err := w.store.ClaimIntake(ctx, rbcs.IntakeClaim{Claimant: claimant, Lease: w.cfg.Lease, Sources: w.sources, Limit: w.cfg.Batch})
	if err != nil || len(batch.Sources) == 0 {
		return false, err
	}
	// The lease began on the database before the answer came: it ends earlier than this.
	end := time.Now().Add(w.cfg.Lease * 3 / 4)
	w.adapt(&batch)
	outcomes, failed := w.post(&batch, end)
	return len(batch.Entries) > 0, cmp.Or(w.settle(claimant, &batch, outcomes, end), failed)
}

// adapt claims as many sources next time as this claim needed, and some more: of
// a few sources with long queues a claim should not hold many others.
func (w *worker) adapt(b *rbcs.IntakeBatch) {
	needed := map[string]struct{}{}
	for i := range b.Entries {
		needed[b.Entries[i].Transaction.Source] = struct{}{}
	}
	if len(b.Entries) < w.cfg.Batch && len(b.Sources) < w.sources {
		w.sources = w.cfg.Batch // it was all there is
		return
	}
	w.sources = min(2*len(needed)+1, w.cfg.Batch)
}

// post submits the entries of a claim, and says what became of each that was
// tried: behind one that failed nothing of its source was. Where it fails nothing
// was tried at all.
func (w *worker) post(b *rbcs.IntakeBatch, end time.Time) ([]rbcs.IntakeOutcome, error) {
	if len(b.Entries) == 0 || w.ctx.Err() != nil {
		return nil, nil
	}
	txs := make([]*rbcs.Transaction, len(b.Entries))
	for i := range b.Entries {
		t := b.Entries[i].Transaction
		t.Turn = rbcs.FromQueue
		if t.RetryUntil.After(b.Now) {
			t.Turn = rbcs.Tentative
		}
		txs[i] = &t
	}
	results, err := w.submit(txs, end)
	if err != nil {
		return nil, err
	}
	tally := map[Outcome]int{}
	outcomes := make([]rbcs.IntakeOutcome, 0, len(results))
	waiting := map[string]bool{} // the sources whose first entry is tried again: what is behind it has not been tried
	for i := range results {
		source, failed := b.Entries[i].Transaction.Source, results[i].Err != nil && results[i].Err.Retryable()
		if failed && waiting[source] {
			continue
		}
		waiting[source] = waiting[source] || failed
		became, o := w.outcome(&b.Entries[i], &results[i], b.Now)
		outcomes = append(outcomes, became)
		tally[o]++
	}
	for o, n := range tally {
		w.cfg.Observe(o, n)
	}
	return outcomes, nil
}

// submit hands transactions to the engine. While that has no room it waits, as
// long as the claim lasts.
func (w *worker) submit(txs []*rbcs.Transaction, end time.Time) ([]rbcs.Result, error) {
	for n := 1; ; n++ {
		// Stop does not interrupt what is on its way: it is the engine that drains.
		ctx, cancel := context.WithDeadline(context.WithoutCancel(w.ctx), end)
		results, err := w.engine.Submit(ctx, txs)
		cancel()
		if err == nil || rbcs.CodeOf(err) != rbcs.Overloaded || !w.wait(n, end) {
			if rbcs.CodeOf(err) == rbcs.OutcomeUnknown { // they are posted again later, and found
				err = nil
				results = make([]rbcs.Result, len(txs))
				for i := range results {
					results[i].Err = rbcs.Errorf(rbcs.OutcomeUnknown, "the engine did not answer in time")
				}
			}
			return results, err
		}
	}
}

// wait waits before the n-th repetition, unless the claim or the service ends before.
func (w *worker) wait(n int, end time.Time) bool {
	pause := min(10*time.Millisecond<<min(n, 7), w.cfg.Backoff)
	if time.Now().Add(pause).After(end) {
		return false
	}
	timer := time.NewTimer(pause)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-w.ctx.Done():
		return false
	}
}

// outcome says what a result makes of an entry.
func (w *worker) outcome(e *rbcs.IntakeEntry, r *rbcs.Result, now time.Time) (rbcs.IntakeOutcome, Outcome) {
	o := rbcs.IntakeOutcome{ID: e.Transaction.ID, Source: e.Transaction.Source}
	if r.Err == nil {
		if r.Status == rbcs.Rejected {
			return o, Rejected
		}
		return o, Posted
	}
	o.Code, o.Detail = r.Err.Code, describe(r.Err)
	// Who was refused for hours has not failed for hours: an outage must not end it at once.
	n := e.Attempts + 1
	if o.Anew = e.Code != "" && e.Code.MayPass() != o.Code.MayPass(); o.Anew {
		n = 1
	}
	o.After = w.cfg.backoff(n)
	switch {
	case r.Err.Code.MayPass():
		o.Kind = rbcs.IntakeRefused
		o.After = min(o.After, e.Transaction.RetryUntil.Sub(now)) // the last attempt is at that time
		return o, Refused
	case !r.Err.Retryable(), n >= w.cfg.MaxAttempts:
		o.Kind = rbcs.IntakeDied
		return o, Dead
	}
	o.Kind = rbcs.IntakeFailed
	return o, Failed
}

// maxDetail bounds what is kept of an error, in bytes.
const maxDetail = 500

// describe says what an error is for the entry's history, without its cause,
// which is for the log.
func describe(err *rbcs.Error) string {
	text := err.Message
	for _, f := range err.Fields {
		text += "; " + f.Pointer + ": " + f.Message
	}
	if len(text) > maxDetail {
		text = text[:maxDetail]
	}
	return validText(text)
}

// settle ends a claim. It is tried until it succeeds or the claim has ended
// anyway; then whoever claims the entries next finds what was decided.
func (w *worker) settle(claimant string, b *rbcs.IntakeBatch, outcomes []rbcs.IntakeOutcome, end time.Time) error {
	for n := 1; ; n++ {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(w.ctx), w.cfg.Timeout)
		err := w.store.SettleIntake(ctx, claimant, b.Sources, outcomes)
		cancel()
		if err == nil || !w.wait(n, end) {
			return err
		}
		w.warn("a claim of the queue cannot be ended", err)
	}
}

// validText leaves out half a character that cutting has left.
func validText(s string) string { return strings.ToValidUTF8(s, "") }
