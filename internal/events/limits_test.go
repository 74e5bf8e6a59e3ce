package events_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"rbcs"
	"rbcs/internal/events"
)

func TestWithoutReadersNothingIsRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := newLog()
		f := start(t, log, events.Config{})
		f.Wake(log.post(1))
		time.Sleep(time.Hour)
		if n := log.readCount(); n != 0 {
			t.Errorf("%d reads before the first reader", n)
		}
		r := subscribe(t, f, events.Position{}, events.Filter{})
		read(t, r, 1)
		before := log.readCount()
		time.Sleep(10 * time.Second)
		if n := log.readCount() - before; n > 101 {
			t.Errorf("%d reads in 10 s of silence", n)
		}
		r.Close()
		time.Sleep(time.Second)
		before = log.readCount()
		f.Wake(log.post(1))
		time.Sleep(time.Hour)
		if n := log.readCount() - before; n != 0 {
			t.Errorf("%d reads after the last reader", n)
		}
	})
}

func TestALongIdleFeedGoesToTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := newLog()
		f := start(t, log, events.Config{Ring: 10, Page: 5})
		r := subscribe(t, f, events.Tail, events.Filter{})
		log.post(1)
		at := read(t, r, 1)
		r.Close()
		time.Sleep(time.Second)
		log.post(10_000)
		before := log.readCount()
		r = subscribe(t, f, events.Tail, events.Filter{})
		log.post(1)
		equal(t, read(t, r, 1), []string{"t1-10002"})
		if n := log.readCount() - before; n > 5 {
			t.Errorf("%d reads to come to the end", n)
		}
		equal(t, at, []string{"t1-1"})
	})
}

func TestASlowReaderIsDropped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := newLog()
		f := start(t, log, events.Config{Ring: 10, Page: 5, Patience: 8 * time.Second})
		slow := subscribe(t, f, events.Tail, events.Filter{})
		waiting := subscribe(t, f, events.Tail, events.Filter{Account: "nobody"})
		own, err := f.Follow(t.Context(), events.Tail, events.Filter{})
		if err != nil {
			t.Fatal(err)
		}
		log.post(1)
		read(t, slow, 1)
		go func() { _, _ = waiting.Next(t.Context()) }() // for hours, but it is not slow
		log.post(100)
		time.Sleep(7 * time.Second)
		if s := f.Stats(); s.Readers != 3 || s.Dropped != 0 {
			t.Errorf("early: %+v", s)
		}
		time.Sleep(3 * time.Second)
		if s := f.Stats(); s.Readers != 2 || s.Dropped != 1 {
			t.Errorf("late: %+v", s)
		}
		if e := ends(t, slow); e.Code != rbcs.Overloaded || !strings.Contains(e.Message, "too slow") {
			t.Errorf("the slow reader was told %v", e)
		}
		equal(t, read(t, own, 101), log.ids(0, nil))
	})
}

func TestStopEndsReaders(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := newLog()
		f := start(t, log, events.Config{Ring: 10, Page: 5})
		log.post(100)
		waiting := subscribe(t, f, events.Tail, events.Filter{})
		idle := subscribe(t, f, events.Position{}, events.Filter{})
		reading := subscribe(t, f, events.Position{}, events.Filter{})
		log.mu.Lock()
		log.hang = true
		log.mu.Unlock()
		told := make(chan error, 3)
		for _, r := range []*events.Reader{waiting, reading} {
			go func() {
				_, err := r.Next(context.Background())
				told <- err
			}()
		}
		go func() {
			_, err := f.Subscribe(context.Background(), events.Tail, events.Filter{})
			told <- err
		}()
		synctest.Wait()
		stop(t, f)
		synctest.Wait()
		if len(told) != 3 {
			t.Fatalf("%d of 3 calls have returned", len(told))
		}
		for range 3 {
			if err := <-told; rbcs.CodeOf(err) != rbcs.Unavailable || !strings.Contains(err.Error(), "stopping") {
				t.Errorf("told %v", err)
			}
		}
		if e := ends(t, idle); e.Code != rbcs.Unavailable {
			t.Errorf("the idle one was told %v", e)
		}
		if _, err := f.Subscribe(t.Context(), events.Tail, events.Filter{}); rbcs.CodeOf(err) != rbcs.Unavailable {
			t.Errorf("a late one was told %v", err)
		}
		if _, err := f.End(t.Context()); rbcs.CodeOf(err) != rbcs.Unavailable {
			t.Errorf("who asked for the end was told %v", err)
		}
		if n := f.Stats().Readers; n != 0 {
			t.Errorf("%d readers are left", n)
		}
	})
}

func TestStopGivesUpWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := events.New(stubborn{}, events.Config{})
		f.Start()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		go func() { _, _ = f.Subscribe(t.Context(), events.Tail, events.Filter{}) }()
		synctest.Wait()
		if err := f.Stop(ctx); rbcs.CodeOf(err) != rbcs.Unavailable {
			t.Errorf("got %v", err)
		}
		stop(t, f)
	})
}

// stubborn is a log that does not care for contexts.
type stubborn struct{}

func TestReadersAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := newLog()
		f := start(t, log, events.Config{MaxReaders: 2})
		r := subscribe(t, f, events.Tail, events.Filter{})
		subscribe(t, f, events.Tail, events.Filter{})
		_, err := f.Subscribe(t.Context(), events.Tail, events.Filter{})
		var e *rbcs.Error
		if !errors.As(err, &e) || e.Code != rbcs.Overloaded || e.RetryAfter == 0 {
			t.Errorf("got %v", err)
		}
		if _, err := f.Follow(t.Context(), events.Tail, events.Filter{}); err != nil {
			t.Errorf("a part of the service was refused: %v", err)
		}
		r.Close()
		r.Close() // does no harm
		subscribe(t, f, events.Tail, events.Filter{})
		if e := ends(t, r); e.Code != rbcs.Unavailable {
			t.Errorf("the closed one says %v", e)
		}
	})
}

func TestAnOutageIsWaitedOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := newLog()
		f := start(t, log, events.Config{Ring: 10, Page: 5, Patience: time.Hour})
		log.post(20)
		if at, err := f.End(t.Context()); err != nil || at != (events.Position{Timeline: 1, Sequence: 20}) {
			t.Errorf("the end is %v, %v", at, err)
		}
		live := subscribe(t, f, events.Tail, events.Filter{})
		past := subscribe(t, f, events.Position{}, events.Filter{})
		log.fail(errors.New("the database is away"))
		log.post(1)
		quiet(t, live)
		before := log.readCount()
		time.Sleep(time.Minute)
		if n := log.readCount() - before; n > 13 {
			t.Errorf("%d reads in a minute of an outage", n)
		}
		if _, err := past.Next(t.Context()); rbcs.CodeOf(err) != rbcs.Unavailable {
			t.Errorf("the reader of the past was told %v", err)
		}
		if _, err := f.Subscribe(t.Context(), events.Tail, events.Filter{}); rbcs.CodeOf(err) != rbcs.Unavailable {
			t.Errorf("a new reader was told %v", err)
		}
		if _, err := f.End(t.Context()); rbcs.CodeOf(err) != rbcs.Unavailable {
			t.Errorf("who asked for the end was told %v", err)
		}
		log.fail(nil)
		equal(t, read(t, live, 1), []string{"t1-21"})
		equal(t, read(t, past, 21), log.ids(0, nil))
	})
}

func TestNextReturnsTheCauseOfItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := newLog()
		f := start(t, log, events.Config{Ring: 10, Page: 5})
		log.post(100)
		past := subscribe(t, f, events.Position{}, events.Filter{})
		live := subscribe(t, f, events.Tail, events.Filter{})
		log.mu.Lock()
		log.hang = true
		log.mu.Unlock()
		cause := errors.New("the client left")
		ctx, cancel := context.WithCancelCause(t.Context())
		cancel(cause)
		for _, r := range []*events.Reader{past, live} {
			if _, err := r.Next(ctx); !errors.Is(err, cause) {
				t.Errorf("got %v", err)
			}
		}
		log.mu.Lock()
		log.hang = false
		log.mu.Unlock()
		equal(t, read(t, past, 100), log.ids(0, nil)) // nothing is lost
	})
}
