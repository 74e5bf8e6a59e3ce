package sqlite

import (
	"fmt"
	"strings"
	"testing"
	"time"

	lib "modernc.org/sqlite/lib"

	"rbcs"
)

// TestPlans looks at how SQLite runs the statements, on empty tables, on large
// ones, and once it has counted them: what they look for is always found by an
// index or the row's own number. (Lists of all webhooks and sums over all accounts
// read their whole table, and are not here.)
func TestPlans(t *testing.T) {
	s := openTemp(t)
	statements := []string{
		selectAccount, selectRecorded, selectOriginal, selectLast, insertTransaction, putStanding, updateAccount,
		selectBalanceNow, insertAccount, insertChange, changeAccount, selectAccounts, selectCreation, selectBalances,
		selectCommittedAt, selectAnchor, selectVersionAt, selectEntries,
		selectLatest, selectPosted, selectRejected, selectRejectedSource, selectRejectedDestination,
		selectStanding, selectStandingSource, selectStandingDestination, selectUnmoved, selectChanges, selectPostedChanges,
		selectRecord, selectSequence, selectPage, selectDue,
		selectWebhook, updateWebhook, deleteWebhook, deliveredWebhook,
	}
	check := func(when string) {
		for _, sql := range statements {
			for _, step := range plan(t, s, sql) {
				// The CTE is scanned, which is the walk itself; so is a constant row.
				if strings.HasPrefix(step, "SCAN") && step != "SCAN w" && step != "SCAN walk" && step != "SCAN CONSTANT ROW" ||
					strings.Contains(step, "TEMP B-TREE") || strings.Contains(step, "AUTOMATIC") {
					t.Errorf("%s: %s\nin %s", when, step, sql)
				}
			}
		}
	}
	check("empty")

	numbers := make([]string, 500)
	for i := range numbers {
		numbers[i] = fmt.Sprintf("n:%03d", i)
	}
	createAccounts(t, s, numbers...)
	for i := range 20 {
		batch := make([]*rbcs.Transaction, 1000)
		for j := range batch {
			batch[j] = transfer(fmt.Sprint(i, "-", j), numbers[j%2], numbers[2+(i*31+j)%498], 1)
		}
		batch[0].Source = "ghost"
		for j := 1; j < 400; j += 2 { // of each pair the second settles or reverses the first
			switch first, id := batch[j], batch[j+1].ID; j % 10 {
			case 1:
				first.Type = rbcs.Hold
				batch[j+1] = settle(rbcs.Capture, id, first, 0)
			case 3:
				first.Type = rbcs.Hold
				batch[j+1] = settle(rbcs.Release, id, first, 0)
			case 5:
				first.Type = rbcs.Hold
				first.ExpiresAt = morning
			default:
				batch[j+1] = settle(rbcs.Reversal, id, first, 0)
			}
		}
		mustCommit(t, s, batch...)
	}
	check("large")
	if err := s.withWrite(t.Context(), func(w *writer, _ time.Time) error { return w.exec("ANALYZE") }); err != nil {
		t.Fatal(err)
	}
	check("analyzed")
}

// TestBounded counts what SQLite does for a page of each list of a long log: it
// depends on the page, and not on how much else there is in between.
func TestBounded(t *testing.T) {
	s := openTemp(t)
	s.now = func() time.Time { return morning }
	createAccounts(t, s, "a", "b", "c")
	const many = 3000
	var batch []*rbcs.Transaction
	for i := range many { // of each kind a few at the beginning, and then only others
		id := fmt.Sprint(i)
		h, x := hold(id+"h", "a", "b", 1), transfer(id+"t", "a", "b", 1)
		switch {
		case i < 5:
			e := hold(id+"e", "a", "b", 1)
			e.ExpiresAt = morning
			batch = append(batch, x, h, settle(rbcs.Capture, id+"c", h, 0), settle(rbcs.Reversal, id+"v", x, 0),
				e, settle(rbcs.Expiry, id+"x", e, 0), hold(id+"o", "a", "b", 1), transfer(id+"g", "ghost", "b", 1), transfer(id+"u", "c", "a", 1))
		case i < many/2:
			batch = append(batch, h, settle(rbcs.Release, id+"r", h, 0))
		default:
			x.Destination = "ghost"
			batch = append(batch, x, hold(id+"c", "c", "ghost", 1))
		}
	}
	mustCommit(t, s, batch...)
	for _, account := range []string{"", "a", "b", "ghost"} {
		for _, status := range []rbcs.Status{"", rbcs.Posted, rbcs.Holding, rbcs.Rejected, rbcs.Captured, rbcs.Released, rbcs.Expired, rbcs.Reversed} {
			if account == "ghost" && status != "" && status != rbcs.Rejected {
				continue
			}
			vmSteps(s)
			list, err := s.Transactions(t.Context(), rbcs.TransactionQuery{Account: account, Status: status, Limit: 5})
			if n := vmSteps(s); err != nil || len(list) == 0 || n > 1500 {
				t.Errorf("%q %q: %d records after %d steps, %v", account, status, len(list), n, err)
			}
		}
	}
}

// vmSteps returns how many instructions the readers' statements have run since it was called.
func vmSteps(s *Store) (steps int64) {
	for range maxReaders {
		c := <-s.readers
		if c != nil {
			for _, q := range c.stmts {
				steps += int64(lib.Xsqlite3_stmt_status(c.tls, q.p, lib.SQLITE_STMTSTATUS_VM_STEP, 1))
			}
		}
		s.readers <- c
	}
	return steps
}

func plan(t *testing.T, s *Store, sql string) (steps []string) {
	t.Helper()
	err := s.withRead(t.Context(), func(c *conn) error {
		q, err := c.stmt("EXPLAIN QUERY PLAN " + sql)
		if err != nil {
			return err
		}
		for q.next() {
			steps = append(steps, q.textAt(3))
		}
		return q.done()
	})
	if err != nil {
		t.Fatalf("%v in %s", err, sql)
	}
	return steps
}
