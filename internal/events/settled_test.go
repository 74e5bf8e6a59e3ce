package events_test

import (
	"testing"
	"testing/synctest"
	"time"

	"rbcs"
	"rbcs/internal/events"
)

// notYet is what a store answers that does not know yet what is settled.
var notYet = rbcs.Errorf(rbcs.Unavailable, "what is settled is not known yet")

// TestTheEndIsWaitedFor: right after the start of a store, "from now on" is not
// the beginning of the log.
func TestTheEndIsWaitedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := newLog()
		log.post(20)
		log.fail(notYet)
		time.AfterFunc(2*time.Second, func() { log.fail(nil) })
		f := start(t, log, events.Config{})
		ends := make(chan int64, 2)
		go func() {
			at, err := f.End(t.Context())
			if err != nil {
				t.Error(err)
			}
			ends <- at.Sequence
		}()
		go func() {
			end, err := events.End(t.Context(), log)
			if err != nil {
				t.Error(err)
			}
			ends <- end
		}()
		live := subscribe(t, f, events.Tail, events.Filter{})
		if at := live.Position(); at != (events.Position{Timeline: 1, Sequence: 20}) {
			t.Errorf("from now on is from %v on", at)
		}
		for range 2 {
			if end := <-ends; end != 20 {
				t.Errorf("the end is %d", end)
			}
		}
		quiet(t, live)
		log.post(1)
		equal(t, read(t, live, 1), []string{"t1-21"})
	})
}

// TestTheEndIsNotWaitedForLong: a store that does not come to know it is unavailable.
func TestTheEndIsNotWaitedForLong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := newLog()
		log.fail(notYet)
		f := start(t, log, events.Config{})
		for name, ask := range map[string]func() error{
			"End":       func() error { _, err := events.End(t.Context(), log); return err },
			"Feed.End":  func() error { _, err := f.End(t.Context()); return err },
			"Subscribe": func() error { _, err := f.Subscribe(t.Context(), events.Tail, events.Filter{}); return err },
		} {
			before := time.Now()
			if err := ask(); rbcs.CodeOf(err) != rbcs.Unavailable {
				t.Errorf("%s: %v", name, err)
			}
			if waited := time.Since(before); waited < time.Second || waited > 5*time.Second {
				t.Errorf("%s took %v", name, waited)
			}
		}
		log.fail(nil)
		if at, err := f.End(t.Context()); err != nil || at.Sequence != 0 { // this log says itself that it is empty
			t.Errorf("the end is %v, %v", at, err)
		}
	})
}

// TestReach: a sequence that is settled in a moment is waited for, and one that
// never was is not waited for long.
func TestReach(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := newLog()
		log.post(3)
		slow := log.begin()
		log.post(1)
		f := start(t, log, events.Config{})
		for sequence, ahead := range map[int64]bool{0: false, 3: false, 5: true} {
			r := subscribe(t, f, events.Position{Timeline: 1, Sequence: sequence}, events.Filter{})
			if r.Ahead() != ahead {
				t.Errorf("a reader behind %d is ahead: %t", sequence, r.Ahead())
			}
			r.Close()
		}
		time.AfterFunc(time.Second, func() { log.commit(slow, "a", "b") })
		before := time.Now()
		if end, err := events.Reach(t.Context(), log, 5); err != nil || end != 5 || time.Since(before) < time.Second {
			t.Errorf("%d, %v after %v", end, err, time.Since(before))
		}
		before = time.Now()
		if end, err := events.Reach(t.Context(), log, 6); err != nil || end != 5 || time.Since(before) > 5*time.Second {
			t.Errorf("%d, %v after %v", end, err, time.Since(before))
		}
		log.fail(rbcs.Errorf(rbcs.Internal, "broken"))
		if _, err := events.Reach(t.Context(), log, 6); rbcs.CodeOf(err) != rbcs.Internal {
			t.Errorf("%v", err)
		}
	})
}

// TestDrop: who is dropped is told why, and is counted once.
func TestDrop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := start(t, newLog(), events.Config{})
		r := subscribe(t, f, events.Tail, events.Filter{})
		r.Drop()
		r.Drop()
		r.Close()
		if _, err := r.Next(t.Context()); rbcs.CodeOf(err) != rbcs.Overloaded {
			t.Errorf("%v", err)
		}
		if stats := f.Stats(); stats.Dropped != 1 || stats.Readers != 0 {
			t.Errorf("%+v", stats)
		}
	})
}
