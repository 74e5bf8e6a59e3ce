package sqlite

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"rbcs"
	"rbcs/internal/audit"
)

// corruptions are what a hand with a database shell, or a damaged disk, may do to
// the books. Each changes money, history, or what becomes of either.
var corruptions = []string{
	"UPDATE accounts SET balance = (SELECT balance FROM accounts WHERE number = 'poor') WHERE number = 'a'",
	"UPDATE accounts SET received = sent WHERE number = 'a'",
	"UPDATE accounts SET held = NULL WHERE number = 'b'",
	"UPDATE accounts SET version = version + 1 WHERE number = 'a'",
	"UPDATE accounts SET updated_at = 0 WHERE number = 'a'",
	"UPDATE accounts SET status = 'closed' WHERE number = 'a'",
	"UPDATE accounts SET status = 'open' WHERE number = 'frozen'",
	"UPDATE accounts SET overdraft = NULL WHERE number = 'poor'",
	"UPDATE accounts SET overdraft = balance WHERE number = 'rich'",
	"UPDATE accounts SET metadata = '{}' WHERE number = 'poor'",
	"UPDATE accounts SET metadata = NULL WHERE number = 'frozen'",
	"UPDATE accounts SET decimals = 3 WHERE number = 'idle'",
	"UPDATE accounts SET currency = 'EUR' WHERE number = 'frozen'",
	"DELETE FROM accounts WHERE number = 'idle'",
	"UPDATE accounts SET last_sequence = last_sequence - 1 WHERE number = 'a'",
	"UPDATE accounts SET last_sequence = 1 WHERE number = 'idle'",
	"DELETE FROM account_changes WHERE field = 'status'",
	"DELETE FROM account_changes WHERE field = 'created' AND new_value = 'POINTS'",
	"UPDATE account_changes SET new_value = '5.00' WHERE field = 'overdraft' AND new_value = '0.00'",
	"UPDATE currencies SET decimals = 3",

	"UPDATE transactions SET amount = (SELECT amount FROM transactions WHERE id = 'late') WHERE id = 't1'",
	"UPDATE transactions SET source_balance = destination_balance WHERE id = 't1'",
	"UPDATE transactions SET source_held = NULL WHERE id = 't1'",
	"UPDATE transactions SET committed_at = 0 WHERE id = 'late'",
	"UPDATE transactions SET committed_at = 0 WHERE id = 'poor'", // of a rejection
	"UPDATE transactions SET source_key = destination_key, destination_key = source_key WHERE id = 't1'",
	"UPDATE transactions SET status = 'rejected' WHERE id = 't1'",
	"UPDATE transactions SET code = 'account_closed' WHERE id = 'poor'",
	"UPDATE transactions SET id = 'other' WHERE id = 'h1'",
	"UPDATE transactions SET attempt = 2 WHERE id = 't1'",
	"UPDATE transactions SET original_id = 'h2' WHERE id = 'c1'",
	"UPDATE transactions SET original_id = 'c1' WHERE id = 'v1'",
	"UPDATE transactions SET remainder = NULL WHERE id = 'v1'",
	"UPDATE transactions SET settled_by = 'r2' WHERE id = 'again'",
	"UPDATE transactions SET expires_at = expires_at + 1 WHERE id = 'h4'",
	"UPDATE transactions SET expires_at = NULL WHERE id = 'h4'",
	"UPDATE transactions SET source_previous = source_previous - 1 WHERE id = 'late'",
	"UPDATE transactions SET source_previous = NULL WHERE id = 'late'",
	"UPDATE transactions SET destination_previous = 1 WHERE id = 'r2'",
	"UPDATE transactions SET destination_previous = destination_previous - 1 WHERE id = 'late'",
	"UPDATE transactions SET posted_before = posted_before - 1 WHERE id = 'v2'",
	"UPDATE transactions SET posted_before = 1 WHERE id = 'late'",
	"UPDATE transactions SET sequence = sequence + 1000 WHERE id = 'last'", // a rejection
	"DELETE FROM transactions WHERE id = 'poor'",                           // a rejection
	"DELETE FROM transactions WHERE id = 't1'",
	"DELETE FROM transactions WHERE id = 'g2'",

	"UPDATE standing SET status = 'held', by_sequence = NULL WHERE sequence = (SELECT sequence FROM transactions WHERE id = 'h1')",
	"UPDATE standing SET status = 'released' WHERE sequence = (SELECT sequence FROM transactions WHERE id = 'h1')",
	"UPDATE standing SET by_sequence = by_sequence - 1 WHERE sequence = (SELECT sequence FROM transactions WHERE id = 't1')",
	"UPDATE standing SET expires_at = expires_at + 1 WHERE expires_at IS NOT NULL",
	"UPDATE standing SET source_key = destination_key WHERE sequence = (SELECT sequence FROM transactions WHERE id = 'h4')",
	"DELETE FROM standing WHERE sequence = (SELECT sequence FROM transactions WHERE id = 't1')",
	"DELETE FROM standing WHERE sequence = (SELECT sequence FROM transactions WHERE id = 'h4')",
	"INSERT INTO standing VALUES ((SELECT sequence FROM transactions WHERE id = 'late'), 'reversed', 1, 1, 2, NULL)",
	"DELETE FROM intake_sources",
	"UPDATE intake_sources SET ready_at = ready_at + 1",

	"PRAGMA writable_schema = 1; UPDATE sqlite_schema SET rootpage = (SELECT rootpage FROM sqlite_schema WHERE name = 'transactions_source_number') WHERE name = 'transactions_id'",
}

// TestAuditFindsCorruption makes each of them in a copy of the file and lets the audit look.
func TestAuditFindsCorruption(t *testing.T) {
	path := filepath.Join(t.TempDir(), "rbcs.db")
	s := openAt(t, path)
	s.now = func() time.Time { return morning }
	createAccounts(t, s, "a", "b")
	points := rbcs.Currency{Code: "POINTS"}
	if _, err := s.DeclareCurrencies(t.Context(), []rbcs.Currency{points}); err != nil {
		t.Fatal(err)
	}
	accounts := []rbcs.NewAccount{
		{Number: "poor", Currency: usd},
		{Number: "rich", Currency: usd, Overdraft: rbcs.Overdraft{Limit: rbcs.AmountOf(100)}},
		{Number: "frozen", Currency: usd, Metadata: `{"k":1}`},
		{Number: "idle", Currency: points},
	}
	if _, err := s.CreateAccounts(t.Context(), accounts); err != nil {
		t.Fatal(err)
	}
	if _, err := s.UpdateAccount(t.Context(), "frozen", rbcs.AccountChange{Status: new(rbcs.Frozen)}); err != nil {
		t.Fatal(err)
	}
	h4, queued := hold("h4", "a", "b", 5), transfer("queued", "a", "b", 1)
	h4.ExpiresAt, queued.ExecuteAt = morning.Add(time.Hour), morning.Add(time.Hour)
	mustCommit(t, s, append(everyOutcome(), h4, transfer("last", "poor", "a", 1))...)
	if _, err := s.Enqueue(t.Context(), []*rbcs.Transaction{queued}); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if faults, err := auditAfter(t, content, ""); err != nil || len(faults) > 0 {
		t.Fatalf("before: %v, %v", faults, err)
	}
	for _, sql := range corruptions {
		if faults, err := auditAfter(t, content, sql); err == nil && len(faults) == 0 {
			t.Errorf("the audit finds nothing after: %s", sql)
		}
	}
}

// auditAfter runs statements on a copy of a database, with no trigger to guard the log, and audits that.
func auditAfter(t *testing.T, content []byte, statements string) ([]audit.Fault, error) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "copy.db")
	write(t, path, string(content))
	_, db, err := migrations("file:" + path)
	if err != nil {
		t.Fatal(err)
	}
	for _, sql := range []string{"DROP TRIGGER transactions_no_update", "DROP TRIGGER transactions_no_delete", "DROP TRIGGER account_changes_no_update", "DROP TRIGGER account_changes_no_delete", statements} {
		if _, err := db.ExecContext(t.Context(), sql); err != nil {
			t.Fatalf("%s: %v", sql, err)
		}
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	s, err := Open(t.Context(), path, Options{ReadOnly: true})
	if err != nil {
		return nil, fmt.Errorf("opening the copy: %w", err)
	}
	defer func() { _ = s.Close() }()
	report, err := audit.Run(t.Context(), s, nil)
	return report.Faults, err
}
