package postgres

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"rbcs"
)

// recordOnly records a transfer and does not commit it: it has its time already,
// which is returned, and nobody sees it. What the test leaves open is rolled back.
func recordOnly(t *testing.T, s *Store, id string) (*transaction, time.Time) {
	t.Helper()
	tx, err := s.begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { tx.rollback(context.Background()) })
	l, err := tx.load(t.Context(), []*rbcs.Transaction{transfer(id)})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tx.record(t.Context(), s.number(l, l.Decide())); err != nil {
		t.Fatal(err)
	}
	return tx, l.Now
}

// TestPastDoesNotChange asks for the past while a commit is held open that has
// its time already: the answers wait for it.
func TestPastDoesNotChange(t *testing.T) {
	dsn := migrated(t)
	s := openStore(t, dsn)
	createAccounts(t, s, 2)
	commitOne(t, s, "1")
	watcher := connect(t, dsn)
	tx, decided := recordOnly(t, s, "2")
	at := decided.Add(time.Microsecond)

	var balance rbcs.Balance
	var history []rbcs.Entry
	var listed []rbcs.Record
	var asking sync.WaitGroup
	ask := func(question func() error) {
		asking.Go(func() {
			if err := question(); err != nil {
				t.Error(err)
			}
		})
	}
	ask(func() (err error) { balance, err = s.BalanceAt(t.Context(), "a:0", at); return err })
	ask(func() (err error) {
		history, err = s.History(t.Context(), rbcs.HistoryQuery{Account: "a:1", To: at, Limit: 10})
		return err
	})
	ask(func() (err error) {
		listed, err = s.Transactions(t.Context(), rbcs.TransactionQuery{Account: "a:1", To: at, Limit: 10})
		return err
	})
	eventually(t, watcher, "select count(*) = 3 "+lockWaiting)
	// What is long past is not waited for.
	if b, err := s.BalanceAt(t.Context(), "a:0", at.Add(-2*recent)); err != nil || b.Version != 0 {
		t.Errorf("long ago: %+v, error %v", b, err)
	}
	short, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	_, err := s.BalanceAt(short, "a:0", at)
	wantCode(t, err, rbcs.Unavailable)
	if err := tx.commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	asking.Wait()
	if balance.Version != 2 || !balance.AsOf.Equal(at) {
		t.Errorf("the balance is of version %d as of %v, want 2 as of %v", balance.Version, balance.AsOf, at)
	}
	if len(history) != 2 || len(listed) != 2 {
		t.Errorf("%d entries, %d transactions; want 2 of each", len(history), len(listed))
	}
}

// moveClock sets the server's clock on, or back, for the sessions that begin from now on.
func moveClock(t *testing.T, conn *pgx.Conn, by string) {
	t.Helper()
	for _, sql := range []string{
		"create schema moved",
		"create function moved.clock_timestamp() returns timestamptz language sql as $$ select pg_catalog.clock_timestamp() + interval '" + by + "' $$",
		"do $$ begin execute format('alter database %I set search_path = moved, public, pg_catalog', current_database()); end $$",
	} {
		execute(t, conn, sql)
	}
}

// TestPastWaitsForALongCommit has a COMMIT that takes longer than what is recent,
// as it does while its standby is away.
func TestPastWaitsForALongCommit(t *testing.T) {
	dsn := migrated(t)
	s := openStore(t, dsn)
	createAccounts(t, s, 2)
	committed := commitOne(t, s, "1").CommittedAt
	watcher := connect(t, dsn)
	tx, decided := recordOnly(t, s, "2")
	moveClock(t, watcher, "1 hour")
	later := openStore(t, dsn)
	if b, err := later.BalanceAt(t.Context(), "a:0", committed); err != nil || b.Version != 1 {
		t.Errorf("before that commit began: %+v, error %v", b, err)
	}
	answer := make(chan rbcs.Balance, 1)
	go func() {
		b, err := later.BalanceAt(t.Context(), "a:0", decided)
		if err != nil {
			t.Error(err)
		}
		answer <- b
	}()
	eventually(t, watcher, "select count(*) = 1 "+lockWaiting)
	if err := tx.commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	if b := <-answer; b.Version != 2 || !b.AsOf.Equal(decided) {
		t.Errorf("the balance is of version %d as of %v, want 2 as of %v", b.Version, b.AsOf, decided)
	}
}

// TestNowIsNotBeforeWhatWasTold sets the server's clock back: by itself, or
// because a standby was promoted whose clock is behind.
func TestNowIsNotBeforeWhatWasTold(t *testing.T) {
	for _, by := range []string{"-200 milliseconds", "-1 hour"} {
		dsn := migrated(t)
		before := openStore(t, dsn)
		createAccounts(t, before, 2)
		commitOne(t, before, "1")
		moveClock(t, connect(t, dsn), by)
		s := openStore(t, dsn)
		told := commitOne(t, s, "2")
		for _, at := range []time.Time{told.CommittedAt, told.CommittedAt.Add(time.Minute)} {
			b, err := s.BalanceAt(t.Context(), "a:0", at)
			if err != nil || b.Version != told.Source.Version {
				t.Errorf("clock moved by %s: %+v at %v, error %v; want version %d", by, b, at, err, told.Source.Version)
			}
		}
		h, err := s.History(t.Context(), rbcs.HistoryQuery{Account: "a:0", To: told.CommittedAt.Add(time.Minute), Limit: 10})
		if err != nil || len(h) != 2 {
			t.Errorf("clock moved by %s: %d lines, error %v; want 2", by, len(h), err)
		}
	}
}

// TestFutureIsNow asks for a moment that has not come.
func TestFutureIsNow(t *testing.T) {
	s := openStore(t, migrated(t))
	createAccounts(t, s, 2)
	committed := commitOne(t, s, "1").CommittedAt
	ahead := committed.Add(time.Hour)
	b, err := s.BalanceAt(t.Context(), "a:0", ahead)
	if err != nil || b.Version != 1 || b.AsOf.Before(committed) || !b.AsOf.Before(ahead) {
		t.Errorf("balance %+v, error %v", b, err)
	}
	h, err := s.History(t.Context(), rbcs.HistoryQuery{Account: "a:0", To: ahead, Limit: 10})
	if err != nil || len(h) != 1 {
		t.Errorf("%d entries, error %v", len(h), err)
	}
}

// TestReadsLeaveConnectionsToCommits has more slow reads than connections.
func TestReadsLeaveConnectionsToCommits(t *testing.T) {
	dsn := migrated(t)
	const connections = 4
	s := openAs(t, dsn, Options{Instance: "x", Logger: quiet, MaxConns: connections})
	createAccounts(t, s, 2)
	watcher := connect(t, dsn)
	ctx, cancel := context.WithCancel(t.Context())
	var reading sync.WaitGroup
	for range 3 * connections {
		reading.Go(func() {
			if err := s.readWith(ctx, totalsSettings, one(), "select pg_sleep(600)"); rbcs.CodeOf(err) != rbcs.Unavailable {
				t.Errorf("a read that was given up: %v", err)
			}
		})
	}
	eventually(t, watcher, "select count(*) = $1 from pg_stat_activity where datname = current_database() and wait_event = 'PgSleep'", connections/2)
	commitOne(t, s, "1")
	cancel()
	reading.Wait()
	if _, err := s.Account(t.Context(), "a:0"); err != nil {
		t.Errorf("a read after them: %v", err)
	}
}
