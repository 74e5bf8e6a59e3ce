package intake_test

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"rbcs"
	"rbcs/internal/engine"
	"rbcs/internal/intake"
	"rbcs/internal/postgres"
	"rbcs/internal/sqlite"
	"rbcs/internal/testenv"
)

// brittle is a store whose commits fail that have a transaction, until the queue
// has counted one of a commit's transactions as failed.
type brittle struct {
	rbcs.Store
	broken map[string]rbcs.Code // by ID
}

func (b *brittle) Commit(ctx context.Context, txs []*rbcs.Transaction) ([]rbcs.Result, error) {
	var code rbcs.Code
	for _, tx := range txs {
		code = cmp.Or(b.broken[tx.ID], code)
		if e, err := b.Intake(ctx, tx.ID); err == nil && e.Attempts > 0 {
			return b.Store.Commit(ctx, txs)
		}
	}
	if code != "" {
		return nil, rbcs.Errorf(code, "it is broken")
	}
	return b.Store.Commit(ctx, txs)
}

// TestOrderInFailure: whichever commit of a claim fails, the entries of a source
// are decided in their order, and only those that were tried count a failure.
func TestOrderInFailure(t *testing.T) {
	for name, open := range map[string]func(t *testing.T) (rbcs.Store, int){
		"sqlite": func(t *testing.T) (rbcs.Store, int) {
			store, err := sqlite.Open(t.Context(), filepath.Join(t.TempDir(), "test.db"), sqlite.Options{Instance: "one", Logger: quiet})
			if err != nil {
				t.Fatal(err)
			}
			return store, 1
		},
		"postgres": func(t *testing.T) (rbcs.Store, int) {
			dsn := testenv.Postgres(t)
			if err := postgres.Migrate(t.Context(), dsn, postgres.MigrateOptions{Logger: quiet}); err != nil {
				t.Fatal(err)
			}
			store, err := postgres.Open(t.Context(), dsn, postgres.Options{Instance: "one", Logger: quiet})
			if err != nil {
				t.Fatal(err)
			}
			return store, 3
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			store, inFlight := open(t)
			broken := map[string]rbcs.Code{"0-00": rbcs.Unavailable, "1-07": rbcs.OutcomeUnknown, "2-13": rbcs.Internal, "3-29": rbcs.Internal}
			i := newInstance(t, &brittle{store, broken}, "one",
				engine.Config{MaxBatch: 4, InFlight: inFlight, CommitTimeout: 2 * time.Second, Deadline: 2 * time.Second, Logger: quiet},
				intake.Config{Workers: 2, Backoff: 20 * time.Millisecond, Interval: 20 * time.Millisecond})
			i.queue.Start()
			for round, id := range slices.Sorted(maps.Keys(broken)) {
				queueOrdered(t, i, round)
				i.untilEmpty(t)
				checkOrder(t, i, round, id)
			}
		})
	}
}

const (
	ordered        = 30 // entries
	orderedSources = 3
)

// queueOrdered queues entries of some sources in one commit.
func queueOrdered(t *testing.T, i *instance, round int) {
	t.Helper()
	var txs []*rbcs.Transaction
	for k := range orderedSources {
		number := fmt.Sprintf("source:%d:%d", round, k)
		for _, n := range []string{number, "sink"} {
			account := rbcs.NewAccount{Number: n, Currency: rbcs.Currency{Code: "USD", Decimals: 2}, Overdraft: rbcs.Overdraft{Unlimited: true}}
			if _, err := i.store.CreateAccounts(t.Context(), []rbcs.NewAccount{account}); err != nil {
				t.Fatal(err)
			}
		}
	}
	for k := range ordered {
		txs = append(txs, transfer(fmt.Sprintf("%d-%02d", round, k), fmt.Sprintf("source:%d:%d", round, k%orderedSources), "sink"))
	}
	enqueue(t, i.queue, txs...)
}

// checkOrder checks the log, and that of each source at most one entry has failed.
func checkOrder(t *testing.T, i *instance, round int, broken string) {
	t.Helper()
	last, failed := map[string]int64{}, map[string]string{}
	for k := range ordered {
		id := fmt.Sprintf("%d-%02d", round, k)
		r := record(t, i.store, id)
		source := r.Transaction.Source
		if r.Sequence <= last[source] {
			t.Errorf("%s has passed what was accepted before it", id)
		}
		last[source] = r.Sequence
		history, err := i.store.IntakeHistory(t.Context(), id)
		if err != nil {
			t.Fatal(err)
		}
		if len(history) == 0 {
			continue
		}
		if failed[source] != "" {
			t.Errorf("%s counts a failure, and stood behind %s", id, failed[source])
		}
		failed[source] = id
	}
	if failed[record(t, i.store, broken).Transaction.Source] == "" {
		t.Error("nothing has failed: nothing was tested")
	}
}
