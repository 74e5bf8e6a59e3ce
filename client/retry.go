package client

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"

	"rbcs"
)

// pace is the retries of one call: how many attempts there were, and since when.
type pace struct {
	Retry
	start    time.Time
	attempts int
	others   int  // instances that may be tried at once when one is not reached
	passed   int  // of these, since the last pause
	doubt    bool // an attempt may have been carried out
}

func (c *Client) pace() *pace {
	return &pace{Retry: c.retry, start: time.Now(), others: len(c.instances.bases) - 1}
}

// passOn reports whether the next instance is to be tried at once.
func (p *pace) passOn(err *Error) bool {
	if p.passed >= p.others || !unreached(err) || p.stopped() {
		return false
	}
	p.passed++
	return true
}

// stopped reports whether no further attempt is to begin.
func (p *pace) stopped() bool {
	select {
	case <-p.Stop:
		return true
	default:
		return false
	}
}

// wait blocks until the next attempt may begin. It returns false, at once where
// that is known, if none may: the attempts or the time are used up, or the
// context ends or Stop is closed before.
func (p *pace) wait(ctx context.Context, retryAfter time.Duration) bool {
	p.passed = 0
	p.attempts++
	if p.attempts == p.Attempts || p.stopped() {
		return false
	}
	ceiling := p.MaxDelay
	if doublings := p.attempts - 1; doublings < 32 && p.MinDelay < p.MaxDelay>>doublings {
		ceiling = p.MinDelay << doublings
	}
	// Full jitter also on top of Retry-After: all who were refused together should not come back together.
	delay := retryAfter + rand.N(ceiling)
	next := time.Now().Add(delay)
	if deadline, ok := ctx.Deadline(); ok && !next.Before(deadline) || next.Sub(p.start) > p.MaxElapsed {
		return false
	}
	timer := time.NewTimer(delay)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-p.Stop:
		return false
	case <-ctx.Done():
		return false
	}
}

// do sends a request until it is answered for good. The error of its last
// attempt is the call's, unless an earlier one left the outcome unknown; where
// the service answered, its answer is returned too.
func (c *Client) do(ctx context.Context, p *pace, req *request) (*response, *Error) {
	return p.repeat(ctx, req, c.attempt)
}

// repeat makes attempts until one succeeds or none makes sense any more.
func (p *pace) repeat(
	ctx context.Context, req *request, attempt func(context.Context, *request) (*response, *Error, bool),
) (*response, *Error) {
	var last *Error
	for {
		resp, err, again := attempt(ctx, req)
		if err == nil {
			return resp, nil
		}
		last = inDoubt(last, err)
		p.doubt = p.doubt || err.Code == rbcs.OutcomeUnknown
		if again && !(req.once && p.doubt) && (p.passOn(err) || p.wait(ctx, err.RetryAfter)) {
			continue
		}
		if cause := ctx.Err(); cause != nil && !errors.Is(last, cause) { // it ended while waiting
			last.Err = errors.Join(cause, last.Err)
		}
		return resp, last
	}
}

// inDoubt returns the later of two errors of the same request. Where the earlier
// attempt may have been carried out and the later one says only that it was not
// carried out itself, the outcome remains unknown.
func inDoubt(earlier, later *Error) *Error {
	if earlier != nil && earlier.Code == rbcs.OutcomeUnknown && later.Retryable() && later.Code != rbcs.OutcomeUnknown {
		later.Code = rbcs.OutcomeUnknown
		later.Message = "an earlier attempt may have done it, and then: " + later.Message
	}
	return later
}
