package rest

import (
	"fmt"

	"rbcs"
)

// rejectionDetail says in a sentence why a transaction was rejected. It is made
// from the record alone, so that every replay says the same.
func rejectionDetail(r *rbcs.Result) string {
	t := &r.Transaction
	scale := int(t.Amount.Scale)
	switch r.Code {
	case rbcs.SameAccount:
		return fmt.Sprintf("the source and the destination are the same account %s", t.Source)
	case rbcs.AccountNotFound:
		if t.Source == "" {
			return fmt.Sprintf("the transaction %s was rejected and has no accounts", t.Original)
		}
		return fmt.Sprintf("there is no account %s, the %s", r.SettledBy, sideOf(r))
	case rbcs.AccountFrozen:
		return fmt.Sprintf("the account %s, the %s, is frozen", r.SettledBy, sideOf(r))
	case rbcs.AccountClosed:
		return fmt.Sprintf("the account %s, the %s, is closed", r.SettledBy, sideOf(r))
	case rbcs.CurrencyMismatch:
		return fmt.Sprintf("the accounts %s and %s are not both in %s", t.Source, t.Destination, t.Currency)
	case rbcs.InsufficientFunds:
		return fmt.Sprintf("the account %s has %s %s available and an overdraft of %s: %s is short of the %s needed",
			t.Source, r.Shortfall.Available.Format(scale), t.Currency, r.Shortfall.Overdraft.Format(scale),
			r.Shortfall.Short.Format(scale), r.Shortfall.Needed.Format(scale))
	case rbcs.HoldNotFound:
		if r.SettledBy != "" {
			return fmt.Sprintf("there is no hold %s: that is %s", t.Original, oneOf(r.SettledBy))
		}
		return fmt.Sprintf("there is no hold %s", t.Original)
	case rbcs.HoldNotOpen:
		switch r.SettledBy {
		case "":
			return fmt.Sprintf("the hold %s is not open: its time is over, and it can only be released", t.Original)
		case t.Original:
			return fmt.Sprintf("the hold %s is not open: it was rejected", t.Original)
		}
		return fmt.Sprintf("the hold %s is not open: it was settled by %s", t.Original, r.SettledBy)
	case rbcs.AmountExceedsHold:
		return fmt.Sprintf("the hold %s is of %s %s: the capture of %s is %s too large", t.Original,
			r.Shortfall.Available.Format(scale), t.Currency, r.Shortfall.Needed.Format(scale), r.Shortfall.Short.Format(scale))
	case rbcs.AmountExceedsReversible:
		switch {
		case r.SettledBy == string(rbcs.Rejected):
			return fmt.Sprintf("the transaction %s was rejected: it moved nothing that could be reversed", t.Original)
		case r.SettledBy != "":
			return fmt.Sprintf("the transaction %s is %s: only a posted transfer or capture can be reversed", t.Original, oneOf(r.SettledBy))
		case r.Shortfall.Available.IsZero():
			return fmt.Sprintf("of the transaction %s nothing is left to reverse", t.Original)
		}
		return fmt.Sprintf("of the transaction %s, %s %s is left to reverse: the reversal of %s is %s too large", t.Original,
			r.Shortfall.Available.Format(scale), t.Currency, r.Shortfall.Needed.Format(scale), r.Shortfall.Short.Format(scale))
	case rbcs.GroupFailed:
		return "another member of its atomic group was rejected, so nothing of the group was posted"
	case rbcs.Overflow:
		if r.SettledBy == "" { // it was decided by a version that did not note which
			return fmt.Sprintf("a balance or a total of %s or %s would need more than %d digits", t.Source, t.Destination, rbcs.MaxDigits)
		}
		return fmt.Sprintf("a balance or a total of the account %s would need more than %d digits: move less, or use another account",
			r.SettledBy, rbcs.MaxDigits)
	}
	return fmt.Sprintf("the transaction was rejected: %s", titleOf(r.Code))
}

// oneOf writes a type with its article.
func oneOf(kind string) string {
	if kind == string(rbcs.Expiry) {
		return "an " + kind
	}
	return "a " + kind
}

// sideOf says which of the accounts a rejection is about.
func sideOf(r *rbcs.Result) string {
	if r.SettledBy == r.Transaction.Source {
		return "source"
	}
	return "destination"
}
