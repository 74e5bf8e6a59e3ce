package engine_test

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"rbcs"
	"rbcs/internal/engine"
)

// plan is a run of an engine: what is submitted when, and what the store does.
type plan struct {
	config  engine.Config
	pause   time.Duration
	steps   []step
	faults  []fault       // of the store's calls, one after the other, then none
	patient time.Duration // for how long Stop waits; 0 for without end
}

// maxGroup is the size of the largest group in a plan: more than the smallest batches.
const maxGroup = 5

type step struct {
	txs    []*rbcs.Transaction
	cancel time.Duration // after which its context ends; 0 for never
	wait   time.Duration // before the next step
}

func drawPlan(t *rapid.T) plan {
	duration := func(most int, label string) time.Duration {
		return time.Duration(rapid.IntRange(0, most).Draw(t, label)) * 100 * time.Millisecond
	}
	p := plan{
		config: engine.Config{
			MaxBatch:      rapid.IntRange(1, 6).Draw(t, "batch"),
			MaxPending:    rapid.IntRange(5, 30).Draw(t, "pending"),
			InFlight:      rapid.IntRange(1, 4).Draw(t, "inflight"),
			CommitTimeout: time.Second,
			Deadline:      5 * time.Second,
			Logger:        quiet,
		},
		pause:   duration(5, "pause"),
		faults:  rapid.SliceOfN(rapid.Custom(func(t *rapid.T) fault { return fault(rapid.IntRange(0, int(deaf)).Draw(t, "f")) }), 0, 20).Draw(t, "faults"),
		patient: duration(30, "patient"),
	}
	accounts := rapid.IntRange(2, 12).Draw(t, "accounts")
	number := func(label string) string {
		return fmt.Sprint("account", rapid.IntRange(1, accounts).Draw(t, label))
	}
	ids := 0
	draw := func() *rbcs.Transaction {
		id := ids
		if ids > 0 && rapid.IntRange(1, 5).Draw(t, "again") == 1 {
			id = rapid.IntRange(0, ids-1).Draw(t, "which")
		} else {
			ids++
		}
		tx := tx(fmt.Sprint(id), number("source"), number("destination"))
		if rapid.IntRange(1, 4).Draw(t, "refers") == 1 {
			tx.Type, tx.Original = rbcs.Capture, fmt.Sprint(rapid.IntRange(0, ids).Draw(t, "original"))
			if rapid.Bool().Draw(t, "unknown") {
				tx.Source, tx.Destination = "", ""
			}
		}
		return tx
	}
	for range rapid.IntRange(1, 12).Draw(t, "steps") {
		s := step{cancel: duration(10, "cancel"), wait: duration(5, "wait")}
		for range rapid.IntRange(1, 6).Draw(t, "size") {
			s.txs = append(s.txs, draw())
		}
		if rapid.IntRange(1, 3).Draw(t, "grouped") == 1 {
			var members []*rbcs.Transaction
			for range rapid.IntRange(1, maxGroup).Draw(t, "members") {
				member := draw()
				member.ID = fmt.Sprint(ids) // the members' IDs are distinct
				ids++
				members = append(members, member)
			}
			s.txs = slices.Insert(s.txs, rapid.IntRange(0, len(s.txs)).Draw(t, "at"), group(members...)...)
		}
		p.steps = append(p.steps, s)
	}
	return p
}

// Whatever is submitted, cancelled and stopped, and however the store fails:
// all is answered once (a second answer would panic, a missing one is a
// deadlock in the bubble), each answer agrees with the store, batches in flight
// share nothing, and order is kept on every account.
func TestRandomRuns(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		p := drawPlan(rt)
		failed := true
		synctest.Test(t, func(t *testing.T) {
			p.run(t)
			failed = t.Failed()
		})
		if failed {
			rt.Fatalf("failed with %+v", p)
		}
	})
}

func (p plan) run(t *testing.T) {
	store := &fakeStore{pause: p.pause, script: func(call int, _ []*rbcs.Transaction) fault {
		if call <= len(p.faults) {
			return p.faults[call-1]
		}
		return none
	}}
	e := newEngine(t, store, p.config)
	var all []*submission
	var admitted []*rbcs.Transaction
	for _, step := range p.steps {
		ctx := t.Context()
		if step.cancel > 0 {
			c, cancel := context.WithTimeout(ctx, step.cancel)
			defer cancel()
			ctx = c
		}
		s := submit(ctx, e, step.txs...)
		all = append(all, s)
		admitted = append(admitted, step.txs...) // or refused, then they are not in the store
		time.Sleep(step.wait)
	}
	if p.patient > 0 {
		ctx, cancel := context.WithTimeout(t.Context(), p.patient)
		defer cancel()
		_ = e.Stop(ctx) // whether it was patient enough is all the same
	}
	stop(t, e)
	synctest.Wait()

	store.check(t)
	store.checkOrder(t, admitted)
	for _, size := range store.sizes {
		if size > max(2*p.config.MaxBatch, maxGroup) { // twice as many where they share an account
			t.Errorf("a batch of %d", size)
		}
	}
	recorded := map[string]bool{} // by an answer, an unknown outcome or a cancelled wait
	for _, s := range all {
		s.agrees(t, store, recorded)
	}
	for id := range store.decided {
		if !recorded[id] {
			t.Errorf("%s is recorded, and everybody who submitted it was told that it is not", id)
		}
	}
}

// agrees fails where an answer contradicts the store.
func (s *submission) agrees(t *testing.T, store *fakeStore, recorded map[string]bool) {
	if !s.done() {
		t.Error("a submission without an answer")
		return
	}
	switch code := rbcs.CodeOf(s.err); {
	case code == rbcs.OutcomeUnknown:
		for _, tx := range s.txs {
			recorded[tx.ID] = true
		}
	case code == rbcs.Overloaded || code == rbcs.InvalidRequest: // larger than MaxPending
	case code != "":
		t.Errorf("unexpected: %v", s.err)
	case len(s.results) != len(s.txs):
		t.Errorf("%d results for %d transactions", len(s.results), len(s.txs))
	default:
		for i, r := range s.results {
			if r.Transaction != *s.txs[i] {
				t.Errorf("result %d is that of %+v, not of %+v", i, r.Transaction, *s.txs[i])
			}
			switch {
			case r.Err == nil && store.decided[r.Transaction.ID].Sequence != r.Sequence:
				t.Errorf("the answer for %s is not what is recorded", r.Transaction.ID)
			case r.Err == nil || r.Err.Code == rbcs.OutcomeUnknown || r.Err.Code == rbcs.IDConflict:
				recorded[r.Transaction.ID] = true
			}
		}
	}
}
