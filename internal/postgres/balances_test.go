package postgres

import (
	"fmt"
	"testing"

	"rbcs"
)

// reading reads one balance.
func reading(t *testing.T, s *Store, number string) rbcs.BalanceReading {
	t.Helper()
	readings, err := s.Balances(t.Context(), []string{number})
	if err != nil {
		t.Fatal(err)
	}
	return readings[0]
}

// TestFillable has a row held, and given free in every way.
func TestFillable(t *testing.T) {
	dsn := migrated(t)
	s := openStore(t, dsn)
	createAccounts(t, s, 3)
	other := connect(t, dsn)
	wantFillable := func(when string, want bool, version int64) {
		t.Helper()
		r := reading(t, s, "a:0")
		if r.Err != nil || r.Fillable != want || r.Version != version || r.Timeline == 0 {
			t.Errorf("%s: %+v, want fillable %v, version %d", when, r, want, version)
		}
		if r := reading(t, s, "a:2"); r.Fillable != (s.declared.Load() != nil) {
			t.Errorf("%s: of an account that nobody touches: %+v", when, r)
		}
	}
	wantFillable("no cache is declared", false, 0)
	if _, err := s.Cache(t.Context()); err != nil {
		t.Fatal(err)
	}
	wantFillable("created", true, 0)
	commitOne(t, s, "x")
	wantFillable("committed", true, 1)
	const lock = "select from accounts where number = 'a:0' for no key update"
	for _, end := range []string{"rollback", "commit"} {
		execute(t, other, "begin")
		execute(t, other, lock)
		wantFillable("locked", false, 1)
		execute(t, other, end)
		wantFillable("locked, then "+end, true, 1)
	}
	execute(t, other, "begin")
	execute(t, other, lock)
	execute(t, other, "update accounts set version = 99 where number = 'a:0'")
	wantFillable("changed", false, 1)
	execute(t, other, "rollback")
	wantFillable("changed, then rolled back", true, 1)
	rejected := transfer("rejected")
	rejected.Currency = "EUR"
	if r := commit(t, s, rejected)[0]; r.Status != rbcs.Rejected {
		t.Fatalf("result %+v", r)
	}
	wantFillable("rejected", true, 1)
	commitOne(t, s, "x")
	wantFillable("replayed", true, 1)
	if _, err := s.UpdateAccount(t.Context(), "a:0", rbcs.AccountChange{Metadata: new("{}")}); err != nil {
		t.Fatal(err)
	}
	wantFillable("its metadata changed", true, 1)

	execute(t, other, "update cache_control set in_use_until = clock_timestamp() + $1::interval", lasting.String())
	if _, _, _, err := s.lookAtControl(t.Context()); err != nil {
		t.Fatal(err)
	}
	if r := reading(t, s, "a:0"); r.Fillable {
		t.Errorf("the declaration is about to end: %+v", r)
	}
}

// TestWholeTransactionNumber composes numbers around the borders of 32 bits.
func TestWholeTransactionNumber(t *testing.T) {
	conn := connect(t, migrated(t))
	const epoch = int64(1) << 32
	for _, c := range []struct{ next, whole int64 }{
		{1000, 3},
		{1000, 999},
		{1000, 1000},
		{1000, 1500},
		{epoch + 10, epoch + 5},
		{epoch + 10, epoch - 5},
		{epoch - 5, epoch + 5},
		{epoch, epoch},
		{3*epoch + 7, 3*epoch + 7 - 1<<31},
		{3*epoch + 7, 3*epoch + 7 + 1<<31 - 1},
		{3 * epoch, 3*epoch - 1},
	} {
		var got int64
		sql := "select " + wholeSQL(fmt.Sprintf("%d::bigint", c.whole%epoch), fmt.Sprintf("%d::bigint", c.next))
		if err := conn.QueryRow(t.Context(), sql).Scan(&got); err != nil || got != c.whole {
			t.Errorf("next %d, low %d: %d, %v; want %d", c.next, c.whole%epoch, got, err, c.whole)
		}
	}
}
