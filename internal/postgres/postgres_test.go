package postgres

import (
	"context"
	"log/slog"
	"testing"

	"rbcs"
	"rbcs/internal/storetest"
	"rbcs/internal/testenv"
)

var quiet = slog.New(slog.DiscardHandler)

// migrated returns the DSN of a fresh database with the schema.
func migrated(t testing.TB) string {
	t.Helper()
	dsn := testenv.Postgres(t)
	if err := Migrate(t.Context(), dsn, MigrateOptions{Logger: quiet}); err != nil {
		t.Fatal(err)
	}
	return dsn
}

// openStore opens a store that is closed with the test.
func openStore(t testing.TB, dsn string) *Store {
	t.Helper()
	return openAs(t, dsn, Options{Instance: "test", Logger: quiet})
}

func openAs(t testing.TB, dsn string, opts Options) *Store {
	t.Helper()
	s, err := Open(context.Background(), dsn, opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func TestConformance(t *testing.T) {
	storetest.Run(t, func(t *testing.T) rbcs.Store { return openStore(t, migrated(t)) })
}

func TestConformanceOfTwoInstances(t *testing.T) {
	storetest.RunShared(t, func(t *testing.T) (a, b rbcs.Store) {
		dsn := migrated(t)
		return openStore(t, dsn), openStore(t, dsn)
	})
}

// TestConformanceThroughPooler runs the suite through a transaction-mode
// PgBouncer without prepared statements.
func TestConformanceThroughPooler(t *testing.T) {
	storetest.Run(t, func(t *testing.T) rbcs.Store { return openStore(t, testenv.PgBouncer(t, migrated(t))) })
}
