package rest

import (
	"fmt"

	"rbcs"
)

// rejectionDetail says in a sentence why a transaction was rejected. It is made
// from the record alone, so that every replay says the same.
func rejectionDetail(r *rbcs.Result) string {
	t := &r.Transaction
	switch r.Code {
	case rbcs.SameAccount:
		return fmt.Sprintf("the source and the destination are the same account %s", t.Source)
	case rbcs.AccountNotFound:
		if t.Currency == "" { // the source would have given it one
			return fmt.Sprintf("there is no account %s, the source", t.Source)
		}
		return fmt.Sprintf("there is no account %s, or no account %s", t.Source, t.Destination)
	case rbcs.AccountFrozen, rbcs.AccountClosed:
		status := rbcs.Frozen
		if r.Code == rbcs.AccountClosed {
			status = rbcs.Closed
		}
		return fmt.Sprintf("the account %s or the account %s is %s", t.Source, t.Destination, status)
	case rbcs.CurrencyMismatch:
		return fmt.Sprintf("the accounts %s and %s are not both in %s", t.Source, t.Destination, t.Currency)
	case rbcs.InsufficientFunds:
		scale := int(t.Amount.Scale)
		return fmt.Sprintf("the account %s has %s %s available and an overdraft of %s: %s is short of the %s needed",
			t.Source, r.Shortfall.Available.Format(scale), t.Currency, r.Shortfall.Overdraft.Format(scale),
			r.Shortfall.Short.Format(scale), r.Shortfall.Needed.Format(scale))
	case rbcs.Overflow:
		return fmt.Sprintf("a balance or a total of %s or %s would need more than %d digits",
			t.Source, t.Destination, rbcs.MaxDigits)
	}
	return fmt.Sprintf("the transaction was rejected: %s", titleOf(r.Code))
}
