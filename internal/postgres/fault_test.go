package postgres

import (
	"context"
	"errors"
	"net"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"rbcs"
	"rbcs/internal/testenv"
)

func connect(t *testing.T, dsn string) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), dsn)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(context.Background()) })
	return conn
}

func execute(t *testing.T, conn *pgx.Conn, sql string, args ...any) {
	t.Helper()
	if _, err := conn.Exec(t.Context(), sql, args...); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
}

// eventually polls a query until it yields true.
func eventually(t *testing.T, conn *pgx.Conn, sql string, args ...any) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for {
		var ok bool
		if err := conn.QueryRow(ctx, sql, args...).Scan(&ok); err != nil {
			t.Fatalf("%s: %v", sql, err)
		}
		if ok {
			return
		}
		time.Sleep(time.Millisecond) // between two looks
	}
}

// transfer is a transfer of one cent from a:0 to a:1, unless told otherwise.
func transfer(id string) *rbcs.Transaction {
	return &rbcs.Transaction{
		ID: id, Type: rbcs.Transfer, Source: "a:0", Destination: "a:1", Amount: rbcs.Decimal{Units: rbcs.AmountOf(1), Scale: 2},
		Currency: "USD", Timestamp: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC),
	}
}

func wantCode(t *testing.T, err error, want rbcs.Code) {
	t.Helper()
	var known *rbcs.Error
	if rbcs.CodeOf(err) != want || err != nil && !errors.As(err, &known) {
		t.Fatalf("error %v, want code %q", err, want)
	}
}

// commitOne commits one transaction and wants it posted.
func commitOne(t *testing.T, s *Store, id string) rbcs.Result {
	t.Helper()
	results, err := s.Commit(t.Context(), []*rbcs.Transaction{transfer(id)})
	if err != nil {
		t.Fatal(err)
	}
	if results[0].Status != rbcs.Posted || results[0].Err != nil {
		t.Fatalf("result %+v", results[0])
	}
	return results[0]
}

func TestConnectionKilledBeforeCommitIsDefinite(t *testing.T) {
	dsn := migrated(t)
	s := openStore(t, dsn)
	createAccounts(t, s, 2)
	holder, watcher := connect(t, dsn), connect(t, dsn)
	execute(t, holder, "begin")
	execute(t, holder, "select 1 from accounts where number = 'a:0' for update")
	failed := make(chan error, 1)
	go func() {
		_, err := s.Commit(t.Context(), []*rbcs.Transaction{transfer("x")})
		failed <- err
	}()
	eventually(t, watcher, "select count(*) = 1 "+lockWaiting)
	execute(t, watcher, "select pg_terminate_backend(pid) "+lockWaiting)
	wantCode(t, <-failed, rbcs.Unavailable)
	execute(t, holder, "rollback")
	_, err := s.Transaction(t.Context(), "x")
	wantCode(t, err, rbcs.NotFound)
	if r := commitOne(t, s, "x"); r.Replayed {
		t.Error("it was committed")
	}
}

// TestDeadlineBeforeCommitIsDefinite lets the caller's deadline end a wait for a
// lock, by the statement's time limit or by the caller's context.
func TestDeadlineBeforeCommitIsDefinite(t *testing.T) {
	dsn := migrated(t)
	s := openStore(t, dsn)
	createAccounts(t, s, 2)
	holder := connect(t, dsn)
	execute(t, holder, "begin")
	execute(t, holder, "select 1 from accounts where number = 'a:0' for update")
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	_, err := s.Commit(ctx, []*rbcs.Transaction{transfer("x")})
	wantCode(t, err, rbcs.Unavailable)
	_, err = s.Commit(ctx, []*rbcs.Transaction{transfer("x")}) // not even a connection
	wantCode(t, err, rbcs.Unavailable)
	execute(t, holder, "rollback")
	commitOne(t, s, "x")
}

func TestAnswerToCommitLost(t *testing.T) {
	p, dsn := testenv.PostgresProxy(t, migrated(t))
	s := openStore(t, dsn)
	createAccounts(t, s, 2)
	for name, lose := range map[string]testenv.CommitFault{"committed": testenv.LoseAnswer, "not-committed": testenv.LoseCommit} {
		p.OnCommit.Store(&lose)
		_, err := s.Commit(t.Context(), []*rbcs.Transaction{transfer(name)})
		wantCode(t, err, rbcs.OutcomeUnknown)
		commitOne(t, s, name) // a replay or not: both are right here
	}
	if n := p.Cancels.Load(); n != 0 {
		t.Errorf("%d cancel requests were sent", n)
	}
	if b, err := s.Account(t.Context(), "a:1"); err != nil || b.Balance != rbcs.AmountOf(2) {
		t.Errorf("balance %v after two transfers of 1, error %v", b.Balance, err)
	}
}

// TestCommitThatIsNotAnswered ends the caller's wait: COMMIT is not cancelled,
// and its connection goes back to the pool once it is answered.
func TestCommitThatIsNotAnswered(t *testing.T) {
	p, dsn := testenv.PostgresProxy(t, migrated(t))
	s := openAs(t, dsn, Options{Instance: "test", Logger: quiet, MaxConns: 1})
	createAccounts(t, s, 2)
	held := make(chan struct{})
	hold := testenv.CommitFault(func(_, server net.Conn, message []byte) {
		<-held
		_, _ = server.Write(message)
	})
	p.OnCommit.Store(&hold)
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	_, err := s.Commit(ctx, []*rbcs.Transaction{transfer("x")})
	wantCode(t, err, rbcs.OutcomeUnknown)
	wantCode(t, s.Check(ctx), rbcs.Unavailable) // the only connection waits
	before := s.pool.Stat().NewConnsCount()
	close(held)
	if r := commitOne(t, s, "x"); !r.Replayed {
		t.Error("COMMIT was not carried out")
	}
	if n := s.pool.Stat().NewConnsCount(); n != before {
		t.Errorf("%d new connections: the one that waited was closed", n-before)
	}
	if n := p.Cancels.Load(); n != 0 {
		t.Errorf("%d cancel requests were sent", n)
	}
}

// lockWaiting are the backends that wait for a lock.
const lockWaiting = "from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'"

// syncWaiting are the backends that wait for a standby.
const syncWaiting = "from pg_stat_activity where wait_event = 'SyncRep'"

// awaitStandbys returns once commits wait for standbys: backends are told by the
// checkpointer, which may learn of the setting after the connection that set it.
func awaitStandbys(t *testing.T, admin *pgx.Conn, dsn string) {
	t.Helper()
	config, err := pgx.ParseConfig(dsn)
	if err != nil {
		t.Fatal(err)
	}
	warned := false
	config.OnNotice = func(*pgconn.PgConn, *pgconn.Notice) { warned = true }
	conn, err := pgx.ConnectConfig(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	committed := make(chan error, 1)
	go func() {
		var err error
		for !warned && err == nil { // by the commit that waited and was cancelled
			_, err = conn.Exec(t.Context(), "select pg_logical_emit_message(true, '', '')")
		}
		committed <- errors.Join(err, conn.Close(context.Background()))
	}()
	eventually(t, admin, "select count(*) = 1 "+syncWaiting)
	execute(t, admin, "select pg_cancel_backend(pid) "+syncWaiting)
	if err := <-committed; err != nil {
		t.Fatal(err)
	}
}

// TestSynchronousStandby has a server whose only synchronous standby is away:
// COMMIT waits for ever.
func TestSynchronousStandby(t *testing.T) {
	server := migratedServer(t)
	s := openStore(t, server.URL)
	createAccounts(t, s, 2)
	admin := connect(t, server.URL)
	execute(t, admin, "alter system set synchronous_standby_names = 'away'")
	execute(t, admin, "select pg_reload_conf()")
	awaitStandbys(t, admin, server.URL)

	failed := make(chan error, 1)
	go func() {
		_, err := s.Commit(t.Context(), []*rbcs.Transaction{transfer("warned")})
		failed <- err
	}()
	eventually(t, admin, "select count(*) = 1 "+syncWaiting)
	execute(t, admin, "select pg_cancel_backend(pid) "+syncWaiting)
	err := <-failed
	wantCode(t, err, rbcs.OutcomeUnknown)
	if !errors.Is(err, errWarning) {
		t.Errorf("error %v, want the warning", err)
	}

	for name, again := range map[string]func() error{
		"the same ID": func() error {
			_, err := s.Commit(t.Context(), []*rbcs.Transaction{transfer("warned")})
			return err
		},
		"an account that exists": func() error {
			_, err := s.CreateAccounts(t.Context(), []rbcs.NewAccount{{Number: "a:0", Currency: usd, Overdraft: rbcs.Overdraft{Unlimited: true}}})
			return err
		},
		"a change that changes nothing": func() error {
			_, err := s.UpdateAccount(t.Context(), "a:0", rbcs.AccountChange{Status: new(rbcs.Open)})
			return err
		},
	} {
		go func() { failed <- again() }()
		eventually(t, admin, "select count(*) = 1 "+syncWaiting)
		execute(t, admin, "select pg_cancel_backend(pid) "+syncWaiting)
		if err := <-failed; !errors.Is(err, errWarning) || rbcs.CodeOf(err) != rbcs.OutcomeUnknown {
			t.Errorf("%s was answered without the standby, error %v", name, err)
		}
	}

	limited := openAs(t, server.URL, Options{Logger: quiet, CommitTimeout: 200 * time.Millisecond})
	_, err = limited.Commit(t.Context(), []*rbcs.Transaction{transfer("late")})
	wantCode(t, err, rbcs.OutcomeUnknown)
	if err := limited.Close(); err != nil {
		t.Fatal(err)
	}
	eventually(t, admin, "select count(*) = 1 "+syncWaiting) // Close leaves the backend alone
	execute(t, admin, "alter system reset synchronous_standby_names")
	execute(t, admin, "select pg_reload_conf()")
	for _, id := range []string{"warned", "late"} {
		if r := commitOne(t, s, id); !r.Replayed {
			t.Errorf("%s was not committed", id)
		}
	}
}

// TestSameIDOnOtherAccounts has the ID of a batch committed by somebody whose
// accounts do not order the two: the batch runs again and finds it.
func TestSameIDOnOtherAccounts(t *testing.T) {
	dsn := migrated(t)
	s := openStore(t, dsn)
	createAccounts(t, s, 2)
	other, watcher := connect(t, dsn), connect(t, dsn)
	execute(t, other, "begin")
	execute(t, other, `insert into transactions (sequence, id, decimals, type, status, code, source_number, destination_number, amount, occurred_at, committed_at, instance)
		values (nextval('transactions_sequence'), 'x', 2, 'transfer', 'rejected', 'account_not_found', 'nobody', 'a:1', 1, '2026-01-01Z', now(), 'other')`)
	type answer struct {
		results []rbcs.Result
		err     error
	}
	answered := make(chan answer, 1)
	go func() {
		results, err := s.Commit(t.Context(), []*rbcs.Transaction{transfer("w"), transfer("x"), transfer("y")})
		answered <- answer{results, err}
	}()
	eventually(t, watcher, "select count(*) = 1 "+lockWaiting)
	execute(t, other, "commit")
	a := <-answered
	if a.err != nil {
		t.Fatal(a.err)
	}
	if r := a.results[1]; r.Err == nil || r.Err.Code != rbcs.IDConflict || r.Err.Fields[0].Pointer != "/source" {
		t.Errorf("the overtaken transaction: %+v", r)
	}
	for _, i := range []int{0, 2} {
		if r := a.results[i]; r.Status != rbcs.Posted || r.Replayed || r.Err != nil {
			t.Errorf("the one beside it: %+v", r)
		}
	}
}
