package storetest

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"rbcs"
)

// maxTries is how often a call is made before it counts as failed: more than
// any conflict between the suite's own committers can need.
const maxTries = 100

// retry makes a call as the engine does: what failed for the moment, and what
// has an unknown outcome, is done again as it is. It returns whether an outcome
// was unknown, since a first answer may be lost then.
func retry(ctx context.Context, call func() error) (unknown bool, err error) {
	for try := range maxTries {
		err = call()
		switch rbcs.CodeOf(err) {
		case rbcs.OutcomeUnknown:
			unknown = true
		case rbcs.Unavailable:
		default:
			return unknown, err
		}
		backoff := time.NewTimer(min(time.Duration(try)*time.Millisecond, 50*time.Millisecond))
		select {
		case <-backoff.C:
		case <-ctx.Done():
			backoff.Stop()
			return unknown, err
		}
	}
	return unknown, fmt.Errorf("after %d tries: %w", maxTries, err)
}

// submit commits a batch as the engine does.
func submit(ctx context.Context, c rbcs.Committer, batch []*rbcs.Transaction) (results []rbcs.Result, unknown bool, err error) {
	unknown, err = retry(ctx, func() (err error) {
		results, err = c.Commit(ctx, batch)
		return err
	})
	if err == nil && len(results) != len(batch) {
		err = fmt.Errorf("%d results for a batch of %d", len(results), len(batch))
	}
	return results, unknown, err
}

// together runs n functions that begin at the same moment, and returns what failed.
func together(n int, f func(i int) error) error {
	errs, start := make([]error, n), make(chan struct{})
	var group sync.WaitGroup
	for i := range n {
		group.Go(func() {
			<-start
			errs[i] = f(i)
		})
	}
	close(start)
	group.Wait()
	return errors.Join(errs...)
}
