package sqlite

import (
	"fmt"
	"math"
	"slices"
	"sync"
	"testing"
	"time"

	"rbcs"
)

// TestLog pages through the log while it grows: each sequence is there once.
func TestLog(t *testing.T) {
	s := openTemp(t)
	createAccounts(t, s, "a", "b")
	if page, err := s.Log(t.Context(), 0, 10); err != nil || page.End != 0 || page.Timeline != 1 || len(page.Results) != 0 {
		t.Errorf("the empty log is %+v, %v", page, err)
	}
	const batches, size = 60, 7
	var writing sync.WaitGroup
	writing.Go(func() {
		for i := range batches {
			batch := make([]*rbcs.Transaction, size)
			for j := range batch {
				batch[j] = transfer(fmt.Sprint(i, "-", j), "a", "b", 1)
			}
			if _, err := s.Commit(t.Context(), batch); err != nil {
				t.Error(err)
			}
		}
	})
	for after := int64(0); after < batches*size && !t.Failed(); {
		page, err := s.Log(t.Context(), after, 10)
		if err != nil {
			t.Fatal(err)
		}
		for i := range page.Results {
			if after++; page.Results[i].Sequence != after {
				t.Fatalf("sequence %d stands where %d should", page.Results[i].Sequence, after)
			}
		}
		if page.End != after {
			t.Fatalf("the page ends with %d and says %d", after, page.End)
		}
	}
	writing.Wait()
	if page, err := s.Log(t.Context(), math.MaxInt64, 1); err != nil || page.End != batches*size || len(page.Results) != 0 {
		t.Errorf("the end of the log is %+v, %v", page, err)
	}
}

// TestDueHolds lists what is due by the time that a commit would have: also
// after the clock was set back.
func TestDueHolds(t *testing.T) {
	s := openTemp(t)
	clock := morning
	s.now = func() time.Time { return clock }
	createAccounts(t, s, "a", "b")
	holds := make([]*rbcs.Transaction, 6)
	for i := range holds {
		holds[i] = hold(fmt.Sprint(i), "a", "b", 1)
		holds[i].Currency = "USD"
		holds[i].ExpiresAt = morning.Add(time.Duration(10-i) * time.Second)
	}
	holds[0].ExpiresAt = time.Time{} // never
	mustCommit(t, s, holds...)
	due := func(limit int) (ids string) {
		t.Helper()
		list, err := s.DueHolds(t.Context(), limit)
		if err != nil {
			t.Fatal(err)
		}
		for _, tx := range list {
			ids += tx.ID
			if i := slices.IndexFunc(holds, func(h *rbcs.Transaction) bool { return h.ID == tx.ID }); tx != *holds[i] {
				t.Errorf("%+v is due, want %+v", tx, *holds[i])
			}
		}
		return ids
	}
	for _, c := range []struct {
		after time.Duration
		limit int
		want  string
	}{{0, 10, ""}, {5*time.Second - 1, 10, ""}, {5 * time.Second, 10, "5"}, {8 * time.Second, 10, "5432"}, {8 * time.Second, 2, "54"}, {time.Hour, 10, "54321"}} {
		clock = morning.Add(c.after)
		if got := due(c.limit); got != c.want {
			t.Errorf("after %v: %q is due, want %q", c.after, got, c.want)
		}
	}
	clock = morning.Add(7 * time.Second)
	mustCommit(t, s, settle(rbcs.Expiry, "rbcs.5", holds[5], 0), settle(rbcs.Release, "r4", holds[4], 0))
	clock = morning
	if got := due(10); got != "3" {
		t.Errorf("after the clock was set back %q is due", got)
	}
	if r := mustCommit(t, s, settle(rbcs.Expiry, "rbcs.3", holds[3], 0))[0]; r.Status != rbcs.Posted {
		t.Errorf("what is listed as due cannot expire: %+v", r)
	}
}

// TestTotals sums exactly, by currency and prefix, past what an amount can be.
func TestTotals(t *testing.T) {
	s := openTemp(t)
	s.now = func() time.Time { return morning }
	yen := rbcs.Currency{Code: "JPY"}
	var accounts []rbcs.NewAccount
	for _, number := range []string{"p:1", "p:2", "q:1", "q:2", "p"} {
		accounts = append(accounts, rbcs.NewAccount{Number: number, Currency: usd, Overdraft: rbcs.Overdraft{Unlimited: true}})
	}
	accounts = append(accounts, rbcs.NewAccount{Number: "p:yen", Currency: yen})
	if _, err := s.CreateAccounts(t.Context(), accounts); err != nil {
		t.Fatal(err)
	}
	most := func(id, source, destination string) *rbcs.Transaction {
		tx := transfer(id, source, destination, 0)
		tx.Amount.Units = rbcs.MaxAmount()
		return tx
	}
	h := hold("h", "p", "q:1", 7)
	for _, r := range mustCommit(t, s, most("1", "q:1", "p:1"), most("2", "q:2", "p:2"), h) {
		if r.Status == rbcs.Rejected {
			t.Fatalf("%+v", r)
		}
	}
	check := func(prefix string, want ...rbcs.Total) {
		t.Helper()
		for i := range want {
			want[i].AsOf = morning
		}
		if got, err := s.Totals(t.Context(), prefix); err != nil || !slices.Equal(got, want) {
			t.Errorf("%q sums up to %+v, %v; want %+v", prefix, got, err, want)
		}
	}
	check("", rbcs.Total{Currency: yen, Accounts: 1}, rbcs.Total{Currency: usd, Accounts: 5, Held: rbcs.AmountOf(7)})
	check("p:1", rbcs.Total{Currency: usd, Accounts: 1, Balance: rbcs.MaxAmount()})
	check("q:1", rbcs.Total{Currency: usd, Accounts: 1, Balance: rbcs.MaxAmount().Neg()})
	check("none")
	for _, prefix := range []string{"p:", "q:"} {
		_, err := s.Totals(t.Context(), prefix)
		wantError(t, err, rbcs.InvalidRequest, "more than 38 digits")
	}
}

// TestTotalsWhileWriting: every snapshot sums up to nothing.
func TestTotalsWhileWriting(t *testing.T) {
	s := openTemp(t)
	createAccounts(t, s, "a", "b", "c")
	stop := make(chan struct{})
	var writing sync.WaitGroup
	writing.Go(func() {
		for i := 0; ; i++ {
			select {
			case <-stop:
				return
			default:
				batch := []*rbcs.Transaction{transfer(fmt.Sprint(i, "x"), "a", "c", 1), transfer(fmt.Sprint(i, "y"), "c", "b", 2)}
				if _, err := s.Commit(t.Context(), batch); err != nil {
					t.Error(err)
					return
				}
			}
		}
	})
	for range 100 {
		totals, err := s.Totals(t.Context(), "")
		if err != nil || len(totals) != 1 || totals[0].Accounts != 3 || !totals[0].Balance.IsZero() {
			t.Fatalf("%+v, %v", totals, err)
		}
	}
	close(stop)
	writing.Wait()
}
