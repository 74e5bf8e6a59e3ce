package postgres

import (
	"context"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"
)

// TestMigrationLetsOthersPass has a dump read the queue while its table is to be
// changed: who uses the table goes on, and the change is made after the dump.
func TestMigrationLetsOthersPass(t *testing.T) {
	dsn := migrated(t)
	conn, dump, watcher := connect(t, dsn), connect(t, dsn), connect(t, dsn)
	execute(t, conn, "drop schema public cascade")
	execute(t, conn, "create schema public")
	db := stdlib.OpenDB(*conn.Config())
	defer func() { _ = db.Close() }()
	before, err := goose.NewProvider(goose.DialectPostgres, db, migrations, goose.WithDisableGlobalRegistry(true))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := before.UpTo(t.Context(), 3); err != nil {
		t.Fatal(err)
	}
	execute(t, dump, "begin")
	execute(t, dump, "select from intake")
	done := make(chan error, 1)
	go func() { done <- Migrate(t.Context(), dsn, MigrateOptions{Logger: quiet}) }()
	eventually(t, watcher, "select count(*) = 1 "+lockWaiting)
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	if _, err := conn.Exec(ctx, "select from intake"); err != nil {
		t.Errorf("who uses the table waits for the dump: %v", err)
	}
	execute(t, dump, "commit")
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	everything(t, openStore(t, dsn))
}
