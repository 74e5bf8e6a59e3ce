package postgres

import (
	"reflect"
	"testing"
	"time"

	"rbcs"
)

func TestTotals(t *testing.T) {
	dsn := migrated(t)
	s := openStore(t, dsn)
	yen := rbcs.Currency{Code: "JPY"}
	accounts := []rbcs.NewAccount{
		{Number: "b:1", Currency: yen, Overdraft: rbcs.Overdraft{Unlimited: true}}, {Number: "b", Currency: usd}, {Number: "b:2", Currency: usd},
	}
	if _, err := s.CreateAccounts(t.Context(), accounts); err != nil {
		t.Fatal(err)
	}
	createAccounts(t, s, 3)
	h, credit := hold("h"), transfer("t")
	credit.Destination = "b:2"
	commit(t, s, h, credit)
	for prefix, want := range map[string][]rbcs.Total{
		"":     {{Currency: yen, Accounts: 1}, {Currency: usd, Accounts: 5, Held: rbcs.AmountOf(5)}},
		"a:":   {{Currency: usd, Accounts: 3, Held: rbcs.AmountOf(5), Balance: rbcs.AmountOf(-1)}},
		"b:":   {{Currency: yen, Accounts: 1}, {Currency: usd, Accounts: 1, Balance: rbcs.AmountOf(1)}},
		"none": nil,
	} {
		got, err := s.Totals(t.Context(), prefix)
		if err != nil {
			t.Fatal(err)
		}
		for i := range got {
			if time.Since(got[i].AsOf).Abs() > time.Minute {
				t.Errorf("as of %v", got[i].AsOf)
			}
			got[i].AsOf = time.Time{}
		}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("%q: %+v, want %+v", prefix, got, want)
		}
	}
	// 39 digits, and far more.
	conn := connect(t, dsn)
	for _, sum := range []string{
		"update accounts set balance = 6e37, received = 6e37, sent = 0 where number in ('a:0', 'a:1')",
		`insert into accounts (created_at, updated_at, decimals, number, currency, balance, received)
			select now(), now(), 2, 'c:' || i, 'USD', 9e37, 9e37 from generate_series(1, 20000) i`,
	} {
		execute(t, conn, sum)
		for _, prefix := range []string{"", "a:"} {
			_, err := s.Totals(t.Context(), prefix)
			wantCode(t, err, rbcs.InvalidRequest)
		}
	}
}
