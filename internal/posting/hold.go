package posting

import (
	"errors"

	"rbcs"
)

// hold reserves the amount on the source. Only the source changes, but what
// would keep the destination from receiving refuses the hold too.
func (b *Batch) hold(d *Decision) rbcs.Code {
	amount, ok := b.load(d)
	if !ok {
		return ""
	}
	if code := d.admissible(); code != "" {
		return code
	}
	source := d.SourceAccount
	if shortfall, short := lacks(source, amount); short {
		d.Shortfall = shortfall
		return rbcs.InsufficientFunds
	}
	return b.reserve(d, amount, rbcs.Holding)
}

// reserve adds the amount, which is below zero where a reservation ends, to what
// the source holds; available stays in range too.
func (b *Batch) reserve(d *Decision, amount rbcs.Amount, status rbcs.Status) rbcs.Code {
	source := d.SourceAccount
	held, ok1 := source.Held.Add(amount)
	_, ok2 := source.Balance.Sub(held)
	if !ok1 || !ok2 {
		return d.because(rbcs.Overflow, d.Transaction.Source)
	}
	b.before.account(source)
	source.Held = held
	d.Status = status
	d.CommittedAt = latest(d.CommittedAt, source.UpdatedAt, source.UpdatedAt)
	d.Source = source.change(d.CommittedAt)
	return ""
}

// capture settles a hold by moving all or part of it; the rest is released. It
// never lowers available, so that no limit is asked.
func (b *Batch) capture(d *Decision) rbcs.Code {
	hold, code := b.refer(d)
	if code != "" {
		return code
	}
	reserved := hold.Transaction.Amount.Units
	amount, ok := d.part(reserved)
	if !ok {
		return ""
	}
	if code := d.admissible(); code != "" {
		return code
	}
	d.CommittedAt = latest(d.CommittedAt, d.SourceAccount.UpdatedAt, d.DestinationAccount.UpdatedAt)
	if !b.open(d, hold) || d.due(hold) { // a due hold can only be released
		return rbcs.HoldNotOpen
	}
	if amount.Cmp(reserved) > 0 {
		d.Shortfall = rbcs.Shortfall{Available: reserved, Needed: amount, Short: missing(amount, reserved)}
		return rbcs.AmountExceedsHold
	}
	if code := b.move(d, amount, reserved); code != "" {
		return code
	}
	b.refers(hold, Reference{SettledBy: d.Transaction.ID})
	return ""
}

// release settles a hold by giving all of it back. It works on frozen accounts
// too: nothing leaves. The service's own release must wait until the hold is due.
func (b *Batch) release(d *Decision) rbcs.Code {
	hold, code := b.refer(d)
	if code != "" {
		return code
	}
	d.express(hold.Transaction.Amount.Units, d.SourceAccount.Currency)
	d.CommittedAt = latest(d.CommittedAt, d.SourceAccount.UpdatedAt, d.SourceAccount.UpdatedAt)
	if d.Transaction.Type == rbcs.Expiry && !d.due(hold) {
		d.invalid("/original", errors.New("the hold is not due yet"))
		return ""
	}
	if !b.open(d, hold) {
		return rbcs.HoldNotOpen
	}
	if code := b.reserve(d, hold.Transaction.Amount.Units.Neg(), rbcs.Posted); code != "" {
		return code
	}
	b.refers(hold, Reference{SettledBy: d.Transaction.ID})
	return ""
}

// refer finds the hold that a transaction settles, and gives the transaction
// its accounts and currency.
func (b *Batch) refer(d *Decision) (*rbcs.Result, rbcs.Code) {
	hold := b.Recorded[d.Transaction.Original]
	if hold == nil || hold.Transaction.Type != rbcs.Hold {
		d.SourceAccount, d.DestinationAccount = b.Accounts[d.Transaction.Source], b.Accounts[d.Transaction.Destination]
		if hold != nil {
			d.SettledBy = string(hold.Transaction.Type)
		}
		return nil, rbcs.HoldNotFound
	}
	if !b.follow(d, hold, hold.Transaction.Source, hold.Transaction.Destination) {
		if d.Err == nil { // it was rejected
			d.SettledBy = hold.Transaction.ID
		}
		return nil, rbcs.HoldNotOpen
	}
	return hold, ""
}

// follow gives a transaction the accounts that follow from its original. It
// reports false where they are not there: the original was rejected because they
// do not exist, or it was committed after the submission was sent on its way
// without them; then the decision fails, and the next submission will know them.
func (b *Batch) follow(d *Decision, original *rbcs.Result, source, destination string) bool {
	t := &d.Transaction
	named := t.Source == source && t.Destination == destination
	t.Source, t.Destination = source, destination
	d.SourceAccount, d.DestinationAccount = b.Accounts[source], b.Accounts[destination]
	if d.SourceAccount != nil && d.DestinationAccount != nil {
		return true
	}
	if !named || original.Status != rbcs.Rejected {
		d.fail(&rbcs.Error{
			Code:    rbcs.Unavailable,
			Message: "the transaction " + original.Transaction.ID + " was committed just now; submit again",
		})
	}
	return false
}

// refers notes what refers to an original.
func (b *Batch) refers(original *rbcs.Result, r Reference) {
	id := original.Transaction.ID
	b.before.reference(id, b.References[id])
	b.References[id] = r
}

// part returns how much of what is left a transaction wants, all of it where it
// does not say, and records it and the remainder; false where that is invalid.
func (d *Decision) part(left rbcs.Amount) (rbcs.Amount, bool) {
	c := d.SourceAccount.Currency
	amount := left
	if wanted := d.Transaction.Amount; !wanted.Units.IsZero() {
		var err error
		amount, err = wanted.In(c.Decimals)
		if err == nil && amount.Sign() < 0 {
			err = errors.New("the amount must be greater than zero")
		}
		if err != nil {
			d.invalid("/amount", rbcs.AmountFault(err, c))
			return rbcs.Amount{}, false
		}
	}
	d.express(amount, c)
	d.Remainder, _ = left.Sub(amount) // neither is below zero
	return amount, true
}

// open reports whether a hold waits to be settled, and notes who settled it: the
// hold itself, where it was rejected.
func (b *Batch) open(d *Decision, hold *rbcs.Result) bool {
	d.SettledBy = b.References[hold.Transaction.ID].SettledBy
	if hold.Status == rbcs.Rejected {
		d.SettledBy = hold.Transaction.ID
	}
	return hold.Status == rbcs.Holding && d.SettledBy == ""
}

// due reports whether a hold's time is over at the time of the decision: that
// of the record, so that no capture is ever recorded at or after a hold's end.
func (d *Decision) due(hold *rbcs.Result) bool {
	expires := hold.Transaction.ExpiresAt
	return !expires.IsZero() && !d.CommittedAt.Before(expires)
}
