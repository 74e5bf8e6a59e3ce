package audit

import (
	"strconv"
	"strings"

	"rbcs"
)

// original is what the reversals of one transaction say of it. The transactions
// themselves are not kept, since any of the log may be reversed: they are looked
// up in a second reading of it, which only a log with reversals needs.
type original struct {
	source, destination string      // of the reversals
	total               rbcs.Amount // that was reversible at first
	left                rbcs.Amount
	currency            uint16
	first               int64 // the sequence of the first reversal
	found               bool
}

// refers returns what is known of a reversal's original, and checks that the
// reversal agrees: its amount and its remainder together are what was left.
func (l *ledger) refers(d *rbcs.Result) *original {
	t := &d.Transaction
	left, ok := t.Amount.Units.Add(d.Remainder)
	if !ok {
		l.overflow(t.Source, t.ID, "amount and remainder")
	}
	o := l.originals[t.Original]
	if o == nil {
		o = &original{strings.Clone(t.Source), strings.Clone(t.Destination), left, left, l.kind(t), d.Sequence, false}
		l.originals[strings.Clone(t.Original)] = o
	}
	check(l, t.Source, t.ID, "source", o.source, t.Source)
	check(l, t.Destination, t.ID, "destination", o.destination, t.Destination)
	check(l, t.Source, t.ID, "currency", l.kinds[o.currency], l.kinds[l.kind(t)])
	check(l, t.Source, t.ID, "amount and remainder", written(t, o.left), written(t, left))
	return o
}

// reversed takes a posted reversal from what is left of its original.
func (l *ledger) reversed(d *rbcs.Result) {
	o := l.refers(d)
	if d.Remainder.Sign() < 0 {
		l.fault(Fault{d.Transaction.Source, d.Transaction.ID, "remainder", "not below zero", written(&d.Transaction, d.Remainder).String()})
	}
	o.left = d.Remainder
}

// refusedReversal checks what a rejection tells of its original. One whose
// accounts do not exist does not know what was left.
func (l *ledger) refusedReversal(d *rbcs.Result) {
	if d.Code == rbcs.AccountNotFound || d.Code == rbcs.GroupFailed {
		return
	}
	l.refers(d)
	if d.Code == rbcs.AmountExceedsReversible && d.Remainder.Sign() >= 0 && !d.Transaction.Amount.Units.IsZero() {
		l.fault(Fault{d.Transaction.Source, d.Transaction.ID, "remainder", "below zero", written(&d.Transaction, d.Remainder).String()})
	}
}

// original compares a transaction with what its reversals say of it.
func (l *ledger) original(d *rbcs.Result) {
	t := &d.Transaction
	o := l.originals[t.ID]
	if o == nil {
		return
	}
	o.found = true
	total := rbcs.Amount{}
	if d.Status == rbcs.Posted && (t.Type == rbcs.Transfer || t.Type == rbcs.Capture) {
		total = t.Amount.Units
		check(l, t.Source, t.ID, "currency of its reversals", l.kinds[l.kind(t)], l.kinds[o.currency])
	}
	check(l, t.Source, t.ID, "amount that was reversible", written(t, total), written(t, o.total))
	check(l, t.Source, t.ID, "destination of its reversals", t.Source, o.destination)
	check(l, t.Source, t.ID, "source of its reversals", t.Destination, o.source)
	if d.Sequence >= o.first {
		l.fault(Fault{t.Source, t.ID, "sequence", "less than its reversals' " + strconv.FormatInt(o.first, 10), strconv.FormatInt(d.Sequence, 10)})
	}
}
