package sqlite

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"rbcs"
)

var usd = rbcs.Currency{Code: "USD", Decimals: 2}

func openAt(t testing.TB, path string) *Store {
	t.Helper()
	s, err := Open(t.Context(), path, Options{Instance: "test"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func openTemp(t testing.TB) *Store {
	t.Helper()
	return openAt(t, filepath.Join(t.TempDir(), "rbcs.db"))
}

func transfer(id, source, destination string, cents int64) *rbcs.Transaction {
	return &rbcs.Transaction{
		ID: id, Type: rbcs.Transfer, Source: source, Destination: destination,
		Amount: rbcs.Decimal{Units: rbcs.AmountOf(cents), Scale: 2}, Timestamp: time.Unix(1_700_000_000, 0).UTC(),
	}
}

// createAccounts creates accounts that may send whatever they like.
func createAccounts(t testing.TB, s *Store, numbers ...string) {
	t.Helper()
	accounts := make([]rbcs.NewAccount, len(numbers))
	for i, number := range numbers {
		accounts[i] = rbcs.NewAccount{Number: number, Currency: usd, Overdraft: rbcs.Overdraft{Unlimited: true}}
	}
	if _, err := s.CreateAccounts(t.Context(), accounts); err != nil {
		t.Fatal(err)
	}
}

func mustCommit(t testing.TB, s *Store, batch ...*rbcs.Transaction) []rbcs.Result {
	t.Helper()
	results, err := s.Commit(t.Context(), batch)
	if err != nil {
		t.Fatal(err)
	}
	return results
}

// wantError checks that err is an [rbcs.Error] with a code and a text.
func wantError(t *testing.T, err error, code rbcs.Code, text string) {
	t.Helper()
	var e *rbcs.Error
	if !errors.As(err, &e) || e.Code != code || !strings.Contains(e.Message, text) {
		t.Errorf("error %v, want %s with %q", err, code, text)
	}
}

// count returns the number that a query has.
func count(t *testing.T, s *Store, sql string) (n int64) {
	t.Helper()
	err := s.withRead(t.Context(), func(c *conn) error {
		q, err := c.stmt(sql)
		if err != nil {
			return err
		}
		if q.next() {
			n = q.intAt(0)
		}
		return q.done()
	})
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func TestOpenTwice(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a b?#%.db") // what a URI must escape
	s := openAt(t, path)
	createAccounts(t, s, "a", "b")
	mustCommit(t, s, transfer("1", "a", "b", 100))

	_, err := Open(t.Context(), path, Options{})
	wantError(t, err, rbcs.Unavailable, "another rbcs is serving this file")

	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil { // again is nothing
		t.Fatal(err)
	}
	if _, err := os.Stat(path + "-wal"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the WAL is left after closing: %v", err)
	}
	if _, err := os.Stat(path + ".lock"); runtime.GOOS == "linux" && !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a file for the lock is left after closing: %v", err)
	}
	s = openAt(t, path) // migrates again, which changes nothing
	if r := mustCommit(t, s, transfer("1", "a", "b", 100))[0]; !r.Replayed || r.Sequence != 1 || r.Instance != "test" {
		t.Errorf("after opening again: %+v", r)
	}
	if r := mustCommit(t, s, transfer("2", "a", "b", 100))[0]; r.Sequence != 2 || r.Source.Version != 2 {
		t.Errorf("after opening again: %+v", r)
	}
}

// TestOpenFails names what is no file of rbcs: it is refused in words, without the
// driver's, stays as it is and gets no company.
func TestOpenFails(t *testing.T) {
	const wrong, ro = rbcs.InvalidRequest, true
	const foreign, noDatabase, cannot = "not a database of rbcs", "not an SQLite database", "cannot be opened"
	for _, c := range []struct {
		name, path string
		readOnly   bool
		code       rbcs.Code
		text       string
	}{
		{"missing folder", "none/rbcs.db", false, rbcs.Unavailable, cannot},
		{"missing folder", "none/rbcs.db", ro, rbcs.Unavailable, cannot},
		{"missing file", "absent.db", ro, rbcs.Unavailable, cannot},
		{"below a file", "text.db/rbcs.db", false, rbcs.Unavailable, cannot},
		{"folder", "", false, wrong, "folder"},
		{"folder", "", ro, wrong, "folder"},
		{"text", "text.db", false, rbcs.Internal, noDatabase},
		{"text", "text.db", ro, rbcs.Internal, noDatabase},
		{"foreign", "foreign.db", false, wrong, foreign},
		{"foreign", "foreign.db", ro, wrong, foreign},
		{"foreign, of goose", "goose.db", false, wrong, foreign},
		{"foreign, of goose", "goose.db", ro, wrong, foreign},
		{"foreign, in WAL mode", "wal.db", false, wrong, foreign},
		{"empty", "empty.db", ro, wrong, "is empty"},
	} {
		t.Run(fmt.Sprint(c.name, c.readOnly), func(t *testing.T) {
			dir := t.TempDir()
			write(t, filepath.Join(dir, "text.db"), strings.Repeat("this is not a database. ", 100))
			write(t, filepath.Join(dir, "empty.db"), "")
			createDatabase(t, filepath.Join(dir, "foreign.db"), "CREATE TABLE t (i)", "CREATE VIEW transactions AS SELECT i FROM t")
			createDatabase(t, filepath.Join(dir, "goose.db"), "CREATE TABLE goose_db_version (version_id, is_applied)",
				"INSERT INTO goose_db_version VALUES (1, 1)", "CREATE TABLE transactions (id)")
			createDatabase(t, filepath.Join(dir, "wal.db"), "PRAGMA journal_mode = WAL", "CREATE TABLE t (i)")
			before := contents(t, dir)

			_, err := Open(t.Context(), filepath.Join(dir, c.path), Options{ReadOnly: c.readOnly})
			wantError(t, err, c.code, c.text)
			if strings.Contains(err.Error(), "SQL logic") || strings.Contains(err.Error(), dir) || strings.Count(err.Error(), string(c.code)) > 1 {
				t.Errorf("the message has the driver's words or the path: %v", err)
			}
			if after := contents(t, dir); !maps.Equal(before, after) {
				t.Errorf("the folder has changed: %v", slices.Sorted(maps.Keys(after)))
			}
		})
	}
	t.Chdir(t.TempDir())
	for _, readOnly := range []bool{false, true} {
		_, err := Open(t.Context(), ":memory:", Options{ReadOnly: readOnly})
		wantError(t, err, wrong, "memory")
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := Open(ctx, "canceled.db", Options{})
	wantError(t, err, rbcs.Unavailable, "before its answer")
	_ = openAt(t, "canceled.db") // which has left an empty file
	if _, err := os.Stat(":memory:"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("there is a file of that name: %v", err)
	}
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// createDatabase writes a database that is not of rbcs.
func createDatabase(t *testing.T, path string, statements ...string) {
	t.Helper()
	c, err := openConn("file:" + path)
	if err != nil {
		t.Fatal(err)
	}
	defer c.close()
	for _, sql := range statements {
		if err := c.exec(sql); err != nil {
			t.Fatal(err)
		}
	}
}

// contents are the files of a folder by name.
func contents(t *testing.T, dir string) map[string]string {
	t.Helper()
	files := map[string]string{}
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		text, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			t.Fatal(err)
		}
		files[e.Name()] = string(text)
	}
	return files
}

// TestSchemaVersion refuses a schema that this program does not know.
func TestSchemaVersion(t *testing.T) {
	path := filepath.Join(t.TempDir(), "rbcs.db")
	s := openAt(t, path)
	for _, c := range []struct {
		change string
		code   rbcs.Code
		text   string
	}{
		{"INSERT INTO goose_db_version (version_id, is_applied) VALUES (9999, 1)", rbcs.InvalidRequest, "use a newer rbcs"},
		{"DELETE FROM goose_db_version WHERE version_id > 0", rbcs.InvalidRequest, "rbcs migrate"},
		{"DROP TABLE goose_db_version", rbcs.InvalidRequest, "not a database of rbcs"},
	} {
		if err := s.withWrite(t.Context(), func(w *writer, _ time.Time) error { return w.exec(c.change) }); err != nil {
			t.Fatal(err)
		}
		_, err := Open(t.Context(), path, Options{ReadOnly: true})
		wantError(t, err, c.code, c.text)
	}
}

func TestReadOnly(t *testing.T) {
	path := filepath.Join(t.TempDir(), "rbcs.db")
	s := openAt(t, path)
	createAccounts(t, s, "a", "b")
	mustCommit(t, s, transfer("1", "a", "b", 100))

	r, err := Open(t.Context(), path, Options{ReadOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = r.Close() }()
	mustCommit(t, s, transfer("2", "a", "b", 100)) // beside the reader
	if a, err := r.Account(t.Context(), "b"); err != nil || a.Version != 2 || a.Balance != rbcs.AmountOf(200) {
		t.Errorf("read beside the writer: %+v, %v", a, err)
	}
	const text = "reading only"
	_, err = r.Commit(t.Context(), []*rbcs.Transaction{transfer("3", "a", "b", 1)})
	wantError(t, err, rbcs.Internal, text)
	_, err = r.CreateAccounts(t.Context(), nil)
	wantError(t, err, rbcs.Internal, text)
	_, err = r.UpdateAccount(t.Context(), "a", rbcs.AccountChange{})
	wantError(t, err, rbcs.Internal, text)
	_, err = r.DeclareCurrencies(t.Context(), nil)
	wantError(t, err, rbcs.Internal, text)
	wantError(t, r.Check(t.Context()), rbcs.Internal, text)

	// Should a statement write all the same, SQLite refuses it.
	err = r.withRead(t.Context(), func(c *conn) error { return c.exec("DELETE FROM accounts") })
	wantError(t, err, rbcs.Internal, "cannot be written")
	err = s.withRead(t.Context(), func(c *conn) error { return c.exec("DELETE FROM accounts") })
	wantError(t, err, rbcs.Internal, "cannot be written")
}

func TestClosed(t *testing.T) {
	s := openTemp(t)
	createAccounts(t, s, "a", "b")
	if err := s.Check(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	for name, call := range allCalls(s) {
		t.Run(name, func(t *testing.T) { wantError(t, call(t.Context()), rbcs.Unavailable, "closed") })
	}
}

func TestCanceledBefore(t *testing.T) {
	s := openTemp(t)
	createAccounts(t, s, "a", "b")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for name, call := range allCalls(s) {
		t.Run(name, func(t *testing.T) {
			err := call(ctx)
			wantError(t, err, rbcs.Unavailable, "before its answer")
			if !errors.Is(err, context.Canceled) {
				t.Errorf("the cause of %v is lost", err)
			}
		})
	}
	if n := count(t, s, "SELECT count(*) FROM transactions"); n != 0 {
		t.Errorf("%d transactions", n)
	}
}

// TestBusy has callers that wait for the writer, or for a reader, until their context ends.
func TestBusy(t *testing.T) {
	s := openTemp(t)
	w := <-s.writer
	held := make([]*conn, maxReaders)
	for i := range held {
		held[i] = <-s.readers
	}
	for name, call := range allCalls(s) {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
			defer cancel()
			wantError(t, call(ctx), rbcs.Unavailable, "before its answer")
		})
	}
	s.writer <- w
	for _, c := range held {
		s.readers <- c
	}
	if err := s.Check(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// allCalls are the methods that need the database.
func allCalls(s *Store) map[string]func(ctx context.Context) error {
	return map[string]func(ctx context.Context) error{
		"Preview": func(ctx context.Context) error {
			_, err := s.Preview(ctx, []*rbcs.Transaction{transfer("1", "a", "b", 1)})
			return err
		},
		"Totals":        func(ctx context.Context) error { _, err := s.Totals(ctx, ""); return err },
		"DueHolds":      func(ctx context.Context) error { _, err := s.DueHolds(ctx, 1); return err },
		"Log":           func(ctx context.Context) error { _, err := s.Log(ctx, 0, 1); return err },
		"CreateWebhook": func(ctx context.Context) error { _, err := s.CreateWebhook(ctx, rbcs.Webhook{}); return err },
		"Webhook":       func(ctx context.Context) error { _, err := s.Webhook(ctx, "w"); return err },
		"Webhooks":      func(ctx context.Context) error { _, err := s.Webhooks(ctx); return err },
		"UpdateWebhook": func(ctx context.Context) error { _, err := s.UpdateWebhook(ctx, "w", rbcs.WebhookChange{}); return err },
		"DeleteWebhook": func(ctx context.Context) error { return s.DeleteWebhook(ctx, "w") },
		"ClaimWebhooks": func(ctx context.Context) error { _, err := s.ClaimWebhooks(ctx, "i", time.Second); return err },
		"DeliveredWebhook": func(ctx context.Context) error {
			_, err := s.DeliveredWebhook(ctx, "i", rbcs.Webhook{}, 0)
			return err
		},
		"Commit": func(ctx context.Context) error {
			_, err := s.Commit(ctx, []*rbcs.Transaction{transfer("1", "a", "b", 1)})
			return err
		},
		"DeclareCurrencies": func(ctx context.Context) error { _, err := s.DeclareCurrencies(ctx, nil); return err },
		"CreateAccounts": func(ctx context.Context) error {
			_, err := s.CreateAccounts(ctx, []rbcs.NewAccount{{Number: "new", Currency: usd}})
			return err
		},
		"UpdateAccount": func(ctx context.Context) error {
			_, err := s.UpdateAccount(ctx, "a", rbcs.AccountChange{})
			return err
		},
		"Account":  func(ctx context.Context) error { _, err := s.Account(ctx, "a"); return err },
		"Accounts": func(ctx context.Context) error { _, err := s.Accounts(ctx, rbcs.AccountQuery{Limit: 1}); return err },
		"BalanceAt": func(ctx context.Context) error {
			_, err := s.BalanceAt(ctx, "a", time.Now())
			return err
		},
		"Transaction": func(ctx context.Context) error { _, err := s.Transaction(ctx, "1"); return err },
		"Transactions": func(ctx context.Context) error {
			_, err := s.Transactions(ctx, rbcs.TransactionQuery{Limit: 1})
			return err
		},
		"History": func(ctx context.Context) error {
			_, err := s.History(ctx, rbcs.HistoryQuery{Account: "a", Limit: 1})
			return err
		},
		"Dump": func(ctx context.Context) error {
			return s.Dump(ctx, func(*rbcs.Result) error { return nil }, func(*rbcs.Account) error { return nil })
		},
		"Check": s.Check,
	}
}

// TestCanceledDuringCommit ends the caller's context once the commit has begun.
func TestCanceledDuringCommit(t *testing.T) {
	s := openTemp(t)
	createAccounts(t, s, "a", "b")
	ctx, cancel := context.WithCancel(t.Context())
	s.now = func() time.Time { // called after BEGIN
		cancel()
		return time.Now()
	}
	results, err := s.Commit(ctx, []*rbcs.Transaction{transfer("1", "a", "b", 100)})
	if err != nil || results[0].Status != rbcs.Posted {
		t.Fatalf("%+v, %v", results, err)
	}
	if r, err := s.Transaction(t.Context(), "1"); err != nil || r.Sequence != 1 {
		t.Errorf("%+v, %v", r, err)
	}
}

// TestCanceledRead ends a statement in the middle, and the connection serves on.
func TestCanceledRead(t *testing.T) {
	s := openTemp(t)
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Millisecond)
	defer cancel()
	err := s.withRead(ctx, func(c *conn) error {
		return c.exec("WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT max(i) FROM n") // for ever
	})
	wantError(t, err, rbcs.Unavailable, "ended before its answer")
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("the cause of %v is lost", err)
	}
	createAccounts(t, s, "a", "b")
	mustCommit(t, s, transfer("1", "a", "b", 1), transfer("2", "a", "b", 1))

	ctx, cancel = context.WithCancel(t.Context())
	defer cancel()
	seen := 0
	err = s.Dump(ctx, func(*rbcs.Result) error { seen++; cancel(); return nil }, nil)
	wantError(t, err, rbcs.Unavailable, "ended before")
	if seen != 1 {
		t.Errorf("the dump went on for %d decisions", seen)
	}
	stop := errors.New("enough")
	if err := s.Dump(t.Context(), func(*rbcs.Result) error { return stop }, nil); !errors.Is(err, stop) {
		t.Errorf("the callback's error became %v", err)
	}
}

// TestAppendOnly tries to change what is recorded.
func TestAppendOnly(t *testing.T) {
	s := openTemp(t)
	createAccounts(t, s, "a", "b")
	mustCommit(t, s, transfer("1", "a", "b", 100))
	for _, sql := range []string{
		"UPDATE transactions SET description = 'x'", "DELETE FROM transactions",
		"UPDATE account_changes SET actor = 'x'", "DELETE FROM account_changes",
	} {
		err := s.withWrite(t.Context(), func(w *writer, _ time.Time) error { return w.exec(sql) })
		wantError(t, err, rbcs.Internal, "refused a statement")
		if cause := errors.Unwrap(err); cause == nil || !strings.Contains(cause.Error(), "append-only") {
			t.Errorf("the cause is %v", cause)
		}
	}
}

// TestAccountChanges looks at the record of who changed what.
func TestAccountChanges(t *testing.T) {
	s := openTemp(t)
	if _, err := s.CreateAccounts(t.Context(), []rbcs.NewAccount{{Number: "a", Currency: usd, Metadata: `{"k":1}`, Actor: "alice"}}); err != nil {
		t.Fatal(err)
	}
	frozen, limit := rbcs.Frozen, rbcs.Decimal{Units: rbcs.AmountOf(5), Scale: 0}
	for range 2 { // the second changes nothing
		_, err := s.UpdateAccount(t.Context(), "a", rbcs.AccountChange{
			Status: &frozen, Overdraft: &rbcs.OverdraftChange{Limit: limit}, Metadata: new(""), Actor: "bob",
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	var got []string
	err := s.withRead(t.Context(), func(c *conn) error {
		q, err := c.stmt(`SELECT actor, field, old_value, new_value,
			(SELECT name FROM instances WHERE key = instance) FROM account_changes ORDER BY key`)
		if err != nil {
			return err
		}
		for q.next() {
			got = append(got, fmt.Sprint(q.textAt(0), " ", q.textAt(1), ": ", q.textAt(2), " → ", q.textAt(3), " by ", q.textAt(4)))
		}
		return q.done()
	})
	want := []string{
		"alice created:  → USD by test", "alice overdraft:  → 0.00 by test", `alice metadata:  → {"k":1} by test`,
		"bob status: open → frozen by test", "bob overdraft: 0.00 → 5.00 by test", `bob metadata: {"k":1} →  by test`,
	}
	if err != nil || strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("%v\n%s\nwant\n%s", err, strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	_, err = s.UpdateAccount(t.Context(), "a", rbcs.AccountChange{Status: new(rbcs.AccountStatus("gone"))})
	wantError(t, err, rbcs.InvalidRequest, "cannot be changed")
}

// TestClock sets the clock back: commits do not follow it, also after a restart.
func TestClock(t *testing.T) {
	path := filepath.Join(t.TempDir(), "rbcs.db")
	s := openAt(t, path)
	noon := time.Date(2030, 1, 1, 12, 0, 0, 123_456_789, time.UTC)
	s.now = func() time.Time { return noon }
	createAccounts(t, s, "a", "b")
	s.now = func() time.Time { return noon.Add(-time.Hour) }
	want := noon.Truncate(time.Microsecond)
	if r := mustCommit(t, s, transfer("1", "a", "b", 100))[0]; !r.CommittedAt.Equal(want) {
		t.Errorf("committed at %v, want %v", r.CommittedAt, want)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = openAt(t, path) // the present is before 2030
	if r := mustCommit(t, s, transfer("2", "a", "b", 100))[0]; !r.CommittedAt.Equal(want) {
		t.Errorf("after a restart committed at %v, want %v", r.CommittedAt, want)
	}
	if a, err := s.UpdateAccount(t.Context(), "a", rbcs.AccountChange{Metadata: new(`{"k":1}`)}); err != nil || !a.UpdatedAt.Equal(want) {
		t.Errorf("updated at %v, want %v; %v", a.UpdatedAt, want, err)
	}
}
