package engine_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"rbcs"
	"rbcs/internal/engine"
)

func TestNewListsAllFaults(t *testing.T) {
	_, err := engine.New(&fakeStore{}, engine.Config{
		MaxBatch: -1, MaxBatchBytes: -1, MaxPending: -1, MaxPendingBytes: -1, InFlight: -1, Previews: -1,
		CommitTimeout: time.Hour, BackoffBase: time.Minute,
	})
	var e *rbcs.Error
	if !errors.As(err, &e) || e.Code != rbcs.InvalidRequest {
		t.Fatalf("got %v", err)
	}
	var fields []string
	for _, f := range e.Fields {
		fields = append(fields, f.Pointer)
	}
	want := []string{"/MaxBatch", "/MaxBatchBytes", "/MaxPending", "/MaxPendingBytes", "/InFlight", "/Previews", "/Deadline", "/BackoffMax"}
	if !slices.Equal(fields, want) {
		t.Errorf("got %q, want %q", fields, want)
	}
}

func TestSubmitReturnsResultsInOrder(t *testing.T) {
	for _, inFlight := range []int{1, 3} {
		synctest.Test(t, func(t *testing.T) {
			store := &fakeStore{pause: time.Second}
			e := newEngine(t, store, engine.Config{MaxBatch: 3, InFlight: inFlight})
			txs := series("a", 10)
			for i := range txs {
				txs[i].Destination = "hot"
			}
			s := submit(t.Context(), e, txs...)
			other := submit(t.Context(), e, series("b", 2)...)
			stop(t, e)
			s.want(t, "")
			other.want(t, "")
			store.check(t)
			store.checkOrder(t, txs)
		})
	}
}

func TestSubmitOfNothing(t *testing.T) {
	e := newEngine(t, &fakeStore{}, engine.Config{})
	if results, err := e.Submit(t.Context(), nil); results != nil || err != nil {
		t.Errorf("got %v, %v", results, err)
	}
	stop(t, e)
}

func TestWhatArrivesDuringACommitIsTheNextBatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &fakeStore{pause: time.Second}
		e := newEngine(t, store, engine.Config{MaxBatch: 50})
		first := submit(t.Context(), e, series("first", 1)...)
		var rest []*submission
		for i := range 60 {
			rest = append(rest, submit(t.Context(), e, series(fmt.Sprintf("r%d.", i), 1)...))
		}
		if s := e.Stats(); s.Pending != 61 || s.Waiting != 60 || s.InFlight != 1 || s.PendingBytes < 61*256 || s.Stopped {
			t.Errorf("stats %+v", s)
		}
		stop(t, e)
		first.want(t, "")
		for i, s := range rest {
			s.want(t, "")
			want := 2 * time.Second
			if i >= 50 {
				want = 3 * time.Second
			}
			if s.after != want {
				t.Errorf("submission %d took %v, want %v", i, s.after, want)
			}
		}
		if !slices.Equal(store.sizes, []int{1, 50, 10}) {
			t.Errorf("batches of %v", store.sizes)
		}
	})
}

func TestBatchesAreBoundedInBytes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &fakeStore{}
		e := newEngine(t, store, engine.Config{MaxBatchBytes: 1000})
		txs := series("t", 7) // some 270 bytes each
		txs[4].Description = string(make([]byte, 5000))
		submit(t.Context(), e, txs...).want(t, "")
		if !slices.Equal(store.sizes, []int{3, 1, 1, 2}) {
			t.Errorf("batches of %v", store.sizes)
		}
		stop(t, e)
	})
}

func TestAdmissionIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &fakeStore{pause: time.Second}
		e := newEngine(t, store, engine.Config{MaxPending: 10, MaxPendingBytes: 5000})
		refused := func(want rbcs.Code, wantRetry bool, txs ...*rbcs.Transaction) {
			t.Helper()
			s := submit(t.Context(), e, txs...)
			var err *rbcs.Error
			if !s.done() || !errors.As(s.err, &err) || err.Code != want || (err.RetryAfter > 0) != wantRetry {
				t.Errorf("done %v with %v, want %v", s.done(), s.err, want)
			}
		}
		large := func(id string, size int) *rbcs.Transaction {
			large := tx(id, "a", "b")
			large.Metadata = string(make([]byte, size))
			return large
		}
		refused(rbcs.InvalidRequest, false, series("many", 11)...)
		refused(rbcs.InvalidRequest, false, large("large", 5000))

		admitted := submit(t.Context(), e, series("ok", 8)...)
		refused(rbcs.Overloaded, true, series("over", 3)...)
		refused(rbcs.Overloaded, true, large("bytes", 4000))
		last := submit(t.Context(), e, series("fits", 2)...)
		time.Sleep(2 * time.Second)
		admitted.want(t, "")
		last.want(t, "")
		submit(t.Context(), e, large("now", 4000))
		stop(t, e)
		for _, id := range []string{"many0", "large", "over0", "bytes"} {
			if store.has(id) {
				t.Errorf("%s was refused and committed", id)
			}
		}
		if !store.has("now") {
			t.Error("what was answered still counts")
		}
		refused(rbcs.Unavailable, true, series("late", 1)...)
	})
}

func TestContextThatEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &fakeStore{pause: time.Second}
		e := newEngine(t, store, engine.Config{})

		ctx, cancel := context.WithCancel(t.Context())
		admitted := submit(ctx, e, series("admitted", 2)...)
		queued := submit(ctx, e, series("queued", 2)...)
		cancel()
		synctest.Wait()
		late := submit(ctx, e, series("late", 1)...)
		for s, want := range map[*submission]rbcs.Code{
			admitted: rbcs.OutcomeUnknown, queued: rbcs.OutcomeUnknown, late: rbcs.Unavailable,
		} {
			if !s.done() || s.results != nil || rbcs.CodeOf(s.err) != want || !errors.Is(s.err, context.Canceled) {
				t.Errorf("done %v with %v, want %v", s.done(), s.err, want)
			}
		}
		stop(t, e)
		for _, id := range []string{"admitted0", "admitted1", "queued0", "queued1"} {
			if !store.has(id) {
				t.Errorf("%s was admitted and never committed", id)
			}
		}
		if store.has("late0") {
			t.Error("committed after its context had ended")
		}
	})
}

// slowContext ends in the moment in which it is asked, after a second.
type slowContext struct{ context.Context }

func (slowContext) Done() <-chan struct{} {
	time.Sleep(time.Second)
	ended := make(chan struct{})
	close(ended)
	return ended
}

// A caller whose context has ended when the answer is there gets the answer,
// whichever of the two the runtime looks at first.
func TestAnswerGoesBeforeEndedContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newEngine(t, &fakeStore{}, engine.Config{})
		for i := range 64 {
			results, err := e.Submit(slowContext{t.Context()}, series(fmt.Sprint(i, "."), 1))
			if err != nil || len(results) != 1 {
				t.Fatalf("%d results and %v", len(results), err)
			}
		}
		stop(t, e)
	})
}

func TestStopDrains(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &fakeStore{pause: time.Second}
		e := newEngine(t, store, engine.Config{MaxBatch: 2, InFlight: 2})
		s := submit(t.Context(), e, series("s", 9)...)
		begin := time.Now()
		var stops sync.WaitGroup
		for range 3 {
			stops.Go(func() { stop(t, e) })
		}
		synctest.Wait()
		if late := submit(t.Context(), e, series("late", 1)...); rbcs.CodeOf(late.err) != rbcs.Unavailable {
			t.Errorf("admitted during Stop: %v", late.err)
		}
		stops.Wait()
		// Nine in five commits, two at once, take 3 s, and longer where the hashes of accounts collide.
		if took := time.Since(begin); took < 3*time.Second || took >= 9*time.Second {
			t.Errorf("they took %v", took)
		}
		s.want(t, "")
		stop(t, e)
	})
}

func TestStopOfAnIdleEngine(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	e := newEngine(t, &fakeStore{}, engine.Config{})
	if err := e.Stop(ctx); err != nil {
		t.Errorf("nothing was left to do, but: %v", err)
	}
	stop(t, e)
}

func TestImpatientStopAnswersEverybody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &fakeStore{script: func(int, []*rbcs.Transaction) fault { return deaf }}
		e := newEngine(t, store, engine.Config{MaxBatch: 2, Logger: quiet})
		flying := submit(t.Context(), e, series("flying", 1)...)
		queued := submit(t.Context(), e, series("queued", 3)...)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		begin := time.Now()
		if err := e.Stop(ctx); rbcs.CodeOf(err) != rbcs.Unavailable || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Stop: %v", err)
		}
		if took := time.Since(begin); took != time.Second {
			t.Errorf("Stop took %v", took)
		}
		flying.want(t, rbcs.OutcomeUnknown)
		queued.want(t, rbcs.Unavailable)
		if err := e.Stop(ctx); err == nil {
			t.Error("Stop reports success while the store is at work")
		}
		stop(t, e)
		if took := time.Since(begin); took != time.Minute {
			t.Errorf("the last Stop returned after %v; the store was busy for a minute", took)
		}
		if store.calls != 1 {
			t.Errorf("the interrupted batch was tried %d times", store.calls)
		}
	})
}

// What an impatient Stop answered stays as it is, though the store succeeds later.
func TestImpatientStopHasTheLastWord(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &fakeStore{script: func(int, []*rbcs.Transaction) fault { return deaf }}
		e := newEngine(t, store, engine.Config{MaxBatch: 2, Logger: quiet})
		s := submit(t.Context(), e, series("s", 4)...)
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if err := e.Stop(ctx); err == nil {
			t.Error("Stop reports success")
		}
		stop(t, e)
		want := []rbcs.Code{rbcs.OutcomeUnknown, rbcs.OutcomeUnknown, rbcs.Unavailable, rbcs.Unavailable}
		if codes := s.codes(); !slices.Equal(codes, want) || !store.has("s0") || store.has("s2") {
			t.Errorf("codes %q, want %q; the store has %d", codes, want, len(store.decided))
		}
	})
}

// A call whose transactions are in several commits when they are given up gets
// its answers in its own order.
func TestImpatientStopAnswersInOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &fakeStore{pause: time.Second, script: func(call int, _ []*rbcs.Transaction) fault {
			if call == 1 {
				return none
			}
			return deaf
		}}
		e := newEngine(t, store, engine.Config{InFlight: 2, Logger: quiet})
		submit(t.Context(), e, tx("first", "a", "b"))
		s := submit(t.Context(), e, tx("waits", "b", "c"), tx("goes", "d", "e"), tx("goes too", "f", "g"))
		time.Sleep(2 * time.Second)
		if flying := e.Stats().InFlight; flying != 2 {
			t.Errorf("%d commits are under way, want 2", flying)
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if err := e.Stop(ctx); err == nil {
			t.Error("Stop reports success")
		}
		s.want(t, rbcs.OutcomeUnknown)
		stop(t, e)
	})
}

func TestImpatientStopInterruptsBackoffAndCommit(t *testing.T) {
	for _, kind := range []fault{refused, timeoutBefore} {
		synctest.Test(t, func(t *testing.T) {
			store := &fakeStore{script: func(int, []*rbcs.Transaction) fault { return kind }}
			e := newEngine(t, store, engine.Config{
				Logger: quiet, BackoffBase: time.Hour, BackoffMax: time.Hour, CommitTimeout: 24 * time.Hour, Deadline: 48 * time.Hour,
			})
			s := submit(t.Context(), e, series("s", 2)...)
			begin := time.Now()
			ctx, cancel := context.WithCancel(t.Context())
			cancel()
			if err := e.Stop(ctx); err == nil {
				t.Error("Stop reports success")
			}
			s.want(t, rbcs.OutcomeUnknown)
			stop(t, e)
			if took := time.Since(begin); took != 0 || store.calls != 1 {
				t.Errorf("after %v and %d attempts", took, store.calls)
			}
		})
	}
}
