package postgres

import (
	"context"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"rbcs"
)

// planned is a statement and how its plan must look: which parts it must have.
type planned struct {
	name, sql, args string
	want            []string
}

var (
	listArgs = "1000000, '2000-01-01', '3000-01-01', 10"
	ofArgs   = listArgs + ", 1, 100, 1, 'a:0', true, true, true"
)

// batchStatements are those of a commit, in their order, and what a replay runs.
var batchStatements = []planned{
	{"lock", lockSQL, "'{a:1,a:2}'", []string{"Index Scan using accounts_number_key"}},
	{"recorded", recordedSQL, "'{x,y}'", []string{
		"Index Scan using transactions_id", "Index Scan using accounts_pkey", "Index Scan Backward using transactions_references",
	}},
	{"place", placeSQL, "2", []string{"Index Scan using cache_control_pkey"}},
	{"insert", insertSQL, "'i', " + strings.Repeat("null, ", 26) + "null", []string{"Insert on transactions"}},
	{"insert-further", insertFurtherSQL, "'i', " + strings.Repeat("null, ", 37) + "null", []string{"Insert on transactions"}},
	{"update", updateSQL, strings.Repeat("null, ", 7) + "null", []string{"Tid Scan on accounts"}},
	{"open-holds", openHoldsSQL, "null, null, null, null", nil},
	{"close-holds", closeHoldsSQL, "'{1,2}'", []string{"Index Scan using open_holds_pkey"}},
}

var readStatements = []planned{
	{"account", "select " + accountColumnsSQL + " from accounts where number = $1", "'a:1'", []string{"Index Scan using accounts_number_key"}},
	{"accounts", listAccountsSQL, "'a', 'a', 'b', '', '', 10", []string{"Index Scan using accounts_number_key"}},
	{"version", lastVersionAtSQL, "1, now()", []string{"transactions_source", "transactions_destination", "accounts_pkey"}},
	{"history", historyAscendingSQL, "1, 1, 100, 10", []string{"Index Scan using transactions_source", "Index Scan using transactions_destination"}},
	{"history-backward", historyDescendingSQL, "1, 1, 100, 10", []string{"Index Scan Backward using transactions_source"}},
	{"transaction", transactionSQL, "'x'", []string{"transactions_id"}},
	{"transactions", listSQL, listArgs, []string{"Index Scan Backward using transactions_pkey"}},
	{"rejected", listRejectedSQL, listArgs, []string{"Index Scan Backward using transactions_rejected on"}},
	{"posted", listPostedSQL, listArgs, []string{"Index Scan Backward using transactions_pkey", "transactions_references"}},
	{"held", listHeldSQL, listArgs, []string{"Scan Backward using open_holds_pkey", "Index Scan using transactions_pkey"}},
	{"outcome", listOutcomeSQL, listArgs + ", 'captured'", []string{"Scan Backward using transactions_outcome on"}},
	{"of-account", listOfSQL, ofArgs, []string{
		"transactions_source", "transactions_destination", "transactions_rejected_source", "transactions_rejected_destination",
		"transactions_no_source", "transactions_no_destination", "transactions_reserved",
	}},
	{"held-of-account", heldOfSQL, listArgs + ", 1", []string{
		"Scan Backward using open_holds_source", "Scan Backward using open_holds_destination",
	}},
	{"outcome-of-account", outcomeOfSQL, listArgs + ", 'captured', 1", []string{
		"Scan Backward using transactions_outcome_source", "Scan Backward using transactions_outcome_destination",
	}},
	{"due", dueHoldsSQL, "10", []string{"Scan using open_holds_due", "Index Scan using transactions_pkey"}},
	{"log", logSQL, "1, 1000000, 10", []string{"Index Scan using transactions_pkey"}},
	{"totals", totalsSQL, "'a:', 'a:~'", []string{"Index Scan using accounts_number_key"}},
}

// balancesStatement has settings of its own.
var balancesStatement = []planned{{"balances", balancesSQL, "'{a:1,a:2}'", []string{"Index Scan using accounts_number_key"}}}

// explain returns the plan of a prepared statement under the settings of its transaction.
func explain(t *testing.T, conn *pgx.Conn, p planned, settings string, executeFirst bool) string {
	t.Helper()
	ctx := t.Context()
	tx, err := conn.Begin(ctx)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = tx.Rollback(context.Background()) }()
	run := func(sql string, args ...any) []string {
		rows, err := tx.Query(ctx, sql, args...)
		if err != nil {
			t.Fatalf("%s: %v", p.name, err)
		}
		lines, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (line string, err error) {
			if strings.HasPrefix(sql, "explain") {
				err = row.Scan(&line)
			}
			return line, err
		})
		if err != nil {
			t.Fatalf("%s: %v", p.name, err)
		}
		return lines
	}
	run(settings, "10000", "10000")
	if p.name == "update" { // what the statement before it has set
		run(placeSQL, 1)
	}
	name := pgx.Identifier{p.name}.Sanitize()
	if executeFirst {
		run("execute " + name + "(" + p.args + ")")
	}
	return strings.Join(run("explain (costs off) execute "+name+"("+p.args+")"), "\n")
}

// TestPlans looks at the plans of statements that were prepared and planned
// while the tables were empty; of the same ones once the tables are large; and
// of ones that were prepared only then.
func TestPlans(t *testing.T) {
	dsn := migrated(t)
	s := openStore(t, dsn)
	early, late := connect(t, dsn), connect(t, dsn)
	readSet, batchSet := readSettings, s.settings.begin
	prepare := func(conn *pgx.Conn) {
		for _, p := range slices.Concat(batchStatements, readStatements, balancesStatement) {
			execute(t, conn, "prepare "+pgx.Identifier{p.name}.Sanitize()+" as "+p.sql)
		}
	}
	full := regexp.MustCompile(`Seq Scan|Hash Join|Merge Join|JIT`)
	check := func(when string, conn *pgx.Conn, list []planned, settings string, exact bool) {
		for _, p := range list {
			plan := explain(t, conn, p, settings, when == "empty" && p.name != "insert" && p.name != "update")
			if full.MatchString(plan) {
				t.Errorf("%s, %s:\n%s", when, p.name, plan)
			}
			for _, want := range p.want {
				if exact && !strings.Contains(plan, want) {
					t.Errorf("%s, %s: no %s in\n%s", when, p.name, want, plan)
				}
			}
		}
	}
	prepare(early)
	check("empty", early, batchStatements, batchSet, true)
	check("empty", early, readStatements, readSet, false)
	check("empty", early, balancesStatement, balancesSettings, true)

	createAccounts(t, s, 5000)
	g := generator{prefix: "p", accounts: 5000, random: newRandom(1)}
	for range 10 {
		batch := g.batch(2000)
		batch[0].Source = "nobody" // a rejection
		var captures []*rbcs.Transaction
		for i, h := range batch[1:500] {
			h.Type, h.ExpiresAt = rbcs.Hold, time.Date(3000, 1, 1, 0, 0, 0, 0, time.UTC)
			if i%2 == 0 {
				c := settle(rbcs.Capture, h.ID+"-c", h.ID, 0)
				c.Source, c.Destination = h.Source, h.Destination
				captures = append(captures, c)
			}
		}
		commit(t, s, batch...)
		commit(t, s, captures...)
	}
	prepare(late)
	for _, analyzed := range []bool{false, true} {
		if analyzed {
			execute(t, late, "vacuum analyze")
		}
		when := fmt.Sprintf("large, analyzed=%v", analyzed)
		check(when+", planned early", early, batchStatements, batchSet, true)
		check(when+", planned late", late, batchStatements, batchSet, true)
		check(when+", planned late", late, readStatements, readSet, true)
		check(when+", planned early", early, readStatements, readSet, true)
		check(when+", planned late", late, balancesStatement, balancesSettings, true)
		check(when+", planned early", early, balancesStatement, balancesSettings, true)
	}
	var first, last time.Time
	err := late.QueryRow(t.Context(), "select min(committed_at), max(committed_at) from transactions").Scan(&first, &last)
	if err != nil {
		t.Fatal(err)
	}
	for until, want := range map[time.Time]string{
		first: "Bitmap Index Scan on transactions_committed_at",
		last:  "Index Scan Backward using transactions_pkey",
	} {
		p := planned{name: "transactions", args: "1000000, '2000-01-01', '" + until.Format(time.RFC3339Nano) + "', 10"}
		if plan := explain(t, late, p, rangeSettings, false); full.MatchString(plan) || !strings.Contains(plan, want) {
			t.Errorf("no %s in\n%s", want, plan)
		}
	}
}

// TestUpdatesAreHeapOnly checks that the updates of accounts touch no index.
func TestUpdatesAreHeapOnly(t *testing.T) {
	dsn := migrated(t)
	s := openStore(t, dsn)
	createAccounts(t, s, 500)
	g := generator{prefix: "h", accounts: 500, random: newRandom(1)}
	const batches = 20
	for range batches {
		if _, err := s.Commit(t.Context(), g.batch(1000)); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Close(); err != nil { // its backends report as they end
		t.Fatal(err)
	}
	conn := connect(t, dsn)
	eventually(t, conn, "select n_tup_upd >= $1 from pg_stat_user_tables where relname = 'accounts'", batches*480)
	var updates, heapOnly int
	err := conn.QueryRow(t.Context(), "select n_tup_upd, n_tup_hot_upd from pg_stat_user_tables where relname = 'accounts'").Scan(&updates, &heapOnly)
	if err != nil {
		t.Fatal(err)
	}
	if heapOnly < updates/2 { // a page may be full while a snapshot keeps old versions; a changed index would leave none
		t.Errorf("%d of %d updates are heap-only", heapOnly, updates)
	}
}

// TestOrderIsOfBytes has a database whose own order is another one.
func TestOrderIsOfBytes(t *testing.T) {
	dsn := migrated(t)
	conn := connect(t, dsn)
	rows, err := conn.Query(t.Context(), `select table_name || '.' || column_name from information_schema.columns
		where table_schema = 'public' and data_type = 'text' and collation_name is distinct from 'C' order by 1`)
	if err != nil {
		t.Fatal(err)
	}
	found, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		t.Fatal(err)
	}
	// What nothing is ever ordered by or looked up with.
	const free = "account_changes.actor account_changes.instance account_changes.new_metadata account_changes.old_metadata accounts.metadata " +
		"transactions.actor transactions.description transactions.group_id transactions.instance transactions.metadata transactions.settled_by " +
		"webhooks.account webhooks.claimed_by webhooks.created_by webhooks.last_error webhooks.prefix webhooks.secret webhooks.url"
	if got := strings.Join(found, " "); got != free {
		t.Errorf("columns in the database's own order: %s", got)
	}
}
