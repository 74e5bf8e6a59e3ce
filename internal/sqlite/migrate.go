package sqlite

import (
	"context"
	"database/sql"
	"embed"
	"io/fs"

	"github.com/pressly/goose/v3"
	_ "modernc.org/sqlite" // the driver that goose uses; it also prepares SQLite itself

	"rbcs"
)

//go:embed migrations/*.sql
var embedded embed.FS

// migrate brings the file's schema up to date, creating the file where there is none.
func migrate(ctx context.Context, uri string) error {
	provider, db, err := migrations(uri + "?_pragma=busy_timeout(5000)&_pragma=journal_mode(WAL)&_pragma=synchronous(FULL)")
	if err != nil {
		return err
	}
	defer func() { _ = db.Close() }() // everything is committed
	if _, err := provider.Up(ctx); err != nil {
		return rbcs.Errorf(rbcs.Internal, "bring the schema up to date: %w", err)
	}
	return nil
}

func migrations(uri string) (*goose.Provider, *sql.DB, error) {
	db, err := sql.Open("sqlite", uri)
	if err != nil {
		return nil, nil, rbcs.Errorf(rbcs.Unavailable, "open the database file: %w", err)
	}
	db.SetMaxOpenConns(1)
	files, err := fs.Sub(embedded, "migrations")
	if err == nil {
		var provider *goose.Provider
		if provider, err = goose.NewProvider(goose.DialectSQLite3, db, files); err == nil {
			return provider, db, nil
		}
	}
	_ = db.Close() // nothing was done with it
	return nil, nil, rbcs.Errorf(rbcs.Internal, "read the migrations: %w", err)
}

// latestMigration is the number of the schema that this program is for.
func latestMigration() int64 {
	files, _ := fs.Glob(embedded, "migrations/*.sql") // the pattern is good
	version, _ := goose.NumericComponent(files[len(files)-1])
	return version
}

// checkSchema refuses a file with another schema than this program's.
func (c *conn) checkSchema() error {
	s, err := c.stmt("SELECT max(version_id) FROM goose_db_version WHERE is_applied = 1")
	if err != nil {
		return rbcs.Errorf(rbcs.Internal, "the file is not a database of rbcs: %w", err)
	}
	var version int64
	if s.next() {
		version = s.intAt(0)
	}
	if err := s.done(); err != nil {
		return err
	}
	switch latest := latestMigration(); {
	case version < latest:
		return rbcs.Errorf(rbcs.Internal, "the schema has version %d and this program needs %d; run: rbcs migrate", version, latest)
	case version > latest:
		return rbcs.Errorf(rbcs.Internal, "the schema has version %d and this program knows %d; use a newer rbcs", version, latest)
	}
	return nil
}
