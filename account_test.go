package rbcs

import (
	"strings"
	"testing"
)

// TestAccountChanged: every fault of a change is told at once.
func TestAccountChanged(t *testing.T) {
	usd := Currency{Code: "USD", Decimals: 2}
	a := Account{Number: "a", Currency: usd, Status: Open, Balance: AmountOf(1050), Held: AmountOf(50), Metadata: `{"k":1}`}
	is, err := a.Changed(&AccountChange{
		Status: new(Frozen), Overdraft: &OverdraftChange{Limit: Decimal{Units: AmountOf(7)}}, Metadata: new(""),
	})
	want := a
	want.Status, want.Overdraft.Limit, want.Metadata = Frozen, AmountOf(700), ""
	if err != nil || is != want {
		t.Errorf("%+v, %v; want %+v", is, err, want)
	}
	if is, err := a.Changed(&AccountChange{Overdraft: &OverdraftChange{Unlimited: true}}); err != nil || is.Overdraft != (Overdraft{Unlimited: true}) {
		t.Errorf("unlimited: %+v, %v", is, err)
	}
	for _, c := range []struct {
		status AccountStatus
		limit  Decimal
		want   string
	}{
		{Closed, Decimal{Units: AmountOf(-1)}, "a balance of 10.50 and 0.50 held; /overdraft: an overdraft is "},
		{"gone", Decimal{Units: AmountOf(1), Scale: 3}, `the status "gone" is not known; write open, frozen, frozen_outgoing or closed; /overdraft: `},
	} {
		_, err := a.Changed(&AccountChange{Status: &c.status, Overdraft: &OverdraftChange{Limit: c.limit}})
		if CodeOf(err) != InvalidRequest || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %s", c.status, err, c.want)
		}
	}
}

// TestAccountConflict: a conflict tells what the account was created as.
func TestAccountConflict(t *testing.T) {
	was := NewAccount{Number: "a", Currency: Currency{Code: "USD", Decimals: 2}, Overdraft: Overdraft{Unlimited: true}, Metadata: `{"k":1}`}
	same := was
	same.Actor = "somebody else"
	if err := same.Conflict(&was); err != nil {
		t.Errorf("the same: %v", err)
	}
	other := NewAccount{Number: "a", Currency: Currency{Code: "USD", Decimals: 3}}
	for _, c := range []struct {
		asked, was NewAccount
		want       string
	}{
		{other, was, `/currency: created as "USD" with 2 decimals; /overdraft: created as "unlimited"; /metadata: created as "{"k":1}"`},
		{was, NewAccount{Currency: Currency{Code: "JPY"}}, `/currency: created as "JPY"; /overdraft: created as "0"; /metadata: created as absent`},
	} {
		want := "account_conflict: the account a was created with other content; " + c.want
		if err := c.asked.Conflict(&c.was); err == nil || err.Error() != want {
			t.Errorf("%v\nwant %s", err, want)
		}
	}
}
