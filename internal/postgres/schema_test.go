package postgres

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"rbcs"
	"rbcs/internal/testenv"
)

func TestInstancesMigrateTogether(t *testing.T) {
	dsn := testenv.Postgres(t)
	var group sync.WaitGroup
	for range 4 {
		group.Go(func() {
			if err := Migrate(t.Context(), dsn, MigrateOptions{Logger: quiet}); err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	s := openStore(t, dsn)
	createAccounts(t, s, 2)
	commitOne(t, s, "x")
}

func TestOtherSchemasAreRefused(t *testing.T) {
	dsn := testenv.Postgres(t)
	refused := func(what, says string) {
		t.Helper()
		_, err := Open(t.Context(), dsn, Options{Logger: quiet})
		if rbcs.CodeOf(err) != rbcs.InvalidRequest || !strings.Contains(err.Error(), "rbcs migrate --store") || !strings.Contains(err.Error(), says) {
			t.Errorf("%s schema: error %v", what, err)
		}
	}
	refused("no", "version 0")
	if err := Migrate(t.Context(), dsn, MigrateOptions{Logger: quiet}); err != nil {
		t.Fatal(err)
	}
	newest, err := schemaVersion()
	if err != nil {
		t.Fatal(err)
	}
	conn := connect(t, dsn)
	execute(t, conn, "insert into goose_db_version (version_id, is_applied) values ($1, true)", newest+1)
	refused("a newer", fmt.Sprintf("version %d", newest+1))
	if err := Migrate(t.Context(), dsn, MigrateOptions{Logger: quiet}); rbcs.CodeOf(err) != rbcs.InvalidRequest || !strings.Contains(err.Error(), "knows only") {
		t.Errorf("migrating a newer schema: %v", err)
	}
	execute(t, conn, "delete from goose_db_version where version_id >= $1", newest)
	refused("an older", fmt.Sprintf("version %d", newest-1))
}

func TestServersThatLoseCommitsAreRefused(t *testing.T) {
	for _, setting := range []string{"fsync", "full_page_writes"} {
		server := testenv.PostgresServer(t, setting+"=off")
		_, err := Open(t.Context(), server.URL, Options{Logger: quiet})
		if err == nil || !strings.Contains(err.Error(), "set "+setting+"=on") {
			t.Errorf("%s=off: error %v", setting, err)
		}
	}
}

func TestDSN(t *testing.T) {
	dsn := migrated(t)
	for _, c := range []struct{ query, says string }{
		{"&statement_timeout=1000", "statement_timeout"},
		{"&search_path=x", "search_path"},
		{"&default_query_exec_mode=simple_protocol", "cache_describe"},
		{"&default_query_exec_mode=exec", "cache_describe"},
		{"&sslmode=perhaps", "DSN"},
	} {
		_, err := Open(t.Context(), dsn+c.query, Options{Logger: quiet})
		if rbcs.CodeOf(err) != rbcs.InvalidRequest || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: error %v", c.query, err)
		}
	}
	for _, mode := range []string{"cache_statement", "cache_describe", "describe_exec"} {
		s := openStore(t, dsn+"&application_name=rbcs&default_query_exec_mode="+mode)
		createAccounts(t, s, 2)
		commitOne(t, s, mode)
	}
	if err := Migrate(t.Context(), dsn+"&sslmode=perhaps", MigrateOptions{}); rbcs.CodeOf(err) != rbcs.InvalidRequest {
		t.Errorf("Migrate: error %v", err)
	}
}

// TestReadOnlyServer has a database that takes no writes, as a standby: the
// pool looks for another server, unless the DSN says that any will do.
func TestReadOnlyServer(t *testing.T) {
	dsn := migrated(t)
	s := openStore(t, dsn)
	createAccounts(t, s, 2)
	conn := connect(t, dsn)
	execute(t, conn, "alter database "+conn.Config().Database+" set default_transaction_read_only = on")
	_, err := Open(t.Context(), dsn, Options{Logger: quiet})
	wantCode(t, err, rbcs.Unavailable)
	anyServer := openStore(t, dsn+"&target_session_attrs=any")
	wantCode(t, anyServer.Check(t.Context()), rbcs.Unavailable)
	_, err = anyServer.Database(t.Context())
	wantCode(t, err, rbcs.Unavailable)
	if err := s.Check(t.Context()); err != nil {
		t.Errorf("a connection from before: %v", err)
	}
}

func TestLogIsAppendOnly(t *testing.T) {
	dsn := migrated(t)
	s := openStore(t, dsn)
	createAccounts(t, s, 2)
	commitOne(t, s, "x")
	conn := connect(t, dsn) // a superuser
	for _, table := range []string{"transactions", "account_changes"} {
		for _, sql := range []string{"update %s set actor = 'x'", "delete from %s", "truncate %s"} {
			_, err := conn.Exec(t.Context(), fmt.Sprintf(sql, table))
			if err == nil || !strings.Contains(err.Error(), "append-only") {
				t.Errorf(sql+": error %v", table, err)
			}
		}
	}
}

// withServiceRole creates a role, prepares the database for a service that uses
// it, and returns that role's DSN.
func withServiceRole(t *testing.T, dsn, role string) string {
	t.Helper()
	quoted := pgx.Identifier{role}.Sanitize()
	execute(t, connect(t, dsn), "create role "+quoted+" login")
	t.Cleanup(func() { // roles belong to the whole server
		ctx := context.Background()
		admin, err := pgx.Connect(ctx, dsn)
		if err != nil {
			t.Fatal(err)
		}
		_, err = admin.Exec(ctx, "drop owned by "+quoted+"; drop role "+quoted)
		if err := errors.Join(err, admin.Close(ctx)); err != nil {
			t.Error(err)
		}
	})
	if err := Migrate(t.Context(), dsn, MigrateOptions{ServiceRole: role, Logger: quiet}); err != nil {
		t.Fatal(err)
	}
	u, err := url.Parse(dsn)
	if err != nil {
		t.Fatal(err)
	}
	u.User = url.User(role)
	return u.String()
}

// TestServiceRole runs everything as a role that owns nothing.
func TestServiceRole(t *testing.T) {
	dsn := testenv.Postgres(t)
	conn := connect(t, dsn)
	role := `Service "` + conn.Config().Database + `"` // its name must be quoted
	through := withServiceRole(t, dsn, role)
	s := openStore(t, through)
	everything(t, s)

	asRole := connect(t, through)
	for _, sql := range []string{
		"update transactions set actor = 'x'", "delete from transactions", "truncate transactions", "update accounts set number = 'x'",
		"delete from accounts", "delete from account_changes", "drop table accounts", "create table mine ()",
		"update open_holds set sequence = 1", "truncate open_holds", "select setval('transactions_sequence', 1)", "update currencies set decimals = 1",
	} {
		if _, err := asRole.Exec(t.Context(), sql); err == nil || !strings.Contains(err.Error(), "42501") && !strings.Contains(err.Error(), "append-only") {
			t.Errorf("%s: error %v", sql, err)
		}
	}
	if err := Migrate(t.Context(), dsn, MigrateOptions{ServiceRole: "nobody at all", Logger: quiet}); err == nil || !strings.Contains(err.Error(), "nobody at all") {
		t.Errorf("a role that is not there: error %v", err)
	}
}

// everything calls every method of the store.
func everything(t *testing.T, s *Store) {
	t.Helper()
	ctx := t.Context()
	createAccounts(t, s, 2)
	commitOne(t, s, "x")
	due := hold("due")
	due.ExpiresAt = time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC)
	commit(t, s, hold("h"), due)
	commit(t, s, settle(rbcs.Capture, "c", "h", 1), settle(rbcs.Expiry, "e", "due", 0), settle(rbcs.Reversal, "v", "c", 0))
	rejected := transfer("rejected")
	rejected.Source = "nobody"
	_, err1 := s.Commit(ctx, []*rbcs.Transaction{rejected})
	_, err2 := s.DeclareCurrencies(ctx, []rbcs.Currency{{Code: "BTC", Decimals: 8}})
	_, err3 := s.UpdateAccount(ctx, "a:0", rbcs.AccountChange{Status: new(rbcs.Frozen), Metadata: new("{}"), Actor: "me"})
	_, err4 := s.Account(ctx, "a:0")
	_, err5 := s.Accounts(ctx, rbcs.AccountQuery{Limit: 1})
	_, err6 := s.BalanceAt(ctx, "a:0", time.Now())
	_, err7 := s.Transaction(ctx, "x")
	_, err8 := s.Transactions(ctx, rbcs.TransactionQuery{Limit: 1})
	_, err9 := s.History(ctx, rbcs.HistoryQuery{Account: "a:0", Limit: 1})
	err10 := s.Dump(ctx, func(*rbcs.Result) error { return nil }, func(*rbcs.Account) error { return nil })
	_, err11 := s.Preview(ctx, []*rbcs.Transaction{transfer("y")})
	_, err12 := s.Totals(ctx, "")
	_, err13 := s.DueHolds(ctx, 1)
	_, err14 := s.Log(ctx, 0, 1)
	w, err15 := s.CreateWebhook(ctx, rbcs.Webhook{URL: "http://x", Secret: "whsec_x"})
	_, err16 := s.Webhook(ctx, w.ID)
	_, err17 := s.Webhooks(ctx)
	_, err18 := s.UpdateWebhook(ctx, w.ID, rbcs.WebhookChange{Paused: new(false)})
	_, err19 := s.ClaimWebhooks(ctx, "me", time.Minute)
	_, err20 := s.DeliveredWebhook(ctx, "me", w, 0)
	_, err21 := s.Balances(ctx, []string{"a:0"})
	cache, err22 := s.Cache(ctx)
	_, err23 := s.turnOff(ctx, cache.Timeline)
	if err := errors.Join(err21, err22, err23, err1, err2, err3, err4, err5, err6, err7, err8, err9, err10, err11, err12, err13, err14, err15, err16, err17,
		err18, err19, err20, s.DeleteWebhook(ctx, w.ID), s.Check(ctx)); err != nil {
		t.Fatal(err)
	}
}

// TestWhoChangedAnAccount reads the record of an account's creation and changes.
func TestWhoChangedAnAccount(t *testing.T) {
	dsn := migrated(t)
	s := openStore(t, dsn)
	accounts := []rbcs.NewAccount{{Number: "a", Currency: usd, Metadata: `{"a":1}`, Actor: "alice"}}
	for range 2 { // the second time it exists
		if _, err := s.CreateAccounts(t.Context(), accounts); err != nil {
			t.Fatal(err)
		}
	}
	limit := rbcs.Decimal{Units: rbcs.AmountOf(5)}
	for _, change := range []rbcs.AccountChange{
		{Status: new(rbcs.Frozen), Metadata: new(""), Actor: "bob"},
		{Overdraft: &rbcs.OverdraftChange{Limit: limit}},
		{Overdraft: &rbcs.OverdraftChange{Unlimited: true}},
	} {
		if _, err := s.UpdateAccount(t.Context(), "a", change); err != nil {
			t.Fatal(err)
		}
	}
	rows, err := connect(t, dsn).Query(t.Context(), `select concat_ws('|', coalesce(old_status, '-'), new_status, coalesce(old_overdraft::text, '-'),
		coalesce(new_overdraft::text, '-'), coalesce(old_metadata, '-'), coalesce(new_metadata, '-'), coalesce(actor, '-'), instance)
		from account_changes order by key`)
	if err != nil {
		t.Fatal(err)
	}
	got, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		`-|open|-|0|-|{"a":1}|alice|test`,
		`open|frozen|0|0|{"a":1}|-|bob|test`,
		`frozen|frozen|0|500|-|-|-|test`,
		`frozen|frozen|500|-|-|-|-|test`,
	}
	if !slices.Equal(got, want) {
		t.Errorf("recorded\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}
