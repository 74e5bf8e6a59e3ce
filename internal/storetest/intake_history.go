package storetest

import (
	"fmt"
	"time"

	"rbcs"
)

// timeline is all that happened to an entry, and what its history should tell of that.
type timeline struct {
	e   *env
	id  string
	all []rbcs.IntakeEvent // only kinds, codes, and what attempts were told
}

// fail has the entry fail n times, in the given ways in turn.
func (l *timeline) fail(n int, ways ...rbcs.IntakeEvent) {
	l.e.t.Helper()
	for i := range n {
		way := ways[i%len(ways)]
		way.Detail = fmt.Sprint("attempt ", len(l.all))
		claimant, b := l.e.eventuallyClaim(l.id)
		o := l.e.outcome(&b.Entries[0], way.Kind, time.Microsecond)
		o.Code, o.Detail = way.Code, way.Detail
		l.e.settleIntake(claimant, b, o)
		l.all = append(l.all, way)
	}
}

// act has an operator do something.
func (l *timeline) act(do func(*env, rbcs.IntakeAction) ([]*rbcs.Error, error), kind rbcs.IntakeEventKind) {
	l.e.t.Helper()
	l.e.act(do, []rbcs.Code{""}, l.id)
	l.all = append(l.all, rbcs.IntakeEvent{Kind: kind, Detail: "because ' \" ü"})
}

// check compares the history: it has so many events, counts what it leaves out, and
// ends with what happened last.
func (l *timeline) check(events int) {
	l.e.t.Helper()
	history, err := l.e.store.IntakeHistory(l.e.ctx, l.e.name+"/"+l.id)
	l.e.must(err)
	if len(history) != events {
		l.e.t.Errorf("%d events of %d, want %d", len(history), len(l.all), events)
	}
	place, last := 0, time.Time{}
	for i, h := range history {
		place += h.Omitted
		if place >= len(l.all) {
			l.e.t.Fatalf("event %d counts more than there were: %+v", i, h)
		}
		was := l.all[place]
		if h.Kind != was.Kind || h.Code != was.Code || h.Detail != was.Detail || h.Instance == "" || h.At.Before(last) {
			l.e.t.Errorf("event %d is %+v, want %+v", i, h, was)
		}
		if attempt := h.Kind == rbcs.IntakeFailed || h.Kind == rbcs.IntakeRefused; attempt == h.NextAt.IsZero() {
			l.e.t.Errorf("event %d, %s: next at %v", i, h.Kind, h.NextAt)
		}
		last = h.At
		place++
	}
	if place != len(l.all) {
		l.e.t.Errorf("the history accounts for %d of %d", place, len(l.all))
	}
}

// testIntakeCounted: of an entry that fails again and again the history stays
// short, and true.
func testIntakeCounted(e *env) {
	const all, most = rbcs.IntakeListedAll, rbcs.IntakeListedMost
	refused := rbcs.IntakeEvent{Kind: rbcs.IntakeRefused, Code: rbcs.InsufficientFunds}
	frozen := rbcs.IntakeEvent{Kind: rbcs.IntakeRefused, Code: rbcs.AccountFrozen}
	failed := rbcs.IntakeEvent{Kind: rbcs.IntakeFailed, Code: rbcs.Internal}
	e.enqueue(e.transfer("1", e.number("a"), e.number("b"), "1"))
	l := &timeline{e: e, id: "1"}
	l.fail(all, refused)
	l.check(all)
	l.fail(1, refused)
	l.check(all + 1) // the last one
	l.fail(9, refused)
	l.check(all + 1) // which counts those before it
	l.fail(1, frozen)
	l.check(all + 2)
	l.fail(4, failed, failed, refused, failed)
	l.check(all + 6)
	l.fail(2*most, frozen, failed) // each fails otherwise than the one before
	l.check(most + 1)
	l.act(replay, rbcs.IntakeReplayed)
	l.check(most + 2)
	l.fail(all+5, failed)
	l.check(most + 2 + all + 1)
	l.act(discard, rbcs.IntakeWasDiscarded)
	l.act(replay, rbcs.IntakeReplayed)
	l.fail(3, failed)
	l.fail(1, rbcs.IntakeEvent{Kind: rbcs.IntakeDied, Code: rbcs.Internal})
	l.check(most + 2 + all + 1 + 2 + 4)
	l.act(replay, rbcs.IntakeReplayed)
	claimant, b := e.eventuallyClaim("1")
	e.settleIntake(claimant, b, e.outcome(&b.Entries[0], "", 0))
	l.check(most + 2 + all + 1 + 2 + 5)

	// The decision, and a dead letter, end what was only counted.
	for _, dies := range []bool{false, true} {
		id := fmt.Sprint("dies-", dies)
		e.enqueue(e.transfer(id, e.number("a"), e.number("b"), "1"))
		l := &timeline{e: e, id: id}
		l.fail(all+7, refused)
		want := all + 1
		if dies {
			l.fail(1, rbcs.IntakeEvent{Kind: rbcs.IntakeDied, Code: rbcs.IDConflict})
			want++
		} else {
			claimant, b := e.eventuallyClaim(id)
			e.settleIntake(claimant, b, e.outcome(&b.Entries[0], "", 0))
			e.gone(id)
		}
		l.check(want)
	}
}
