package storetest_test

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"rbcs"
	"rbcs/internal/storetest"
)

// TestCheckAcknowledged tells clients what is in the log, and what is not.
func TestCheckAcknowledged(t *testing.T) {
	m := newMemory()
	usd := rbcs.Currency{Code: "USD", Decimals: 2}
	_, err := m.CreateAccounts(t.Context(), []rbcs.NewAccount{{Number: "bank", Currency: usd, Overdraft: rbcs.Overdraft{Unlimited: true}}, {Number: "a", Currency: usd}})
	if err != nil {
		t.Fatal(err)
	}
	transfer := func(id, source, destination string) *rbcs.Transaction {
		return &rbcs.Transaction{
			ID: id, Type: rbcs.Transfer, Source: source, Destination: destination, Timestamp: time.Unix(0, 0).UTC(),
			Amount: rbcs.Decimal{Units: rbcs.AmountOf(100), Scale: 2}, Actor: "alice",
		}
	}
	told, err := m.Commit(t.Context(), []*rbcs.Transaction{
		transfer("1", "bank", "a"), transfer("1", "bank", "a"), transfer("1", "a", "bank"), transfer("2", "ghost", "a"), transfer("3", "bank", "a"),
	})
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		change func(told []rbcs.Result) []rbcs.Result
		want   string // in the error; "" for none
	}{
		"all":     {func(told []rbcs.Result) []rbcs.Result { return told }, ""},
		"not all": {func(told []rbcs.Result) []rbcs.Result { return told[3:] }, ""},
		"none":    {func([]rbcs.Result) []rbcs.Result { return nil }, ""},
		"no instance": {func(told []rbcs.Result) []rbcs.Result {
			told[0].Instance, told[0].Transaction.Actor = "", ""
			return told
		}, ""},
		"another failure": {func(told []rbcs.Result) []rbcs.Result {
			told[4].Err = rbcs.Errorf(rbcs.Overloaded, "full")
			return told
		}, ""},
		"lost":             {func(told []rbcs.Result) []rbcs.Result { told[4].Transaction.ID = "4"; return told }, `"4" was acknowledged (attempt 1), but is not in the log`},
		"another attempt":  {func(told []rbcs.Result) []rbcs.Result { told[4].Attempt = 2; return told }, `"3" was acknowledged (attempt 2)`},
		"other status":     {func(told []rbcs.Result) []rbcs.Result { told[4].Status = rbcs.Rejected; return told }, `"3" is not what a client was told: status`},
		"other balance":    {func(told []rbcs.Result) []rbcs.Result { told[1].Source.Balance = rbcs.Amount{}; return told }, `"1" is not what a client was told: source`},
		"other time":       {func(told []rbcs.Result) []rbcs.Result { told[3].CommittedAt = time.Unix(1, 0).UTC(); return told }, `"2" is not what a client was told: committed_at`},
		"conflict lost":    {func(told []rbcs.Result) []rbcs.Result { told[2].Transaction.ID = "9"; return told }, `"9" was answered with a conflict, but is not in the log`},
		"conflict of none": {func(told []rbcs.Result) []rbcs.Result { told[2].Transaction = told[0].Transaction; return told }, `"1" was answered with a conflict, but is recorded with that content`},
	} {
		t.Run(name, func(t *testing.T) {
			err := storetest.CheckAcknowledged(t.Context(), m, c.change(slices.Clone(told)))
			if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %v, want %q", err, c.want)
			}
		})
	}
	m.log = append(m.log, m.log[0])
	if err := storetest.CheckAcknowledged(t.Context(), m, told); err == nil || !strings.Contains(err.Error(), `"1" stands in the log twice`) {
		t.Errorf("error %v, want that it stands twice", err)
	}
	if err := storetest.CheckAcknowledged(cancelled(t), m, told); rbcs.CodeOf(err) != rbcs.Unavailable || errors.Unwrap(err) == nil {
		t.Errorf("error %v, want the dump's", err)
	}
}
