package audit

import (
	"strconv"
	"strings"

	"rbcs"
)

// hold is an open hold.
type hold struct {
	source, destination string
	amount              rbcs.Amount
	currency            uint16
	expiresAt           int64 // in microseconds since 1970; 0 for never
}

// due reports whether the hold's time was over when d was decided.
func (h *hold) due(d *rbcs.Result) bool {
	return h.expiresAt != 0 && d.CommittedAt.UnixMicro() >= h.expiresAt
}

// verdict is what refused settlements of one hold tell of it. Holds that are
// settled are not kept, so that this is compared in a second reading of the log.
type verdict struct {
	unsettled int64  // the last sequence at which nothing had settled it
	settledBy string // what had settled it later on; "" where none tells
	since     int64  // the first sequence at which that was told
	found     bool
}

// hold opens a hold.
func (l *ledger) hold(d *rbcs.Result) {
	t := &d.Transaction
	if l.holds[t.ID] != nil {
		l.fault(Fault{t.Source, t.ID, "hold", "one that is not open", "an open one"})
	}
	source := l.account(t.Source)
	h := &hold{strings.Clone(t.Source), strings.Clone(t.Destination), t.Amount.Units, l.kind(t), 0}
	if !t.ExpiresAt.IsZero() {
		h.expiresAt = t.ExpiresAt.UnixMicro()
	}
	l.holds[strings.Clone(t.ID)] = h
	l.add(&source.reserved, h.amount, t.Source, t.ID, "held by open holds")
	l.reserve(d, h.amount)
}

// settle closes the hold that a capture, release or expiry refers to, and
// returns how much it had reserved.
func (l *ledger) settle(d *rbcs.Result) rbcs.Amount {
	t := &d.Transaction
	h := l.holds[t.Original]
	if h == nil {
		l.fault(Fault{t.Source, t.ID, "original", "an open hold", strconv.Quote(t.Original)})
		return rbcs.Amount{}
	}
	delete(l.holds, t.Original)
	l.add(&l.account(h.source).reserved, h.amount.Neg(), h.source, t.ID, "held by open holds")
	check(l, t.Source, t.ID, "source", h.source, t.Source)
	check(l, t.Source, t.ID, "destination", h.destination, t.Destination)
	check(l, t.Source, t.ID, "currency", l.kinds[h.currency], l.kinds[l.kind(t)])
	switch {
	case t.Type == rbcs.Capture && h.due(d):
		l.fault(Fault{t.Source, t.ID, "committed_at", "before the hold's end at " + formatMicro(h.expiresAt), formatMicro(d.CommittedAt.UnixMicro())})
	case t.Type == rbcs.Expiry && !h.due(d):
		l.fault(Fault{t.Source, t.ID, "original", "a hold that is due", strconv.Quote(t.Original)})
	}
	return h.amount
}

// refusedSettlement checks what a rejection tells of its hold. Whether there was
// no hold of that ID cannot be checked: a hold that is committed at the same
// time may have the lower sequence.
func (l *ledger) refusedSettlement(d *rbcs.Result) {
	t, h := &d.Transaction, l.holds[d.Transaction.Original]
	told := t.Type == rbcs.Capture && t.Currency != "" // what was wanted and what was left
	if reserved, ok := t.Amount.Units.Add(d.Remainder); told && h != nil && (!ok || reserved != h.amount) {
		l.fault(Fault{t.Source, t.ID, "amount and remainder", written(t, h.amount).String(), written(t, reserved).String()})
	}
	switch {
	case d.Code == rbcs.AmountExceedsHold && h == nil:
		l.fault(Fault{t.Source, t.ID, "original", "an open hold", strconv.Quote(t.Original)})
	case d.Code == rbcs.HoldNotOpen && h != nil && (d.SettledBy != "" || t.Type != rbcs.Capture || !h.due(d)):
		l.fault(Fault{t.Source, t.ID, "original", "a hold that is not open", strconv.Quote(t.Original)})
	case d.Code == rbcs.HoldNotOpen && h == nil:
		l.judge(d)
	}
}

// judge notes what a rejection tells of a hold that is not open.
func (l *ledger) judge(d *rbcs.Result) {
	if d.SettledBy == d.Transaction.Original { // it was rejected then, and an explicit retry may have opened it since
		return
	}
	v := l.verdicts[d.Transaction.Original]
	if v == nil {
		v = &verdict{}
		l.verdicts[strings.Clone(d.Transaction.Original)] = v
	}
	switch {
	case d.SettledBy == "":
		v.unsettled = d.Sequence
	case v.settledBy == "":
		v.settledBy, v.since = strings.Clone(d.SettledBy), d.Sequence
	}
	if d.SettledBy != v.settledBy {
		l.fault(Fault{Transaction: d.Transaction.ID, What: "settled by", Expected: strconv.Quote(v.settledBy), Found: strconv.Quote(d.SettledBy)})
	}
}

// settled compares what was told of a hold with what settled it.
func (l *ledger) settled(d *rbcs.Result) {
	t := &d.Transaction
	v := l.verdicts[t.Original]
	if v == nil || d.Status != rbcs.Posted || t.Type != rbcs.Capture && t.Type != rbcs.Release && t.Type != rbcs.Expiry {
		return
	}
	v.found = true
	if d.Sequence < v.unsettled || v.settledBy != "" && (v.settledBy != t.ID || d.Sequence > v.since) {
		l.fault(Fault{Transaction: t.Original, What: "settled by", Expected: strconv.Quote(t.ID), Found: strconv.Quote(v.settledBy)})
	}
}
