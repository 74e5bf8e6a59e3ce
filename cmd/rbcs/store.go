package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"regexp"
	"strings"

	"rbcs"
	"rbcs/internal/postgres"
	"rbcs/internal/sqlite"
)

// StoreName is a value of --store: sqlite:FILE or postgres://….
type StoreName string

// UnmarshalText refuses what names no store, before anything is opened.
func (s *StoreName) UnmarshalText(text []byte) error {
	name := string(text)
	if path, ok := strings.CutPrefix(name, "sqlite:"); ok && path == "" {
		return errors.New("the file is missing: write sqlite:FILE")
	}
	if !strings.HasPrefix(name, "sqlite:") && !StoreName(name).Postgres() {
		return fmt.Errorf("%q names no store: write sqlite:FILE or postgres://USER@HOST/DATABASE", redact(name))
	}
	if before, _, _ := strings.Cut(name, "?"); StoreName(name).Postgres() && strings.Count(before, "@") > 1 {
		return errors.New("a @ inside a password is written %40 in a URL") // or half of it would be taken for the host, and printed
	}
	*s = StoreName(name)
	return nil
}

// Postgres reports whether the store is on PostgreSQL.
func (s StoreName) Postgres() bool {
	return strings.HasPrefix(string(s), "postgres://") || strings.HasPrefix(string(s), "postgresql://")
}

// Path returns the file of a store on SQLite.
func (s StoreName) Path() string { return strings.TrimPrefix(string(s), "sqlite:") }

// String returns the name without its password.
func (s StoreName) String() string { return redact(string(s)) }

// storeOptions says how a store is opened.
type storeOptions struct {
	instance string // what is recorded with every commit
	readOnly bool   // on SQLite: beside a service that has the file open
	access   StoreAccess
	migrate  bool // on PostgreSQL: bring the schema up to date first
	inFlight int  // commits at a time
	logger   *slog.Logger
}

// openStore opens what --store names.
func openStore(ctx context.Context, name StoreName, o storeOptions) (rbcs.Store, error) {
	store, err := openNamed(ctx, name, o)
	if err != nil {
		return nil, storeError(name, err)
	}
	return store, nil
}

// storeError says which store an error is about. Where the command must be
// another one, or another command comes first, it is wrong usage.
func storeError(name StoreName, err error) error {
	if e, ok := errors.AsType[*rbcs.Error](err); ok && e.Code == rbcs.InvalidRequest {
		return usagef("--store %s: %s", name, e.Message)
	}
	return fmt.Errorf("--store %s: %w", name, err)
}

func openNamed(ctx context.Context, name StoreName, o storeOptions) (rbcs.Store, error) {
	access, err := o.access.of(ctx, name)
	if err != nil {
		return nil, err
	}
	if !name.Postgres() {
		if _, err := os.Stat(name.Path()); o.readOnly && errors.Is(err, fs.ErrNotExist) {
			return nil, errors.New("there is no such file; name the one that rbcs serve writes")
		}
		return sqlite.Open(ctx, name.Path(), sqlite.Options{Instance: o.instance, Logger: o.logger, ReadOnly: o.readOnly})
	}
	if o.migrate {
		if err := postgres.Migrate(ctx, string(name), postgres.MigrateOptions{Access: access, Logger: o.logger}); err != nil {
			return nil, err
		}
	}
	opts := postgres.Options{Instance: o.instance, Access: access, Logger: o.logger}
	if !strings.Contains(string(name), "pool_max_conns") {
		opts.MaxConns = 2 * int32(max(o.inFlight, readConns)) // reads take at most half of them
	}
	return postgres.Open(ctx, string(name), opts)
}

// readConns is how many connections reads have beside those of the commits.
const readConns = 6

// secrets matches passwords in URLs and in key=value connection strings.
var secrets = regexp.MustCompile(`(://[^/?#@\s:]*:)\S*@|\b((?:ssl|sentinel_)?password=)('[^']*'|[^\s&"']*)`)

// redact removes passwords from a text that is to be printed.
func redact(s string) string {
	return secrets.ReplaceAllStringFunc(s, func(match string) string {
		if strings.HasSuffix(match, "@") {
			user, _, _ := strings.Cut(match[len("://"):], ":")
			return "://" + user + ":xxxxx@"
		}
		key, _, _ := strings.Cut(match, "=")
		return key + "=xxxxx"
	})
}
