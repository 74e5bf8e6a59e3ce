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

// Whichever of the queue's transactions is left without a decision, and in
// whichever way: nothing that stands behind it on its source is decided, in its
// batch or in a later one, and all that has another source is, as well as what a
// client submits on the same one.
func TestNothingPassesWhatIsStuck(t *testing.T) {
	runs, apart := 0, 0
	for _, kind := range []fault{refused, lostBefore, broken, panicBefore} {
		for n := range 12 {
			for _, inFlight := range []int{1, 3} {
				synctest.Test(t, func(t *testing.T) {
					if passNone(t, kind, n, inFlight) {
						apart++
					}
				})
				runs++
			}
		}
	}
	if apart < runs/2 {
		t.Errorf("the client's transaction had a batch of its own in %d of %d runs", apart, runs)
	}
}

// passNone makes every commit fail that has the n-th transaction, and reports
// whether the client's stood in none of them, as nearly always.
func passNone(t *testing.T, kind fault, n, inFlight int) (alone bool) {
	var txs []*rbcs.Transaction
	for i := range 12 {
		q := tx(fmt.Sprint("q", i), fmt.Sprint("source", i%2), fmt.Sprint("sink", i))
		q.Turn = []rbcs.Turn{rbcs.FromQueue, rbcs.Tentative}[i/2%2]
		txs = append(txs, q)
	}
	direct := tx("direct", txs[n].Source, "sink")
	alone = true
	store := &fakeStore{pause: time.Second, script: func(_ int, batch []*rbcs.Transaction) fault {
		if !slices.Contains(batch, txs[n]) {
			return none
		}
		alone = alone && !slices.Contains(batch, direct)
		return kind
	}}
	e := newEngine(t, store, engine.Config{MaxBatch: 4, InFlight: inFlight, Deadline: 20 * time.Second, Logger: quiet})
	claim := submit(t.Context(), e, txs...)
	client := submit(t.Context(), e, direct)
	stop(t, e)
	if alone { // accounts whose hashes collide may look hot, and the last batch take it in
		client.want(t, "")
	}
	codes, stuckFrom := claim.codes(), map[string]int{}
	for i, q := range txs {
		_, decided := store.decided[q.ID]
		first, stuck := stuckFrom[q.Source]
		switch {
		case decided != (codes[i] == ""):
			t.Errorf("%v on %d: %s has code %q, decided: %v", kind, n, q.ID, codes[i], decided)
		case decided && stuck:
			t.Errorf("%v on %d: %s passed %s", kind, n, q.ID, txs[first].ID)
		case !decided && !stuck:
			stuckFrom[q.Source] = i
		}
		if !decided && !claim.results[i].Err.Retryable() {
			t.Errorf("%v on %d: %s: %v", kind, n, q.ID, claim.results[i].Err)
		}
	}
	if first, stuck := stuckFrom[txs[n].Source]; !stuck || first > n {
		t.Errorf("%v on %d: its source is stuck from %d on", kind, n, first)
	}
	if kind == broken && len(stuckFrom) != 1 { // only the one that the store cannot take
		t.Errorf("%v on %d: stuck from %v on", kind, n, stuckFrom)
	}
	store.check(t)
	return alone
}

// What was stuck in one Submit goes in the next one: nothing is remembered.
func TestWhatWasStuckGoesAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &fakeStore{script: func(call int, _ []*rbcs.Transaction) fault {
			if call == 1 {
				return timeoutBefore
			}
			return none
		}}
		e := newEngine(t, store, engine.Config{MaxBatch: 1, CommitTimeout: time.Second, Deadline: time.Second, Logger: quiet})
		var txs []*rbcs.Transaction
		for i := range 3 {
			q := tx(fmt.Sprint("q", i), "source", "sink")
			q.Turn = rbcs.FromQueue
			txs = append(txs, q)
		}
		first := submit(t.Context(), e, txs...)
		synctest.Wait()
		time.Sleep(5 * time.Second)
		if got := fmt.Sprint(first.codes()); got != "[outcome_unknown unavailable unavailable]" || len(store.log) > 0 {
			t.Errorf("codes %s, decided %v", got, store.log)
		}
		second := submit(t.Context(), e, txs...)
		stop(t, e)
		second.want(t, "")
		store.checkOrder(t, txs)
	})
}
