// Package posting holds the rules of money: it decides an ordered batch of
// transactions over loaded accounts at one moment. It is pure: no I/O, no
// clock, no goroutine, and the same input always gives the same output.
//
// Invariants, for every batch:
//
//   - The sum of all balances of a currency does not change.
//   - Every posting that lowers an account's available amount leaves it at or
//     above −overdraft. (A credit may still land on an account that is below,
//     after its overdraft was cut.)
//   - Version grows by exactly one with each change of balance or held.
//   - committed_at never runs backward on an account.
//   - No amount ever leaves 38 digits.
//   - A rejected transaction changes nothing.
//
// The codes of rejections and their precedence are those of
// [rbcs.RejectionCodes].
package posting

import (
	"time"

	"rbcs"
)

// Account is an account loaded for a batch, under its lock.
type Account struct {
	rbcs.Account
	Key     int64 // what the store knows it by
	Changed bool  // whether this batch changed it
}

// Batch is what is decided together.
type Batch struct {
	Now          time.Time               // the database's time after the locks, UTC, to the microsecond
	Accounts     map[string]*Account     // those that exist, by number; Decide changes them in place
	Recorded     map[string]*rbcs.Result // earlier decisions, by ID; Decide adds those of this batch
	Transactions []*rbcs.Transaction
}

// Decision is the result of one transaction, and whose accounts it touched.
type Decision struct {
	rbcs.Result
	SourceAccount, DestinationAccount *Account // nil where the account does not exist
}

// New reports whether the decision is one to record: neither a replay nor a failure.
func (d *Decision) New() bool { return !d.Replayed && d.Err == nil }

// Decide decides the transactions in their order: each sees what those before
// it did. It returns one decision for each.
func (b *Batch) Decide() []Decision {
	decisions := make([]Decision, len(b.Transactions))
	for i, t := range b.Transactions {
		d := &decisions[i]
		if recorded, ok := b.Recorded[t.ID]; ok {
			d.Result = replay(t, recorded)
			continue
		}
		b.decide(t, d)
		if d.Err == nil {
			b.Recorded[t.ID] = &d.Result
		}
	}
	return decisions
}

// replay answers a transaction whose ID is recorded.
func replay(t *rbcs.Transaction, recorded *rbcs.Result) rbcs.Result {
	if fields := t.Conflicts(&recorded.Transaction); fields != nil {
		return rbcs.Result{Transaction: *t, Err: &rbcs.Error{
			Code:    rbcs.IDConflict,
			Message: "the ID " + t.ID + " is recorded with other content",
			Fields:  fields,
		}}
	}
	result := *recorded
	result.Replayed = true
	return result
}

// decide decides a transaction whose ID is new.
func (b *Batch) decide(t *rbcs.Transaction, d *Decision) {
	d.Transaction = *t
	d.Attempt = 1
	d.CommittedAt = b.Now
	source, destination := b.Accounts[t.Source], b.Accounts[t.Destination]
	d.SourceAccount, d.DestinationAccount = source, destination

	amount, code := rbcs.Amount{}, rbcs.Code("")
	if source != nil {
		// The amount gets its currency before any rule looks at it, so that a rejection records it exactly too.
		var err error
		if amount, err = resolve(&d.Transaction, source.Currency); err != nil {
			d.Result = rbcs.Result{Transaction: *t, Err: &rbcs.Error{ // it has no attempt and no time: nothing was decided
				Code:    rbcs.InvalidRequest,
				Message: "the transaction is invalid",
				Fields:  []rbcs.FieldError{{Pointer: "/amount", Message: err.Error()}},
			}}
			return
		}
	}
	if code = admissible(&d.Transaction, source, destination); code == "" {
		code = d.transfer(amount)
	}
	if code != "" {
		d.Status, d.Code = rbcs.Rejected, code
		return
	}
	d.Status = rbcs.Posted
}

// resolve gives the transaction the source account's currency where it has
// none, and returns its amount in minor units.
func resolve(t *rbcs.Transaction, c rbcs.Currency) (rbcs.Amount, error) {
	if t.Currency != "" { // the amount is in t.Currency already; should that not be c, it is a rejection
		return t.Amount.Units, nil
	}
	amount, err := t.Amount.In(c.Decimals)
	if err != nil {
		return rbcs.Amount{}, rbcs.AmountFault(err, c)
	}
	t.Currency = c.Code
	t.Amount = rbcs.Decimal{Units: amount, Scale: uint8(c.Decimals)}
	return amount, nil
}

// admissible checks what does not depend on the amount.
func admissible(t *rbcs.Transaction, source, destination *Account) rbcs.Code {
	switch {
	case t.Source == t.Destination:
		return rbcs.SameAccount
	case source == nil || destination == nil:
		return rbcs.AccountNotFound
	case source.Status == rbcs.Frozen || destination.Status == rbcs.Frozen:
		return rbcs.AccountFrozen
	case source.Status == rbcs.Closed || destination.Status == rbcs.Closed:
		return rbcs.AccountClosed
	case source.Currency != destination.Currency || t.Currency != source.Currency.Code:
		return rbcs.CurrencyMismatch
	}
	return ""
}

// transfer moves the amount, or says why not and changes nothing.
func (d *Decision) transfer(amount rbcs.Amount) rbcs.Code {
	source, destination := d.SourceAccount, d.DestinationAccount
	if shortfall, short := lacks(source, amount); short {
		d.Shortfall = shortfall
		return rbcs.InsufficientFunds
	}
	balance, ok1 := source.Balance.Sub(amount)
	_, ok2 := balance.Sub(source.Held) // available stays in range too
	sent, ok3 := source.Sent.Add(amount)
	credited, ok4 := destination.Balance.Add(amount)
	received, ok5 := destination.Received.Add(amount)
	if !(ok1 && ok2 && ok3 && ok4 && ok5) {
		return rbcs.Overflow
	}
	source.Balance, source.Sent = balance, sent
	destination.Balance, destination.Received = credited, received
	d.CommittedAt = latest(d.CommittedAt, source.UpdatedAt, destination.UpdatedAt)
	d.Source = source.change(d.CommittedAt)
	d.Destination = destination.change(d.CommittedAt)
	return ""
}

// lacks reports whether lowering the account's available by amount would take
// it below −overdraft, and what is missing then.
func lacks(a *Account, amount rbcs.Amount) (rbcs.Shortfall, bool) {
	if a.Overdraft.Unlimited {
		return rbcs.Shortfall{}, false
	}
	available := a.Available()
	usable, ok := available.Add(a.Overdraft.Limit)
	if !ok || usable.Cmp(amount) >= 0 { // past 38 digits it is more than any amount
		return rbcs.Shortfall{}, false
	}
	short, ok := amount.Sub(usable)
	if !ok { // an overdraft that was cut left usable far below zero
		short = rbcs.MaxAmount()
	}
	return rbcs.Shortfall{Available: available, Overdraft: a.Overdraft.Limit, Needed: amount, Short: short}, true
}

// change counts one change of the account and returns its new state.
func (a *Account) change(at time.Time) rbcs.State {
	a.Version++
	a.UpdatedAt = at
	a.Changed = true
	return rbcs.State{Balance: a.Balance, Held: a.Held, Version: a.Version}
}

func latest(a, b, c time.Time) time.Time {
	if b.After(a) {
		a = b
	}
	if c.After(a) {
		a = c
	}
	return a
}
