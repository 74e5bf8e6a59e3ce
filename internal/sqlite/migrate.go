package sqlite

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"io/fs"

	"github.com/pressly/goose/v3"
	driver "modernc.org/sqlite" // goose uses it; it also prepares SQLite itself

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
		if ctx.Err() != nil {
			return ended(ctx)
		}
		if cause, ok := errors.AsType[*driver.Error](err); ok {
			return faultOf(cause.Code(), err.Error())
		}
		return failure(rbcs.Internal, err, "the schema could not be brought up to date")
	}
	return nil
}

func migrations(uri string) (*goose.Provider, *sql.DB, error) {
	db, err := sql.Open("sqlite", uri)
	if err != nil {
		return nil, nil, cannotOpen(err)
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
	return nil, nil, failure(rbcs.Internal, err, "the migrations of this program cannot be read")
}

// latestMigration is the number of the schema that this program is for.
func latestMigration() int64 {
	files, _ := fs.Glob(embedded, "migrations/*.sql") // the pattern is good
	version, _ := goose.NumericComponent(files[len(files)-1])
	return version
}

// selectTables counts what the file has beside goose's table of versions, and
// which of the tables are there that every version of the schema has.
const selectTables = `SELECT count(*) FILTER (WHERE name NOT LIKE 'goose%' AND name NOT LIKE 'sqlite%'),
	count(*) FILTER (WHERE name IN ('goose_db_version', 'transactions', 'account_changes', 'standing'))
	FROM sqlite_schema`

// checkOwner refuses a file that something else than rbcs has written. Nothing is
// in it where not even a first migration has come to its end.
func (c *conn) checkOwner() (empty bool, err error) {
	s, err := c.stmt(selectTables)
	if err != nil {
		return false, err
	}
	var others, own int64
	if s.next() {
		others, own = s.intAt(0), s.intAt(1)
	}
	err = s.done()
	if err == nil && others > 0 && own < 4 {
		err = failure(rbcs.InvalidRequest, nil, "the file is not a database of rbcs; name another file")
	}
	return others == 0, err
}

// refuseForeign is checkOwner before anything is changed in the file.
func (s *Store) refuseForeign() error {
	c, err := openConn(s.uri, readerPragmas...)
	if err != nil {
		return err
	}
	defer c.close()
	_, err = c.checkOwner()
	return err
}

// checkSchema refuses a file with another schema than this program's.
func (c *conn) checkSchema() error {
	switch empty, err := c.checkOwner(); {
	case err != nil:
		return err
	case empty:
		return failure(rbcs.InvalidRequest, nil, "the file is empty; name another file, or run: rbcs migrate")
	}
	s, err := c.stmt("SELECT max(version_id) FROM goose_db_version WHERE is_applied = 1")
	if err != nil {
		return err
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
		return rbcs.Errorf(rbcs.InvalidRequest, "the schema has version %d and this program needs %d; run: rbcs migrate", version, latest)
	case version > latest:
		return rbcs.Errorf(rbcs.InvalidRequest, "the schema has version %d and this program knows %d; use a newer rbcs", version, latest)
	}
	return nil
}
