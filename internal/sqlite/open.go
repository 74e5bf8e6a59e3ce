package sqlite

import (
	"context"
	"log/slog"
	"net/url"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	lib "modernc.org/sqlite/lib"

	"rbcs"
)

// Options says how a store is opened.
type Options struct {
	Instance string       // who commits; recorded with every decision
	Logger   *slog.Logger // nil: slog.Default()
	ReadOnly bool         // take no lock, migrate nothing, refuse every change
}

// Store is an [rbcs.Store] on one SQLite file.
type Store struct {
	path     string
	logger   *slog.Logger
	now      func() time.Time
	last     atomic.Int64 // the latest time that was given to a commit; no later one is before it
	instance string
	uri      string

	lock     *conn        // held on path.lock against a second process
	writer   chan *writer // one; who has it may write
	writable bool         // there is one
	readers  chan *conn   // maxReaders; nil where none was opened yet
	closed   chan struct{}
	closing  sync.Once
}

var _ rbcs.Store = (*Store)(nil)

// maxReaders bounds the readers at a time, and with them the memory of their
// caches (2 MB each). More than there are processors gains nothing.
const maxReaders = 8

// Open opens the file, creating it where there is none, and brings its schema up
// to date. It fails with [rbcs.Unavailable] where another process serves the file.
func Open(ctx context.Context, path string, opts Options) (*Store, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return nil, rbcs.Errorf(rbcs.InvalidRequest, "the path of the database file: %w", err)
	}
	s := &Store{
		path:     path,
		logger:   opts.Logger,
		now:      time.Now,
		instance: opts.Instance,
		uri:      (&url.URL{Scheme: "file", Path: path}).String(),
		writer:   make(chan *writer, 1),
		readers:  make(chan *conn, maxReaders),
		closed:   make(chan struct{}),
	}
	if s.logger == nil {
		s.logger = slog.Default()
	}
	for range maxReaders {
		s.readers <- nil
	}
	if opts.ReadOnly {
		s.uri += "?mode=ro"
		err = s.withRead(ctx, (*conn).checkSchema)
	} else {
		err = s.openWriter(ctx)
	}
	if err != nil {
		_ = s.Close() // the first error says more
		return nil, err
	}
	return s, nil
}

// openWriter takes the lock, migrates and opens the one connection that writes.
func (s *Store) openWriter(ctx context.Context) (err error) {
	if s.lock, err = lockFile(s.path + ".lock"); err != nil {
		return err
	}
	if err := migrate(ctx, s.uri); err != nil {
		return err
	}
	w, err := newWriter(s.uri, s.instance)
	if err != nil {
		return err
	}
	s.writer <- w
	s.writable = true
	last, err := w.lastTime()
	if err != nil {
		return err
	}
	s.last.Store(last)
	s.logger.DebugContext(ctx, "opened the database file", slog.String("path", s.path))
	return nil
}

// lockFile takes a lock that lives as long as this process at most. It is a
// database of its own, locked by SQLite, so that it works wherever SQLite does.
func lockFile(path string) (*conn, error) {
	lock, err := openConn((&url.URL{Scheme: "file", Path: path}).String())
	if err == nil {
		if err = lock.exec("BEGIN EXCLUSIVE"); err == nil {
			return lock, nil
		}
		lock.close()
	}
	if isFault(err, lib.SQLITE_BUSY) {
		err = rbcs.Errorf(rbcs.Unavailable,
			"another rbcs is serving this file (%s is locked); stop it first, or go through its API: %w", path, err)
	}
	return nil, err
}

// Close releases the file. It waits for what is in progress; what comes after
// gets [rbcs.Unavailable].
func (s *Store) Close() error {
	s.closing.Do(func() {
		close(s.closed)
		for range maxReaders {
			if c := <-s.readers; c != nil {
				c.close()
			}
		}
		if s.writable { // the last connection: closing it moves the WAL into the file
			(<-s.writer).close()
		}
		if s.lock != nil {
			s.lock.close()
		}
	})
	return nil
}

// withRead lends f a connection that reads. A transaction that f begins ends with f.
func (s *Store) withRead(ctx context.Context, f func(c *conn) error) error {
	if err := s.usable(ctx); err != nil {
		return err
	}
	var c *conn
	select {
	case c = <-s.readers:
	case <-s.closed:
		return s.usable(ctx)
	case <-ctx.Done():
		return ended(ctx)
	}
	defer func() { s.readers <- c }()
	if c == nil {
		opened, err := openConn(s.uri, "busy_timeout = 5000", "query_only = 1", "temp_store = memory")
		if err != nil {
			return err
		}
		c = opened
	}
	stop := c.interruptOn(ctx)
	defer func() {
		stop()
		if c.inTransaction() { // an open one would keep the WAL from being used again
			_ = c.exec("ROLLBACK") // it has changed nothing
		}
	}()
	err := f(c)
	if ctx.Err() != nil && isFault(err, lib.SQLITE_INTERRUPT) {
		return ended(ctx)
	}
	return err
}

// withSnapshot is withRead where all statements of f see the same commit.
func (s *Store) withSnapshot(ctx context.Context, f func(c *conn) error) error {
	return s.withRead(ctx, func(c *conn) error {
		if err := c.exec("BEGIN"); err != nil {
			return err
		}
		return f(c)
	})
}

// usable says why nothing can be done: the caller has gone or the store is closed.
func (s *Store) usable(ctx context.Context) error {
	select {
	case <-s.closed:
		return rbcs.Errorf(rbcs.Unavailable, "the database file %s is closed", s.path)
	default:
	}
	if ctx.Err() != nil {
		return ended(ctx)
	}
	return nil
}

func ended(ctx context.Context) error {
	return rbcs.Errorf(rbcs.Unavailable, "the request ended before its answer; nothing was changed: %w", ctx.Err())
}
