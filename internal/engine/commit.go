package engine

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"runtime/debug"
	"time"

	"rbcs"
)

// effort is what it takes to get one batch committed.
type effort struct {
	deadline time.Time // of all attempts, also of the parts of a split batch
	failed   int       // transactions that ended without a decision
	example  string    // the first ID of these
	err      error     // and why it failed

	marked []marked // what the cache is to be told about; nil without one
	stuck  stuck
}

// commit gets transactions decided, and returns one result for each whatever
// happens, and what the cache is to be told. It logs what it could not get decided, once for the whole batch.
// b.stuck grows by the sources whose transactions must not go any further.
func (e *Engine) commit(b *batch) ([]rbcs.Result, []marked) {
	txs := b.txs
	effort := effort{deadline: time.Now().Add(e.cfg.Deadline), stuck: b.stuck}
	results := e.try(&effort, txs, false, nil)
	b.stuck = effort.stuck
	if effort.failed > 0 {
		e.cfg.Logger.LogAttrs(e.ctx, slog.LevelError, "transactions are left without a decision",
			slog.Int("transactions", effort.failed), slog.Int("batch", len(txs)),
			slog.String("first_id", effort.example), slog.Any("error", effort.err))
	}
	return results, effort.marked
}

// try commits transactions together, but for those behind one that is stuck.
func (e *Engine) try(effort *effort, txs []*rbcs.Transaction, ambiguous bool, last error) []rbcs.Result {
	going := effort.stuck.others(txs)
	if len(going) == len(txs) {
		return e.together(effort, txs, ambiguous, last)
	}
	var decided []rbcs.Result
	if len(going) > 0 {
		decided = e.together(effort, going, ambiguous, last)
	}
	results := make([]rbcs.Result, 0, len(txs))
	for i := range txs {
		if len(going) > 0 && going[0] == txs[i] {
			results = append(results, decided[0])
			going, decided = going[1:], decided[1:]
			continue
		}
		results = append(results, effort.giveUp(txs[i:i+1], ambiguous, behind())...)
	}
	return results
}

// together commits transactions together. A transient or ambiguous failure is tried
// again, since the recorded IDs make that safe; after any other the two halves
// are tried one after the other, so that the order is kept and a transaction (or
// an atomic group, which is never split) that the store cannot take fails alone. ambiguous says that an earlier attempt
// may have taken effect, and last why that failed.
func (e *Engine) together(effort *effort, txs []*rbcs.Transaction, ambiguous bool, last error) []rbcs.Result {
	for attempt := 1; ; attempt++ {
		if last != nil && (e.ctx.Err() != nil || !time.Now().Before(effort.deadline)) {
			return effort.giveUp(txs, ambiguous, unavailable(last))
		}
		ticket, ok := e.breaker.enter(e.ctx, effort.deadline)
		if !ok {
			if last == nil {
				last = away()
			}
			return effort.giveUp(txs, ambiguous, unavailable(last))
		}
		results, doubt, err := e.attempt(effort, txs, attempt)
		e.breaker.leave(e.ctx, ticket, err)
		if err == nil {
			return results
		}
		ambiguous, last = ambiguous || doubt, err
		if code := rbcs.CodeOf(err); code != rbcs.Unavailable && code != rbcs.OutcomeUnknown {
			half := middle(txs)
			if half == 0 {
				return effort.giveUp(txs, ambiguous, internal(err))
			}
			results := make([]rbcs.Result, 0, len(txs))
			results = append(results, e.try(effort, txs[:half], ambiguous, err)...)
			return append(results, e.try(effort, txs[half:], ambiguous, err)...)
		}
		pause := e.backoff(attempt)
		if !time.Now().Add(pause).Before(effort.deadline) {
			return effort.giveUp(txs, ambiguous, unavailable(err))
		}
		e.warn(len(txs), attempt, pause, err)
		select {
		case <-time.After(pause):
		case <-e.ctx.Done():
		}
	}
}

// warn logs an attempt that failed, at most once a second: in an outage all
// commits fail, again and again, and for one reason.
func (e *Engine) warn(transactions, attempt int, pause time.Duration, err error) {
	now := time.Now().UnixNano()
	last := e.warned.Load()
	if last != 0 && now-last < int64(time.Second) || !e.warned.CompareAndSwap(last, now) {
		return
	}
	e.cfg.Logger.LogAttrs(e.ctx, slog.LevelWarn, "a commit failed and is tried again",
		slog.Int("transactions", transactions), slog.Int("attempt", attempt), slog.Duration("pause", pause), slog.Any("error", err))
}

// middle returns where to split a batch: near its half, and not inside of an
// atomic group; 0 where it cannot be split.
func middle(txs []*rbcs.Transaction) int {
	half := len(txs) / 2
	group := txs[half].Group
	if half -= group.Position; half == 0 && group.Size < len(txs) {
		half = group.Size
	}
	return half
}

// backoff returns how long to wait after a failed attempt: exponential, capped,
// and with full jitter, so that instances that failed together come back apart.
func (e *Engine) backoff(attempt int) time.Duration {
	limit := e.cfg.BackoffBase
	for ; attempt > 1 && limit < e.cfg.BackoffMax; attempt-- {
		limit *= 2
	}
	return rand.N(min(limit, e.cfg.BackoffMax))
}

// attempt calls the store once. doubt says that, though it failed, it may have
// taken effect: the store says so, or it broke its contract (it panicked, or
// returned another error than its contract names, or results that do not fit).
func (e *Engine) attempt(effort *effort, txs []*rbcs.Transaction, number int) (results []rbcs.Result, doubt bool, err error) {
	begin := time.Now()
	ctx, cancel := context.WithTimeout(e.ctx, min(e.cfg.CommitTimeout, effort.deadline.Sub(begin)))
	defer cancel()
	commit := e.store.Commit
	if e.cfg.Cache != nil {
		commit = e.fenced(effort)
	}
	results, err = call(ctx, commit, txs)
	var known *rbcs.Error
	switch {
	case err == nil && len(results) != len(txs):
		err = fmt.Errorf("the store returned %d results for %d transactions", len(results), len(txs))
		doubt = true
	case err != nil && !errors.As(err, &known):
		doubt = true
	case err != nil:
		doubt = known.Code == rbcs.OutcomeUnknown
	}
	if err == nil {
		e.cfg.Committed(latest(results))
	}
	e.cfg.Observe(Commit{Size: len(txs), Attempt: number, Duration: time.Since(begin), Code: rbcs.CodeOf(err)})
	return results, doubt, err
}

// latest returns the largest sequence of results.
func latest(results []rbcs.Result) (sequence int64) {
	for i := range results {
		sequence = max(sequence, results[i].Sequence)
	}
	return sequence
}

// call calls a method of the store and makes an error of a panic.
func call(ctx context.Context, method storeCall, txs []*rbcs.Transaction) (results []rbcs.Result, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("the store panicked: %v\n%s", p, debug.Stack())
		}
	}()
	return method(ctx, txs)
}

type storeCall = func(context.Context, []*rbcs.Transaction) ([]rbcs.Result, error)

// giveUp answers transactions that could not be committed: with definite where
// it is certain that no attempt took effect.
func (f *effort) giveUp(txs []*rbcs.Transaction, ambiguous bool, definite *rbcs.Error) []rbcs.Result {
	err := definite
	if ambiguous {
		err = outcomeUnknown(definite.Err)
	}
	if f.failed == 0 {
		f.example, f.err = txs[0].ID, causeOf(err)
	}
	f.failed += len(txs)
	results := make([]rbcs.Result, len(txs))
	for i, tx := range txs {
		results[i] = rbcs.Result{Transaction: *tx, Err: err}
		f.stuck.add(tx)
	}
	return results
}

// causeOf returns an error with its cause, for the log, and their code once.
func causeOf(err *rbcs.Error) error {
	var cause *rbcs.Error
	if errors.As(err.Err, &cause) && cause.Code == err.Code {
		return fmt.Errorf("%w: %s", err, cause.Message)
	}
	return fmt.Errorf("%w: %w", err, err.Err)
}

func unavailable(cause error) *rbcs.Error {
	return &rbcs.Error{
		Code:       rbcs.Unavailable,
		Message:    "the transaction could not be committed in time; nothing was recorded, submit it again later",
		RetryAfter: retryAfter,
		Err:        cause,
	}
}

func outcomeUnknown(cause error) *rbcs.Error {
	return &rbcs.Error{
		Code:       rbcs.OutcomeUnknown,
		Message:    "the transaction may or may not have been committed; submit the same ID again to learn it",
		RetryAfter: retryAfter,
		Err:        cause,
	}
}

func internal(cause error) *rbcs.Error {
	return &rbcs.Error{
		Code:    rbcs.Internal,
		Message: "the store failed on this transaction; nothing was recorded",
		Err:     cause,
	}
}
