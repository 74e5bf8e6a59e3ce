package engine

import (
	"testing"
	"time"

	"rbcs"
)

// However often a batch was tried: the pause is random, and capped.
func TestBackoffIsCapped(t *testing.T) {
	e, err := New(nil, Config{BackoffBase: 10 * time.Millisecond, BackoffMax: 55 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	for attempt, limit := range map[int]time.Duration{
		1: 10 * time.Millisecond, 2: 20 * time.Millisecond, 3: 40 * time.Millisecond, 4: 55 * time.Millisecond, 10_000: 55 * time.Millisecond,
	} {
		least, most := limit, time.Duration(0)
		for range 1000 {
			pause := e.backoff(attempt)
			least, most = min(least, pause), max(most, pause)
		}
		if least > limit/10 || most < limit*9/10 || most >= limit {
			t.Errorf("attempt %d: pauses of %v–%v, want 0–%v", attempt, least, most, limit)
		}
	}
}

// A request that is a small part of a batch does not keep the whole batch's
// results in memory; a large one is not copied.
func TestFillSharesOnlyWhatItMostlyUses(t *testing.T) {
	for size, shared := range map[int]bool{10: true, 5: true, 4: false} {
		r := newRequest(size)
		entries := make([]entry, 10)
		for i := range entries {
			entries[i] = entry{req: newRequest(1)}
			if i < size {
				entries[i] = entry{req: r, index: int32(i)}
			}
		}
		results := make([]rbcs.Result, 10)
		answer(entries, results)
		<-r.done
		if len(r.results) != size || (&r.results[0] == &results[0]) != shared {
			t.Errorf("%d of 10: %d results, shared %v, want %v", size, len(r.results), !shared, shared)
		}
	}
}

// TestReplaysAreNotRefreshed: a replay tells what a balance was when it was
// decided, which may be long ago.
func TestReplaysAreNotRefreshed(t *testing.T) {
	result := func(version int64, replayed bool) rbcs.Result {
		r := rbcs.Result{Replayed: replayed, Source: rbcs.State{Version: version}}
		r.Transaction.Source = "a"
		return r
	}
	got := latestBalances([]rbcs.Result{result(9, false), result(5, true)})
	if len(got) != 1 || got[0].Version != 9 {
		t.Errorf("got %+v, want version 9 of the account", got)
	}
}
