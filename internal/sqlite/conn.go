package sqlite

import (
	"context"
	"encoding/binary"
	"fmt"

	"modernc.org/libc"
	lib "modernc.org/sqlite/lib"

	"rbcs"
)

// conn is a connection straight on SQLite's C interface. The way through
// database/sql costs more than what SQLite itself does for a row: it locks a
// mutex around each parameter, copies it into memory of its own and boxes it in
// an interface before that.
//
// One goroutine uses a conn at a time, and one statement of it runs at a time:
// the parameters of all of them live in one piece of memory.
type conn struct {
	tls     *libc.TLS
	db      uintptr
	scratch uintptr // C memory: what parameters point to while their statement runs
	buf     []byte  // the same memory
	used    int     // how much of it
	stmts   map[string]*stmt
	words   map[string]string
}

// scratchBytes holds the parameters of one row: metadata of 16 KiB, and what is
// around it. SQLite copies what does not fit.
const scratchBytes = 32 << 10

// openConn opens a file and runs the pragmas. The parameters of the URI are SQLite's.
func openConn(uri string, pragmas ...string) (*conn, error) {
	c := &conn{tls: libc.NewTLS(), stmts: map[string]*stmt{}, words: map[string]string{}}
	c.scratch = libc.Xmalloc(c.tls, scratchBytes)
	c.buf = libc.GoBytes(c.scratch, scratchBytes)
	const flags = lib.SQLITE_OPEN_READWRITE | lib.SQLITE_OPEN_CREATE | lib.SQLITE_OPEN_NOMUTEX |
		lib.SQLITE_OPEN_URI | lib.SQLITE_OPEN_EXRESCODE
	err := c.withCString(uri, func(name uintptr) int32 {
		return lib.Xsqlite3_open_v2(c.tls, name, c.scratch, flags, 0)
	})
	c.db = c.pointer() // there is one after most failures too
	for _, pragma := range pragmas {
		if err == nil {
			err = c.exec("PRAGMA " + pragma)
		}
	}
	if err != nil {
		c.close()
		return nil, err
	}
	return c, nil
}

// withCString calls f with s as a C string and returns its failure.
func (c *conn) withCString(s string, f func(p uintptr) int32) error {
	p, err := libc.CString(s)
	if err != nil {
		return rbcs.Errorf(rbcs.Unavailable, "SQLite has no memory: %w", err)
	}
	defer libc.Xfree(c.tls, p)
	if rc := f(p); rc != lib.SQLITE_OK {
		return c.fault(rc)
	}
	return nil
}

// pointer returns the pointer that SQLite wrote to the scratch memory.
func (c *conn) pointer() uintptr { return uintptr(binary.NativeEndian.Uint64(c.buf)) }

// close finishes the connection; a WAL that no other connection uses goes into the file.
func (c *conn) close() {
	for _, s := range c.stmts {
		lib.Xsqlite3_finalize(c.tls, s.p)
	}
	lib.Xsqlite3_close_v2(c.tls, c.db)
	libc.Xfree(c.tls, c.scratch)
	c.tls.Close()
}

// fault makes an error of a result code.
func (c *conn) fault(rc int32) error {
	message := ""
	if c.db != 0 {
		message = libc.GoString(lib.Xsqlite3_errmsg(c.tls, c.db))
	}
	return faultOf(int(rc), message)
}

// inTransaction reports whether a transaction is open.
func (c *conn) inTransaction() bool { return lib.Xsqlite3_get_autocommit(c.tls, c.db) == 0 }

// interruptOn ends the running statement when ctx ends. What it returns must be
// called before the connection is handed on.
func (c *conn) interruptOn(ctx context.Context) (stop func()) {
	if ctx.Done() == nil {
		return func() {}
	}
	interrupted := make(chan struct{})
	unregister := context.AfterFunc(ctx, func() {
		defer close(interrupted)
		tls := libc.NewTLS() // the connection's own is in use
		defer tls.Close()
		lib.Xsqlite3_interrupt(tls, c.db)
	})
	return func() {
		if !unregister() {
			<-interrupted
		}
	}
}

// exec runs a statement that has no parameters and whose rows do not matter.
func (c *conn) exec(sql string) error {
	s, err := c.stmt(sql)
	if err != nil {
		return err
	}
	return s.run()
}

// stmt is a prepared statement. Its methods keep the first failure for done.
type stmt struct {
	*conn
	p  uintptr
	rc int32
}

// stmt returns the prepared statement of a text; each is prepared once.
func (c *conn) stmt(sql string) (*stmt, error) {
	if s, ok := c.stmts[sql]; ok {
		return s, nil
	}
	err := c.withCString(sql, func(text uintptr) int32 {
		return lib.Xsqlite3_prepare_v3(c.tls, c.db, text, -1, lib.SQLITE_PREPARE_PERSISTENT, c.scratch, 0)
	})
	if err != nil {
		return nil, err
	}
	s := &stmt{conn: c, p: c.pointer()}
	c.stmts[sql] = s
	return s, nil
}

// bind sets the parameters from the first on: int64, string, [rbcs.Amount] or nil.
// It is for statements that are not hot; hot ones call the typed methods.
func (s *stmt) bind(args ...any) *stmt {
	for i, arg := range args {
		switch v := arg.(type) {
		case int64:
			s.int(i+1, v)
		case int:
			s.int(i+1, int64(v))
		case string:
			s.text(i+1, v)
		case rbcs.Amount:
			s.amount(i+1, v)
		case nil:
			s.null(i + 1)
		default:
			panic(fmt.Sprintf("sqlite: a parameter cannot be a %T", arg))
		}
	}
	return s
}

func (s *stmt) null(i int) { s.keep(lib.Xsqlite3_bind_null(s.tls, s.p, int32(i))) }

func (s *stmt) int(i int, v int64) { s.keep(lib.Xsqlite3_bind_int64(s.tls, s.p, int32(i), v)) }

// intOrNull binds NULL for zero.
func (s *stmt) intOrNull(i int, v int64) {
	if v == 0 {
		s.null(i)
		return
	}
	s.int(i, v)
}

func (s *stmt) text(i int, v string) {
	if len(v) > len(s.buf)-s.used {
		const copied = ^uintptr(0) // SQLITE_TRANSIENT
		if err := s.withCString(v, func(p uintptr) int32 {
			return lib.Xsqlite3_bind_text(s.tls, s.p, int32(i), p, int32(len(v)), copied)
		}); err != nil {
			s.keep(lib.SQLITE_NOMEM)
		}
		return
	}
	p := s.scratch + uintptr(s.used)
	s.used += copy(s.buf[s.used:], v)
	s.keep(lib.Xsqlite3_bind_text(s.tls, s.p, int32(i), p, int32(len(v)), 0))
}

// textOrNull binds NULL for "".
func (s *stmt) textOrNull(i int, v string) {
	if v == "" {
		s.null(i)
		return
	}
	s.text(i, v)
}

func (s *stmt) amount(i int, v rbcs.Amount) {
	if amountBytes > len(s.buf)-s.used {
		s.keep(lib.SQLITE_TOOBIG)
		return
	}
	p := s.scratch + uintptr(s.used)
	putAmount(s.buf[s.used:], v)
	s.used += amountBytes
	s.keep(lib.Xsqlite3_bind_blob(s.tls, s.p, int32(i), p, amountBytes, 0))
}

// amountOrNull binds NULL for zero.
func (s *stmt) amountOrNull(i int, v rbcs.Amount) {
	if v.IsZero() {
		s.null(i)
		return
	}
	s.amount(i, v)
}

func (s *stmt) keep(rc int32) {
	if s.rc == lib.SQLITE_OK {
		s.rc = rc
	}
}

// next goes to the next row; at the end, or after a failure, it returns false.
func (s *stmt) next() bool {
	if s.rc != lib.SQLITE_OK {
		return false
	}
	rc := lib.Xsqlite3_step(s.tls, s.p)
	if rc == lib.SQLITE_ROW {
		return true
	}
	if rc != lib.SQLITE_DONE {
		s.rc = rc
	}
	return false
}

// done ends the statement's run and returns its failure.
func (s *stmt) done() (err error) {
	if s.rc != lib.SQLITE_OK {
		err = s.fault(s.rc)
	}
	lib.Xsqlite3_reset(s.tls, s.p)
	s.used, s.rc = 0, lib.SQLITE_OK
	return err
}

// run runs the statement to its end.
func (s *stmt) run() error {
	for s.next() {
		continue // rows do not matter here
	}
	return s.done()
}

func (s *stmt) isNull(i int) bool {
	return lib.Xsqlite3_column_type(s.tls, s.p, int32(i)) == lib.SQLITE_NULL
}

func (s *stmt) intAt(i int) int64 { return lib.Xsqlite3_column_int64(s.tls, s.p, int32(i)) }

func (s *stmt) textAt(i int) string {
	p := lib.Xsqlite3_column_text(s.tls, s.p, int32(i))
	if p == 0 {
		return ""
	}
	return string(libc.GoBytes(p, int(lib.Xsqlite3_column_bytes(s.tls, s.p, int32(i)))))
}

// wordAt returns a text of which there are few: a currency, a status. Each is
// allocated once.
func (s *stmt) wordAt(i int) string {
	p := lib.Xsqlite3_column_text(s.tls, s.p, int32(i))
	if p == 0 {
		return ""
	}
	b := libc.GoBytes(p, int(lib.Xsqlite3_column_bytes(s.tls, s.p, int32(i))))
	word, ok := s.words[string(b)]
	if !ok {
		word = string(b)
		s.words[word] = word
	}
	return word
}

// amountAt returns the amount of a column; NULL is zero.
func (s *stmt) amountAt(i int) rbcs.Amount {
	p := lib.Xsqlite3_column_blob(s.tls, s.p, int32(i))
	if p == 0 {
		return rbcs.Amount{}
	}
	a, err := amountOf(libc.GoBytes(p, int(lib.Xsqlite3_column_bytes(s.tls, s.p, int32(i)))))
	if err != nil {
		s.keep(lib.SQLITE_CORRUPT)
	}
	return a
}
