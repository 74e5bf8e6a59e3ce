package intake_test

import (
	"flag"
	"fmt"
	"log/slog"
	"testing"
	"time"

	"rbcs"
	"rbcs/internal/engine"
	"rbcs/internal/intake"
	"rbcs/internal/postgres"
	"rbcs/internal/testenv"
)

var entries = flag.Int("intake.entries", 5_000, "how many transactions TestDrain queues; 100000 measures")

// TestDrain queues many transactions on PostgreSQL, half of them of one busy
// source, while nobody works, and then has two instances drain the queue.
func TestDrain(t *testing.T) {
	ctx, dsn := t.Context(), testenv.Postgres(t)
	quiet := slog.New(slog.DiscardHandler)
	if err := postgres.Migrate(ctx, dsn, postgres.MigrateOptions{Logger: quiet}); err != nil {
		t.Fatal(err)
	}
	first := openInstance(t, dsn, "one")
	const accounts = 1000
	numbers := make([]rbcs.NewAccount, accounts)
	for i := range numbers {
		numbers[i] = rbcs.NewAccount{Number: fmt.Sprint("a:", i), Currency: rbcs.Currency{Code: "USD", Decimals: 2}, Overdraft: rbcs.Overdraft{Unlimited: true}}
	}
	if _, err := first.store.CreateAccounts(ctx, numbers); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	for from := 0; from < *entries; from += 5000 {
		var txs []*rbcs.Transaction
		for i := from; i < min(from+5000, *entries); i++ {
			source := 0
			if i%2 == 0 {
				source = 1 + i/2%(accounts-1)
			}
			txs = append(txs, transfer(fmt.Sprintf("t-%08d", i), fmt.Sprint("a:", source), fmt.Sprint("a:", (source+7)%accounts)))
		}
		results, err := first.queue.Enqueue(ctx, txs)
		if err != nil || results[0].Entry == nil {
			t.Fatalf("%v, %+v", err, results)
		}
	}
	queued := time.Since(began)
	second := openInstance(t, dsn, "two")
	began = time.Now()
	first.queue.Start()
	second.queue.Start()
	first.untilEmpty(t)
	drained := time.Since(began)
	rate := func(d time.Duration) float64 { return float64(*entries) / d.Seconds() }
	t.Logf("%d transactions: queued %.0f/s, drained %.0f/s", *entries, rate(queued), rate(drained))
	var posted int64
	for i := range accounts {
		a, err := first.store.Account(ctx, fmt.Sprint("a:", i))
		if err != nil {
			t.Fatal(err)
		}
		posted += a.Version
	}
	if posted != 2*int64(*entries) {
		t.Errorf("the accounts changed %d times, want %d", posted, 2**entries)
	}
	last := int64(0)
	for i := 1; i < *entries; i += 2 * max(1, *entries/2000) {
		r, err := first.store.Transaction(ctx, fmt.Sprintf("t-%08d", i))
		if err != nil || r.Sequence <= last {
			t.Fatalf("%d: sequence %d after %d, error %v", i, r.Sequence, last, err)
		}
		last = r.Sequence
	}
}

// instance is a store, an engine and a queue that is not started.
type instance struct {
	store  rbcs.Store
	engine *engine.Engine
	queue  *intake.Queue
}

func openInstance(t *testing.T, dsn, name string) *instance {
	t.Helper()
	quiet := slog.New(slog.DiscardHandler)
	store, err := postgres.Open(t.Context(), dsn, postgres.Options{Instance: name, Logger: quiet})
	if err != nil {
		t.Fatal(err)
	}
	return newInstance(t, store, name, engine.Config{InFlight: 4, Logger: quiet}, intake.Config{})
}
