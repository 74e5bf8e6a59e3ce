package posting

import "rbcs"

// reverse moves all or part of a posted transfer or capture back. The account
// that gives back keeps its limits like any other source: a reversal never
// overrides an overdraft rule or a freeze. Of anything else nothing is reversible.
func (b *Batch) reverse(d *Decision) rbcs.Code {
	original := b.Recorded[d.Transaction.Original]
	if original == nil {
		d.fail(&rbcs.Error{Code: rbcs.NotFound, Message: "no transaction has the ID " + d.Transaction.Original})
		return ""
	}
	if !b.follow(d, original, original.Transaction.Destination, original.Transaction.Source) {
		if d.Err != nil {
			return ""
		}
		return d.missing()
	}
	reference := b.References[d.Transaction.Original]
	var left rbcs.Amount
	fixed := irreversible(original)
	if fixed == "" {
		left, _ = original.Transaction.Amount.Units.Sub(reference.Reversed) // never below zero
	}
	amount, ok := d.part(left)
	if !ok {
		return ""
	}
	if code := d.admissible(); code != "" {
		return code
	}
	if amount.IsZero() { // nothing is left
		return d.because(rbcs.AmountExceedsReversible, fixed)
	}
	if shortfall, short := lacks(d.SourceAccount, amount); short {
		d.Shortfall = shortfall
		return rbcs.InsufficientFunds
	}
	if amount.Cmp(left) > 0 {
		d.Shortfall = rbcs.Shortfall{Available: left, Needed: amount, Short: missing(amount, left)}
		return d.because(rbcs.AmountExceedsReversible, fixed)
	}
	if code := b.move(d, amount, rbcs.Amount{}); code != "" {
		return code
	}
	reference.Reversed, _ = reference.Reversed.Add(amount) // at most the original's amount
	b.refers(original, reference)
	return ""
}

// irreversible returns what a transaction is of which nothing is ever reversible:
// "rejected", or its type; "" for a posted transfer or capture.
func irreversible(original *rbcs.Result) string {
	switch kind := original.Transaction.Type; {
	case original.Status == rbcs.Rejected:
		return string(rbcs.Rejected)
	case kind != rbcs.Transfer && kind != rbcs.Capture:
		return string(kind)
	}
	return ""
}
