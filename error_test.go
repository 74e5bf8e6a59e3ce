package rbcs_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"

	"rbcs"
)

func TestErrorReads(t *testing.T) {
	err := &rbcs.Error{Code: rbcs.NotFound, Message: "there is no account alice"}
	if got, want := err.Error(), "not_found: there is no account alice"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	err.Fields = []rbcs.FieldError{{Pointer: "/source", Message: "unknown"}, {Pointer: "/amount", Message: "missing"}}
	if got, want := err.Error(), "not_found: there is no account alice; /source: unknown; /amount: missing"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestErrorfKeepsTheCause(t *testing.T) {
	err := rbcs.Errorf(rbcs.Unavailable, "the database is away: %w", context.DeadlineExceeded)
	if err.Code != rbcs.Unavailable || err.Message != "the database is away: context deadline exceeded" {
		t.Errorf("got %q, %q", err.Code, err.Message)
	}
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Error("the cause is lost")
	}
	if err := rbcs.Errorf(rbcs.Internal, "account %d", 7); err.Message != "account 7" || err.Unwrap() != nil {
		t.Errorf("without a cause: %q, %v", err.Message, err.Unwrap())
	}
}

func TestCodeOf(t *testing.T) {
	overloaded := rbcs.Errorf(rbcs.Overloaded, "full")
	for _, c := range []struct {
		err  error
		want rbcs.Code
	}{
		{nil, ""},
		{overloaded, rbcs.Overloaded},
		{fmt.Errorf("submit: %w", overloaded), rbcs.Overloaded},
		{errors.Join(errors.New("x"), overloaded), rbcs.Overloaded},
		{errors.New("plain"), rbcs.Internal},
	} {
		if got := rbcs.CodeOf(c.err); got != c.want {
			t.Errorf("CodeOf(%v) = %q, want %q", c.err, got, c.want)
		}
	}
}

func TestRetryable(t *testing.T) {
	retryable := []rbcs.Code{rbcs.Overloaded, rbcs.Unavailable, rbcs.OutcomeUnknown, rbcs.VersionNotReached, rbcs.Internal}
	final := append(rbcs.RejectionCodes(), rbcs.InvalidRequest, rbcs.IDConflict, rbcs.AccountConflict, rbcs.NotFound, "")
	for _, code := range append(slices.Clone(retryable), final...) {
		err := &rbcs.Error{Code: code}
		if got, want := err.Retryable(), slices.Contains(retryable, code); got != want {
			t.Errorf("%q: Retryable = %v, want %v", code, got, want)
		}
	}
}

// TestRejectionCodes pins the precedence, which is part of the public interface.
func TestRejectionCodes(t *testing.T) {
	want := []rbcs.Code{
		"same_account", "account_not_found", "account_frozen", "account_closed", "currency_mismatch", "insufficient_funds",
		"hold_not_found", "hold_not_open", "amount_exceeds_hold", "amount_exceeds_reversible", "overflow", "group_failed",
	}
	if got := rbcs.RejectionCodes(); !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestAvailable(t *testing.T) {
	account := rbcs.Account{Balance: rbcs.AmountOf(-100), Held: rbcs.AmountOf(50)}
	if got := account.Available(); got != rbcs.AmountOf(-150) {
		t.Errorf("Available = %s, want -150", got)
	}
}
