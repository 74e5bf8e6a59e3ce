package postgres

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"rbcs"
)

// settings are the statements that set what holds for one transaction. Nothing
// is ever set for a session.
type settings struct {
	begin  string // $1 is the time limit in ms of what follows, $2 the one on being idle
	commit string // takes off what could cancel a COMMIT
}

// Each transaction's own settings. The plans of the few statements leave no
// choice; see doc.go. plan_cache_mode spares planning them each time, with
// arrays of thousands of constants. With jit a plan whose scan is disabled would
// be compiled.
const (
	timeLimits = `set_config('statement_timeout', $1, true), set_config('lock_timeout', $1, true),
	set_config('idle_in_transaction_session_timeout', $2, true)`
	durability  = `set_config('synchronous_commit', case current_setting('synchronous_commit') when 'remote_apply' then 'remote_apply' else 'on' end, true)`
	indexesOnly = `set_config('enable_seqscan', 'off', true), set_config('enable_hashjoin', 'off', true), set_config('enable_mergejoin', 'off', true),
	set_config('jit', 'off', true)`
	genericPlans = `set_config('plan_cache_mode', 'force_generic_plan', true), set_config('enable_bitmapscan', 'off', true)`
)

func settingsFor(serverVersion int) settings {
	s := settings{
		begin:  "select " + timeLimits + ", " + durability + ", " + indexesOnly + ", " + genericPlans,
		commit: "select set_config('statement_timeout', '0', true)",
	}
	if serverVersion >= 170000 {
		s.commit += ", set_config('transaction_timeout', '0', true)"
	}
	return s
}

const (
	// maxIdle bounds how long a transaction of a process that was stopped in its
	// middle holds its locks.
	maxIdle = 10 * time.Second
	// defaultLimit is the time limit of a statement of a caller without a deadline.
	defaultLimit = 30 * time.Second
	// rollbackLimit bounds a rollback; after it the connection is closed instead.
	rollbackLimit = 2 * time.Second
)

// idleLimit is maxIdle as a setting.
var idleLimit = strconv.FormatInt(maxIdle.Milliseconds(), 10)

// limit is the time that is left until the context's deadline, in milliseconds.
func limit(ctx context.Context) string {
	left := defaultLimit
	if deadline, ok := ctx.Deadline(); ok {
		left = max(time.Until(deadline), time.Millisecond)
	}
	return strconv.FormatInt(left.Milliseconds()+1, 10)
}

// transaction is a transaction that writes, on a connection of its own.
type transaction struct {
	store *Store
	conn  *pgxpool.Conn
	ended bool
}

// begin takes a connection. The transaction begins with the batch that
// [transaction.open] makes.
func (s *Store) begin(ctx context.Context) (*transaction, error) {
	conn, err := s.pool.Acquire(ctx)
	if err != nil {
		return nil, failure(err)
	}
	return &transaction{store: s, conn: conn}, nil
}

// open returns a batch that begins the transaction.
func (tx *transaction) open(ctx context.Context) *pgx.Batch {
	return tx.openAs(ctx, "begin isolation level read committed read write")
}

func (tx *transaction) openAs(ctx context.Context, begin string) *pgx.Batch {
	b := &pgx.Batch{}
	b.Queue(begin)
	b.Queue(tx.store.settings.begin, limit(ctx), idleLimit)
	return b
}

// send runs a batch in one round trip.
func (tx *transaction) send(ctx context.Context, b *pgx.Batch) error {
	return tx.conn.SendBatch(ctx, b).Close()
}

// rollback ends the transaction if it has not ended yet, whatever became of the
// caller's context, and gives the connection back. It is to be deferred.
func (tx *transaction) rollback(ctx context.Context) {
	if tx.ended {
		return
	}
	tx.ended = true
	if tx.conn.Conn().PgConn().TxStatus() != 'I' && !tx.conn.Conn().IsClosed() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), rollbackLimit)
		defer cancel()
		// Where this fails the connection is not idle, and Release closes it.
		if _, err := tx.conn.Exec(ctx, "rollback"); err != nil {
			tx.store.log.DebugContext(ctx, "rollback failed", slog.Any("error", err))
		}
	}
	tx.conn.Release()
}

const messageSQL = "select pg_logical_emit_message(true, 'rbcs', '')"

// confirm commits a transaction that has found done what it was to do: a message
// in the WAL makes COMMIT wait until that, and so all that was found, is where a
// commit must be. The one who did it may not have waited to the end.
func (tx *transaction) confirm(ctx context.Context) error {
	b := &pgx.Batch{}
	b.Queue(messageSQL)
	b.Queue(tx.store.settings.commit)
	if err := tx.send(ctx, b); err != nil {
		return failure(err)
	}
	return tx.commit(ctx)
}

// errWarning is a COMMIT that came with a warning: it is done here, but
// possibly not where it should be too.
var errWarning = errors.New("COMMIT came with a warning")

// commit sends COMMIT by itself and waits for the answer, at most until the
// context ends: the answer is then unknown to the caller, while COMMIT goes on
// and the connection returns to the pool once it is answered.
//
// REQUIRES: the last batch took the time limits off ([settings]).
func (tx *transaction) commit(ctx context.Context) error {
	tx.ended = true
	s, w := tx.store, wireOf(tx.conn.Conn().PgConn())
	answer := make(chan error, 1)
	w.warning.Store(nil)
	w.committing.Store(true)
	s.mu.Lock()
	s.committing[w] = struct{}{}
	s.mu.Unlock()
	s.commits.Go(func() {
		// Without the caller's context: pgx would send a cancel request when that ends.
		tag, err := tx.conn.Exec(context.Background(), "commit")
		s.mu.Lock()
		delete(s.committing, w)
		s.mu.Unlock()
		notice := w.warning.Load()
		if !tx.conn.Conn().IsClosed() { // else pgx is about to send a cancel request
			w.committing.Store(false)
		}
		tx.conn.Release()
		answer <- committed(tag, notice, err)
	})
	timer := time.NewTimer(s.commitTimeout)
	defer timer.Stop()
	select {
	case err := <-answer:
		return err
	case <-ctx.Done():
		return commitFailure(ctx.Err())
	case <-timer.C:
		return commitFailure(context.DeadlineExceeded)
	}
}

// committed judges the answer to COMMIT.
func committed(tag pgconn.CommandTag, notice *pgconn.Notice, err error) error {
	switch {
	case err != nil:
		return commitFailure(err)
	case notice != nil:
		return commitFailure(fmt.Errorf("%w: %s (%s)", errWarning, notice.Message, notice.Code))
	case tag.String() != "COMMIT": // an aborted transaction answers ROLLBACK
		return rbcs.Errorf(rbcs.Unavailable, "PostgreSQL answered COMMIT with %s", tag)
	}
	return nil
}

// readSettings hold for one read. Rows come from an index in the order asked for,
// so that a limit bounds what is read: a bitmap would be read whole and sorted.
const readSettings = "select " + timeLimits + ", " + indexesOnly + ", set_config('enable_bitmapscan', 'off', true)"

// rangeSettings are for a range of times in the whole log. Only a bitmap can use
// its index; whether that is worth it depends on the range, so that it is planned each time.
const rangeSettings = "select " + timeLimits + ", " + indexesOnly + ", set_config('plan_cache_mode', 'force_custom_plan', true)"

// read runs one query by itself, in one round trip, and calls scan for its rows.
func (s *Store) read(ctx context.Context, scan func(pgx.Rows) error, sql string, args ...any) error {
	return s.readWith(ctx, readSettings, scan, sql, args...)
}

func (s *Store) readWith(ctx context.Context, settings string, scan func(pgx.Rows) error, sql string, args ...any) error {
	b := &pgx.Batch{}
	// A batch is one transaction, so that the settings hold for it alone.
	b.Queue(settings, limit(ctx), idleLimit)
	b.Queue(sql, args...).Query(scan)
	return s.sendRead(ctx, b)
}

// sendRead runs a batch of a read in one round trip.
func (s *Store) sendRead(ctx context.Context, b *pgx.Batch) error {
	done, err := s.reading(ctx)
	if err != nil {
		return err
	}
	defer done()
	if err := s.pool.SendBatch(ctx, b).Close(); err != nil {
		return failure(err)
	}
	return nil
}

// reading waits for a connection to be free for a read: reads never take all, so
// that however slow they are a commit finds one. done is to be called at its end.
func (s *Store) reading(ctx context.Context) (done func(), err error) {
	select {
	case s.reads <- struct{}{}:
		return func() { <-s.reads }, nil
	case <-ctx.Done():
		return nil, failure(ctx.Err())
	}
}
