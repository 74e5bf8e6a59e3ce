package sqlite

import (
	"context"
	"encoding/binary"

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
// around it. SQLite copies a text that does not fit; amountRoom is left for the
// amounts of the row, of which there are fewer than 16.
const (
	scratchBytes = 32 << 10
	amountRoom   = 16 * amountBytes
)

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
		return failure(rbcs.Unavailable, err, "SQLite has no memory")
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
