package events

import (
	"context"
	"math"
	"time"

	"rbcs"
)

// A store that has just started may not know yet up to where its log is settled,
// and answers [rbcs.Unavailable] for a moment. Who asks for the end waits so long
// for it, and looks so often.
const (
	endWait = 3 * time.Second
	endGap  = 50 * time.Millisecond
)

// End returns the sequence up to which a log is settled now. It waits some
// seconds for a store that does not know yet; then it returns its error.
func End(ctx context.Context, log Log) (int64, error) {
	page, err := patiently(ctx, func() (rbcs.LogPage, error) { return log.Log(ctx, math.MaxInt64, 1) })
	return page.End, err
}

// Reach waits some seconds for a log to be settled up to a sequence. It returns
// up to where it is then.
func Reach(ctx context.Context, log Log, sequence int64) (int64, error) {
	deadline := time.Now().Add(endWait)
	for {
		end, err := End(ctx, log)
		if err != nil || end >= sequence || ctx.Err() != nil || !time.Now().Before(deadline) {
			return end, err
		}
		sleep(ctx, endGap)
	}
}

// patiently reads again while the store is unavailable, for endWait at most.
func patiently[T any](ctx context.Context, read func() (T, error)) (T, error) {
	deadline := time.Now().Add(endWait)
	for {
		value, err := read()
		if rbcs.CodeOf(err) != rbcs.Unavailable || ctx.Err() != nil || !time.Now().Before(deadline) {
			return value, err
		}
		sleep(ctx, endGap)
	}
}
