package storetest

import (
	"fmt"
	"maps"
	"math/big"
	"slices"
	"strings"
	"time"

	"rbcs"
)

// model is the oracle: what a store must answer, said a second time in the
// simplest words there are. It calls nothing of the posting rules, nor the
// arithmetic and comparisons of the domain: money is a big.Int.
//
// What only the database can know (sequence, times, instance) it takes from
// the answers, and checks that it goes forward. What is due is decided at the
// time of the record.
type model struct {
	accounts map[string]*modelAccount
	decided  map[string]*modelDecision
	earlier  []*modelDecision // what explicit retries have taken the place of in decided
	sequence int64            // the last
	preview  bool             // the answers are previews: they have no sequence
	faults   differences      // found while a decision was taken over
}

// modelAccount is an account. Its numbers are replaced, never changed in place,
// so that a copy of the struct keeps what was.
type modelAccount struct {
	account              rbcs.Account    // number, currency, status, overdraft, metadata, times; its amounts are not used
	created              rbcs.NewAccount // the words that created it
	received, sent, held *big.Int
	changes              []rbcs.Result // the decisions that changed it, in their order
}

// modelDecision is the latest decision about an ID, and what has become of it.
type modelDecision struct {
	rbcs.Result
	closedBy *rbcs.Transaction // what settled the hold; nil while it is open
	back     *big.Int          // the sum of the reversals
}

func newModel() *model {
	return &model{accounts: map[string]*modelAccount{}, decided: map[string]*modelDecision{}}
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

// available is what the account can spend before its overdraft.
func (a *modelAccount) available() *big.Int { return minus(a.balance(), a.held) }

// next is the account's state after one more change.
func (a *modelAccount) next() rbcs.State {
	return rbcs.State{Balance: fromBig(a.balance()), Held: fromBig(a.held), Version: int64(len(a.changes)) + 1}
}

// want is the account as it must be stored.
func (a *modelAccount) want() *rbcs.Account {
	w := a.account
	w.Balance, w.Received, w.Sent, w.Held = fromBig(a.balance()), fromBig(a.received), fromBig(a.sent), fromBig(a.held)
	w.Version = int64(len(a.changes))
	return &w
}

// want is the decision as it must be stored.
func (d *modelDecision) want() *rbcs.Record {
	w := &rbcs.Record{Result: d.Result, Current: d.Status, TakenBack: fromBig(d.back)}
	switch {
	case d.closedBy != nil:
		w.ClosedBy = d.closedBy.ID
		w.Current = map[rbcs.Type]rbcs.Status{rbcs.Capture: rbcs.Captured, rbcs.Release: rbcs.Released, rbcs.Expiry: rbcs.Expired}[d.closedBy.Type]
	case d.back.Sign() > 0 && d.back.Cmp(toBig(d.Transaction.Amount.Units)) == 0:
		w.Current = rbcs.Reversed
	}
	return w
}

// commit judges the answers to a batch, whose atomic groups are whole, and
// takes over what they decided.
func (m *model) commit(batch []*rbcs.Transaction, got []rbcs.Result) differences {
	m.faults = nil
	for i := 0; i < len(batch); {
		size := max(1, batch[i].Group.Size)
		for k, want := range m.unit(batch[i:i+size], got[i:i+size]) {
			m.judge(batch[i+k], &got[i+k], &want)
		}
		i += size
	}
	return m.faults
}

// judge compares an answer with what it must be.
func (m *model) judge(t *rbcs.Transaction, g, want *rbcs.Result) {
	if m.preview {
		want.Sequence = 0
		if want.Replayed {
			want.Sequence = g.Sequence // whether a replay tells it is left open
		}
	}
	if want.Err != nil && t.Settles() { // how much of the original it shows is left open
		want.Transaction = g.Transaction
		want.Transaction.ID = t.ID
	}
	d := compareResults(g, want)
	differ(&d, "replayed", g.Replayed, want.Replayed)
	if g.Err == nil && !g.Replayed && !m.preview {
		if g.Sequence <= m.sequence {
			d = append(d, fmt.Sprintf("sequence %d follows %d", g.Sequence, m.sequence))
		}
		m.sequence = g.Sequence
	}
	for _, text := range d {
		m.faults = append(m.faults, fmt.Sprintf("%+v: %s", *t, text))
	}
}

// record takes a decision over.
func (m *model) record(w *rbcs.Result) {
	t := &w.Transaction
	m.decided[t.ID] = &modelDecision{Result: *w, back: new(big.Int)}
	for number, state := range map[string]rbcs.State{t.Source: w.Source, t.Destination: w.Destination} {
		if state.Version == 0 {
			continue
		}
		a := m.accounts[number]
		a.changes = append(a.changes, *w)
		if w.CommittedAt.Before(a.account.UpdatedAt) {
			m.faults = append(m.faults, fmt.Sprintf("account %s: committed at %v, before %v", number, w.CommittedAt, a.account.UpdatedAt))
		}
		a.account.UpdatedAt = w.CommittedAt
	}
	if w.Status != rbcs.Posted {
		return
	}
	switch original := m.decided[t.Original]; t.Type {
	case rbcs.Capture, rbcs.Release, rbcs.Expiry:
		original.closedBy = &m.decided[t.ID].Transaction
	case rbcs.Reversal:
		original.back = plus(original.back, toBig(t.Amount.Units))
	}
}

// clone copies the model.
func (m *model) clone() *model {
	c := newModel()
	c.sequence = m.sequence
	for number, a := range m.accounts {
		c.accounts[number] = new(*a)
		c.accounts[number].changes = slices.Clip(a.changes)
	}
	for id, d := range m.decided {
		c.decided[id] = new(*d)
	}
	c.earlier = slices.Clip(m.earlier)
	return c
}

// create judges the answers to a creation of accounts.
func (m *model) create(asked []rbcs.NewAccount, got []rbcs.AccountResult) (faults differences) {
	for i, n := range asked {
		g := &got[i]
		a, exists := m.accounts[n.Number]
		if !exists {
			a = &modelAccount{created: n, received: new(big.Int), sent: new(big.Int), held: new(big.Int), account: rbcs.Account{
				Number: n.Number, Currency: n.Currency, Status: rbcs.Open, Overdraft: n.Overdraft, Metadata: n.Metadata,
				CreatedAt: g.Account.CreatedAt, UpdatedAt: g.Account.CreatedAt,
			}}
			m.accounts[n.Number] = a
		}
		differ(&faults, "created "+n.Number, g.Created, !exists)
		var fields []string
		if n.Currency != a.created.Currency {
			fields = append(fields, "/currency")
		}
		if n.Overdraft != a.created.Overdraft {
			fields = append(fields, "/overdraft")
		}
		if n.Metadata != a.created.Metadata {
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
	if c.Status != nil && *c.Status == rbcs.Closed && (a.balance().Sign() != 0 || a.held.Sign() != 0) {
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

// totals sums the accounts by currency, in the order of the codes. The sums may
// be outside of what an amount holds.
func (m *model) totals() (list []modelTotal) {
	sums := map[rbcs.Currency]*modelTotal{}
	for _, a := range m.accounts {
		t := sums[a.account.Currency]
		if t == nil {
			t = &modelTotal{currency: a.account.Currency, balance: new(big.Int), held: new(big.Int)}
			sums[a.account.Currency] = t
		}
		t.accounts++
		t.balance, t.held = plus(t.balance, a.balance()), plus(t.held, a.held)
	}
	for _, t := range sums {
		list = append(list, *t)
	}
	slices.SortFunc(list, func(a, b modelTotal) int { return strings.Compare(a.currency.Code, b.currency.Code) })
	return list
}

type modelTotal struct {
	currency      rbcs.Currency
	accounts      int64
	balance, held *big.Int
}

// totalsFit reports whether the totals are amounts.
func (m *model) totalsFit() bool {
	return !slices.ContainsFunc(m.totals(), func(t modelTotal) bool { return !fits(t.balance) || !fits(t.held) })
}

// due returns the IDs of the open holds whose end has come.
func (m *model) due(now time.Time) (ids []string) {
	for id, d := range m.decided {
		if end := d.Transaction.ExpiresAt; d.Status == rbcs.Holding && d.closedBy == nil && !end.IsZero() && !end.After(now) {
			ids = append(ids, id)
		}
	}
	return ids
}

// numbers returns the numbers of the model's accounts, in order.
func (m *model) numbers() []string { return slices.Sorted(maps.Keys(m.accounts)) }

// stateAt is the account's state after its last change at or before a time.
func (a *modelAccount) stateAt(at time.Time) (state rbcs.State) {
	for _, r := range a.changes {
		if r.CommittedAt.After(at) {
			break
		}
		state = entryOf(&r, a.account.Number).State
	}
	return state
}
