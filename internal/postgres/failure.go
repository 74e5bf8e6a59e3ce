package postgres

import (
	"context"
	"errors"
	"io"
	"net"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"

	"rbcs"
)

// state is what a SQLSTATE means for the caller. docs/failures.md is the same
// table for people, with the reasons.
type state struct {
	why   string
	away  bool // the database is there for nobody: [rbcs.Error].Away
	stale bool // the connections that are open lead to where the database is no more: all are given up
}

// temporary are the SQLSTATEs, by code or by class, after which trying again makes
// sense. What is not in it is a fault of the service or of the database.
//
// Before COMMIT was sent every failure is definite: a transaction that was not
// told to commit is rolled back. What the answer to COMMIT may be, [commitFailure] says.
var temporary = map[string]state{
	"08":    {why: "the connection was lost", away: true, stale: true},
	"0A000": {why: "the server is a standby, or has another schema", stale: true},   // in answer to BEGIN READ WRITE, or to an old plan
	"25006": {why: "the server is a standby or read-only", away: true, stale: true}, // a failover: the next connection looks for the primary
	"25P03": {why: "the transaction was idle for too long"},
	"25P04": {why: "the transaction took too long"},
	"40":    {why: "the transaction was rolled back"}, // 40001 serialization failure, 40P01 deadlock
	"53":    {why: "the server lacks resources"},
	"53100": {why: "the disk is full", away: true},
	"53300": {why: "the server has no connection left", away: true},
	"55P03": {why: "a lock was not free in time"},
	"57014": {why: "the statement took too long"},
	"57P":   {why: "the server ended the connection"}, // 57P04 the database was dropped, 57P05 idle for too long
	"57P01": {why: "the server is stopping", away: true, stale: true},
	"57P02": {why: "the server is recovering from a crash", away: true, stale: true},
	"57P03": {why: "the server is starting or stopping", away: true, stale: true},
	"58030": {why: "the server cannot use its disk", away: true},
}

// failure makes an [rbcs.Error] of an error that happened before COMMIT, or of a
// read: nothing was changed. Its message is for clients; the cause is for logs.
func failure(err error) *rbcs.Error {
	var known *rbcs.Error
	var connect *pgconn.ConnectError
	var pg *pgconn.PgError
	switch {
	case errors.As(err, &known):
		return known
	case errors.As(err, &connect): // of whichever kind: nobody gets in
		return &rbcs.Error{Code: rbcs.Unavailable, Message: notConnected(err), Away: true, Err: err}
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return &rbcs.Error{Code: rbcs.Unavailable, Message: "PostgreSQL did not answer in time", Err: err}
	case !errors.As(err, &pg):
		return &rbcs.Error{Code: rbcs.Unavailable, Message: "the connection to PostgreSQL failed", Away: isLost(err), Err: err}
	}
	if s, ok := stateOf(pg.Code); ok {
		return &rbcs.Error{Code: rbcs.Unavailable, Message: "PostgreSQL: " + s.why + " (" + pg.Code + ")", Away: s.away, Err: err}
	}
	return &rbcs.Error{Code: rbcs.Internal, Message: "PostgreSQL refused a statement (" + pg.Code + ")" + hint(pg.Code), Err: err}
}

// notConnected says why nobody gets in.
func notConnected(err error) string {
	var pg *pgconn.PgError
	switch {
	case !errors.As(err, &pg):
		return "PostgreSQL cannot be reached"
	case strings.HasPrefix(pg.Code, "28"):
		return "PostgreSQL refuses the login: check the user, the password and pg_hba.conf"
	case pg.Code == "3D000":
		return "PostgreSQL has no such database: create it, or correct its name"
	}
	return "PostgreSQL takes no connection"
}

// isLost reports that an error is the end of a connection.
func isLost(err error) bool {
	var op *net.OpError
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, net.ErrClosed) || errors.As(err, &op)
}

// setUpFailure is [failure] for who runs the program: with the cause in its message.
func setUpFailure(what string, err error) *rbcs.Error {
	f := failure(err)
	if f.Err == nil {
		return rbcs.Errorf(f.Code, "%s: %s", what, f.Message)
	}
	return rbcs.Errorf(f.Code, "%s: %s: %w", what, f.Message, f.Err)
}

// commitFailure makes an [rbcs.Error] of an error in answer to COMMIT. Only
// class 40 is the server's word that it rolled back, but for 40003, which is
// its word that it does not know. Anything else, FATAL errors and a lost
// connection above all, may have come after the commit was on disk.
//
// A COMMIT waits for no lock. One that is not answered in time waits for a
// standby or a disk, as every other one will.
func commitFailure(err error) *rbcs.Error {
	var pg *pgconn.PgError
	if errors.As(err, &pg) && strings.HasPrefix(pg.Code, "40") && pg.Code != "40003" {
		return failure(err)
	}
	away := errors.Is(err, context.DeadlineExceeded) || failure(err).Away
	return &rbcs.Error{Code: rbcs.OutcomeUnknown, Message: "the answer to COMMIT was lost: submit the same IDs again", Away: away, Err: err}
}

// stateOf looks a SQLSTATE up by its code, its class with a letter, its class.
func stateOf(code string) (s state, ok bool) {
	for _, n := range []int{5, 3, 2} {
		if s, ok = temporary[code[:min(n, len(code))]]; ok {
			return s, true
		}
	}
	return state{}, false
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
