package postgres

import (
	"testing"
	"time"

	"rbcs"
	"rbcs/internal/audit"
)

// corruptions are what a hand with a database console may do to the books. Each
// changes money, history, or what becomes of either.
var corruptions = []string{
	"update accounts set balance = balance + 1, received = received + 1 where number = 'a:0'",
	"update accounts set balance = balance + case number when 'a:0' then 1 else -1 end, received = received + case number when 'a:0' then 1 else 0 end, sent = sent + case number when 'a:0' then 0 else 1 end where number in ('a:0', 'a:1')",
	"update accounts set received = received + 1, sent = sent + 1 where number = 'a:0'",
	"update accounts set held = held + 1 where number = 'a:0'",
	"update accounts set version = version + 1 where number = 'a:0'",
	"update accounts set updated_at = 'epoch' where number = 'a:0'",
	"update accounts set status = 'closed' where number = 'a:0'",
	"update accounts set status = 'open' where number = 'frozen'",
	"update accounts set overdraft = 1000000 where number = 'poor'",
	"update accounts set overdraft = null where number = 'poor'",
	"update accounts set metadata = '{}' where number = 'poor'",
	"update accounts set decimals = 3 where number = 'idle'",
	"update accounts set currency = 'EUR' where number = 'a:0'",
	"delete from accounts where number = 'idle'",
	"delete from account_changes where account_key = (select key from accounts where number = 'frozen') and old_status is not null",
	"update account_changes set new_overdraft = 5 where account_key = (select key from accounts where number = 'poor')",
	"update currencies set decimals = 3 where code = 'POINTS'",

	"update transactions set amount = amount + 1 where id = 't'",
	"update transactions set source_balance = source_balance + 1 where id = 't'",
	"update transactions set source_held = coalesce(source_held, 0) + 1 where id = 't'",
	"update transactions set committed_at = 'epoch' where id = 'v-partly'",
	"update transactions set currency = 'EUR' where id = 't'",
	"update transactions set decimals = 3 where id = 't'",
	"update transactions set source_key = destination_key, destination_key = source_key where id = 't'",
	"update transactions set status = 'rejected' where id = 't'",
	"update transactions set status = 'posted' where id = 'missing'",
	"update transactions set code = 'account_closed' where id = 'poor'",
	"update transactions set available = 3 where id = 'poor'",
	"update transactions set type = 'release' where id = 'c1'",
	"update transactions set type = 'transfer' where id = 'v'",
	"update transactions set id = 'other' where id = 'g1'",
	"update transactions set id = 'other' where id = 'h1'",
	"update transactions set group_id = null, group_position = null, group_size = null where id = 'g1'",
	"update transactions set attempt = 2 where id = 't'",
	"update transactions set original_id = 'open' where id = 'c1'",
	"update transactions set original_id = 'partly' where id = 'v'",
	"update transactions set remainder = null where id = 'c1'",
	"update transactions set remainder = 1 where id = 'v'",
	"update transactions set settled_by = 'r2' where id = 'c1-again'",
	"update transactions set expires_at = expires_at + interval '1 day' where id = 'later'",
	"update transactions set expires_at = null where id = 'later'",
	"delete from transactions where id = 't'",
	"delete from transactions where id = 'c1'",
	"delete from transactions where id = 'g2'",
	"delete from transactions where id = 'v-part'",

	// What stands beside the log.
	"update transactions set original_sequence = null where id = 'c1'",
	"update transactions set original_sequence = null where id = 'v'",
	"update transactions set original_sequence = 1 where id = 'v'",
	"update transactions set original_sequence = 1 where id = 't'",
	"update transactions set outcome = null where id = 'v'",
	"update transactions set outcome = 'released' where id = 'c1'",
	"update transactions set outcome = 'reversed' where id = 'v-part'",
	"update transactions set outcome = 'reversed' where id = 't'",
	"delete from open_holds where sequence = (select sequence from transactions where id = 'open')",
	"update open_holds set expires_at = now() where sequence = (select sequence from transactions where id = 'open')",
	"update open_holds set expires_at = null where expires_at is not null",
	"update open_holds set source_key = destination_key where sequence = (select sequence from transactions where id = 'open')",
	"insert into open_holds select sequence, sequence, source_key, destination_key from transactions where id = 'h1'",
	"insert into open_holds values (999999, 999999, 1, 2)",
	"select setval('transactions_sequence', 3)",
	"delete from intake_sources",
	"update intake_sources set ready_at = ready_at + interval '1 second'",
}

// TestAuditFindsCorruption makes each of them and lets the audit look.
func TestAuditFindsCorruption(t *testing.T) {
	dsn := migrated(t)
	s := openStore(t, dsn)
	if _, err := s.DeclareCurrencies(t.Context(), []rbcs.Currency{{Code: "POINTS"}}); err != nil {
		t.Fatal(err)
	}
	if _, err := s.CreateAccounts(t.Context(), []rbcs.NewAccount{{Number: "idle", Currency: rbcs.Currency{Code: "POINTS"}}}); err != nil {
		t.Fatal(err)
	}
	lives(t, s)
	queued := transfer("queued")
	queued.ExecuteAt = time.Date(3020, 1, 1, 0, 0, 0, 0, time.UTC)
	if _, err := s.Enqueue(t.Context(), []*rbcs.Transaction{queued}); err != nil {
		t.Fatal(err)
	}
	run := func() audit.Report {
		report, err := audit.Run(t.Context(), s, nil)
		if err != nil {
			t.Fatal(err)
		}
		return report
	}
	for _, fault := range run().Faults {
		t.Fatalf("before: %v", fault)
	}
	conn := connect(t, dsn)
	execute(t, conn, "set session_replication_role = replica") // no trigger guards the log
	tables := []string{"accounts", "account_changes", "currencies", "transactions", "open_holds", "intake_sources"}
	for _, table := range tables {
		execute(t, conn, "create table kept_"+table+" as select * from "+table)
	}
	execute(t, conn, "create table kept_sequence as select last_value from transactions_sequence")
	for _, sql := range corruptions {
		execute(t, conn, sql)
		if report := run(); report.OK() {
			t.Errorf("the audit finds nothing after: %s", sql)
		}
		for _, table := range tables {
			execute(t, conn, "truncate "+table)
			execute(t, conn, "insert into "+table+" overriding system value select * from kept_"+table)
		}
		execute(t, conn, "select setval('transactions_sequence', last_value) from kept_sequence")
	}
	for _, fault := range run().Faults {
		t.Errorf("after: %v", fault)
	}
}
