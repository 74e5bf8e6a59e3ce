package events_test

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"rbcs"
	"rbcs/internal/events"
)

// gap checks that an error is a gap, and returns it.
func gap(t *testing.T, err error) *events.Gap {
	t.Helper()
	g, ok := errors.AsType[*events.Gap](err)
	if !ok || rbcs.CodeOf(err) != rbcs.InvalidRequest {
		t.Fatalf("got %v", err)
	}
	return g
}

// TestNothingLost: after a promotion that kept everything, readers and their
// positions go on.
func TestNothingLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := newLog()
		f := start(t, log, events.Config{Ring: 10, Page: 5})
		log.post(20)
		live := subscribe(t, f, events.Position{}, events.Filter{})
		equal(t, read(t, live, 20), log.ids(0, nil))
		log.promote(20)
		s := log.post(30) // one page more than the ring: the follower must not lose count
		f.Wake(s)
		equal(t, read(t, live, 30), log.ids(20, nil))
		if at := live.Position(); at != (events.Position{Timeline: 2, Sequence: 50}) {
			t.Errorf("the position is %v", at)
		}
		for _, sequence := range []int64{0, 1, 15, 20} {
			r := subscribe(t, f, events.Position{Timeline: 1, Sequence: sequence}, events.Filter{})
			equal(t, read(t, r, 50-int(sequence)), log.ids(sequence, nil))
		}
		_, err := f.Subscribe(t.Context(), events.Position{Timeline: 1, Sequence: 21}, events.Filter{})
		if g := gap(t, err); g.Present != (events.Position{Timeline: 2, Sequence: 50}) {
			t.Errorf("got %+v", g)
		}
	})
}

// TestTheEndIsLost: those who have seen what was lost are told; others go on.
func TestTheEndIsLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := newLog()
		f := start(t, log, events.Config{})
		log.post(10)
		behind := subscribe(t, f, events.Position{}, events.Filter{})
		ahead := subscribe(t, f, events.Position{}, events.Filter{})
		read(t, ahead, 10)
		ahead.Close()
		quiet(t, subscribe(t, f, events.Tail, events.Filter{}))
		ahead = subscribe(t, f, events.Position{Timeline: 1, Sequence: 9}, events.Filter{})
		edge := subscribe(t, f, events.Position{Timeline: 1, Sequence: 8}, events.Filter{})

		log.promote(8)
		log.post(5) // 9 and 10 are others now
		time.Sleep(time.Second)
		equal(t, read(t, behind, 13), log.ids(0, nil))
		equal(t, read(t, edge, 5), []string{"t2-9", "t2-10", "t2-11", "t2-12", "t2-13"})
		e := ends(t, ahead)
		if g := gap(t, e); g.Asked != (events.Position{Timeline: 1, Sequence: 9}) {
			t.Errorf("got %+v", g)
		}
		gap(t, ends(t, ahead)) // and it stays so
		for _, sequence := range []int64{9, 10, 11, 1 << 40} {
			_, err := f.Subscribe(t.Context(), events.Position{Timeline: 1, Sequence: sequence}, events.Filter{})
			gap(t, err)
		}
		// The client reads again from a sequence of its choice.
		r := subscribe(t, f, events.Position{Timeline: 0, Sequence: 12}, events.Filter{})
		equal(t, read(t, r, 1), []string{"t2-13"})
		// A later promotion that loses nothing does not make the earlier one harmless.
		log.promote(13)
		log.post(1)
		equal(t, read(t, r, 1), []string{"t3-14"})
		_, err := f.Subscribe(t.Context(), events.Position{Timeline: 1, Sequence: 9}, events.Filter{})
		gap(t, err)
		r = subscribe(t, f, events.Position{Timeline: 1, Sequence: 8}, events.Filter{})
		equal(t, read(t, r, 6), log.ids(8, nil))
	})
}

// TestSequencesThatWereNeverUsed may be used after the promotion: a reader that
// stands behind them without having seen anything there goes back.
func TestSequencesThatWereNeverUsed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := newLog()
		f := start(t, log, events.Config{})
		log.post(3)
		for range 4 {
			log.abort(log.begin())
		}
		live := subscribe(t, f, events.Position{}, events.Filter{})
		read(t, live, 3)
		quiet(t, live)
		if at := live.Position().Sequence; at != 7 {
			t.Fatalf("the reader stands at %d", at)
		}
		log.promote(3)
		log.post(2)
		equal(t, read(t, live, 2), []string{"t2-4", "t2-5"})
	})
}

func TestAnEmptyLogIsPromoted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := newLog()
		f := start(t, log, events.Config{})
		live := subscribe(t, f, events.Tail, events.Filter{})
		quiet(t, live)
		log.promote(0)
		log.post(2)
		equal(t, read(t, live, 2), []string{"t2-1", "t2-2"})
	})
}

// TestAllThatIsKnownIsLost: the follower finds the new end, wherever it is.
func TestAllThatIsKnownIsLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := newLog()
		f := start(t, log, events.Config{Ring: 10, Page: 5})
		log.post(100)
		live := subscribe(t, f, events.Position{Timeline: 1, Sequence: 90}, events.Filter{})
		read(t, live, 10)
		log.promote(50)
		gap(t, ends(t, live))
		r := subscribe(t, f, events.Tail, events.Filter{})
		log.post(1)
		equal(t, read(t, r, 1), []string{"t2-51"})
		_, err := f.Subscribe(t.Context(), events.Position{Timeline: 1, Sequence: 3}, events.Filter{})
		gap(t, err) // perhaps it was kept, but this instance cannot know
	})
}

// TestAReaderOfPagesFindsTheTimeline before the follower does.
func TestAReaderOfPagesFindsTheTimeline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := newLog()
		f := start(t, log, events.Config{Ring: 10, Page: 5, Poll: time.Hour})
		log.post(100)
		past := subscribe(t, f, events.Position{}, events.Filter{})
		got := read(t, past, 5)
		synctest.Wait()
		time.Sleep(time.Second)
		log.promote(99)
		log.post(1)
		got = append(got, read(t, past, 95)...)
		equal(t, got, log.ids(0, nil))
		if got[99] != "t2-100" || past.Position().Timeline != 2 {
			t.Errorf("got %s at %v", got[99], past.Position())
		}
	})
}

func TestAnInstanceThatStartedLaterCannotKnow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := newLog()
		log.post(10)
		log.promote(10)
		f := start(t, log, events.Config{})
		_, err := f.Subscribe(t.Context(), events.Position{Timeline: 1, Sequence: 5}, events.Filter{})
		gap(t, err)
		subscribe(t, f, events.Position{Timeline: 1, Sequence: 0}, events.Filter{}) // the beginning is the beginning
	})
}

// TestAnOutageWhileTheTimelineChanges leaves everything as it was until the
// logs could be compared.
func TestAnOutageWhileTheTimelineChanges(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := newLog()
		f := start(t, log, events.Config{})
		log.post(10)
		live := subscribe(t, f, events.Position{}, events.Filter{})
		read(t, live, 10)
		log.fail(errors.New("away"))
		log.promote(10)
		quiet(t, live)
		log.fail(nil)
		log.post(1)
		equal(t, read(t, live, 1), []string{"t2-11"})
	})
}

func TestManyPromotionsAreForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := newLog()
		f := start(t, log, events.Config{})
		log.post(10)
		live := subscribe(t, f, events.Position{}, events.Filter{})
		read(t, live, 10)
		for i := range 20 {
			log.promote(int64(10 + i))
			log.post(1)
			read(t, live, 1)
		}
		_, err := f.Subscribe(t.Context(), events.Position{Timeline: 2, Sequence: 10}, events.Filter{})
		gap(t, err)
		subscribe(t, f, events.Position{Timeline: 15, Sequence: 10}, events.Filter{})
	})
}
