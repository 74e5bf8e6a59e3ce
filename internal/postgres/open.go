package postgres

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"rbcs"
)

// Options are what [Open] needs beside the DSN. Zero values mean the defaults.
type Options struct {
	Instance      string        // recorded with every decision as who committed it
	Logger        *slog.Logger  // default: slog.Default()
	MaxConns      int32         // of the pool; default 10, or pool_max_conns of the DSN. Reads take at most half of them
	Access        Access        // how connections prove who they are, beside the DSN
	CommitTimeout time.Duration // how long the answer to COMMIT is waited for, where the caller's deadline is not earlier; default 30 s
}

const (
	defaultMaxConns      = 10
	defaultCommitTimeout = 30 * time.Second
	oldestServer         = 140000
)

// Store is an [rbcs.Store] on PostgreSQL.
type Store struct {
	pool     *pgxpool.Pool
	control  *pgxpool.Pool // for cache_control alone; it connects when it is needed
	links    *links
	instance string
	log      *slog.Logger
	settings settings
	frontier frontier
	declared atomic.Pointer[declaration] // of a cache, as last seen; nil before the first look
	reads    chan struct{}               // has one for each read under way

	commitTimeout time.Duration
	mu            sync.Mutex
	committing    map[*wire]struct{} // those whose COMMIT is not answered yet
	commits       sync.WaitGroup     // of their goroutines
}

var (
	_ rbcs.Store           = (*Store)(nil)
	_ rbcs.FencedCommitter = (*Store)(nil)
	_ rbcs.CacheControl    = (*Store)(nil)
	_ rbcs.BalanceReader   = (*Store)(nil)
)

// controlConns lets a look pass while a commit turns the cache off.
const controlConns = 2

// Open connects to a database whose schema is the one that this program was
// built with. It refuses a server that may lose what it has committed.
func Open(ctx context.Context, dsn string, opts Options) (*Store, error) {
	config, err := parse(dsn)
	if err != nil {
		return nil, err
	}
	switch {
	case opts.MaxConns > 0:
		config.MaxConns = opts.MaxConns
	case !strings.Contains(dsn, "pool_max_conns"):
		config.MaxConns = defaultMaxConns
	}
	links := &links{access: access{Access: opts.Access}}
	if err := links.access.check(config.ConnConfig); err != nil {
		return nil, err
	}
	links.attach(config, dsn)
	pool, err := pgxpool.NewWithConfig(ctx, config)
	if err != nil {
		return nil, setUpFailure("opening the store", err)
	}
	few := config.Copy()
	few.MaxConns, few.MinConns, few.MinIdleConns = controlConns, 0, 0
	control, err := pgxpool.NewWithConfig(ctx, few)
	if err != nil {
		pool.Close()
		return nil, setUpFailure("opening the store", err)
	}
	links.watch(pool, control)
	s := &Store{
		pool:          pool,
		links:         links,
		control:       control,
		instance:      opts.Instance,
		log:           opts.Logger,
		reads:         make(chan struct{}, max(1, config.MaxConns/2)),
		commitTimeout: opts.CommitTimeout,
		committing:    map[*wire]struct{}{},
	}
	if s.log == nil {
		s.log = slog.Default()
	}
	if s.commitTimeout <= 0 {
		s.commitTimeout = defaultCommitTimeout
	}
	if err := s.inspect(ctx); err != nil {
		pool.Close()
		control.Close()
		return nil, err
	}
	if links.pooled.Load() {
		s.log.InfoContext(ctx, "a pooler stands before PostgreSQL: no statement is kept prepared; if it knows prepared statements, default_query_exec_mode=cache_statement in the DSN saves time")
	}
	return s, nil
}

// wantPrimary has several hosts of a DSN tried until one accepts writes, and a
// single one refused that does not.
func wantPrimary(conn *pgx.ConnConfig, dsn string) {
	if conn.ValidateConnect == nil && !strings.Contains(dsn, "target_session_attrs") && os.Getenv("PGTARGETSESSIONATTRS") == "" {
		conn.ValidateConnect = pgconn.ValidateConnectTargetSessionAttrsReadWrite
	}
}

// parse reads a DSN and makes it one without session state.
func parse(dsn string) (*pgxpool.Config, error) {
	config, err := pgxpool.ParseConfig(dsn)
	if err != nil {
		return nil, rbcs.Errorf(rbcs.InvalidRequest, "the store's DSN is not valid: %w", err)
	}
	conn := config.ConnConfig
	for name := range conn.RuntimeParams {
		if name != "application_name" {
			return nil, rbcs.Errorf(rbcs.InvalidRequest,
				"the store's DSN sets %s: poolers refuse start-up parameters; set it on the role (alter role … set %s = …)", name, name)
		}
	}
	conn.RuntimeParams = nil
	switch conn.DefaultQueryExecMode {
	case pgx.QueryExecModeExec, pgx.QueryExecModeSimpleProtocol:
		return nil, rbcs.Errorf(rbcs.InvalidRequest,
			"the store's DSN sets default_query_exec_mode=%s, which does not know the parameters' types; for a pooler without prepared statements write cache_describe", conn.DefaultQueryExecMode)
	}
	wantPrimary(conn, dsn)
	return config, nil
}

const inspectSQL = `
select current_setting('server_version_num')::int, current_setting('fsync')::bool, current_setting('full_page_writes')::bool,
	current_setting('server_version')`

// inspect refuses a server that is too old or not durable, and a schema that is not this program's.
func (s *Store) inspect(ctx context.Context) error {
	var number int
	var fsync, fullPageWrites bool
	var version string
	if err := s.pool.QueryRow(ctx, inspectSQL).Scan(&number, &fsync, &fullPageWrites, &version); err != nil {
		return setUpFailure("opening the store", err)
	}
	switch {
	case number < oldestServer:
		return rbcs.Errorf(rbcs.Internal, "the server is PostgreSQL %s; 14 is the oldest that is supported", version)
	case !fsync:
		return rbcs.Errorf(rbcs.Internal, "the server runs with fsync=off and would lose money in a crash; set fsync=on")
	case !fullPageWrites:
		return rbcs.Errorf(rbcs.Internal, "the server runs with full_page_writes=off and would lose money in a crash; set full_page_writes=on")
	}
	s.settings = settingsFor(number)
	return s.checkSchema(ctx)
}

const schemaSQL = `select coalesce(max(version_id), 0) from goose_db_version where is_applied`

func (s *Store) checkSchema(ctx context.Context) error {
	var have int64
	err := s.pool.QueryRow(ctx, schemaSQL).Scan(&have)
	var pg *pgconn.PgError
	if errors.As(err, &pg) && pg.Code == "42P01" { // undefined_table: nothing was ever migrated
		have, err = 0, nil
	}
	if err != nil {
		return setUpFailure("reading the schema's version", err)
	}
	return fits(have)
}

// fits fails where the database's schema is not the one that this program knows.
func fits(have int64) error {
	want, err := schemaVersion()
	switch {
	case err != nil:
		return err
	case have < want:
		return rbcs.Errorf(rbcs.InvalidRequest, "the database has schema version %d, and this program needs %d: run rbcs migrate --store …", have, want)
	case have > want:
		return rbcs.Errorf(rbcs.InvalidRequest,
			"the database has schema version %d, and this program knows only %d: a newer rbcs migrate --store … has been there; run that version", have, want)
	}
	return nil
}

const (
	readOnlySQL = `(pg_is_in_recovery() or current_setting('transaction_read_only')::bool)`
	checkSQL    = "select " + readOnlySQL
)

// Check implements [rbcs.Store].
func (s *Store) Check(ctx context.Context) error {
	var readOnly bool
	if err := s.pool.QueryRow(ctx, checkSQL).Scan(&readOnly); err != nil {
		return failure(err)
	}
	if readOnly {
		return s.standby()
	}
	return nil
}

// standby is the answer of a server that was the primary when the connection was
// made: all of them are given up.
func (s *Store) standby() *rbcs.Error {
	s.links.renew()
	return &rbcs.Error{Code: rbcs.Unavailable, Message: "the server is a standby or read-only", Away: true}
}

// Close implements [rbcs.Store]. A COMMIT whose answer nobody waits for any more
// gets the commit time limit to be answered; then its socket is closed, which
// leaves the backend alone.
func (s *Store) Close() error {
	done := make(chan struct{})
	go func() {
		s.commits.Wait()
		close(done)
	}()
	select {
	case <-done:
	case <-time.After(s.commitTimeout):
		s.closeCommitting()
	}
	s.pool.Close()
	s.control.Close()
	return nil
}

func (s *Store) closeCommitting() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for w := range s.committing {
		if err := w.Close(); err != nil {
			s.log.Warn("closing a connection whose COMMIT is not answered failed", slog.Any("error", err))
		}
	}
}
