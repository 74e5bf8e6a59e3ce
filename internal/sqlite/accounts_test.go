package sqlite

import (
	"testing"
	"time"

	"rbcs"
)

// TestCreatedOnSlowClock changes an account in the microsecond of its creation:
// the change is not taken for a part of it.
func TestCreatedOnSlowClock(t *testing.T) {
	s := openTemp(t)
	s.now = func() time.Time { return time.Date(2031, 1, 1, 0, 0, 0, 0, time.UTC) }
	createAccounts(t, s, "a")
	if _, err := s.UpdateAccount(t.Context(), "a", rbcs.AccountChange{Metadata: new(`{"k":1}`)}); err != nil {
		t.Fatal(err)
	}
	asked := rbcs.NewAccount{Number: "a", Currency: usd, Overdraft: rbcs.Overdraft{Unlimited: true}}
	r, err := s.CreateAccounts(t.Context(), []rbcs.NewAccount{asked})
	if err != nil || r[0].Err != nil || r[0].Created || r[0].Account.Metadata != `{"k":1}` {
		t.Errorf("%+v, %v", r, err)
	}
}
