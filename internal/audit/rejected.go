package audit

import (
	"slices"
	"strconv"

	"rbcs"
)

var rejectionCodes = rbcs.RejectionCodes()

// rejected checks that a rejection has a known reason, moved nothing, and tells
// what was there at its place in the log.
func (l *ledger) rejected(d *rbcs.Result) {
	t := &d.Transaction
	if !slices.Contains(rejectionCodes, d.Code) {
		l.fault(Fault{Transaction: t.ID, What: "code", Expected: "one of a rejection", Found: strconv.Quote(string(d.Code))})
	}
	check(l, t.Source, t.ID, "state after a rejection", rbcs.State{}, d.Source)
	check(l, t.Destination, t.ID, "state after a rejection", rbcs.State{}, d.Destination)
	if t.Type != rbcs.Capture && t.Type != rbcs.Reversal {
		check(l, t.Source, t.ID, "remainder", rbcs.Amount{}, d.Remainder)
	}
	switch d.Code {
	case rbcs.HoldNotOpen:
	case rbcs.AccountNotFound, rbcs.AccountFrozen, rbcs.AccountClosed:
		if d.SettledBy != t.Source && d.SettledBy != t.Destination {
			l.fault(Fault{t.Source, t.ID, "account of " + string(d.Code), "the source or the destination", strconv.Quote(d.SettledBy)})
		}
	default:
		check(l, t.Source, t.ID, "settled by", "", d.SettledBy)
	}
	l.shortfall(d)
	// A member of a failed group saw what those before it did, and was undone.
	if t.Group.Position > 0 {
		return
	}
	switch t.Type {
	case rbcs.Capture, rbcs.Release, rbcs.Expiry:
		l.refusedSettlement(d)
	case rbcs.Reversal:
		l.refusedReversal(d)
	}
}

// shortfall checks what is missing, which only some rejections tell.
func (l *ledger) shortfall(d *rbcs.Result) {
	t, s := &d.Transaction, &d.Shortfall
	switch {
	case d.Code == rbcs.InsufficientFunds:
		if t.Group.Position == 0 {
			var available rbcs.Amount
			if a := l.accounts[t.Source]; a != nil {
				available, _ = a.balance.Sub(a.held)
			}
			check(l, t.Source, t.ID, "available before the rejection", available, s.Available)
		}
	case d.Code == rbcs.AmountExceedsHold, d.Code == rbcs.AmountExceedsReversible && !t.Amount.Units.IsZero():
		left, ok := t.Amount.Units.Add(d.Remainder)
		if !ok || left != s.Available {
			l.fault(Fault{t.Source, t.ID, "available before the rejection", left.String(), s.Available.String()})
		}
		check(l, t.Source, t.ID, "overdraft", rbcs.Amount{}, s.Overdraft)
	default: // also a reversal of all of nothing
		check(l, t.Source, t.ID, "shortfall of "+string(d.Code), rbcs.Shortfall{}, *s)
		return
	}
	short := rbcs.MaxAmount() // where the difference has more than 38 digits
	if usable, ok := s.Available.Add(s.Overdraft); !ok {
		short = rbcs.Amount{} // more than any amount needs
	} else if gap, ok := t.Amount.Units.Sub(usable); ok {
		short = gap
	}
	check(l, t.Source, t.ID, "needed", t.Amount.Units, s.Needed)
	check(l, t.Source, t.ID, "short", short, s.Short)
	if s.Short.Sign() <= 0 {
		l.fault(Fault{t.Source, t.ID, "short", "more than zero", s.Short.String()})
	}
}
