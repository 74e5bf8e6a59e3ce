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
		return failure(rbcs.Unavailable, cause, "the database file is locked by another program")
	case lib.SQLITE_FULL:
		return away(cause, "the disk with the database file is full; make room")
	case lib.SQLITE_IOERR:
		return away(cause, "reading or writing the database file failed; check its disk")
	case lib.SQLITE_CANTOPEN:
		return cannotOpen(cause)
	case lib.SQLITE_NOMEM:
		return failure(rbcs.Unavailable, cause, "SQLite has no memory")
	case lib.SQLITE_INTERRUPT:
		return failure(rbcs.Unavailable, cause, "the request ended before its answer")
	case lib.SQLITE_READONLY:
		return failure(rbcs.Internal, cause, "the database file cannot be written; check its permissions")
	case lib.SQLITE_CORRUPT:
		return failure(rbcs.Internal, cause, "the database file is damaged; restore it from a backup")
	case lib.SQLITE_NOTADB:
		return failure(rbcs.Internal, cause, "the file is not an SQLite database, or its beginning is damaged; name another file, or restore it from a backup")
	}
	return failure(rbcs.Internal, cause, "the database refused a statement")
}

// failure is an error with a cause that is for logs; [rbcs.Errorf] would show it.
func failure(code rbcs.Code, cause error, format string, args ...any) *rbcs.Error {
	return &rbcs.Error{Code: code, Message: fmt.Sprintf(format, args...), Err: cause}
}

func inService(cause error) error {
	return failure(rbcs.Unavailable, cause, "another rbcs is serving this file; stop it first, or go through its API")
}

func cannotOpen(cause error) *rbcs.Error {
	return away(cause, "the database file cannot be opened; check that its folder exists, and that this user may write both")
}

// away is a failure that every commit meets.
func away(cause error, message string) *rbcs.Error {
	return &rbcs.Error{Code: rbcs.Unavailable, Message: message, Away: true, Err: cause}
}

// isFault reports whether err comes from SQLite and is of a primary result code.
func isFault(err error, code int) bool {
	var cause *fault
	return errors.As(err, &cause) && cause.code&0xff == code
}
