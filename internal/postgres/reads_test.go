package postgres

import (
	"context"
	"sync"
	"testing"
	"time"

	"rbcs"
)

// TestPastDoesNotChange asks for the past while a commit is held open that has
// its time already: the answers wait for it.
func TestPastDoesNotChange(t *testing.T) {
	dsn := migrated(t)
	s := openStore(t, dsn)
	createAccounts(t, s, 2)
	commitOne(t, s, "1")
	watcher := connect(t, dsn)
	tx, err := s.begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer tx.rollback(t.Context())
	l, err := tx.load(t.Context(), []*rbcs.Transaction{transfer("2")})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tx.record(t.Context(), s.number(l, l.Decide())); err != nil {
		t.Fatal(err)
	}
	at := l.Now.Add(time.Microsecond)

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
	eventually(t, watcher, "select count(*) = 3 from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'")
	// What is long past is not waited for.
	if b, err := s.BalanceAt(t.Context(), "a:0", at.Add(-2*recent)); err != nil || b.Version != 0 {
		t.Errorf("long ago: %+v, error %v", b, err)
	}
	short, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	_, err = s.BalanceAt(short, "a:0", at)
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
