package storetest

import (
	"math/big"
	"time"

	"rbcs"
)

// decideSettlement decides what refers to another transaction: it goes over
// that one's accounts, a reversal the other way.
func (m *model) decideSettlement(t *rbcs.Transaction, g *rbcs.Result) *rbcs.Result {
	w, original := draft(t, g), m.decided[t.Original]
	if g.Err != nil {
		w.CommittedAt = time.Now() // the answer does not tell when it was decided
	}
	switch {
	case t.Type == rbcs.Reversal && original == nil:
		return failure(t, rbcs.NotFound)
	case t.Type == rbcs.Reversal:
		w.Transaction.Source, w.Transaction.Destination = original.Transaction.Destination, original.Transaction.Source
	case original == nil || original.Transaction.Type != rbcs.Hold:
		if w.Code = rbcs.HoldNotFound; original != nil {
			w.SettledBy = string(original.Transaction.Type)
		}
		return w
	default:
		w.Transaction.Source, w.Transaction.Destination = original.Transaction.Source, original.Transaction.Destination
	}
	if named := t.Source == w.Transaction.Source && t.Destination == w.Transaction.Destination; !named && g.Err != nil && g.Err.Code == rbcs.Unavailable {
		return failure(t, rbcs.Unavailable) // whoever submitted it must look the original up first
	}
	source, destination := m.accounts[w.Transaction.Source], m.accounts[w.Transaction.Destination]
	var invalid string
	switch {
	case source == nil || destination == nil: // then the original never took place
		if w.Code, w.SettledBy = rbcs.HoldNotOpen, original.Transaction.ID; t.Type == rbcs.Reversal {
			if w.Code, w.SettledBy = rbcs.AccountNotFound, w.Transaction.Source; source != nil {
				w.SettledBy = w.Transaction.Destination
			}
		}
	case t.Type == rbcs.Reversal:
		invalid = reverse(w, original, source, destination)
	case t.Type == rbcs.Capture:
		invalid = capture(w, original, source, destination)
	default:
		invalid = release(w, original, source)
	}
	if invalid != "" {
		return failure(t, rbcs.InvalidRequest, invalid)
	}
	return w
}

// open reports whether a hold can be settled, and notes why not.
func open(w *rbcs.Result, hold *modelDecision) bool {
	switch {
	case hold.Status == rbcs.Rejected:
		w.SettledBy = hold.Transaction.ID
	case hold.closedBy != nil:
		w.SettledBy = hold.closedBy.ID
	}
	return hold.Status == rbcs.Holding && hold.closedBy == nil
}

// due reports whether the hold's end has come at the time of the decision.
func due(w *rbcs.Result, hold *modelDecision) bool {
	end := hold.Transaction.ExpiresAt
	return !end.IsZero() && !w.CommittedAt.Before(end)
}

// part is how much of what is left is wanted; nil where that is invalid.
func part(w *rbcs.Result, left *big.Int, source *modelAccount) *big.Int {
	units := left
	if !w.Transaction.Amount.Units.IsZero() {
		if units = unitsIn(w.Transaction.Amount, source); units == nil {
			return nil
		}
	}
	express(&w.Transaction, units, source)
	w.Remainder = fromBig(minus(left, units))
	return units
}

func exceeds(w *rbcs.Result, code rbcs.Code, units, left *big.Int) {
	w.Code = code
	w.Shortfall = rbcs.Shortfall{Available: fromBig(left), Needed: fromBig(units), Short: fromBig(minus(units, left))}
}

// capture, release and reverse return the field that makes the transaction
// invalid, or "".
func capture(w *rbcs.Result, hold *modelDecision, source, destination *modelAccount) (invalid string) {
	reserved := toBig(hold.Transaction.Amount.Units)
	units := part(w, reserved, source)
	if units == nil {
		return "/amount"
	}
	if w.Code, w.SettledBy = refusal(&w.Transaction, source, destination); w.Code != "" {
		return ""
	}
	switch {
	case !open(w, hold) || due(w, hold):
		w.Code = rbcs.HoldNotOpen
	case units.Cmp(reserved) > 0:
		exceeds(w, rbcs.AmountExceedsHold, units, reserved)
	default:
		move(w, source, destination, units, reserved)
	}
	return ""
}

// release gives all back, whatever the status of the accounts.
func release(w *rbcs.Result, hold *modelDecision, source *modelAccount) (invalid string) {
	reserved := toBig(hold.Transaction.Amount.Units)
	express(&w.Transaction, reserved, source)
	switch {
	case w.Transaction.Type == rbcs.Expiry && !due(w, hold):
		return "/original"
	case !open(w, hold):
		w.Code = rbcs.HoldNotOpen
	default:
		reserve(w, source, minus(new(big.Int), reserved), rbcs.Posted)
	}
	return ""
}

func reverse(w *rbcs.Result, original *modelDecision, source, destination *modelAccount) (invalid string) {
	left, what := new(big.Int), "" // of what moved nothing, and of what moved something back
	switch kind := original.Transaction.Type; {
	case original.Status == rbcs.Rejected:
		what = "rejected"
	case kind == rbcs.Transfer || kind == rbcs.Capture:
		left = minus(toBig(original.Transaction.Amount.Units), original.back)
	default:
		what = string(kind)
	}
	units := part(w, left, source)
	if units == nil {
		return "/amount"
	}
	if w.Code, w.SettledBy = refusal(&w.Transaction, source, destination); w.Code != "" {
		return ""
	}
	if units.Sign() == 0 {
		w.Code, w.SettledBy = rbcs.AmountExceedsReversible, what
		return ""
	}
	if short := lacking(source, units); short != nil {
		w.Code, w.Shortfall = rbcs.InsufficientFunds, *short
		return ""
	}
	if units.Cmp(left) > 0 {
		exceeds(w, rbcs.AmountExceedsReversible, units, left)
		w.SettledBy = what
		return ""
	}
	move(w, source, destination, units, new(big.Int))
	return ""
}
