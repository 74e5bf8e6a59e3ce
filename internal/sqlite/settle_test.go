package sqlite

import (
	"context"
	"fmt"
	"testing"
	"time"

	"rbcs"
)

// commitHeld begins a commit and returns its time, when it has everything but
// its COMMIT. finish lets that go on, and waits for it.
func commitHeld(t *testing.T, s *Store, batch ...*rbcs.Transaction) (at time.Time, finish func()) {
	t.Helper()
	written, release, ended := make(chan time.Time), make(chan struct{}), make(chan error, 1)
	go func() {
		ended <- s.withWrite(context.WithoutCancel(t.Context()), func(w *writer, now time.Time) error {
			c := s.newCommit(w.conn, now, batch)
			decisions, err := c.decide()
			if err == nil {
				err = c.insert(decisions, w.instance)
			}
			if err == nil {
				err = c.update()
			}
			if err == nil {
				written <- now
				<-release
			}
			return err
		})
	}()
	select {
	case at = <-written:
	case err := <-ended:
		t.Fatal(err)
	}
	return at, func() {
		close(release)
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}
}

// TestReadDuringCommit asks for the past while a commit is not visible yet that
// falls into it: the answer waits for it. What is before the commit waits for nothing.
func TestReadDuringCommit(t *testing.T) {
	s := openTemp(t)
	createAccounts(t, s, "a", "b")
	first := mustCommit(t, s, transfer("1", "a", "b", 100))[0].CommittedAt
	clock := first.Add(time.Second)
	s.now = func() time.Time { return clock }
	at, finish := commitHeld(t, s, transfer("2", "a", "b", 100))

	version := func(ctx context.Context, at time.Time) (int64, error) {
		b, err := s.BalanceAt(ctx, "b", at)
		return b.Version, err
	}
	entries := func(ctx context.Context, at time.Time) (int64, error) {
		list, err := s.History(ctx, rbcs.HistoryQuery{Account: "b", To: at.Add(time.Microsecond), Limit: 10})
		return int64(len(list)), err
	}
	type answer struct {
		n   int64
		err error
	}
	answers := make(chan answer, 2)
	for _, read := range []func(ctx context.Context, at time.Time) (int64, error){version, entries} {
		if n, err := read(t.Context(), at.Add(-time.Microsecond)); err != nil || n != 1 {
			t.Errorf("before the commit: %d, %v; want 1", n, err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		_, err := read(ctx, at)
		cancel()
		wantError(t, err, rbcs.Unavailable, "before its answer")
		go func() {
			n, err := read(t.Context(), at)
			answers <- answer{n, err}
		}()
	}
	finish()
	for range 2 {
		if got := <-answers; got.err != nil || got.n != 2 {
			t.Errorf("at the commit: %+v, want 2", got)
		}
	}
}

// TestAnswersStay commits after each answer, on a clock that stands still, goes
// on, and is set back: no answer changes.
func TestAnswersStay(t *testing.T) {
	s := openTemp(t)
	createAccounts(t, s, "a", "b")
	clock := time.Date(2031, 1, 1, 0, 0, 0, 0, time.UTC)
	s.now = func() time.Time { return clock }
	mustCommit(t, s, transfer("first", "a", "b", 1))

	var answers []rbcs.Balance
	for i, step := range []time.Duration{0, 0, time.Second, -time.Minute, 0, time.Hour} {
		clock = clock.Add(step)
		now := s.clock()
		b, err := s.BalanceAt(t.Context(), "b", now.Add(time.Hour))
		if err != nil || b.Version != int64(i)+1 || b.AsOf.Before(now) || !b.AsOf.Before(now.Add(time.Minute)) {
			t.Errorf("%d: %+v, %v; want version %d as of %v", i, b, err, i+1, now)
		}
		answers = append(answers, b)
		past, err := s.History(t.Context(), rbcs.HistoryQuery{Account: "b", To: now.Add(time.Hour), Limit: 100})
		if err != nil || len(past) != i+1 {
			t.Errorf("%d: %d entries, %v; want %d", i, len(past), err, i+1)
		}
		if r := mustCommit(t, s, transfer(fmt.Sprint(i), "a", "b", 1))[0]; !r.CommittedAt.After(b.AsOf) {
			t.Errorf("%d: committed at %v, after an answer as of %v", i, r.CommittedAt, b.AsOf)
		}
	}
	for i, want := range answers {
		if got, err := s.BalanceAt(t.Context(), "b", want.AsOf); err != nil || got != want {
			t.Errorf("%d: %+v, %v; was %+v", i, got, err, want)
		}
	}
}
