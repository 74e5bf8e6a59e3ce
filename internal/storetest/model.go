package storetest

import (
	"fmt"
	"maps"
	"math/big"
	"slices"
	"time"

	"rbcs"
)

// model is the oracle: what a store must answer, said a second time in the
// simplest words there are. It calls nothing of the posting rules, nor the
// arithmetic and comparisons of the domain: money is a big.Int.
//
// What only the database can know (sequence, times, instance) it takes from
// the answers, and checks that it goes forward.
type model struct {
	accounts map[string]*modelAccount
	recorded map[string]*rbcs.Result // the first answer to each ID
	sequence int64                   // the last
}

type modelAccount struct {
	account        rbcs.Account // number, currency, status, overdraft, metadata, times; its amounts are not used
	received, sent *big.Int
	changes        []rbcs.Result // those that were posted, in their order
}

func newModel() *model {
	return &model{accounts: map[string]*modelAccount{}, recorded: map[string]*rbcs.Result{}}
}

// limit is 10³⁸: every amount is nearer to zero.
var limit = new(big.Int).Exp(big.NewInt(10), big.NewInt(rbcs.MaxDigits), nil)

func fits(n *big.Int) bool { return new(big.Int).Abs(n).Cmp(limit) < 0 }

func plus(a, b *big.Int) *big.Int  { return new(big.Int).Add(a, b) }
func minus(a, b *big.Int) *big.Int { return new(big.Int).Sub(a, b) }

// toBig and fromBig go by the two 64-bit halves of the number.
func toBig(a rbcs.Amount) *big.Int {
	hi, lo := a.Words()
	n := new(big.Int).Lsh(big.NewInt(hi), 64)
	return n.Or(n, new(big.Int).SetUint64(lo))
}

func fromBig(n *big.Int) rbcs.Amount {
	lo := new(big.Int).And(n, new(big.Int).SetUint64(1<<64-1)) // as of two's complement
	a, err := rbcs.AmountFromWords(new(big.Int).Rsh(n, 64).Int64(), lo.Uint64())
	if err != nil {
		panic(fmt.Sprintf("storetest: the model has the amount %v", n))
	}
	return a
}

func (a *modelAccount) balance() *big.Int { return minus(a.received, a.sent) }

// state is the account's state after its last change; the model has no holds.
func (a *modelAccount) state() rbcs.State {
	return rbcs.State{Balance: fromBig(a.balance()), Version: int64(len(a.changes))}
}

// want is the account as it must be stored.
func (a *modelAccount) want() *rbcs.Account {
	w := a.account
	w.Balance, w.Received, w.Sent, w.Version = fromBig(a.balance()), fromBig(a.received), fromBig(a.sent), int64(len(a.changes))
	return &w
}

// commit judges the answers to a batch, and takes over what they decided.
func (m *model) commit(batch []*rbcs.Transaction, got []rbcs.Result) (faults differences) {
	for i, t := range batch {
		g := &got[i]
		want := m.decide(t, g)
		d := compareResults(g, want)
		differ(&d, "replayed", g.Replayed, want.Replayed)
		if g.Err == nil && !g.Replayed {
			if g.Sequence <= m.sequence {
				d = append(d, fmt.Sprintf("sequence %d follows %d", g.Sequence, m.sequence))
			}
			m.sequence = g.Sequence
			m.record(g, &d)
		}
		for _, text := range d {
			faults = append(faults, fmt.Sprintf("transaction %d of the batch, %+v: %s", i, *t, text))
		}
	}
	return faults
}

// record takes a decision into the accounts' changes.
func (m *model) record(g *rbcs.Result, d *differences) {
	kept := *g
	m.recorded[g.Transaction.ID] = &kept
	if g.Status != rbcs.Posted {
		return
	}
	for _, number := range []string{g.Transaction.Source, g.Transaction.Destination} {
		a := m.accounts[number]
		if a == nil {
			continue // it is reported as a difference already
		}
		a.changes = append(a.changes, kept)
		if g.CommittedAt.Before(a.account.UpdatedAt) {
			*d = append(*d, fmt.Sprintf("account %s: committed at %v, before %v", number, g.CommittedAt, a.account.UpdatedAt))
		}
		a.account.UpdatedAt = g.CommittedAt
	}
}

// decide returns the answer that a transaction must get, and moves the money.
func (m *model) decide(t *rbcs.Transaction, g *rbcs.Result) *rbcs.Result {
	if first, ok := m.recorded[t.ID]; ok {
		if fields := modelConflicts(t, &first.Transaction); fields != nil {
			return failure(t, rbcs.IDConflict, fields...)
		}
		again := *first
		again.Replayed = true
		return &again
	}
	w := &rbcs.Result{Transaction: *t, Status: rbcs.Rejected, Sequence: g.Sequence, CommittedAt: g.CommittedAt, Attempt: 1, Instance: g.Instance}
	source, destination := m.accounts[t.Source], m.accounts[t.Destination]
	units := toBig(t.Amount.Units)
	if source != nil && t.Currency == "" {
		currency := source.account.Currency
		missing := currency.Decimals - int(t.Amount.Scale)
		if missing < 0 {
			return failure(t, rbcs.InvalidRequest, "/amount")
		}
		if units.Mul(units, power(missing)); !fits(units) {
			return failure(t, rbcs.InvalidRequest, "/amount")
		}
		w.Transaction.Currency = currency.Code
		w.Transaction.Amount = rbcs.Decimal{Units: fromBig(units), Scale: uint8(currency.Decimals)}
	}
	if w.Code = refusal(&w.Transaction, source, destination); w.Code != "" {
		return w
	}
	if short := lacking(source, units); short != nil {
		w.Code, w.Shortfall = rbcs.InsufficientFunds, *short
		return w
	}
	sent, received := plus(source.sent, units), plus(destination.received, units)
	if !fits(sent) || !fits(received) || !fits(minus(source.received, sent)) || !fits(minus(received, destination.sent)) {
		w.Code = rbcs.Overflow
		return w
	}
	source.sent, destination.received = sent, received
	w.Status = rbcs.Posted
	w.Source, w.Destination = source.state(), destination.state()
	w.Source.Version++ // the change itself is taken over with the answer
	w.Destination.Version++
	return w
}

func power(n int) *big.Int { return new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(n)), nil) }

// refusal is the first reason against a transfer that its amount has no part in.
func refusal(t *rbcs.Transaction, source, destination *modelAccount) rbcs.Code {
	if t.Source == t.Destination {
		return rbcs.SameAccount
	}
	if source == nil || destination == nil {
		return rbcs.AccountNotFound
	}
	statuses := []rbcs.AccountStatus{source.account.Status, destination.account.Status}
	if slices.Contains(statuses, rbcs.Frozen) {
		return rbcs.AccountFrozen
	}
	if slices.Contains(statuses, rbcs.Closed) {
		return rbcs.AccountClosed
	}
	if c := source.account.Currency.Code; c != destination.account.Currency.Code || c != t.Currency {
		return rbcs.CurrencyMismatch
	}
	return ""
}

// lacking is what is missing for a debit, nil where nothing is.
func lacking(a *modelAccount, needed *big.Int) *rbcs.Shortfall {
	allowed := toBig(a.account.Overdraft.Limit)
	short := minus(needed, plus(a.balance(), allowed))
	if a.account.Overdraft.Unlimited || short.Sign() <= 0 {
		return nil
	}
	if !fits(short) {
		short = minus(limit, big.NewInt(1))
	}
	return &rbcs.Shortfall{Available: fromBig(a.balance()), Overdraft: fromBig(allowed), Needed: fromBig(needed), Short: fromBig(short)}
}

func failure(t *rbcs.Transaction, code rbcs.Code, fields ...string) *rbcs.Result {
	err := &rbcs.Error{Code: code}
	for _, f := range fields {
		err.Fields = append(err.Fields, rbcs.FieldError{Pointer: f})
	}
	return &rbcs.Result{Transaction: *t, Err: err}
}

// modelConflicts names the fields in which a submission differs from the record.
func modelConflicts(t, recorded *rbcs.Transaction) (fields []string) {
	value := func(d rbcs.Decimal) *big.Int {
		return new(big.Int).Mul(toBig(d.Units), power(rbcs.MaxDecimals-int(d.Scale)))
	}
	for _, f := range []struct {
		pointer string
		same    bool
	}{
		{"/type", t.Type == recorded.Type},
		{"/source", t.Source == recorded.Source},
		{"/destination", t.Destination == recorded.Destination},
		{"/amount", value(t.Amount).Cmp(value(recorded.Amount)) == 0},
		{"/currency", t.Currency == "" || t.Currency == recorded.Currency},
		{"/timestamp", t.Timestamp.UnixMicro() == recorded.Timestamp.UnixMicro()},
		{"/description", t.Description == recorded.Description},
		{"/metadata", t.Metadata == recorded.Metadata},
	} {
		if !f.same {
			fields = append(fields, f.pointer)
		}
	}
	return fields
}

// create judges the answers to a creation of accounts.
func (m *model) create(asked []rbcs.NewAccount, got []rbcs.AccountResult) (faults differences) {
	for i, n := range asked {
		g := &got[i]
		a, exists := m.accounts[n.Number]
		if !exists {
			a = &modelAccount{received: new(big.Int), sent: new(big.Int), account: rbcs.Account{
				Number: n.Number, Currency: n.Currency, Status: rbcs.Open, Overdraft: n.Overdraft, Metadata: n.Metadata,
				CreatedAt: g.Account.CreatedAt, UpdatedAt: g.Account.CreatedAt,
			}}
			m.accounts[n.Number] = a
		}
		differ(&faults, "created "+n.Number, g.Created, !exists)
		var fields []string
		if n.Currency != a.account.Currency {
			fields = append(fields, "/currency")
		}
		if n.Overdraft != a.account.Overdraft {
			fields = append(fields, "/overdraft")
		}
		if n.Metadata != a.account.Metadata {
			fields = append(fields, "/metadata")
		}
		named := pointers(g.Err)
		slices.Sort(fields)
		slices.Sort(named)
		differ(&faults, "fields in conflict of "+n.Number, fmt.Sprint(named), fmt.Sprint(fields))
		if g.Err == nil {
			faults = append(faults, compareAccounts(&g.Account, a.want())...)
		}
	}
	return faults
}

// update says whether a change must be made, and makes it.
func (m *model) update(number string, c rbcs.AccountChange) rbcs.Code {
	a := m.accounts[number]
	if a == nil {
		return rbcs.NotFound
	}
	if c.Status != nil && *c.Status == rbcs.Closed && a.balance().Sign() != 0 {
		return rbcs.InvalidRequest
	}
	if c.Overdraft != nil {
		missing := a.account.Currency.Decimals - int(c.Overdraft.Limit.Scale)
		if missing < 0 {
			return rbcs.InvalidRequest
		}
		n := new(big.Int).Mul(toBig(c.Overdraft.Limit.Units), power(missing))
		if !fits(n) {
			return rbcs.InvalidRequest
		}
		a.account.Overdraft = rbcs.Overdraft{Unlimited: c.Overdraft.Unlimited, Limit: fromBig(n)}
	}
	if c.Status != nil {
		a.account.Status = *c.Status
	}
	if c.Metadata != nil {
		a.account.Metadata = *c.Metadata
	}
	return ""
}

// numbers returns the numbers of the model's accounts, in order.
func (m *model) numbers() []string { return slices.Sorted(maps.Keys(m.accounts)) }

// stateAt is the account's state after its last change at or before a time.
func (a *modelAccount) stateAt(at time.Time) (state rbcs.State) {
	for _, r := range a.changes {
		if r.CommittedAt.After(at) {
			break
		}
		if state = r.Destination; r.Transaction.Source == a.account.Number {
			state = r.Source
		}
	}
	return state
}
