package sqlite

import (
	"fmt"
	"time"

	"modernc.org/libc"
	lib "modernc.org/sqlite/lib"

	"rbcs"
)

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
	if len(v) > len(s.buf)-amountRoom-s.used {
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

// timeAt returns the time of a column; NULL is none.
func (s *stmt) timeAt(i int) time.Time {
	if s.isNull(i) {
		return time.Time{}
	}
	return timeOf(s.intAt(i))
}

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
