package sqlite

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"rbcs"
)

// TestPlans looks at how SQLite runs the statements, on empty tables, on large
// ones, and once it has counted them: what they look for is always found by an
// index or the row's own number.
func TestPlans(t *testing.T) {
	s := openTemp(t)
	statements := []string{
		selectAccount, selectRecorded, selectOriginal, selectLast, insertTransaction, putStanding, updateAccount,
		insertAccount, insertChange, changeAccount, selectAccounts, selectBalances,
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
		mustCommit(t, s, batch...)
	}
	check("large")
	if err := s.withWrite(t.Context(), func(w *writer, _ time.Time) error { return w.exec("ANALYZE") }); err != nil {
		t.Fatal(err)
	}
	check("analyzed")
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
