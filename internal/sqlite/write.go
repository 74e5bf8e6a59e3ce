package sqlite

import (
	"context"
	"errors"
	"time"

	lib "modernc.org/sqlite/lib"

	"rbcs"
)

// The pragmas of the writer.
//
// The cache holds what batches touch again and again: the accounts and the inner
// pages of the indexes. The WAL goes into the file once it has 64 MB: a page that
// many batches write, as those of busy accounts are, is copied once then. It is
// cut back to that size, should a long reader have kept it longer.
var writerPragmas = []string{
	"busy_timeout = 5000",
	"synchronous = FULL",
	"foreign_keys = 0",
	"temp_store = memory",
	"cache_size = -65536",
	"wal_autocheckpoint = 16384",
	"journal_size_limit = 67108864",
}

// writer is the one connection that writes.
type writer struct {
	*conn
	instance     int64 // the key of instanceName
	instanceName string
	floor        int64 // a read has been told that no later commit is before it
}

func newWriter(uri, instance string) (*writer, error) {
	c, err := openConn(uri, writerPragmas...)
	if err != nil {
		return nil, err
	}
	w := &writer{conn: c, instanceName: instance}
	if err := w.prepare(); err != nil {
		c.close()
		return nil, err
	}
	return w, nil
}

// prepare checks that a commit is durable, and who commits.
func (w *writer) prepare() error {
	if err := w.checkSchema(); err != nil {
		return err
	}
	for _, must := range []struct{ pragma, value, why string }{
		{"journal_mode", "wal", "readers would block the writer"},
		{"synchronous", "2", "a commit could be lost"},
	} {
		value, err := w.queryText("PRAGMA " + must.pragma)
		if err != nil {
			return err
		}
		if value != must.value {
			return rbcs.Errorf(rbcs.Internal, "SQLite has %s %s instead of %s: %s", must.pragma, value, must.value, must.why)
		}
	}
	return w.loadInstance()
}

func (c *conn) queryText(sql string) (value string, err error) {
	s, err := c.stmt(sql)
	if err != nil {
		return "", err
	}
	if s.next() {
		value = s.textAt(0)
	}
	return value, s.done()
}

// lastTime reads the latest time that was written: no clock that was set back,
// and no restart, makes a later commit look earlier.
func (c *conn) lastTime() (last int64, err error) {
	s, err := c.stmt(`SELECT max(
		coalesce((SELECT committed_at FROM transactions ORDER BY sequence DESC LIMIT 1), 0),
		coalesce((SELECT at FROM account_changes ORDER BY key DESC LIMIT 1), 0))`)
	if err != nil {
		return 0, err
	}
	if s.next() {
		last = s.intAt(0)
	}
	return last, s.done()
}

func (w *writer) loadInstance() error {
	s, err := w.stmt("INSERT INTO instances (name) VALUES (?) ON CONFLICT DO NOTHING")
	if err != nil {
		return err
	}
	if err := s.bind(w.instanceName).run(); err != nil {
		return err
	}
	if s, err = w.stmt("SELECT key FROM instances WHERE name = ?"); err != nil {
		return err
	}
	if s.bind(w.instanceName).next() {
		w.instance = s.intAt(0)
	}
	return s.done()
}

// clock is the database's time: the clock's, unless that was set back behind what
// is written.
func (s *Store) clock() time.Time {
	return timeOf(max(micros(s.now()), s.last.Load()))
}

// stamp returns the time of a commit. REQUIRES: the caller has the writer.
func (s *Store) stamp(w *writer) time.Time {
	now := max(micros(s.clock()), w.floor)
	s.last.Store(now)
	return timeOf(now)
}

// settle makes sure that what was committed before limit stays as it is, and
// returns limit, or the clock's time where that is earlier. A commit has its time
// before readers see it: settle waits for the one on its way, and no later one
// falls before limit. A file that was opened for reading only has no writer to wait for.
func (s *Store) settle(ctx context.Context, limit time.Time) (time.Time, error) {
	if !s.writable || microsUp(limit) <= s.last.Load() { // what is on its way, and all to come, is not before last
		return limit, nil
	}
	w, err := s.take(ctx)
	if err != nil {
		return limit, err
	}
	defer func() { s.writer <- w }()
	if end := s.clock().Add(time.Microsecond); end.Before(limit) { // the clock's own microsecond has passed with it
		limit = end
	}
	w.floor = max(w.floor, microsUp(limit))
	return limit, nil
}

// take waits for the writer; who has it gives it back to s.writer.
func (s *Store) take(ctx context.Context) (*writer, error) {
	if err := s.usable(ctx); err != nil {
		return nil, err
	}
	select {
	case w := <-s.writer:
		return w, nil
	case <-s.closed:
		return nil, s.usable(ctx)
	case <-ctx.Done():
		return nil, ended(ctx)
	}
}

// withWrite runs f in the one transaction that writes, and commits it. Once f
// has begun, the end of ctx changes nothing: half a commit is of no use to anybody.
// An error of f rolls back and is returned as it is.
func (s *Store) withWrite(ctx context.Context, f func(w *writer, now time.Time) error) error {
	if err := s.usable(ctx); err != nil {
		return err
	}
	if !s.writable {
		return failure(rbcs.Internal, nil, "the database file was opened for reading only")
	}
	w, err := s.take(ctx)
	if err != nil {
		return err
	}
	defer func() { s.writer <- w }()
	if w.inTransaction() { // an earlier rollback failed
		if err := w.exec("ROLLBACK"); err != nil {
			return err
		}
	}
	if s.lost {
		if err := s.kept(); err != nil {
			return err
		}
		s.lost = false
	}
	if err := w.exec("BEGIN IMMEDIATE"); err != nil {
		return err
	}
	if err = f(w, s.stamp(w)); err == nil {
		if err = w.exec("COMMIT"); err == nil {
			if err = s.kept(); err == nil {
				return nil
			}
			s.save(w)
		}
		err = commitFault(err)
	}
	if w.inTransaction() { // some failures have rolled back by themselves
		_ = w.exec("ROLLBACK") // should it fail, the next one to write tries again
	}
	return err
}

// commitFault says what a failed COMMIT means. Where the file was only locked,
// nothing was written. Anything else may have reached the disk in part: the
// commit is not visible now, but a crash before the next one could make it so.
func commitFault(err error) error {
	if isFault(err, lib.SQLITE_BUSY) {
		return err
	}
	unknown := failure(rbcs.OutcomeUnknown, err, "the commit failed and may still be found after a crash; submit it again")
	var known *rbcs.Error
	unknown.Away = errors.As(err, &known) && known.Away
	return unknown
}

// Check reports whether the store can commit now.
func (s *Store) Check(ctx context.Context) error {
	return s.withWrite(ctx, func(*writer, time.Time) error { return nil })
}
