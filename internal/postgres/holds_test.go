package postgres

import (
	"errors"
	"fmt"
	"reflect"
	"sync"
	"testing"
	"time"

	"rbcs"
)

// TestSettlementsAtOnce has two instances settle each of many holds at the same
// moment: one wins, and the other is told who did.
func TestSettlementsAtOnce(t *testing.T) {
	dsn := migrated(t)
	one, two := openStore(t, dsn), openStore(t, dsn)
	createAccounts(t, one, 2)
	const rounds = 30
	for name, kinds := range map[string][2]rbcs.Type{
		"capture": {rbcs.Capture, rbcs.Capture}, "release": {rbcs.Capture, rbcs.Release}, "expiry": {rbcs.Release, rbcs.Expiry}, "due": {rbcs.Capture, rbcs.Expiry},
	} {
		for i := range rounds {
			id := fmt.Sprintf("%s-%d", name, i)
			h := hold(id)
			if kinds[1] == rbcs.Expiry {
				h.ExpiresAt = time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC)
			}
			commit(t, one, h)
			var results [2]rbcs.Result
			var group sync.WaitGroup
			for side, s := range []*Store{one, two} {
				group.Go(func() {
					r, err := s.Commit(t.Context(), []*rbcs.Transaction{settle(kinds[side], fmt.Sprintf("%s-by-%d", id, side), id, 0)})
					if err != nil {
						t.Error(err)
						return
					}
					results[side] = r[0]
				})
			}
			group.Wait()
			winner, loser := results[0], results[1]
			if winner.Status != rbcs.Posted {
				winner, loser = loser, winner
			}
			settled := loser.SettledBy == winner.Transaction.ID || name == "due" && loser.SettledBy == "" // it was due before it was settled
			if winner.Status != rbcs.Posted || loser.Code != rbcs.HoldNotOpen || !settled {
				t.Fatalf("%s: %+v\n%+v", id, winner, loser)
			}
			if r := now(t, two, id); r.ClosedBy != winner.Transaction.ID {
				t.Errorf("%s is closed by %s, want %s", id, r.ClosedBy, winner.Transaction.ID)
			}
		}
	}
	a, err := one.Account(t.Context(), "a:0")
	if err != nil || !a.Held.IsZero() {
		t.Errorf("held %s at the end, error %v", a.Held, err)
	}
	var open int
	if err := connect(t, dsn).QueryRow(t.Context(), "select count(*) from open_holds").Scan(&open); err != nil || open != 0 {
		t.Errorf("%d holds are open at the end, error %v", open, err)
	}
}

// TestReversalsAtOnce takes one transfer back from two instances, part by part:
// never more than it moved.
func TestReversalsAtOnce(t *testing.T) {
	dsn := migrated(t)
	stores := []*Store{openStore(t, dsn), openStore(t, dsn)}
	createAccounts(t, stores[0], 2)
	big := transfer("t")
	big.Amount.Units = rbcs.AmountOf(25)
	commit(t, stores[0], big)
	var group sync.WaitGroup
	for side, s := range stores {
		group.Go(func() {
			for i := range 20 {
				if _, err := s.Commit(t.Context(), []*rbcs.Transaction{settle(rbcs.Reversal, fmt.Sprintf("v-%d-%d", side, i), "t", 1)}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	group.Wait()
	r := now(t, stores[0], "t")
	a, err := stores[0].Account(t.Context(), "a:0")
	if r.Current != rbcs.Reversed || r.TakenBack != rbcs.AmountOf(25) || !a.Balance.IsZero() || err != nil {
		t.Errorf("%s, %s taken back, balance %s, error %v", r.Current, r.TakenBack, a.Balance, err)
	}
}

func TestDueHolds(t *testing.T) {
	s := openStore(t, migrated(t))
	createAccounts(t, s, 2)
	batch := []*rbcs.Transaction{hold("never")}
	for i, id := range []string{"third", "first", "second"} {
		h := hold(id)
		h.ExpiresAt = time.Date(2020, 1, 1+(i+2)%3, 0, 0, 0, 0, time.UTC)
		batch = append(batch, h)
	}
	later := hold("later")
	later.ExpiresAt = time.Date(3020, 1, 1, 0, 0, 0, 0, time.UTC)
	commit(t, s, append(batch, later)...)
	var ids []string
	for {
		due, err := s.DueHolds(t.Context(), 2)
		if err != nil {
			t.Fatal(err)
		}
		if len(due) == 0 {
			break
		}
		if due[0].Type != rbcs.Hold || due[0].Original != "" {
			t.Errorf("%+v is due", due[0])
		}
		ids = append(ids, due[0].ID)
		wantCodes(t, commit(t, s, settle(rbcs.Expiry, "rbcs.expiry."+due[0].ID, due[0].ID, 0)), "")
	}
	if want := []string{"first", "second", "third"}; !reflect.DeepEqual(ids, want) {
		t.Errorf("due were %v, want %v", ids, want)
	}
	results, err := s.Commit(t.Context(), []*rbcs.Transaction{settle(rbcs.Expiry, "early", "later", 0)})
	if err != nil || results[0].Err == nil {
		t.Errorf("an expiry before its time: %+v, error %v", results, err)
	}
}

// TestHeldAccountsStayOpen checks that no account is closed while it holds something.
func TestHeldAccountsStayOpen(t *testing.T) {
	s := openStore(t, migrated(t))
	createAccounts(t, s, 2)
	commit(t, s, hold("h"))
	_, err := s.UpdateAccount(t.Context(), "a:0", rbcs.AccountChange{Status: new(rbcs.Closed)})
	wantCode(t, err, rbcs.InvalidRequest)
	commit(t, s, settle(rbcs.Release, "r", "h", 0))
	if a, err := s.UpdateAccount(t.Context(), "a:0", rbcs.AccountChange{Status: new(rbcs.Closed)}); err != nil || a.Status != rbcs.Closed {
		t.Errorf("%+v, error %v", a, err)
	}
}

// TestHoldSettledBehindTheLog checks that a commit does not go on where the open holds are not those of the log.
func TestHoldSettledBehindTheLog(t *testing.T) {
	dsn := migrated(t)
	s := openStore(t, dsn)
	createAccounts(t, s, 2)
	commit(t, s, hold("h"))
	execute(t, connect(t, dsn), "delete from open_holds")
	_, err := s.Commit(t.Context(), []*rbcs.Transaction{settle(rbcs.Capture, "c", "h", 0)})
	wantCode(t, err, rbcs.Internal)
	if _, err := s.Transaction(t.Context(), "c"); rbcs.CodeOf(err) != rbcs.NotFound {
		t.Errorf("it was recorded: %v", errors.Unwrap(err))
	}
}
