package rbcs_test

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"rbcs"
)

// pointersOf are the fields that an error names.
func pointersOf(err error) string {
	var e *rbcs.Error
	if !errors.As(err, &e) {
		return ""
	}
	var pointers []string
	for _, f := range e.Fields {
		pointers = append(pointers, f.Pointer)
	}
	return strings.Join(pointers, " ")
}

func TestPrepareSchedule(t *testing.T) {
	now := time.Date(2026, 3, 4, 5, 6, 7, 8_999, time.FixedZone("", 3600))
	known, err := rbcs.NewCurrencies()
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		execute, retry time.Time
		prepare, check string
	}{
		{time.Time{}, time.Time{}, "", ""},
		{now, time.Time{}, "", ""},
		{now, now.Add(time.Microsecond), "", ""},
		{now, now, "/retry_until", ""},
		{time.Time{}, now.Add(-time.Hour), "", ""}, // it may be the same, again
		{now.Add(rbcs.MaxSchedule), now.Add(rbcs.MaxSchedule + time.Second), "", "/retry_until"},
		{now.Add(rbcs.MaxSchedule + time.Second), now.Add(rbcs.MaxSchedule + time.Hour), "", "/execute_at /retry_until"},
		{time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC), time.Date(10001, 1, 1, 0, 0, 0, 0, time.UTC), "/execute_at /retry_until", "/execute_at /retry_until"},
	} {
		tx := rbcs.Transaction{
			ID: "x", Source: "a", Destination: "b", Amount: rbcs.Decimal{Units: rbcs.AmountOf(1)}, Timestamp: now, ExecuteAt: c.execute, RetryUntil: c.retry,
		}
		if got := pointersOf(tx.Prepare(known)); got != c.prepare {
			t.Errorf("%v, %v: faults in %q, want %q", c.execute, c.retry, got, c.prepare)
		}
		if got := pointersOf(tx.CheckSchedule(now)); got != c.check {
			t.Errorf("%v, %v: %q is checked, want %q", c.execute, c.retry, got, c.check)
		}
		if tx.Scheduled() == (c.execute.IsZero() && c.retry.IsZero()) {
			t.Errorf("%v, %v: scheduled is %v", c.execute, c.retry, tx.Scheduled())
		}
		for _, at := range []time.Time{tx.ExecuteAt, tx.RetryUntil} {
			if at.Location() != time.UTC || at.Nanosecond()%1000 != 0 {
				t.Errorf("%v is not in its normal form", at)
			}
		}
	}
	grouped := rbcs.Transaction{ExecuteAt: now, Group: rbcs.Group{ID: "g", Size: 1}}
	if got := pointersOf(grouped.CheckSchedule(now)); got != "/atomic" {
		t.Errorf("a member of a group: %q", got)
	}
}

func TestEntryConflicts(t *testing.T) {
	queued := rbcs.Transaction{ID: "x", Type: rbcs.Transfer, Source: "a", Destination: "b", Amount: rbcs.Decimal{Units: rbcs.AmountOf(1)}}
	entry := rbcs.IntakeEntry{Transaction: queued, State: rbcs.IntakeDead}
	same := queued
	same.Currency, same.Actor, same.Turn = "USD", "other", rbcs.Tentative
	if err := entry.Conflict(&same); err != nil {
		t.Error(err)
	}
	entry.Transaction.Currency = "EUR"
	if err := entry.Conflict(&same); err == nil || err.Code != rbcs.IDConflict || pointersOf(err) != "/currency" {
		t.Error(err)
	}
	entry.State = rbcs.IntakeDiscarded
	if err := entry.Conflict(&queued); err == nil || err.Code != rbcs.IDConflict || !strings.Contains(err.Message, "discarded") {
		t.Error(err)
	}
}

func TestIntakeActionIsChecked(t *testing.T) {
	for _, c := range []struct {
		a     rbcs.IntakeAction
		needs bool
		want  string
	}{
		{rbcs.IntakeAction{IDs: []string{"a"}}, false, ""},
		{rbcs.IntakeAction{IDs: []string{"a"}}, true, "/reason"},
		{rbcs.IntakeAction{IDs: []string{"a", "", "ü"}, Reason: "r"}, true, "/ids/1 /ids/2"},
		{rbcs.IntakeAction{Reason: strings.Repeat("x", rbcs.MaxIntakeReason+1)}, true, "/reason"},
	} {
		if got := pointersOf(c.a.Check(c.needs)); got != c.want {
			t.Errorf("%+v: %q, want %q", c.a, got, c.want)
		}
	}
}

func TestWhatMayPass(t *testing.T) {
	var may []rbcs.Code
	for _, code := range append(rbcs.RejectionCodes(), rbcs.Unavailable, rbcs.IDConflict, "") {
		if code.MayPass() {
			may = append(may, code)
		}
	}
	want := []rbcs.Code{rbcs.AccountNotFound, rbcs.AccountFrozen, rbcs.AccountClosed, rbcs.InsufficientFunds, rbcs.Overflow}
	if !slices.Equal(may, want) {
		t.Errorf("%v may pass, want %v", may, want)
	}
}
