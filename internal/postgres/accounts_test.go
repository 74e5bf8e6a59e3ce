package postgres

import (
	"testing"

	"rbcs"
)

// TestCreateAgain repeats the request for an account that was changed meanwhile:
// it is what was asked for at first that counts.
func TestCreateAgain(t *testing.T) {
	s := openStore(t, migrated(t))
	ctx := t.Context()
	original := rbcs.NewAccount{Number: "a", Currency: usd, Overdraft: rbcs.Overdraft{Limit: rbcs.AmountOf(500)}, Metadata: `{"a":1}`}
	if r, err := s.CreateAccounts(ctx, []rbcs.NewAccount{original}); err != nil || !r[0].Created {
		t.Fatalf("%+v, error %v", r, err)
	}
	changed, err := s.UpdateAccount(ctx, "a", rbcs.AccountChange{
		Status: new(rbcs.FrozenOutgoing), Overdraft: &rbcs.OverdraftChange{Unlimited: true}, Metadata: new(`{"a":2}`),
	})
	if err != nil {
		t.Fatal(err)
	}
	now := rbcs.NewAccount{Number: "a", Currency: usd, Overdraft: changed.Overdraft, Metadata: changed.Metadata}
	fresh := rbcs.NewAccount{Number: "b", Currency: usd}
	r, err := s.CreateAccounts(ctx, []rbcs.NewAccount{original, now, fresh, fresh})
	if err != nil {
		t.Fatal(err)
	}
	if r[0].Err != nil || r[0].Created || r[0].Account != changed || changed.Status != rbcs.FrozenOutgoing {
		t.Errorf("in its original words: %+v, want %+v", r[0], changed)
	}
	if e := r[1].Err; e == nil || e.Code != rbcs.AccountConflict || len(e.Fields) != 2 ||
		e.Fields[0].Message != `created as "5.00"` || e.Fields[1].Message != `created as "{"a":1}"` {
		t.Errorf("in other words: %+v", r[1])
	}
	if !r[2].Created || r[3].Created || r[3].Err != nil {
		t.Errorf("a new one, twice: %+v, %+v", r[2], r[3])
	}
}

// TestChangeOfNothing leaves no trace.
func TestChangeOfNothing(t *testing.T) {
	dsn := migrated(t)
	s := openStore(t, dsn)
	createAccounts(t, s, 1)
	was, err := s.Account(t.Context(), "a:0")
	if err != nil {
		t.Fatal(err)
	}
	is, err := s.UpdateAccount(t.Context(), "a:0", rbcs.AccountChange{Status: new(rbcs.Open), Overdraft: &rbcs.OverdraftChange{Unlimited: true}})
	if err != nil || is != was {
		t.Errorf("%+v, want %+v, error %v", is, was, err)
	}
	var changes int
	if err := connect(t, dsn).QueryRow(t.Context(), "select count(*) from account_changes").Scan(&changes); err != nil || changes != 1 {
		t.Errorf("%d changes recorded, error %v; want the creation", changes, err)
	}
}
