package sqlite

import (
	"context"
	"log/slog"
	"net/url"
	"os"
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

	unlock   func()       // releases what is held against a second store on the file
	writer   chan *writer // one; who has it may write
	writable bool         // there is one
	place    place        // of the files, as the writer opened them
	lost     bool         // one of them has lost its name; of who has the writer
	readers  chan *conn   // maxReaders; nil where none was opened yet
	closed   chan struct{}
	closing  sync.Once
}

var _ rbcs.Store = (*Store)(nil)

// maxReaders bounds the readers at a time, and with them the memory of their
// caches (2 MB each). More than there are processors gains nothing.
const maxReaders = 8

var readerPragmas = []string{"busy_timeout = 5000", "query_only = 1", "temp_store = memory"}

// Open opens the file, creating it where there is none, and brings its schema up
// to date. It fails with [rbcs.Unavailable] where a store has the file open already,
// under whatever name, and with [rbcs.InvalidRequest] where the file is something
// else than a database of rbcs: that stays as it is.
func Open(ctx context.Context, path string, opts Options) (*Store, error) {
	if path == ":memory:" {
		return nil, failure(rbcs.InvalidRequest, nil, "a store keeps what it acknowledges, and memory does not; name a file")
	}
	path, err := filepath.Abs(path)
	if err != nil {
		return nil, cannotOpen(err)
	}
	s := &Store{
		path:     path,
		logger:   opts.Logger,
		now:      time.Now,
		instance: opts.Instance,
		unlock:   func() {},
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
		err = s.openReadOnly()
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
	if info, err := os.Stat(s.path); err == nil {
		if err := checkFile(info); err != nil {
			return err
		}
	}
	if s.unlock, err = lockFile(s.path); err != nil {
		s.unlock = func() {}
		return err
	}
	if err := s.locate(); err != nil {
		return err
	}
	if err := s.refuseForeign(); err != nil {
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
	if s.place, err = placeOf(s.path); err != nil {
		return err
	}
	last, err := w.lastTime()
	if err != nil {
		return err
	}
	s.last.Store(last)
	s.logger.DebugContext(ctx, "opened the database file", slog.String("path", s.path))
	return nil
}

// openReadOnly finds a way to read the file, beside a service or alone. SQLite
// needs files beside it for that, -wal and -shm. Where it may not create them,
// nobody who may has left any, and all that is committed stands in the file, the
// file is read as one that does not change.
func (s *Store) openReadOnly() error {
	info, err := os.Stat(s.path)
	if err != nil {
		return cannotOpen(err)
	}
	if err := checkFile(info); err != nil {
		return err
	}
	if err := s.locate(); err != nil {
		return err
	}
	s.uri += "?mode=ro"
	err = s.probe()
	if !isFault(err, lib.SQLITE_CANTOPEN) && !isFault(err, lib.SQLITE_READONLY) {
		return err
	}
	if wal, failed := os.Stat(s.path + "-wal"); failed == nil && wal.Size() > 0 {
		return failure(rbcs.Unavailable, err, "a part of what is committed stands in the -wal file beside the database file, "+
			"and reading it needs write permission for the folder; copy both files to a folder of your own and read them there")
	}
	s.uri += "&immutable=1"
	return s.probe()
}

// probe checks that what the URI names can be read, and is of this program.
func (s *Store) probe() error {
	c, err := openConn(s.uri, readerPragmas...)
	if err != nil {
		return err
	}
	defer c.close()
	return c.checkSchema()
}

// locate follows symbolic links to the file: SQLite keeps its other files beside it.
func (s *Store) locate() (err error) {
	if s.path, err = filepath.EvalSymlinks(s.path); err != nil {
		return cannotOpen(err)
	}
	s.uri = (&url.URL{Scheme: "file", Path: s.path}).String()
	return nil
}

func checkFile(info os.FileInfo) error {
	switch {
	case info.IsDir():
		return failure(rbcs.InvalidRequest, nil, "this is a folder; name a file in it")
	case !info.Mode().IsRegular():
		return failure(rbcs.InvalidRequest, nil, "this is not a regular file; name one")
	}
	return nil
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
		s.unlock()
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
		opened, err := openConn(s.uri, readerPragmas...)
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
		return failure(rbcs.Unavailable, nil, "the database file is closed")
	default:
	}
	if ctx.Err() != nil {
		return ended(ctx)
	}
	return nil
}

func ended(ctx context.Context) error {
	return failure(rbcs.Unavailable, ctx.Err(), "the request ended before its answer; nothing was changed")
}
