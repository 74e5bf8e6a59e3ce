package engine_test

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"rbcs"
	"rbcs/internal/engine"
)

// quiet keeps the expected errors out of the tests' output.
var quiet = slog.New(slog.DiscardHandler)

// Whichever call of the store fails, and in whichever way, before or after its
// commit took effect: everything is answered, and posted exactly once.
func TestStoreFailsOnNthCall(t *testing.T) {
	for kind := refused; kind < faults; kind++ {
		for n := 1; n <= 10; n++ {
			for _, inFlight := range []int{1, 2} {
				synctest.Test(t, func(t *testing.T) { failNth(t, kind, n, inFlight) })
			}
		}
	}
}

// failNth makes the n-th of ten calls fail.
func failNth(t *testing.T, kind fault, n, inFlight int) {
	store := &fakeStore{pause: time.Second, script: func(call int, batch []*rbcs.Transaction) fault {
		if call == n && len(batch) > 1 { // one alone has no halves
			return kind
		}
		return none
	}}
	e := newEngine(t, store, engine.Config{MaxBatch: 4, InFlight: inFlight, Deadline: 5 * time.Minute, Logger: quiet})
	var all []*submission
	var admitted []*rbcs.Transaction
	for i := range 10 {
		txs := series(fmt.Sprintf("%d.", i), 4)
		txs[0].Source, txs[1].Destination, txs[2].Source = "hot", "hot", "warm"
		all = append(all, submit(t.Context(), e, txs...))
		admitted = append(admitted, txs...)
	}
	stop(t, e)
	for _, s := range all {
		s.want(t, "")
	}
	if len(store.decided) != len(admitted) || len(store.log) != len(admitted) {
		t.Errorf("%v on call %d: %d of %d decided", kind, n, len(store.decided), len(admitted))
	}
	store.check(t)
	store.checkOrder(t, admitted)
	wanted := 12 // ten, one of which fails and is followed by its halves
	switch {
	case kind == deaf:
		wanted = 10
	case kind.retried():
		wanted = 11
	}
	if inFlight == 1 && store.calls != wanted { // else the batches depend on what was in flight
		t.Errorf("%v on call %d: %d calls of the store, want %d", kind, n, store.calls, wanted)
	}
}

// A transaction on which the store always fails does so alone, with the code
// that tells whether anything may have been recorded.
func TestPoisonFailsAlone(t *testing.T) {
	for kind, want := range map[fault]rbcs.Code{
		broken: rbcs.Internal, panicBefore: rbcs.OutcomeUnknown, panicAfter: rbcs.OutcomeUnknown,
		shortAfter: rbcs.OutcomeUnknown, bareAfter: rbcs.OutcomeUnknown,
	} {
		synctest.Test(t, func(t *testing.T) {
			txs := series("t", 100)
			for i := range txs {
				txs[i].Destination = "hot"
			}
			const poison = 37
			store := &fakeStore{script: func(_ int, batch []*rbcs.Transaction) fault {
				if slices.Contains(batch, txs[poison]) {
					return kind
				}
				return none
			}}
			var logged bytes.Buffer
			e := newEngine(t, store, engine.Config{Logger: slog.New(slog.NewTextHandler(&logged, nil))})
			s := submit(t.Context(), e, txs...)
			codes := s.codes()
			if codes[poison] != want {
				t.Errorf("the poison has code %q, want %q", codes[poison], want)
			}
			s.results, s.txs = slices.Delete(s.results, poison, poison+1), slices.Delete(slices.Clone(txs), poison, poison+1)
			s.want(t, "")
			store.checkOrder(t, s.txs)
			if most := 15; store.calls > most { // 100 → 50 → … → 1: two calls each
				t.Errorf("%d calls to find one transaction among 100, want at most %d", store.calls, most)
			}
			if n := strings.Count(logged.String(), "\n"); n != 1 || !strings.Contains(logged.String(), "first_id=t37") {
				t.Errorf("%d lines logged, want one that names the poison:\n%s", n, &logged)
			}
			stop(t, e)
		})
	}
}

// An attempt whose outcome is unknown is never forgotten: a later definite
// failure, also of a part of the batch, proves nothing about it.
func TestDoubtStays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &fakeStore{script: func(call int, _ []*rbcs.Transaction) fault {
			if call == 1 {
				return lostAfter
			}
			return broken
		}}
		e := newEngine(t, store, engine.Config{Logger: quiet})
		s := submit(t.Context(), e, series("t", 4)...)
		stop(t, e)
		s.want(t, rbcs.OutcomeUnknown)
		if store.calls != 8 { // and 4 → 2 → 1, 1 → 2 → 1, 1
			t.Errorf("%d calls", store.calls)
		}
	})
}

func TestDeadline(t *testing.T) {
	always := func(f fault) func(int) fault { return func(int) fault { return f } }
	for _, test := range []struct {
		name   string
		script func(call int) fault
		want   rbcs.Code
		size   int
	}{
		{"refused", always(refused), rbcs.Unavailable, 3},
		{"lost once, then refused", func(call int) fault {
			if call == 1 {
				return lostBefore
			}
			return refused
		}, rbcs.OutcomeUnknown, 3},
		{"lost", always(lostBefore), rbcs.OutcomeUnknown, 3},
		{"hangs", always(timeoutBefore), rbcs.OutcomeUnknown, 3},
		{"damaged, then refused", func(call int) fault {
			if call == 1 {
				return broken
			}
			return refused
		}, rbcs.Unavailable, 3},
	} {
		synctest.Test(t, func(t *testing.T) {
			store := &fakeStore{script: func(call int, _ []*rbcs.Transaction) fault { return test.script(call) }}
			e := newEngine(t, store, engine.Config{CommitTimeout: 2 * time.Second, Deadline: 10 * time.Second, Logger: quiet})
			s := submit(t.Context(), e, series("t", test.size)...)
			stop(t, e)
			s.want(t, test.want)
			if s.after > 10*time.Second || s.after < 8*time.Second {
				t.Errorf("%s: answered after %v, want nearly 10s", test.name, s.after)
			}
			for _, r := range s.results {
				if r.Err.RetryAfter <= 0 || r.Err.Unwrap() == nil {
					t.Errorf("%s: %+v says neither when to come back nor why it failed", test.name, r.Err)
				}
			}
			if store.calls < 5 || store.calls > 500 {
				t.Errorf("%s: %d attempts", test.name, store.calls)
			}
		})
	}
}

// The transactions of a batch that took all the time there was are answered
// without another attempt.
func TestDeadlineEndsSplitting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &fakeStore{pause: 4 * time.Second, script: func(int, []*rbcs.Transaction) fault { return broken }}
		e := newEngine(t, store, engine.Config{Logger: quiet, CommitTimeout: 5 * time.Second, Deadline: 10 * time.Second})
		s := submit(t.Context(), e, series("t", 8)...)
		stop(t, e)
		s.want(t, rbcs.Unavailable)
		if store.calls != 3 || s.after != 12*time.Second {
			t.Errorf("%d calls in %v", store.calls, s.after)
		}
	})
}

func TestBackoffAndObserve(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const attempts = 12
		store := &fakeStore{pause: time.Millisecond, script: func(call int, _ []*rbcs.Transaction) fault {
			if call < attempts {
				return refused
			}
			return none
		}}
		var commits []engine.Commit
		var ends []time.Time
		e := newEngine(t, store, engine.Config{
			BackoffBase: 100 * time.Millisecond, BackoffMax: time.Second, Deadline: time.Minute, Logger: quiet,
			Observe: func(c engine.Commit) {
				commits = append(commits, c)
				ends = append(ends, time.Now())
			},
		})
		s := submit(t.Context(), e, series("t", 3)...)
		stop(t, e)
		s.want(t, "")
		distinct := map[time.Duration]bool{}
		for i, c := range commits {
			want := engine.Commit{Size: 3, Attempt: i + 1, Duration: time.Millisecond, Code: rbcs.Unavailable}
			if i+1 == attempts {
				want.Code = ""
			}
			if c != want {
				t.Errorf("observed %+v, want %+v", c, want)
			}
			if i == 0 {
				continue
			}
			pause := ends[i].Sub(ends[i-1]) - time.Millisecond
			if limit := min(time.Second, 100*time.Millisecond<<(i-1)); pause < 0 || pause >= limit {
				t.Errorf("pause of %v after attempt %d, want less than %v", pause, i, limit)
			}
			distinct[pause] = true
		}
		if len(commits) != attempts || len(distinct) < attempts/2 {
			t.Errorf("%d attempts with %d different pauses", len(commits), len(distinct))
		}
	})
}

// TestOutageIsLoggedOnceASecond: every attempt fails, and the log stays readable.
func TestOutageIsLoggedOnceASecond(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		e := newEngine(t, &fakeStore{script: func(int, []*rbcs.Transaction) fault { return refused }}, engine.Config{
			BackoffBase: 10 * time.Millisecond, BackoffMax: 50 * time.Millisecond, Deadline: 5 * time.Second,
			Logger: slog.New(slog.NewTextHandler(&log, nil)),
		})
		s := submit(t.Context(), e, series("t", 3)...)
		stop(t, e)
		s.want(t, rbcs.Unavailable)
		if n := strings.Count(log.String(), "is tried again"); n < 4 || n > 5 {
			t.Errorf("%d warnings in 5 seconds", n)
		}
		if end := log.String()[strings.LastIndex(log.String(), "level=ERROR"):]; strings.Count(end, "unavailable: ") != 1 {
			t.Errorf("the code is not said once: %s", end)
		}
	})
}

// The caller's context is never the commit's: neither its end nor its values.
func TestCommitHasItsOwnContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		type key struct{}
		var deadline time.Duration
		var value any
		var err error
		store := &fakeStore{before: func(ctx context.Context, _ []*rbcs.Transaction) {
			time.Sleep(2 * time.Second)
			at, _ := ctx.Deadline()
			deadline, value, err = time.Until(at), ctx.Value(key{}), ctx.Err()
		}}
		e := newEngine(t, store, engine.Config{CommitTimeout: 5 * time.Second})
		ctx, cancel := context.WithTimeout(context.WithValue(t.Context(), key{}, 1), time.Second)
		defer cancel()
		submit(ctx, e, series("t", 1)...)
		stop(t, e)
		if deadline != 3*time.Second || value != nil || err != nil {
			t.Errorf("%v left, value %v, %v", deadline, value, err)
		}
	})
}
