package postgres

import (
	"context"
	"errors"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"

	"rbcs"
)

// What PostgreSQL's SQLSTATEs mean for the caller, by code or by class.
//
// Before COMMIT was sent every failure is definite: a transaction that was not
// told to commit is rolled back. The table then says only whether trying again
// makes sense. What is not in it is a fault of the service or of the database.
var temporary = map[string]string{
	"08":    "the connection was lost",
	"25006": "the server is a standby or read-only", // a failover; the connection is dropped, the next one looks for the primary
	"25P03": "the transaction was idle for too long",
	"25P04": "the transaction took too long",
	"40":    "the transaction was rolled back", // 40001 serialization failure, 40P01 deadlock
	"53":    "the server lacks resources",      // 53100 disk full, 53200 memory, 53300 too many connections
	"55P03": "a lock was not free in time",
	"57014": "the statement took too long",
	"57P":   "the server is stopping or starting", // 57P01–57P05: a restart, a crash, a failover
}

// failure makes an [rbcs.Error] of an error that happened before COMMIT, or of a
// read: nothing was changed. Its message is for clients; the cause is for logs.
func failure(err error) *rbcs.Error {
	var known *rbcs.Error
	var pg *pgconn.PgError
	switch {
	case errors.As(err, &known):
		return known
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return &rbcs.Error{Code: rbcs.Unavailable, Message: "PostgreSQL did not answer in time", Err: err}
	case !errors.As(err, &pg):
		return &rbcs.Error{Code: rbcs.Unavailable, Message: "the connection to PostgreSQL failed", Err: err}
	}
	if why, ok := temporaryState(pg.Code); ok {
		return &rbcs.Error{Code: rbcs.Unavailable, Message: "PostgreSQL: " + why + " (" + pg.Code + ")", Err: err}
	}
	return &rbcs.Error{Code: rbcs.Internal, Message: "PostgreSQL refused a statement (" + pg.Code + ")" + hint(pg.Code), Err: err}
}

// setUpFailure is [failure] for who runs the program: with the cause in its message.
func setUpFailure(what string, err error) *rbcs.Error {
	f := failure(err)
	return rbcs.Errorf(f.Code, "%s: %s: %w", what, f.Message, err)
}

// commitFailure makes an [rbcs.Error] of an error in answer to COMMIT. Only
// class 40 is the server's word that it rolled back, but for 40003, which is
// its word that it does not know. Anything else, FATAL errors and a lost
// connection above all, may have come after the commit was on disk.
func commitFailure(err error) *rbcs.Error {
	var pg *pgconn.PgError
	if errors.As(err, &pg) && strings.HasPrefix(pg.Code, "40") && pg.Code != "40003" {
		return failure(err)
	}
	return &rbcs.Error{Code: rbcs.OutcomeUnknown, Message: "the answer to COMMIT was lost: submit the same IDs again", Err: err}
}

// temporaryState looks a SQLSTATE up by its code, its class with a letter, its class.
func temporaryState(code string) (why string, ok bool) {
	for _, n := range []int{5, 3, 2} {
		if why, ok = temporary[code[:min(n, len(code))]]; ok {
			return why, true
		}
	}
	return "", false
}

// hint says what to do about faults of the set-up.
func hint(code string) string {
	switch code {
	case "26000", "42P05": // a prepared statement that is not there, or is there already
		return ": a pooler does not keep prepared statements; add default_query_exec_mode=cache_describe to the DSN"
	case "42501":
		return ": the role lacks a privilege; run rbcs migrate as the schema's owner, with this role as its --service-role if it is another one"
	case "42P01", "42703":
		return ": the schema is not the service's; run rbcs migrate"
	}
	return ""
}
