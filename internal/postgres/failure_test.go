package postgres

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"

	"rbcs"
)

const (
	unavailable = rbcs.Unavailable
	unknown     = rbcs.OutcomeUnknown
	internal    = rbcs.Internal
)

func sqlstate(code string) error { return &pgconn.PgError{Code: code, Severity: "ERROR"} }

// failureRows are how errors of the driver are to be judged.
var failureRows = []struct {
	err            error
	before, commit rbcs.Code // before COMMIT was sent, and in answer to it
	away, stale    bool
}{
	{sqlstate("08006"), unavailable, unknown, true, true},
	{sqlstate("08P01"), unavailable, unknown, true, true},
	{sqlstate("0A000"), unavailable, unknown, false, true},
	{sqlstate("25006"), unavailable, unknown, true, true},
	{sqlstate("25P03"), unavailable, unknown, false, false},
	{sqlstate("25P04"), unavailable, unknown, false, false},
	{sqlstate("40001"), unavailable, unavailable, false, false},
	{sqlstate("40003"), unavailable, unknown, false, false},
	{sqlstate("40P01"), unavailable, unavailable, false, false},
	{sqlstate("53100"), unavailable, unknown, true, false},
	{sqlstate("53200"), unavailable, unknown, false, false},
	{sqlstate("53300"), unavailable, unknown, true, false},
	{sqlstate("55P03"), unavailable, unknown, false, false},
	{sqlstate("57014"), unavailable, unknown, false, false},
	{sqlstate("57P01"), unavailable, unknown, true, true},
	{sqlstate("57P02"), unavailable, unknown, true, true},
	{sqlstate("57P03"), unavailable, unknown, true, true},
	{sqlstate("57P04"), unavailable, unknown, false, false},
	{sqlstate("57P05"), unavailable, unknown, false, false},
	{sqlstate("58030"), unavailable, unknown, true, false},
	{sqlstate("23505"), internal, unknown, false, false},
	{sqlstate("26000"), internal, unknown, false, false},
	{sqlstate("42501"), internal, unknown, false, false},
	{sqlstate("42P01"), internal, unknown, false, false},
	{sqlstate("XX001"), internal, unknown, false, false},
	{sqlstate(""), internal, unknown, false, false},
	{io.ErrUnexpectedEOF, unavailable, unknown, true, false},
	{net.ErrClosed, unavailable, unknown, true, false},
	{fmt.Errorf("write: %w", &net.OpError{Op: "write", Err: errors.New("broken pipe")}), unavailable, unknown, true, false},
	{errors.New("cannot scan"), unavailable, unknown, false, false},
	{context.Canceled, unavailable, unknown, false, false},
}

func TestFailures(t *testing.T) {
	for _, c := range failureRows {
		if got := failure(c.err); got.Code != c.before || got.Away != c.away {
			t.Errorf("%v before COMMIT: %q, away: %v, want %q, %v", c.err, got.Code, got.Away, c.before, c.away)
		}
		var got *rbcs.Error
		if !errors.As(committed(pgconn.CommandTag{}, nil, c.err), &got) || got.Code != c.commit || got.Away != c.away {
			t.Errorf("%v in COMMIT: %v, want %q, away: %v", c.err, got, c.commit, c.away)
		}
		var pg *pgconn.PgError
		if errors.As(c.err, &pg) {
			if s, _ := stateOf(pg.Code); s.stale != c.stale {
				t.Errorf("%s gives all connections up: %v, want %v", pg.Code, s.stale, c.stale)
			}
		}
	}
}

// A time limit says nothing about the server before COMMIT, and much in it.
func TestTimeLimits(t *testing.T) {
	if got := failure(context.DeadlineExceeded); got.Code != unavailable || got.Away {
		t.Errorf("before COMMIT: %v", got)
	}
	if got := commitFailure(context.DeadlineExceeded); got.Code != unknown || !got.Away {
		t.Errorf("in COMMIT: %v", got)
	}
}

func TestAnswersToCommit(t *testing.T) {
	wantCode(t, committed(pgconn.NewCommandTag("ROLLBACK"), nil, nil), unavailable)
	wantCode(t, committed(pgconn.NewCommandTag("COMMIT"), &pgconn.Notice{Severity: "WARNING"}, nil), unknown)
	wantCode(t, committed(pgconn.NewCommandTag("COMMIT"), nil, nil), "")
}

func TestWhatFailuresSay(t *testing.T) {
	if err := setUpFailure("x", net.ErrClosed); !strings.Contains(err.Error(), net.ErrClosed.Error()) {
		t.Errorf("no cause in %v", err)
	}
	if err := failure(net.ErrClosed); strings.Contains(err.Error(), net.ErrClosed.Error()) || !errors.Is(err, net.ErrClosed) {
		t.Errorf("a client is told the cause: %v", err)
	}
	if err := failure(sqlstate("42501")); !strings.Contains(err.Error(), "run rbcs migrate as the schema's owner") {
		t.Errorf("no advice in %v", err)
	}
}

// TestNotConnected: who sets the service up is told which of the usual mistakes it is.
func TestNotConnected(t *testing.T) {
	for err, want := range map[error]string{
		sqlstate("28P01"):   "the password",
		sqlstate("28000"):   "pg_hba.conf",
		sqlstate("3D000"):   "no such database",
		sqlstate("53300"):   "takes no connection",
		io.ErrUnexpectedEOF: "cannot be reached",
	} {
		if got := notConnected(fmt.Errorf("connecting: %w", err)); !strings.Contains(got, want) {
			t.Errorf("%v: %q, want %q", err, got, want)
		}
	}
}

// TestFailuresAreDocumented holds the table for people against the one of the program.
func TestFailuresAreDocumented(t *testing.T) {
	page, err := os.ReadFile("../../docs/failures.md")
	if err != nil {
		t.Fatal(err)
	}
	documented := map[string]bool{}
	for _, row := range regexp.MustCompile("(?m)^\\| `([0-9A-Z]{2,5})` .*$").FindAllStringSubmatch(string(page), -1) {
		code := row[1]
		documented[code] = true
		s, known := stateOf(code)
		columns := strings.Split(row[0], "|")
		says := func(column int) bool { return strings.TrimSpace(columns[column]) == "yes" }
		if says(4) != known || says(5) != s.away || says(6) != s.stale {
			t.Errorf("the page says of %s: %s; the program: tried again %v, away %v, connections given up %v", code, row[0], known, s.away, s.stale)
		}
	}
	for code := range temporary {
		if !documented[code] {
			t.Errorf("docs/failures.md does not name %s", code)
		}
	}
}
