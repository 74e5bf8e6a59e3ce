package postgres

import (
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"rbcs"
)

// intakeStatements are those that write, and those that only read.
var intakeStatements = []planned{
	{"enqueue", enqueueSQL, strings.Repeat("null, ", 14) + "null", []string{"transactions_id"}},
	{"ready", readySQL, "null, null", nil},
	{"queued", queuedSQL, "'{x,y}'", []string{"Index Scan using intake_pkey"}},
	{"discarded", discardedSQL, "'{x,y}'", []string{"Index Scan using intake_pkey", "using intake_state"}},
	{"dequeue", dequeueSQL, "'{x,y}'", []string{"Index Scan using intake_pkey"}},
	{"claim", claimSQL, "'c', '1s', 10", []string{"Index Scan using intake_sources_ready", "Index Scan using intake_sources_pkey"}},
	{"claimed", claimedSQL, "'{a,b}', 10", []string{"Index Scan using intake_source on"}},
	{"lock-sources", lockSourcesSQL, "'{a,b}'", []string{"Scan using intake_sources_pkey"}},
	{"failed", failedSQL, "'c', null, null, null, null, null, null, 'i', 20, 50", []string{"Index Scan using intake_pkey", "Index Scan using intake_sources_pkey"}},
	{"end-sources", endSourcesSQL, "'c', '{a,b}'", []string{"Index Scan using intake_sources_pkey", "intake_source on"}},
	{"free-sources", freeSourcesSQL, "'c', '{a,b}', null", []string{"Index Scan using intake_sources_pkey", "intake_source on"}},
	{"lock-of", lockSourcesOfSQL, "'{x,y}'", []string{"intake_pkey", "intake_sources_pkey"}},
	{"lock-accounts-of", lockAccountsOfSQL, "'{x,y}'", []string{"intake_pkey", "accounts_number"}},
	{"lock-entries", lockIntakeSQL, "'{x,y}'", []string{"intake_pkey", "intake_sources_pkey"}},
	{"decided", decidedSQL, "'{x,y}'", []string{"transactions_id"}},
	{"act", actSQL, "'{x,y}', 'queued', 'replayed', '', '', 'i'", []string{"Index Scan using intake_pkey"}},
	{"ready-again", readyAgainSQL, "'{x,y}'", []string{"Index Scan using intake_pkey"}},
}

var intakeReads = []planned{
	{"intake", intakesSQL, "'{x}'", []string{"Index Scan using intake_pkey"}},
	{"intakes", listIntakeSQL, "'queued', '2000-01-01', 0, 10", []string{"Index Scan using intake_state"}},
	{"waiting", waitingIntakeSQL, "'2000-01-01', 0, 10", []string{"Index Scan using intake_state"}},
	{"intake-history", historyIntakeSQL, "'x', 10", []string{"Index Scan Backward using intake_events_id"}},
	{"intake-stats", statsIntakeSQL, "10", []string{"intake_state"}},
}

// TestIntakePlans is [TestPlans] for the queue: no statement reads a table whole
// or sorts the queue, neither on empty tables nor on large ones, whenever it was planned.
func TestIntakePlans(t *testing.T) {
	dsn := migrated(t)
	s := openStore(t, dsn)
	early, late := connect(t, dsn), connect(t, dsn)
	prepare := func(conn *pgx.Conn) {
		for _, p := range append(intakeStatements, intakeReads...) {
			execute(t, conn, "prepare "+pgx.Identifier{p.name}.Sanitize()+" as "+p.sql)
		}
	}
	full := regexp.MustCompile(`Seq Scan on|Hash Join|Merge Join|JIT`)
	check := func(when string, conn *pgx.Conn, list []planned, settings string, exact bool) {
		for _, p := range list {
			plan := explain(t, conn, p, settings, false)
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
	check("empty", early, intakeStatements, s.settings.begin, true)
	check("empty", early, intakeReads, readSettings, false)
	for k := range 5 {
		var txs []*rbcs.Transaction
		for i := range 4000 {
			tx := transfer(fmt.Sprintf("q-%d-%d", k, i))
			tx.Source = fmt.Sprint("s:", i%1500)
			if i%3 == 0 {
				tx.ExecuteAt = time.Date(3000, 1, 1, 0, 0, 0, 0, time.UTC)
			}
			txs = append(txs, tx)
		}
		if _, err := s.Enqueue(t.Context(), txs); err != nil {
			t.Fatal(err)
		}
	}
	prepare(late)
	for _, analyzed := range []bool{false, true} {
		if analyzed {
			execute(t, late, "vacuum analyze")
		}
		when := fmt.Sprintf("large, analyzed=%v", analyzed)
		for name, conn := range map[string]*pgx.Conn{"early": early, "late": late} {
			check(when+", planned "+name, conn, intakeStatements, s.settings.begin, true)
			check(when+", planned "+name, conn, intakeReads, readSettings, true)
		}
	}
}
