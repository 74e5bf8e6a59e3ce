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
//   - Held is the sum of the account's open holds. Each hold is settled at most
//     once, and no more is reversed than was posted.
//   - Version grows by exactly one with each change of balance or held.
//   - committed_at never runs backward on an account.
//   - No amount ever leaves 38 digits.
//   - A rejected transaction changes nothing, and neither does any member of an
//     atomic group that has a rejected one.
//   - A decision depends on what was recorded before it, the state of its own
//     accounts and the time, and on nothing else that happens to be in the batch.
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
	Now          time.Time                    // the database's time after the locks, UTC, to the microsecond
	Accounts     map[string]*Account          // those that exist, by number; Decide changes them in place
	Recorded     map[string]*rbcs.Result      // earlier decisions, also those that captures and the like refer to, by ID; Decide adds its own
	References   map[string]Reference         // what refers to these, by their ID; Decide changes it
	Queued       map[string]*rbcs.IntakeEntry // entries of the durable queue that have an ID of Transactions which is not recorded; nil for none
	Transactions []*rbcs.Transaction

	before *snapshot // of what the atomic group that is being decided changed; nil outside of one
}

// Reference sums up the transactions that refer to one.
type Reference struct {
	SettledBy string      // the capture, release or expiry that settled a hold; "" while it is open
	Reversed  rbcs.Amount // the sum of the posted reversals
}

// Decision is the result of one transaction, and whose accounts it touched.
type Decision struct {
	rbcs.Result
	SourceAccount, DestinationAccount *Account // nil where the account does not exist

	Of *rbcs.Result // of a replay: what it repeats, perhaps of this batch, and numbered only later
}

// New reports whether the decision is one to record: neither a replay nor a failure.
func (d *Decision) New() bool { return !d.Replayed && d.Err == nil }

// Decide decides the transactions in their order: each sees what those before
// it did. It returns one decision for each. What does not make a whole atomic
// group fails with [rbcs.InvalidRequest]: it is never decided in part.
func (b *Batch) Decide() []Decision {
	decisions := make([]Decision, len(b.Transactions))
	for i := 0; i < len(decisions); {
		t := b.Transactions[i]
		if t.Group.ID == "" {
			b.decideOne(t, &decisions[i])
			i++
			continue
		}
		size, err := rbcs.Unit(b.Transactions[i:])
		if err != nil {
			decisions[i].Result = rbcs.Result{Transaction: *t, Err: err}
			i++
			continue
		}
		b.decideGroup(b.Transactions[i:i+size], decisions[i:i+size])
		i += size
	}
	return decisions
}

// decideOne decides a transaction that belongs to no group.
func (b *Batch) decideOne(t *rbcs.Transaction, d *Decision) {
	if t.Retry > 0 {
		b.retry(t, d)
		return
	}
	if recorded, ok := b.Recorded[t.ID]; ok {
		d.replay(t, recorded)
		return
	}
	asked, err := b.queued(t)
	if err != nil {
		d.Result = rbcs.Result{Transaction: *t, Err: err}
		return
	}
	b.decide(asked, d)
	if d.Err == nil {
		b.Recorded[t.ID] = &d.Result
	}
}

// queued refuses a client's transaction whose ID stands for another one in the
// durable queue, and the queue's own one that was discarded since a worker claimed
// it. Otherwise it returns what is to be decided: a client that leaves out the
// currency of what is queued means that one, whatever the account has.
func (b *Batch) queued(t *rbcs.Transaction) (*rbcs.Transaction, *rbcs.Error) {
	stored, ok := b.Queued[t.ID]
	if !ok || t.Turn != rbcs.Direct && stored.State != rbcs.IntakeDiscarded {
		return t, nil
	}
	entry := *stored
	was := &entry.Transaction
	if source := b.Accounts[was.Source]; was.Currency == "" && source != nil {
		was.Currency = source.Currency.Code
	}
	if err := entry.Conflict(t); err != nil {
		return nil, err
	}
	if t.Currency == "" && stored.Transaction.Currency != "" {
		t = new(*t)
		t.Currency, t.Amount = was.Currency, was.Amount // the same amount, in the currency's minor units
	}
	return t, nil
}

// replay answers a transaction whose ID is recorded. What the queue submits may
// name a currency where a client, at the same moment, named none and there was no
// account to tell it: that was rejected, and it is the same.
func (d *Decision) replay(t *rbcs.Transaction, recorded *rbcs.Result) {
	if t.Turn != rbcs.Direct && t.Currency != "" && recorded.Transaction.Currency == "" {
		t = new(*t)
		t.Currency = ""
	}
	if fields := t.Conflicts(recorded); fields != nil {
		d.Result = rbcs.Result{Transaction: *t, Err: &rbcs.Error{
			Code:    rbcs.IDConflict,
			Message: "the ID " + t.ID + " is recorded with other content",
			Fields:  fields,
		}}
		return
	}
	d.Result, d.Of = *recorded, recorded
	d.Replayed = true
}

// decide decides a transaction whose ID is new.
func (b *Batch) decide(t *rbcs.Transaction, d *Decision) {
	b.begin(t, d)
	var code rbcs.Code
	switch t.Type {
	case rbcs.Hold:
		code = b.hold(d)
	case rbcs.Capture:
		code = b.capture(d)
	case rbcs.Release, rbcs.Expiry:
		code = b.release(d)
	case rbcs.Reversal:
		code = b.reverse(d)
	default:
		code = b.transfer(d)
	}
	switch {
	case code == "" || d.Err != nil:
	case t.Turn == rbcs.Tentative && code.MayPass():
		d.fail(&rbcs.Error{Code: code, Message: "it would be rejected now; nothing was recorded"})
	default:
		d.Status, d.Code = rbcs.Rejected, code
	}
	d.stamp()
}

// begin writes what every decision has.
func (b *Batch) begin(t *rbcs.Transaction, d *Decision) {
	d.Transaction = *t
	d.Transaction.Turn, d.Transaction.Retry = rbcs.Direct, 0 // they tell nobody anything later
	d.Attempt = 1
	d.CommittedAt = b.Now
}

// stamp gives a settlement its timestamp: it happens when it is decided.
func (d *Decision) stamp() {
	if d.Err == nil && d.Transaction.Timestamp.IsZero() {
		d.Transaction.Timestamp = d.CommittedAt
	}
}

// invalid answers a transaction that turns out to be malformed only now; nothing is recorded.
func (d *Decision) invalid(pointer string, err error) {
	d.fail(&rbcs.Error{
		Code:    rbcs.InvalidRequest,
		Message: "the transaction is invalid",
		Fields:  []rbcs.FieldError{{Pointer: pointer, Message: err.Error()}},
	})
}

// fail makes the decision a failure: it has no attempt and no time, since nothing was decided.
func (d *Decision) fail(err *rbcs.Error) {
	d.Result = rbcs.Result{Transaction: d.Transaction, Err: err}
}

// load finds the decision's accounts and gives the transaction the source's
// currency where it has none, so that a rejection records its amount exactly
// too. It returns the amount in minor units, and false where that is invalid.
func (b *Batch) load(d *Decision) (rbcs.Amount, bool) {
	t := &d.Transaction
	d.SourceAccount, d.DestinationAccount = b.Accounts[t.Source], b.Accounts[t.Destination]
	if t.Currency != "" || d.SourceAccount == nil || t.Settles() {
		// The amount is in t.Currency already (should that not be the source's, it is
		// a rejection), or it stays as it was written.
		return t.Amount.Units, true
	}
	c := d.SourceAccount.Currency
	amount, err := t.Amount.In(c.Decimals)
	if err != nil {
		d.invalid("/amount", rbcs.AmountFault(err, c))
		return rbcs.Amount{}, false
	}
	d.express(amount, c)
	return amount, true
}

// express writes the amount and its currency into the transaction.
func (d *Decision) express(amount rbcs.Amount, c rbcs.Currency) {
	d.Transaction.Currency = c.Code
	d.Transaction.Amount = rbcs.Decimal{Units: amount, Scale: uint8(c.Decimals)}
}

// admissible checks what does not depend on the amount.
func (d *Decision) admissible() rbcs.Code {
	t, source, destination := &d.Transaction, d.SourceAccount, d.DestinationAccount
	switch {
	case t.Source == t.Destination:
		return rbcs.SameAccount
	case source == nil || destination == nil:
		return d.missing()
	case source.Status == rbcs.Frozen || source.Status == rbcs.FrozenOutgoing:
		return d.because(rbcs.AccountFrozen, t.Source)
	case destination.Status == rbcs.Frozen:
		return d.because(rbcs.AccountFrozen, t.Destination)
	case source.Status == rbcs.Closed:
		return d.because(rbcs.AccountClosed, t.Source)
	case destination.Status == rbcs.Closed:
		return d.because(rbcs.AccountClosed, t.Destination)
	case source.Currency != destination.Currency || t.Currency != source.Currency.Code:
		return rbcs.CurrencyMismatch
	}
	return ""
}

// missing rejects what has an account that is not there.
func (d *Decision) missing() rbcs.Code {
	if d.SourceAccount == nil {
		return d.because(rbcs.AccountNotFound, d.Transaction.Source)
	}
	return d.because(rbcs.AccountNotFound, d.Transaction.Destination)
}

// because notes which account or what a rejection is about.
func (d *Decision) because(code rbcs.Code, about string) rbcs.Code {
	d.SettledBy = about
	return code
}

// transfer moves the amount at once.
func (b *Batch) transfer(d *Decision) rbcs.Code {
	amount, ok := b.load(d)
	if !ok {
		return ""
	}
	if code := d.admissible(); code != "" {
		return code
	}
	if shortfall, short := lacks(d.SourceAccount, amount); short {
		d.Shortfall = shortfall
		return rbcs.InsufficientFunds
	}
	return b.move(d, amount, rbcs.Amount{})
}

// move takes the amount from the source and gives it to the destination, and
// ends a reservation of the given size on the source. It says why not where a
// balance or total would overflow, and changes nothing then.
func (b *Batch) move(d *Decision, amount, reserved rbcs.Amount) rbcs.Code {
	source, destination := d.SourceAccount, d.DestinationAccount
	held, ok0 := source.Held.Sub(reserved)
	balance, ok1 := source.Balance.Sub(amount)
	_, ok2 := balance.Sub(held) // available stays in range too
	sent, ok3 := source.Sent.Add(amount)
	credited, ok4 := destination.Balance.Add(amount)
	received, ok5 := destination.Received.Add(amount)
	switch {
	case !(ok0 && ok1 && ok2 && ok3):
		return d.because(rbcs.Overflow, d.Transaction.Source)
	case !(ok4 && ok5):
		return d.because(rbcs.Overflow, d.Transaction.Destination)
	}
	b.before.account(source)
	b.before.account(destination)
	source.Balance, source.Held, source.Sent = balance, held, sent
	destination.Balance, destination.Received = credited, received
	d.Status = rbcs.Posted
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
	return rbcs.Shortfall{Available: available, Overdraft: a.Overdraft.Limit, Needed: amount, Short: missing(amount, usable)}, true
}

// missing returns needed − usable, or the largest amount where that has more
// digits (an overdraft that was cut can leave usable far below zero).
func missing(needed, usable rbcs.Amount) rbcs.Amount {
	short, ok := needed.Sub(usable)
	if !ok {
		return rbcs.MaxAmount()
	}
	return short
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
