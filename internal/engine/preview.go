package engine

import (
	"context"
	"fmt"
	"log/slog"

	"rbcs"
)

// previewQueue is how many previews may wait for each that is with the store.
// Each holds locks there, or the only writer, and decides nothing: whoever only
// asks "what if" is refused long before those who mean it.
const previewQueue = 8

// Preview decides transactions as if they were submitted now, together, and
// records nothing: [rbcs.Committer.Preview], a bounded number of times at once.
// It is tried once, for at most [Config].CommitTimeout.
//
// Its errors are those of Submit, except that no outcome is ever unknown: the
// error where nothing was tried, and the Err of each result where the store failed.
func (e *Engine) Preview(ctx context.Context, txs []*rbcs.Transaction) ([]rbcs.Result, error) {
	if len(txs) == 0 {
		return nil, nil
	}
	if err := whole(txs); err != nil {
		return nil, err
	}
	bytes := 0
	for _, tx := range txs {
		bytes += sizeOf(tx)
	}
	if len(txs) > e.cfg.MaxPending || bytes > e.cfg.MaxPendingBytes {
		return nil, e.tooMuch(len(txs), bytes)
	}
	if err := e.enter(); err != nil {
		return nil, err
	}
	defer func() {
		e.mu.Lock()
		defer e.mu.Unlock()
		e.leave()
	}()
	return e.preview(ctx, txs)
}

// enter counts a preview as running, so that Stop waits for it.
func (e *Engine) enter() error {
	e.mu.Lock()
	defer e.mu.Unlock()
	switch {
	case e.stopped:
		return stopping()
	case e.breaker.refuses():
		return away()
	}
	e.running++
	return nil
}

// preview waits for its turn and calls the store. It ends with the caller's
// context, and with an impatient Stop.
func (e *Engine) preview(ctx context.Context, txs []*rbcs.Transaction) ([]rbcs.Result, error) {
	defer e.previewing.Add(-1)
	if e.previewing.Add(1) > int64(e.cfg.Previews*(1+previewQueue)) {
		return nil, &rbcs.Error{
			Code: rbcs.Overloaded, Message: "too many previews are waiting; try again later", RetryAfter: retryAfter,
		}
	}
	ctx, cancel := context.WithTimeout(ctx, e.cfg.CommitTimeout)
	defer cancel()
	defer context.AfterFunc(e.ctx, cancel)()
	select {
	case e.previews <- struct{}{}:
		defer func() { <-e.previews }()
	case <-ctx.Done():
		return nil, &rbcs.Error{
			Code: rbcs.Unavailable, Message: "the preview ended before its turn came; try again later", RetryAfter: retryAfter, Err: context.Cause(ctx),
		}
	}
	results, err := call(ctx, e.store.Preview, txs)
	if err == nil && len(results) != len(txs) {
		err = fmt.Errorf("the store returned %d results for %d transactions", len(results), len(txs))
	}
	if err == nil {
		return results, nil
	}
	results = make([]rbcs.Result, len(txs))
	failure := e.previewFailed(err)
	for i, tx := range txs {
		results[i] = rbcs.Result{Transaction: *tx, Err: failure}
	}
	return results, nil
}

// previewFailed says what a failure of the store means to the caller, and logs
// what will not go away by itself.
func (e *Engine) previewFailed(err error) *rbcs.Error {
	if code := rbcs.CodeOf(err); code == rbcs.Unavailable || code == rbcs.OutcomeUnknown {
		return &rbcs.Error{
			Code: rbcs.Unavailable, Message: "the transaction could not be previewed in time; try again later", RetryAfter: retryAfter, Err: err,
		}
	}
	e.cfg.Logger.LogAttrs(e.ctx, slog.LevelError, "a preview failed", slog.Any("error", err))
	return &rbcs.Error{Code: rbcs.Internal, Message: "the store failed on this preview", Err: err}
}
