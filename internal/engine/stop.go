package engine

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"rbcs"
)

// Stop refuses further transactions, and waits until all that were admitted are
// committed and answered, and previews have ended. It may be called again, also at the same time.
//
// If ctx ends first, Stop answers all that is left, with [rbcs.Unavailable] what
// was not attempted and with [rbcs.OutcomeUnknown] what is being committed,
// interrupts the commits and returns an error without waiting for the store:
// call it again to wait until the store is not in use any more.
func (e *Engine) Stop(ctx context.Context) error {
	e.mu.Lock()
	if !e.stopped {
		e.stopped = true
		if e.running == 0 {
			close(e.idle)
		}
	}
	e.mu.Unlock()
	select {
	case <-e.idle:
		return e.end()
	default:
	}
	select {
	case <-e.idle:
		return e.end()
	case <-ctx.Done():
		return e.abort(context.Cause(ctx))
	}
}

// end ends what does not belong to any transaction.
func (e *Engine) end() error {
	e.cancel()
	e.breaker.probers.Wait()
	return nil
}

// abort answers all that is left, and interrupts the commits in flight.
func (e *Engine) abort(cause error) error {
	e.mu.Lock()
	waiting := e.schedule.drain()
	e.forget(waiting)
	var flying [][]entry
	unknown := 0
	for _, b := range e.flying {
		if !b.answered {
			b.answered = true
			e.forget(b.entries)
			flying = append(flying, slices.Clone(b.entries))
			unknown += len(b.entries)
		}
	}
	e.mu.Unlock()
	e.cancel()

	refuse(waiting, unavailable(nil))
	for _, entries := range flying { // each by itself: only within one batch is a request in its order
		refuse(entries, outcomeUnknown(errors.New("the engine was stopped")))
	}
	return &rbcs.Error{
		Code: rbcs.Unavailable,
		Message: fmt.Sprintf("the engine was stopped before it was done: %d transactions were not attempted, the outcome of %d is unknown",
			len(waiting), unknown),
		Err: cause,
	}
}

// Stats is what an engine is busy with.
type Stats struct {
	Pending      int  // admitted and unanswered transactions, up to Config.MaxPending
	PendingBytes int  // and their size, up to Config.MaxPendingBytes
	Waiting      int  // those of them that are in no commit yet
	InFlight     int  // commits under way, up to Config.InFlight
	Away         bool // the store is away, and submissions are refused
	Stopped      bool
}

// Stats returns what the engine is busy with now.
func (e *Engine) Stats() Stats {
	e.mu.Lock()
	defer e.mu.Unlock()
	return Stats{
		Pending: e.pending, PendingBytes: e.bytes, Waiting: e.schedule.pending(), InFlight: len(e.flying),
		Away: e.breaker.is() != closed, Stopped: e.stopped,
	}
}
