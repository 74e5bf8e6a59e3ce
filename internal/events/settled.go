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
