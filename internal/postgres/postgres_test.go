package postgres

import (
	"context"
	"log/slog"
	"testing"

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

// migratedServer starts a server of the test's own, with the schema.
func migratedServer(t testing.TB, settings ...string) *testenv.Server {
	t.Helper()
	server := testenv.PostgresServer(t, settings...)
	if err := Migrate(t.Context(), server.URL, MigrateOptions{Logger: quiet}); err != nil {
		t.Fatal(err)
	}
	return server
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
