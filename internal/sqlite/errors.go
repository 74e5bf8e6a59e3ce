package sqlite

import (
	"errors"
	"fmt"
	"strings"

	lib "modernc.org/sqlite/lib"

	"rbcs"
)

// fault is a failure as SQLite reports it: the cause within an [rbcs.Error].
type fault struct {
	code    int // SQLite's extended result code
	message string
}

func (f *fault) Error() string { return fmt.Sprintf("SQLite error %d: %s", f.code, f.message) }

// faultOf makes an error of a result code. Before a COMMIT it is certain that
// nothing was changed; [commitFault] says what a failed COMMIT means.
func faultOf(code int, message string) *rbcs.Error {
	cause := &fault{code: code, message: strings.TrimSpace(message)}
	switch code & 0xff {
	case lib.SQLITE_BUSY, lib.SQLITE_LOCKED, lib.SQLITE_PROTOCOL:
		return rbcs.Errorf(rbcs.Unavailable, "the database file is locked by another program: %w", cause)
	case lib.SQLITE_FULL:
		return rbcs.Errorf(rbcs.Unavailable, "the disk with the database file is full; make room: %w", cause)
	case lib.SQLITE_IOERR:
		return rbcs.Errorf(rbcs.Unavailable, "reading or writing the database file failed; check its disk: %w", cause)
	case lib.SQLITE_CANTOPEN:
		return rbcs.Errorf(rbcs.Unavailable, "the database file cannot be opened; check that its folder exists and is writable: %w", cause)
	case lib.SQLITE_NOMEM:
		return rbcs.Errorf(rbcs.Unavailable, "SQLite has no memory: %w", cause)
	case lib.SQLITE_INTERRUPT:
		return rbcs.Errorf(rbcs.Unavailable, "the request ended before its answer: %w", cause)
	case lib.SQLITE_READONLY:
		return rbcs.Errorf(rbcs.Internal, "the database file cannot be written; check its permissions: %w", cause)
	case lib.SQLITE_CORRUPT, lib.SQLITE_NOTADB:
		return rbcs.Errorf(rbcs.Internal, "the database file is damaged, or is not an SQLite database; restore it from a backup: %w", cause)
	}
	return rbcs.Errorf(rbcs.Internal, "the database refused a statement: %w", cause)
}

// isFault reports whether err comes from SQLite and is of a primary result code.
func isFault(err error, code int) bool {
	var cause *fault
	return errors.As(err, &cause) && cause.code&0xff == code
}
