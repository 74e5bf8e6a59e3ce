package intake_test

import (
	"context"
	"errors"
	"log/slog"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"rbcs"
	"rbcs/internal/engine"
	"rbcs/internal/intake"
	"rbcs/internal/sqlite"
)

// The test database is waited for until the process ends.
func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction("rbcs/internal/testenv.(*Server).Start.func2"),
		goleak.IgnoreAnyFunction("rbcs/internal/testenv.(*Server).setGuard.func2"))
}

var quiet = slog.New(slog.DiscardHandler)

// newInstance puts a queue and an engine over a store, and stops all at the end.
func newInstance(t *testing.T, store rbcs.Store, name string, e engine.Config, q intake.Config) *instance {
	t.Helper()
	eng, err := engine.New(store, e)
	if err != nil {
		t.Fatal(err)
	}
	q.Instance, q.Logger = name, quiet
	i := &instance{store, eng, intake.New(store, eng, q)}
	t.Cleanup(func() {
		if err := errors.Join(i.queue.Stop(context.Background()), eng.Stop(context.Background()), store.Close()); err != nil {
			t.Error(err)
		}
	})
	return i
}

func (i *instance) untilEmpty(t *testing.T) {
	t.Helper()
	for deadline := time.Now().Add(5 * time.Minute); ; time.Sleep(5 * time.Millisecond) { // polls
		stats, err := i.store.IntakeStats(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if stats.Queued+stats.Retrying == 0 {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("the queue is never empty: %+v", stats)
		}
	}
}

func transfer(id, source, destination string) *rbcs.Transaction {
	return &rbcs.Transaction{
		ID: id, Type: rbcs.Transfer, Source: source, Destination: destination, Amount: rbcs.Decimal{Units: rbcs.AmountOf(100), Scale: 2},
		Currency: "USD", Timestamp: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC),
	}
}

// faulty is an engine that fails as its function says; nil results go on to the engine.
type faulty struct {
	intake.Submitter
	mu    sync.Mutex
	fault func(txs []*rbcs.Transaction) ([]rbcs.Result, error)
	calls int
}

func (f *faulty) Submit(ctx context.Context, txs []*rbcs.Transaction) ([]rbcs.Result, error) {
	f.mu.Lock()
	f.calls++
	fault := f.fault
	f.mu.Unlock()
	if fault != nil {
		if results, err := fault(txs); results != nil || err != nil {
			return results, err
		}
	}
	return f.Submitter.Submit(ctx, txs)
}

func (f *faulty) set(fault func(txs []*rbcs.Transaction) ([]rbcs.Result, error)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.fault = fault
}

// reset returns the number of calls since the last one.
func (f *faulty) reset() (calls int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	calls, f.calls = f.calls, 0
	return calls
}

// failing gives every transaction an error.
func failing(code rbcs.Code) func(txs []*rbcs.Transaction) ([]rbcs.Result, error) {
	return func(txs []*rbcs.Transaction) ([]rbcs.Result, error) {
		results := make([]rbcs.Result, len(txs))
		for i := range results {
			results[i].Err = rbcs.Errorf(code, "it failed")
		}
		return results, nil
	}
}

// bubble runs a test on a file in a bubble, where time passes only while all wait.
func bubble(t *testing.T, cfg intake.Config, test func(t *testing.T, store rbcs.Store, f *faulty, q *intake.Queue)) {
	file := filepath.Join(t.TempDir(), "test.db")
	synctest.Test(t, func(t *testing.T) {
		store, err := sqlite.Open(t.Context(), file, sqlite.Options{Instance: "one", Logger: quiet})
		if err != nil {
			t.Fatal(err)
		}
		eng, err := engine.New(store, engine.Config{Logger: quiet})
		if err != nil {
			t.Fatal(err)
		}
		f := &faulty{Submitter: eng}
		cfg.Instance, cfg.Logger = "one", quiet
		q := intake.New(store, f, cfg)
		for _, n := range []rbcs.NewAccount{
			{Number: "bank", Currency: rbcs.Currency{Code: "USD", Decimals: 2}, Overdraft: rbcs.Overdraft{Unlimited: true}},
			{Number: "a", Currency: rbcs.Currency{Code: "USD", Decimals: 2}},
		} {
			if _, err := store.CreateAccounts(t.Context(), []rbcs.NewAccount{n}); err != nil {
				t.Fatal(err)
			}
		}
		test(t, store, f, q)
		if err := errors.Join(q.Stop(t.Context()), eng.Stop(t.Context()), store.Close()); err != nil {
			t.Error(err)
		}
	})
}

func enqueue(t *testing.T, q *intake.Queue, txs ...*rbcs.Transaction) []rbcs.IntakeResult {
	t.Helper()
	results, err := q.Enqueue(t.Context(), txs)
	if err != nil {
		t.Fatal(err)
	}
	return results
}

func record(t *testing.T, store rbcs.Store, id string) *rbcs.Record {
	t.Helper()
	r, err := store.Transaction(t.Context(), id)
	if err != nil {
		t.Fatalf("%s: %v", id, err)
	}
	return &r
}

func entry(t *testing.T, store rbcs.Store, id string) *rbcs.IntakeEntry {
	t.Helper()
	e, err := store.Intake(t.Context(), id)
	if err != nil {
		t.Fatalf("%s: %v", id, err)
	}
	return &e
}

// TestScheduled posts at the time that was asked for, and what comes now at once.
func TestScheduled(t *testing.T) {
	bubble(t, intake.Config{}, func(t *testing.T, store rbcs.Store, _ *faulty, q *intake.Queue) {
		q.Start()
		later := transfer("later", "bank", "a")
		later.ExecuteAt = time.Now().Add(time.Hour).UTC().Truncate(time.Microsecond)
		enqueue(t, q, later, transfer("now", "bank", "a"))
		synctest.Wait()
		time.Sleep(time.Second)
		record(t, store, "now")
		time.Sleep(time.Hour - 2*time.Second)
		entry(t, store, "later")
		time.Sleep(2 * time.Second)
		if r := record(t, store, "later"); r.CommittedAt.Before(later.ExecuteAt) {
			t.Errorf("decided at %v, before %v", r.CommittedAt, later.ExecuteAt)
		}
		if stats, ok := q.Stats(); !ok || stats.Queued != 0 || intake.Oldest(stats) != 0 {
			t.Errorf("%+v", stats)
		}
	})
}

// TestFailuresEndInADeadLetter tries again with backoff, keeps what is behind
// waiting, and gives up after so many attempts.
func TestFailuresEndInADeadLetter(t *testing.T) {
	outcomes := map[intake.Outcome]int{}
	cfg := intake.Config{MaxAttempts: 4, Backoff: time.Second, Observe: func(o intake.Outcome, n int) { outcomes[o] += n }}
	bubble(t, cfg, func(t *testing.T, store rbcs.Store, f *faulty, q *intake.Queue) {
		f.set(func(txs []*rbcs.Transaction) ([]rbcs.Result, error) {
			if txs[0].ID != "poison" {
				return nil, nil
			}
			return failing(rbcs.Internal)(txs[:1])
		})
		q.Start()
		enqueue(t, q, transfer("poison", "bank", "a"))
		time.Sleep(time.Minute)
		letter := entry(t, store, "poison")
		if letter.State != rbcs.IntakeDead || letter.Attempts != 4 || letter.Code != rbcs.Internal || letter.Detail != "it failed" {
			t.Errorf("%+v", letter)
		}
		history, err := store.IntakeHistory(t.Context(), "poison")
		if err != nil || len(history) != 4 || history[3].Kind != rbcs.IntakeDied {
			t.Fatalf("%+v, %v", history, err)
		}
		for i, least := range []time.Duration{time.Second / 2, time.Second, 2 * time.Second} {
			if wait := history[i+1].At.Sub(history[i].At); wait < least || wait > 2*least+time.Second {
				t.Errorf("attempt %d came %v after the one before", i+2, wait)
			}
		}
		f.set(nil)
		if errs, err := store.ReplayIntake(t.Context(), rbcs.IntakeAction{IDs: []string{"poison"}}); err != nil || errs[0] != nil {
			t.Fatal(errs, err)
		}
		q.Wake()
		time.Sleep(time.Second)
		record(t, store, "poison")
	})
	if outcomes[intake.Failed] != 3 || outcomes[intake.Dead] != 1 || outcomes[intake.Posted] != 1 {
		t.Errorf("%v", outcomes)
	}
}

// TestRetryUntil decides again until there are funds, or the time is over.
func TestRetryUntil(t *testing.T) {
	bubble(t, intake.Config{Backoff: time.Second, MaxBackoff: 10 * time.Second}, func(t *testing.T, store rbcs.Store, _ *faulty, q *intake.Queue) {
		q.Start()
		end := time.Now().Add(time.Minute).UTC().Truncate(time.Microsecond)
		patient, hopeless := transfer("patient", "a", "bank"), transfer("hopeless", "a", "bank")
		patient.RetryUntil, hopeless.RetryUntil = end, end
		hopeless.Amount.Units = rbcs.AmountOf(1_000_000)
		enqueue(t, q, patient, hopeless)
		time.Sleep(20 * time.Second)
		if e := entry(t, store, "patient"); e.State != rbcs.IntakeRetrying || e.Attempts < 3 || e.Code != rbcs.InsufficientFunds {
			t.Errorf("%+v", e)
		}
		enqueue(t, q, transfer("fund", "bank", "a"))
		time.Sleep(20 * time.Second)
		if r := record(t, store, "patient"); r.Status != rbcs.Posted || !r.Transaction.RetryUntil.Equal(end) {
			t.Errorf("%+v", r)
		}
		entry(t, store, "hopeless")
		time.Sleep(25 * time.Second)
		r := record(t, store, "hopeless")
		if r.Status != rbcs.Rejected || r.Attempt != 1 || r.CommittedAt.Before(end) || r.CommittedAt.Sub(end) > 2*time.Second {
			t.Errorf("%s at %v, attempt %d; the end was %v", r.Status, r.CommittedAt, r.Attempt, end)
		}
	})
}

// TestALongWait: what is refused for hours has a short history, which counts
// every attempt.
func TestALongWait(t *testing.T) {
	bubble(t, intake.Config{Interval: 5 * time.Second}, func(t *testing.T, store rbcs.Store, _ *faulty, q *intake.Queue) {
		q.Start()
		patient := transfer("patient", "a", "bank")
		patient.RetryUntil = time.Now().Add(6 * time.Hour).UTC().Truncate(time.Microsecond)
		enqueue(t, q, patient)
		lines := func() (n, attempts int) {
			history, err := store.IntakeHistory(t.Context(), "patient")
			if err != nil {
				t.Fatal(err)
			}
			for _, h := range history {
				attempts += 1 + h.Omitted
			}
			return len(history), attempts
		}
		time.Sleep(6*time.Hour - time.Minute)
		tried := entry(t, store, "patient").Attempts
		if n, attempts := lines(); n != rbcs.IntakeListedAll+1 || attempts != tried || tried < 300 {
			t.Errorf("%d lines account for %d attempts of %d", n, attempts, tried)
		}
		time.Sleep(2 * time.Minute)
		record(t, store, "patient")
		if n, attempts := lines(); n != rbcs.IntakeListedAll+1 || attempts < tried {
			t.Errorf("once it is decided, %d lines account for %d attempts, %d before", n, attempts, tried)
		}
	})
}

// TestOutageAfterRefusals: refusals are no failures. An outage after many of them
// is not the last straw.
func TestOutageAfterRefusals(t *testing.T) {
	cfg := intake.Config{MaxAttempts: 4, Backoff: time.Second, MaxBackoff: time.Second}
	bubble(t, cfg, func(t *testing.T, store rbcs.Store, f *faulty, q *intake.Queue) {
		q.Start()
		patient := transfer("patient", "a", "bank")
		patient.RetryUntil = time.Now().Add(time.Hour).UTC().Truncate(time.Microsecond)
		enqueue(t, q, patient)
		time.Sleep(time.Minute)
		if e := entry(t, store, "patient"); e.Attempts <= cfg.MaxAttempts {
			t.Fatalf("it was refused %d times only", e.Attempts)
		}
		f.set(failing(rbcs.Unavailable))
		time.Sleep(2 * time.Second)
		if e := entry(t, store, "patient"); e.State != rbcs.IntakeRetrying || e.Code != rbcs.Unavailable || e.Attempts >= cfg.MaxAttempts {
			t.Errorf("in an outage: %+v", e)
		}
		time.Sleep(time.Minute)
		if e := entry(t, store, "patient"); e.State != rbcs.IntakeDead || e.Attempts != cfg.MaxAttempts {
			t.Errorf("after a long one: %+v", e)
		}
	})
}

// TestConflictsDie: what cannot be decided as it is waits for an operator.
func TestConflictsDie(t *testing.T) {
	bubble(t, intake.Config{}, func(t *testing.T, store rbcs.Store, f *faulty, q *intake.Queue) {
		enqueue(t, q, transfer("x", "bank", "a"))
		f.set(failing(rbcs.IDConflict))
		q.Start()
		time.Sleep(time.Second)
		if e := entry(t, store, "x"); e.State != rbcs.IntakeDead || e.Code != rbcs.IDConflict || e.Attempts != 1 {
			t.Errorf("%+v", e)
		}
	})
}

// TestCrash: a worker claims, posts a part and dies; when its lease ends another
// one finishes, and everything is posted once.
func TestCrash(t *testing.T) {
	bubble(t, intake.Config{Lease: 30 * time.Second}, func(t *testing.T, store rbcs.Store, f *faulty, q *intake.Queue) {
		enqueue(t, q, transfer("1", "bank", "a"), transfer("2", "bank", "a"), transfer("3", "bank", "a"))
		dead, err := store.ClaimIntake(t.Context(), rbcs.IntakeClaim{Claimant: "dead", Lease: 30 * time.Second, Sources: 10, Limit: 10})
		if err != nil || len(dead.Entries) != 3 {
			t.Fatal(dead, err)
		}
		if _, err := f.Submit(t.Context(), []*rbcs.Transaction{&dead.Entries[0].Transaction, &dead.Entries[1].Transaction}); err != nil {
			t.Fatal(err)
		}
		q.Start()
		time.Sleep(25 * time.Second)
		entry(t, store, "3")
		time.Sleep(10 * time.Second)
		a, err := store.Account(t.Context(), "a")
		if err != nil || a.Version != 3 {
			t.Errorf("version %d, %v", a.Version, err)
		}
		last := record(t, store, "1").Sequence
		for _, id := range []string{"2", "3"} {
			if r := record(t, store, id); r.Sequence <= last {
				t.Errorf("%s is out of order", id)
			} else {
				last = r.Sequence
			}
		}
		if stats, ok := q.Stats(); !ok || stats.Queued != 0 {
			t.Errorf("%+v", stats)
		}
	})
}

// TestOverload waits for room in the engine, and counts no attempt.
func TestOverload(t *testing.T) {
	bubble(t, intake.Config{}, func(t *testing.T, store rbcs.Store, f *faulty, q *intake.Queue) {
		for _, code := range []rbcs.Code{rbcs.Overloaded, rbcs.Unavailable} {
			id := string(code)
			f.set(func([]*rbcs.Transaction) ([]rbcs.Result, error) { return nil, rbcs.Errorf(code, "no room") })
			enqueue(t, q, transfer(id, "bank", "a"))
			if code == rbcs.Overloaded {
				q.Start()
			}
			time.Sleep(time.Minute)
			if e := entry(t, store, id); e.State != rbcs.IntakeQueued || e.Attempts != 0 {
				t.Errorf("%s: %+v", code, e)
			}
			if calls := f.reset(); calls > 200 {
				t.Errorf("%s: %d calls in a minute", code, calls)
			}
			f.set(nil)
			time.Sleep(2 * time.Minute)
			record(t, store, id)
			f.reset()
		}
		f.set(func([]*rbcs.Transaction) ([]rbcs.Result, error) { return nil, rbcs.Errorf(rbcs.OutcomeUnknown, "late") })
		enqueue(t, q, transfer("unknown", "bank", "a"))
		time.Sleep(time.Second / 4)
		if e := entry(t, store, "unknown"); e.State != rbcs.IntakeRetrying || e.Code != rbcs.OutcomeUnknown {
			t.Errorf("%+v", e)
		}
		f.set(nil)
		time.Sleep(time.Minute)
		record(t, store, "unknown")
	})
}

// TestEnqueueIsBounded refuses what is too much, and everything once it stops.
func TestEnqueueIsBounded(t *testing.T) {
	bubble(t, intake.Config{MaxEnqueue: 2}, func(t *testing.T, store rbcs.Store, _ *faulty, q *intake.Queue) {
		if results, err := q.Enqueue(t.Context(), nil); err != nil || results != nil {
			t.Error(results, err)
		}
		three := []*rbcs.Transaction{transfer("1", "bank", "a"), transfer("2", "bank", "a"), transfer("3", "bank", "a")}
		if _, err := q.Enqueue(t.Context(), three); rbcs.CodeOf(err) != rbcs.Overloaded {
			t.Error(err)
		}
		if _, err := q.Enqueue(t.Context(), make([]*rbcs.Transaction, 10_001)); rbcs.CodeOf(err) != rbcs.InvalidRequest {
			t.Error(err)
		}
		gone, cancel := context.WithCancel(t.Context())
		cancel()
		_, err := q.Enqueue(gone, three[:1])
		if code := rbcs.CodeOf(err); err != nil && code != rbcs.OutcomeUnknown {
			t.Error(err)
		}
		synctest.Wait()
		entry(t, store, "1") // it was admitted: that retracts nothing
		if err := q.Stop(t.Context()); err != nil {
			t.Error(err)
		}
		if _, err := q.Enqueue(t.Context(), three[:1]); rbcs.CodeOf(err) != rbcs.Unavailable {
			t.Error(err)
		}
	})
}

// slow is a store whose Enqueue takes a minute.
type slow struct{ rbcs.IntakeStore }

func (s slow) Enqueue(ctx context.Context, txs []*rbcs.Transaction) ([]rbcs.IntakeResult, error) {
	time.Sleep(time.Minute)
	return s.IntakeStore.Enqueue(context.WithoutCancel(ctx), txs)
}

// TestEnqueueIsBoundedInBytes: a few large submissions are as much as many small ones.
func TestEnqueueIsBoundedInBytes(t *testing.T) {
	bubble(t, intake.Config{}, func(t *testing.T, store rbcs.Store, f *faulty, _ *intake.Queue) {
		q := intake.New(slow{store}, f, intake.Config{MaxEnqueueBytes: 2500, Logger: quiet})
		large := func(id string) *rbcs.Transaction {
			tx := transfer(id, "bank", "a")
			tx.Description = strings.Repeat("x", 1000)
			return tx
		}
		var first error
		var run sync.WaitGroup
		run.Go(func() { _, first = q.Enqueue(t.Context(), []*rbcs.Transaction{large("1")}) })
		synctest.Wait()
		if _, err := q.Enqueue(t.Context(), []*rbcs.Transaction{large("2")}); rbcs.CodeOf(err) != rbcs.Overloaded {
			t.Error(err)
		}
		run.Wait()
		if first != nil {
			t.Error(first)
		}
		enqueue(t, q, large("2"))
		if err := q.Stop(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

// TestStopLetsGo: what a worker has claimed is free at once when it stops.
func TestStopLetsGo(t *testing.T) {
	bubble(t, intake.Config{}, func(t *testing.T, store rbcs.Store, f *faulty, q *intake.Queue) {
		f.set(func([]*rbcs.Transaction) ([]rbcs.Result, error) { return nil, rbcs.Errorf(rbcs.Overloaded, "no room") })
		enqueue(t, q, transfer("1", "bank", "a"))
		q.Start()
		time.Sleep(time.Second)
		if err := q.Stop(t.Context()); err != nil {
			t.Fatal(err)
		}
		next, err := store.ClaimIntake(t.Context(), rbcs.IntakeClaim{Claimant: "next", Lease: time.Minute, Sources: 1, Limit: 1})
		if err != nil || len(next.Entries) != 1 {
			t.Errorf("%+v, %v", next, err)
		}
	})
}
