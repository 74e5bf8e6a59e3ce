package storetest

import (
	"context"
	"fmt"
	"time"

	"rbcs"
)

// maxTries is how often a batch is submitted before it counts as failed: more
// than any conflict between the suite's own committers can need.
const maxTries = 100

// submit commits a batch as the engine does: what failed for the moment, and
// what has an unknown outcome, is submitted again as it is. It returns whether
// an outcome was unknown, since a first answer may be lost then.
func submit(ctx context.Context, c rbcs.Committer, batch []*rbcs.Transaction) (results []rbcs.Result, unknown bool, err error) {
	for try := range maxTries {
		results, err = c.Commit(ctx, batch)
		switch rbcs.CodeOf(err) {
		case "":
			if len(results) != len(batch) {
				return nil, unknown, fmt.Errorf("%d results for a batch of %d", len(results), len(batch))
			}
			return results, unknown, nil
		case rbcs.OutcomeUnknown:
			unknown = true
		case rbcs.Unavailable:
		default:
			return nil, unknown, err
		}
		backoff := time.NewTimer(min(time.Duration(try)*time.Millisecond, 50*time.Millisecond))
		select {
		case <-backoff.C:
		case <-ctx.Done():
			backoff.Stop()
			return nil, unknown, err
		}
	}
	return nil, unknown, fmt.Errorf("after %d tries: %w", maxTries, err)
}
