package postgres

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/lock"

	"rbcs"
)

//go:embed migrations/*.sql
var embedded embed.FS

// migrations are the embedded files, numbered from 1.
var migrations = func() fs.FS {
	sub, err := fs.Sub(embedded, "migrations")
	if err != nil {
		panic(err) // the folder is embedded
	}
	return sub
}()

// MigrateOptions are what [Migrate] needs beside the DSN.
type MigrateOptions struct {
	// ServiceRole, where it is set, is granted what the service needs and no
	// more: in particular neither UPDATE nor DELETE on the log.
	ServiceRole string
	Access      Access       // how connections prove who they are, beside the DSN
	Logger      *slog.Logger // default: slog.Default()
}

// Migrate brings the database's schema up to date. Several instances may call it
// at once: a session lock lets one of them work while the others wait. For that
// lock the DSN must lead to the server directly, not through a pooler.
func Migrate(ctx context.Context, dsn string, opts MigrateOptions) error {
	config, err := pgx.ParseConfig(dsn)
	if err != nil {
		return rbcs.Errorf(rbcs.InvalidRequest, "the store's DSN is not valid: %w", err)
	}
	wantPrimary(config, dsn)
	access := &access{Access: opts.Access}
	if err := access.check(config); err != nil {
		return err
	}
	db := stdlib.OpenDB(*config, stdlib.OptionBeforeConnect(access.prove))
	err = migrate(ctx, db, opts)
	return errors.Join(err, db.Close())
}

func migrate(ctx context.Context, db *sql.DB, opts MigrateOptions) error {
	locker, err := lock.NewPostgresSessionLocker(lock.WithLockTimeout(1, 300), lock.WithUnlockTimeout(1, 60)) // tries every second
	if err != nil {
		return rbcs.Errorf(rbcs.Internal, "migrate: %w", err)
	}
	provider, err := goose.NewProvider(goose.DialectPostgres, db, migrations, goose.WithSessionLocker(locker), goose.WithDisableGlobalRegistry(true))
	if err != nil {
		return rbcs.Errorf(rbcs.Internal, "migrate: %w", err)
	}
	results, err := up(ctx, provider)
	if err != nil {
		return setUpFailure("migrating the schema", err)
	}
	log := opts.Logger
	if log == nil {
		log = slog.Default()
	}
	for _, r := range results {
		log.InfoContext(ctx, "migrated the schema", slog.String("file", r.Source.Path), slog.Duration("duration", r.Duration))
	}
	have, err := provider.GetDBVersion(ctx)
	if err != nil {
		return setUpFailure("reading the schema's version", err)
	}
	if err := fits(have); err != nil {
		return err
	}
	if opts.ServiceRole == "" {
		return nil
	}
	if _, err := db.ExecContext(ctx, grants(opts.ServiceRole)); err != nil {
		return setUpFailure("granting to the role "+opts.ServiceRole+" what the service needs", err)
	}
	return nil
}

// A migration that changes a table in use waits for it only a moment, since all
// that use it wait behind it meanwhile; then it lets them go on and tries again.
// Who still holds the table after five minutes is to be looked at by a person.
const (
	tryAgain = 2 * time.Second
	tries    = 100
)

// up applies what is missing, and returns what it applied.
func up(ctx context.Context, provider *goose.Provider) (applied []*goose.MigrationResult, err error) {
	for range tries {
		var results []*goose.MigrationResult
		results, err = provider.Up(ctx)
		if part, ok := errors.AsType[*goose.PartialError](err); ok {
			results = part.Applied
		}
		applied = append(applied, results...)
		if pg, ok := errors.AsType[*pgconn.PgError](err); !ok || pg.Code != "55P03" { // lock_not_available
			return applied, err
		}
		select {
		case <-time.After(tryAgain):
		case <-ctx.Done():
			return applied, err
		}
	}
	return applied, fmt.Errorf("a transaction that has read the table, such as a dump, does not end; look for it in pg_stat_activity: %w", err)
}

// grants returns the statements that give a role what the service needs.
func grants(role string) string {
	return strings.ReplaceAll(`
grant select on goose_db_version to ROLE;
grant select, insert on currencies, accounts, account_changes, transactions to ROLE;
grant update (status, overdraft, balance, held, received, sent, version, metadata, updated_at) on accounts to ROLE;
grant select, insert, delete on open_holds to ROLE;
grant select, insert, update, delete on webhooks, intake, intake_sources to ROLE;
grant select, insert on intake_events to ROLE;
grant select, usage on sequence intake_positions to ROLE;
grant select, update on cache_control to ROLE;
grant select, usage on sequence transactions_sequence to ROLE`, "ROLE", pgx.Identifier{role}.Sanitize())
}

// schemaVersion is the number of the newest embedded migration.
func schemaVersion() (newest int64, err error) {
	files, err := fs.Glob(migrations, "*.sql")
	if err != nil {
		return 0, fmt.Errorf("postgres: %w", err)
	}
	for _, file := range files {
		number, err := goose.NumericComponent(file)
		if err != nil {
			return 0, fmt.Errorf("postgres: %w", err)
		}
		newest = max(newest, number)
	}
	return newest, nil
}
