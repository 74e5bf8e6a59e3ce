package engine_test

import (
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"rbcs"
	"rbcs/internal/engine"
)

// group makes the transactions an atomic group.
func group(txs ...*rbcs.Transaction) []*rbcs.Transaction {
	id := rbcs.GroupID(txs)
	for i, tx := range txs {
		tx.Group = rbcs.Group{ID: id, Position: i, Size: len(txs)}
	}
	return txs
}

func settle(id, original string) *rbcs.Transaction {
	return &rbcs.Transaction{ID: id, Type: rbcs.Capture, Original: original}
}

// rare is so large a batch that two keys hardly ever have one hash.
const rare = 100_000

func TestGroupsAreNeverSpread(t *testing.T) {
	for _, inFlight := range []int{1, 3} {
		synctest.Test(t, func(t *testing.T) {
			store := &fakeStore{pause: time.Second} // checks that every group is whole
			e := newEngine(t, store, engine.Config{MaxBatch: 5, InFlight: inFlight})
			var txs []*rbcs.Transaction
			for i, size := range []int{3, 3, 1, 4, 12, 2, 5} {
				txs = append(txs, group(series(fmt.Sprintf("g%d.", i), size)...)...)
				txs = append(txs, series(fmt.Sprintf("t%d.", i), 1)...)
			}
			s := submit(t.Context(), e, txs...)
			stop(t, e)
			s.want(t, "")
			store.check(t)
			if !slices.Contains(store.sizes, 12) || slices.Max(store.sizes) > 12 {
				t.Errorf("batches of %v; the group of 12 must be one of its own", store.sizes)
			}
		})
	}
}

// While one member of a group has to wait, all of them do, and so does what
// comes behind any of them.
func TestGroupWaitsAsAWhole(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &fakeStore{pause: time.Second}
		e := newEngine(t, store, engine.Config{MaxBatch: rare, InFlight: 2})
		submit(t.Context(), e, tx("first", "a", "b"))
		waits := submit(t.Context(), e, group(tx("1", "c", "d"), tx("2", "b", "e"))...)
		behind := submit(t.Context(), e, tx("behind", "d", "f"))
		beside := submit(t.Context(), e, series("beside", 5)...)
		stop(t, e)
		for s, want := range map[*submission]time.Duration{waits: 2 * time.Second, behind: 2 * time.Second, beside: time.Second} {
			s.want(t, "")
			if s.after != want {
				t.Errorf("%s took %v, want %v", s.txs[0].ID, s.after, want)
			}
		}
		store.check(t)
	})
}

func TestBrokenGroupsAreRefused(t *testing.T) {
	three := func() []*rbcs.Transaction { return group(series("g", 3)...) }
	swapped := three()
	swapped[0], swapped[1] = swapped[1], swapped[0]
	for name, txs := range map[string][]*rbcs.Transaction{
		"incomplete":      append(series("t", 2), three()[:2]...),
		"without a start": append(three()[1:], series("t", 2)...),
		"disordered":      swapped,
		"interrupted":     slices.Insert(three(), 1, series("t", 1)...),
		"without a size":  {{ID: "t", Source: "a", Destination: "b", Group: rbcs.Group{ID: "g"}}},
		"an ID twice":     group(append(series("t", 1), series("t", 1)...)...),
	} {
		t.Run(name, func(t *testing.T) {
			store := &fakeStore{}
			e := newEngine(t, store, engine.Config{})
			if results, err := e.Submit(t.Context(), txs); results != nil || rbcs.CodeOf(err) != rbcs.InvalidRequest {
				t.Errorf("Submit: %v, %v", results, err)
			}
			if results, err := e.Preview(t.Context(), txs); results != nil || rbcs.CodeOf(err) != rbcs.InvalidRequest {
				t.Errorf("Preview: %v, %v", results, err)
			}
			stop(t, e)
			if store.calls > 0 {
				t.Error("the store was asked")
			}
		})
	}
}

// A group on which the store always fails does so as a whole, and alone,
// wherever it stands in the batch.
func TestPoisonedGroupFailsAsAWhole(t *testing.T) {
	const size, others = 5, 20
	for at := range others + 1 {
		synctest.Test(t, func(t *testing.T) {
			before, poisoned, behind := series("b", at), group(series("g", size)...), series("t", others-at)
			poison := poisoned[at%size]
			store := &fakeStore{script: func(_ int, batch []*rbcs.Transaction) fault {
				if slices.Contains(batch, poison) {
					return broken
				}
				return none
			}}
			e := newEngine(t, store, engine.Config{Logger: quiet})
			s := submit(t.Context(), e, slices.Concat(before, poisoned, behind)...)
			stop(t, e)
			want := slices.Concat(make([]rbcs.Code, at), slices.Repeat([]rbcs.Code{rbcs.Internal}, size), make([]rbcs.Code, others-at))
			if codes := s.codes(); !slices.Equal(codes, want) {
				t.Errorf("codes %q, want %q", codes, want)
			}
			store.check(t) // that the group was never split
		})
	}
}

// What refers to a transaction stays behind it and is in no other commit at the
// same time, also where it knows none of its accounts. No account is no key.
func TestOriginalsKeepTheirOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &fakeStore{pause: time.Second}
		e := newEngine(t, store, engine.Config{MaxBatch: rare, InFlight: 4})
		txs := []*rbcs.Transaction{tx("h", "a", "b"), settle("c", "h"), settle("other", "unknown"), settle("r", "h")}
		var all []*submission
		for _, tx := range txs {
			all = append(all, submit(t.Context(), e, tx))
		}
		stop(t, e)
		for i, want := range []time.Duration{1, 2, 1, 2} {
			all[i].want(t, "")
			if all[i].after != want*time.Second {
				t.Errorf("%s took %v, want %ds", txs[i].ID, all[i].after, want)
			}
		}
		store.check(t)
		store.checkOrder(t, txs)
	})
}

func TestCommittedIsCalledAfterEachCommit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &fakeStore{script: func(call int, _ []*rbcs.Transaction) fault {
			return []fault{none, refused, none, lostAfter, none, none}[call-1]
		}}
		commits, answered, last := 0, 0, int64(0)
		e := newEngine(t, store, engine.Config{MaxBatch: 2, Logger: quiet, Committed: func(sequence int64) { commits, last = commits+1, sequence }})
		for i := range 4 {
			s := submit(t.Context(), e, series(fmt.Sprint(i, "."), 2)...)
			<-s.returned
			s.want(t, "")
			if answered++; commits != answered || last != s.results[len(s.results)-1].Sequence {
				t.Errorf("%d calls, the last with the sequence %d, after %d commits were acknowledged", commits, last, answered)
			}
		}
		stop(t, e)
	})
}
