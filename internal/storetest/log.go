package storetest

import (
	"context"
	"fmt"
	"time"

	"rbcs"
)

// logPatience is how long decisions that were acknowledged may take to be settled:
// an open transaction anywhere on a database server can hold its log up.
const logPatience = 30 * time.Second

// readLog reads the log behind a sequence up to another one, in pages, and
// checks their order.
func readLog(ctx context.Context, store rbcs.Store, after, last int64, limit int) (results []rbcs.Result, err error) {
	ctx, cancel := context.WithTimeout(ctx, logPatience)
	defer cancel()
	for after < last {
		page, err := store.Log(ctx, after, limit)
		switch {
		case err != nil:
			return nil, err
		case len(page.Results) > limit:
			return nil, fmt.Errorf("a page of %d decisions, with a limit of %d", len(page.Results), limit)
		}
		before := after
		for _, r := range page.Results {
			if r.Sequence <= after {
				return nil, fmt.Errorf("sequence %d follows %d in the log", r.Sequence, after)
			}
			if after = r.Sequence; after <= last {
				results = append(results, r)
			}
		}
		if page.End < after || len(page.Results) == limit && page.End != after {
			return nil, fmt.Errorf("the page ends at %d, its last decision is %d", page.End, after)
		}
		if after = page.End; after <= before {
			after = before // nothing more is settled yet
			select {
			case <-time.After(time.Millisecond):
			case <-ctx.Done():
				return nil, fmt.Errorf("the log is settled up to %d only: %w", after, ctx.Err())
			}
		}
	}
	return results, nil
}
