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
	check(l, t.Source, t.ID, "state after a rejection", stateOf(t, rbcs.State{}), stateOf(t, d.Source))
	check(l, t.Destination, t.ID, "state after a rejection", stateOf(t, rbcs.State{}), stateOf(t, d.Destination))
	if t.Type != rbcs.Capture && t.Type != rbcs.Reversal {
		check(l, t.Source, t.ID, "remainder", written(t, rbcs.Amount{}), written(t, d.Remainder))
	}
	switch d.Code {
	case rbcs.HoldNotOpen:
	case rbcs.AccountNotFound, rbcs.AccountFrozen, rbcs.AccountClosed:
		if d.SettledBy != t.Source && d.SettledBy != t.Destination {
			l.fault(Fault{t.Source, t.ID, "account of " + string(d.Code), "the source or the destination", strconv.Quote(d.SettledBy)})
		}
	default:
		if !mayBeAbout(d) {
			check(l, t.Source, t.ID, "settled by", "", d.SettledBy)
		}
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

// mayBeAbout reports whether a rejection names what it may: the account that would
// overflow, or what the original is that cannot be settled or reversed.
func mayBeAbout(d *rbcs.Result) bool {
	t := &d.Transaction
	switch about := d.SettledBy; d.Code {
	case rbcs.Overflow:
		return about == t.Source || about == t.Destination
	case rbcs.HoldNotFound:
		return slices.Contains([]rbcs.Type{rbcs.Transfer, rbcs.Capture, rbcs.Release, rbcs.Expiry, rbcs.Reversal}, rbcs.Type(about))
	case rbcs.AmountExceedsReversible:
		return about == string(rbcs.Rejected) || slices.Contains([]rbcs.Type{rbcs.Hold, rbcs.Release, rbcs.Expiry, rbcs.Reversal}, rbcs.Type(about))
	}
	return false
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
			check(l, t.Source, t.ID, "available before the rejection", written(t, available), written(t, s.Available))
		}
	case d.Code == rbcs.AmountExceedsHold, d.Code == rbcs.AmountExceedsReversible && !t.Amount.Units.IsZero():
		left, ok := t.Amount.Units.Add(d.Remainder)
		if !ok || left != s.Available {
			l.fault(Fault{t.Source, t.ID, "available before the rejection", written(t, left).String(), written(t, s.Available).String()})
		}
		check(l, t.Source, t.ID, "overdraft", written(t, rbcs.Amount{}), written(t, s.Overdraft))
	default: // also a reversal of all of nothing
		check(l, t.Source, t.ID, "shortfall of "+string(d.Code), shortfallOf(t, rbcs.Shortfall{}), shortfallOf(t, *s))
		return
	}
	short := rbcs.MaxAmount() // where the difference has more than 38 digits
	if usable, ok := s.Available.Add(s.Overdraft); !ok {
		short = rbcs.Amount{} // more than any amount needs
	} else if gap, ok := t.Amount.Units.Sub(usable); ok {
		short = gap
	}
	check(l, t.Source, t.ID, "needed", written(t, t.Amount.Units), written(t, s.Needed))
	check(l, t.Source, t.ID, "short", written(t, short), written(t, s.Short))
	if s.Short.Sign() <= 0 {
		l.fault(Fault{t.Source, t.ID, "short", "more than zero", written(t, s.Short).String()})
	}
}
