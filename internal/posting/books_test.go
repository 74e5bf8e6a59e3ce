package posting_test

import (
	"math/big"
	"time"

	"pgregory.net/rapid"

	"rbcs"
	"rbcs/internal/posting"
)

// books are what follows from the recorded results, one after the other. They
// fail the test where a result must not follow on those before it.
type books struct {
	pages    map[string]*page
	results  map[string]*rbcs.Result
	settled  map[string]string // by what, by the ID of the hold
	reversed map[string]int64  // by the ID of the original
	sums     map[string]*big.Int
}

// page is one account.
type page struct {
	balance, held, version int64
	last                   time.Time // committed_at of the last change
	open                   map[string]int64
}

func newBooks() *books {
	return &books{
		pages: map[string]*page{}, results: map[string]*rbcs.Result{}, settled: map[string]string{}, reversed: map[string]int64{},
		sums: map[string]*big.Int{},
	}
}

func (b *books) open(a *posting.Account) {
	balance, _ := a.Balance.Int64()
	b.pages[a.Number] = &page{balance: balance, last: a.UpdatedAt, open: map[string]int64{}}
	b.sum(b.sums, a)
}

func (*books) sum(sums map[string]*big.Int, a *posting.Account) {
	n, _ := new(big.Int).SetString(a.Balance.String(), 10)
	if sums[a.Currency.Code] != nil {
		n.Add(n, sums[a.Currency.Code])
	}
	sums[a.Currency.Code] = n
}

func (b *books) reference(id string) posting.Reference {
	return posting.Reference{SettledBy: b.settled[id], Reversed: rbcs.AmountOf(b.reversed[id])}
}

// enter enters a newly recorded result. accounts are as they were before its
// batch; only what a batch does not change is read from them.
func (b *books) enter(t *rapid.T, r *rbcs.Result, accounts map[string]*posting.Account) {
	tx := &r.Transaction
	must := func(ok bool, what string) {
		t.Helper()
		if !ok {
			t.Fatalf("%s: %+v\nthe original: %+v", what, r, b.results[tx.Original])
		}
	}
	must(b.results[tx.ID] == nil, "an ID is recorded twice")
	b.results[tx.ID] = r
	must(r.Attempt == 1 && !tx.Timestamp.IsZero() && !r.CommittedAt.IsZero(), "an incomplete record")
	if r.Status == rbcs.Rejected {
		must(r.Source == rbcs.State{} && r.Destination == rbcs.State{}, "a rejection has states")
		must(tx.Group.ID != "" || b.justified(r, accounts), "there is no reason for this rejection")
		return
	}
	source, destination := accounts[tx.Source], accounts[tx.Destination]
	must(r.Code == "" && r.Shortfall == rbcs.Shortfall{} && r.SettledBy == "", "posted, with a reason why not")
	must(source != nil && destination != nil && source != destination, "posted without two accounts")
	must(tx.Currency == source.Currency.Code && source.Currency == destination.Currency, "posted over two currencies")
	amount, _ := tx.Amount.Units.Int64()
	must(amount > 0, "posted nothing")
	from, to := b.pages[tx.Source], b.pages[tx.Destination]
	original := b.results[tx.Original]

	moved, reserved, limited := amount, int64(0), true
	switch tx.Type {
	case rbcs.Transfer:
	case rbcs.Hold:
		must(r.Status == rbcs.Holding, "a hold that is not held")
		moved, reserved = 0, amount
		from.open[tx.ID] = amount
	case rbcs.Capture, rbcs.Release, rbcs.Expiry:
		hold, open := from.open[tx.Original]
		must(open && b.settled[tx.Original] == "", "the hold is not open")
		must(original.Transaction.Source == tx.Source && original.Transaction.Destination == tx.Destination, "other accounts than the hold's")
		expires := original.Transaction.ExpiresAt
		due := !expires.IsZero() && !r.CommittedAt.Before(expires)
		must(tx.Type == rbcs.Release || due == (tx.Type == rbcs.Expiry), "captured after its time, or expired before it")
		remainder, _ := r.Remainder.Int64()
		must(amount <= hold && remainder == hold-amount && (tx.Type == rbcs.Capture || remainder == 0), "the remainder is wrong")
		if tx.Type != rbcs.Capture {
			moved = 0
		}
		reserved, limited = -hold, false
		delete(from.open, tx.Original)
		b.settled[tx.Original] = tx.ID
	case rbcs.Reversal:
		must(original.Transaction.Source == tx.Destination && original.Transaction.Destination == tx.Source, "not the original's accounts")
		must(original.Status == rbcs.Posted && (original.Transaction.Type == rbcs.Transfer || original.Transaction.Type == rbcs.Capture), "not reversible")
		whole, _ := original.Transaction.Amount.Units.Int64()
		b.reversed[tx.Original] += amount
		remainder, _ := r.Remainder.Int64()
		must(b.reversed[tx.Original] <= whole && remainder == whole-b.reversed[tx.Original], "more is reversed than was posted")
	}
	must(r.Status == rbcs.Holding || r.Status == rbcs.Posted && tx.Type != rbcs.Hold, "the status is wrong")
	if tx.Type != rbcs.Release && tx.Type != rbcs.Expiry {
		must(source.Status == rbcs.Open && destination.Status == rbcs.Open, "posted on an account that is not open")
	}

	from.balance -= moved
	from.held += reserved
	must(r.Source == from.change(r.CommittedAt), "the source's state is wrong")
	must(from.held >= 0 && from.last.Equal(r.CommittedAt), "held is below zero, or time runs backward")
	if limit, _ := source.Overdraft.Limit.Int64(); limited && !source.Overdraft.Unlimited {
		must(from.balance-from.held >= -limit, "available is below the overdraft")
	}
	if moved == 0 {
		must(r.Destination == rbcs.State{}, "the destination changed")
		return
	}
	to.balance += moved
	must(r.Destination == to.change(r.CommittedAt), "the destination's state is wrong")
	must(to.last.Equal(r.CommittedAt), "time runs backward")
}

// change counts a change, and returns the state after it.
func (p *page) change(at time.Time) rbcs.State {
	p.version++
	if at.After(p.last) {
		p.last = at
	}
	return rbcs.State{Balance: rbcs.AmountOf(p.balance), Held: rbcs.AmountOf(p.held), Version: p.version}
}

// justified reports whether a transaction of its own was rejected for a reason.
func (b *books) justified(r *rbcs.Result, accounts map[string]*posting.Account) bool {
	tx := &r.Transaction
	source, destination, original := accounts[tx.Source], accounts[tx.Destination], b.results[tx.Original]
	first := func(s rbcs.AccountStatus) bool { // the account that it names, the source before the destination, has the status
		if tx.Source == r.SettledBy {
			return source.Status == s
		}
		return tx.Destination == r.SettledBy && destination.Status == s && source.Status != s
	}
	amount, _ := tx.Amount.Units.Int64()
	var whole int64
	if original != nil {
		whole, _ = original.Transaction.Amount.Units.Int64()
	}
	switch r.Code {
	case rbcs.SameAccount:
		return tx.Source == tx.Destination
	case rbcs.AccountNotFound:
		return source == nil && r.SettledBy == tx.Source || source != nil && destination == nil && r.SettledBy == tx.Destination
	case rbcs.AccountFrozen:
		return first(rbcs.Frozen)
	case rbcs.AccountClosed:
		return first(rbcs.Closed)
	case rbcs.CurrencyMismatch:
		return source.Currency != destination.Currency
	case rbcs.InsufficientFunds:
		limit, _ := source.Overdraft.Limit.Int64()
		short, _ := r.Shortfall.Short.Int64()
		usable := b.pages[tx.Source].balance - b.pages[tx.Source].held + limit
		return !source.Overdraft.Unlimited && amount > usable && short == amount-usable
	case rbcs.HoldNotFound:
		return (original == nil || original == r) && r.SettledBy == "" || // nothing has the ID, or only itself
			original != nil && original.Transaction.Type != rbcs.Hold && r.SettledBy == string(original.Transaction.Type)
	case rbcs.HoldNotOpen:
		expires := original.Transaction.ExpiresAt
		due := tx.Type == rbcs.Capture && !expires.IsZero() && !r.CommittedAt.Before(expires)
		if original.Status == rbcs.Rejected {
			return r.SettledBy == tx.Original
		}
		return r.SettledBy == b.settled[tx.Original] && (r.SettledBy != "" || due)
	case rbcs.AmountExceedsHold:
		return amount > whole
	case rbcs.AmountExceedsReversible:
		reversible := original.Status == rbcs.Posted && (original.Transaction.Type == rbcs.Transfer || original.Transaction.Type == rbcs.Capture)
		if !reversible {
			return r.SettledBy == string(original.Status) && original.Status == rbcs.Rejected || r.SettledBy == string(original.Transaction.Type)
		}
		return r.SettledBy == "" && (amount > whole-b.reversed[tx.Original] || amount == 0)
	}
	return false
}

// check compares the accounts after a batch with the books.
func (b *books) check(t *rapid.T, accounts map[string]*posting.Account) {
	sums := map[string]*big.Int{}
	for number, a := range accounts {
		p, holds := b.pages[number], int64(0)
		for _, amount := range p.open {
			holds += amount
		}
		state := rbcs.State{Balance: a.Balance, Held: a.Held, Version: a.Version}
		if want := (rbcs.State{Balance: rbcs.AmountOf(p.balance), Held: rbcs.AmountOf(holds), Version: p.version}); state != want {
			t.Fatalf("%s is %+v, and the books say %+v", number, state, want)
		}
		if balance, ok := a.Received.Sub(a.Sent); !ok || balance != a.Balance || !a.UpdatedAt.Equal(p.last) {
			t.Fatalf("%s: balance %s, received %s, sent %s, updated at %v", number, a.Balance, a.Received, a.Sent, a.UpdatedAt)
		}
		b.sum(sums, a)
	}
	for code, sum := range sums {
		if sum.Cmp(b.sums[code]) != 0 {
			t.Fatalf("the sum of %s went from %s to %s", code, b.sums[code], sum)
		}
	}
}
