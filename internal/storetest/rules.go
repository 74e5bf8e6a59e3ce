package storetest

import (
	"math/big"
	"slices"

	"rbcs"
)

// draft is a rejection without a reason yet.
func draft(t *rbcs.Transaction, g *rbcs.Result) *rbcs.Result {
	w := &rbcs.Result{Transaction: *t, Status: rbcs.Rejected, Sequence: g.Sequence, CommittedAt: g.CommittedAt, Attempt: 1, Instance: g.Instance}
	if w.Transaction.Timestamp.IsZero() { // a settlement happens when it is decided
		w.Transaction.Timestamp = g.CommittedAt
	}
	return w
}

// expressed returns the transaction with its source's currency, as it is where
// it has one already or there is no source, and nil where its amount does not fit.
func (m *model) expressed(t *rbcs.Transaction) *rbcs.Transaction {
	e, source := *t, m.accounts[t.Source]
	if t.Currency != "" || source == nil {
		return &e
	}
	units := unitsIn(t.Amount, source)
	if units == nil {
		return nil
	}
	express(&e, units, source)
	return &e
}

// unitsIn is an amount in the minor units of an account; nil where it does not fit.
func unitsIn(d rbcs.Decimal, a *modelAccount) *big.Int {
	missing := a.account.Currency.Decimals - int(d.Scale)
	if missing < 0 {
		return nil
	}
	if units := new(big.Int).Mul(toBig(d.Units), power(missing)); fits(units) {
		return units
	}
	return nil
}

func express(t *rbcs.Transaction, units *big.Int, a *modelAccount) {
	t.Currency = a.account.Currency.Code
	t.Amount = rbcs.Decimal{Units: fromBig(units), Scale: uint8(a.account.Currency.Decimals)}
}

// decide returns the answer that a new ID must get, and moves the money.
func (m *model) decide(t *rbcs.Transaction, g *rbcs.Result) *rbcs.Result {
	if t.Settles() {
		return m.decideSettlement(t, g)
	}
	expressed := m.expressed(t)
	if expressed == nil {
		return failure(t, rbcs.InvalidRequest, "/amount")
	}
	w := draft(expressed, g)
	source, destination := m.accounts[t.Source], m.accounts[t.Destination]
	units := toBig(expressed.Amount.Units)
	if w.Code, w.SettledBy = refusal(expressed, source, destination); w.Code != "" {
		return w
	}
	if short := lacking(source, units); short != nil {
		w.Code, w.Shortfall = rbcs.InsufficientFunds, *short
		return w
	}
	if t.Type == rbcs.Hold {
		reserve(w, source, units, rbcs.Holding)
	} else {
		move(w, source, destination, units, new(big.Int))
	}
	return w
}

// move moves units, and ends a reservation on the source.
func move(w *rbcs.Result, source, destination *modelAccount, units, reserved *big.Int) {
	from, to := *source, *destination
	from.sent, from.held, to.received = plus(from.sent, units), minus(from.held, reserved), plus(to.received, units)
	switch {
	case !fits(from.sent) || !fits(from.balance()) || !fits(from.available()):
		w.Code, w.SettledBy = rbcs.Overflow, from.account.Number
		return
	case !fits(to.received) || !fits(to.balance()):
		w.Code, w.SettledBy = rbcs.Overflow, to.account.Number
		return
	}
	*source, *destination = from, to
	w.Status, w.Source, w.Destination = rbcs.Posted, source.next(), destination.next()
}

// reserve adds to what the source holds.
func reserve(w *rbcs.Result, source *modelAccount, units *big.Int, status rbcs.Status) {
	after := *source
	if after.held = plus(after.held, units); !fits(after.held) || !fits(after.available()) {
		w.Code, w.SettledBy = rbcs.Overflow, after.account.Number
		return
	}
	*source = after
	w.Status, w.Source = status, source.next()
}

func power(n int) *big.Int { return new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(n)), nil) }

// refusal is the first reason against moving money that its amount has no part
// in, and the account that it is about, the source before the destination.
func refusal(t *rbcs.Transaction, source, destination *modelAccount) (code rbcs.Code, about string) {
	if t.Source == t.Destination {
		return rbcs.SameAccount, ""
	}
	status := func(a *modelAccount) rbcs.AccountStatus {
		if a == nil {
			return ""
		}
		return a.account.Status
	}
	statuses, numbers := []rbcs.AccountStatus{status(source), status(destination)}, []string{t.Source, t.Destination}
	if statuses[0] == rbcs.FrozenOutgoing { // for a source it is the same as frozen
		statuses[0] = rbcs.Frozen
	}
	for _, k := range []struct {
		status rbcs.AccountStatus
		code   rbcs.Code
	}{{"", rbcs.AccountNotFound}, {rbcs.Frozen, rbcs.AccountFrozen}, {rbcs.Closed, rbcs.AccountClosed}} {
		if i := slices.Index(statuses, k.status); i >= 0 {
			return k.code, numbers[i]
		}
	}
	if c := source.account.Currency.Code; c != destination.account.Currency.Code || c != t.Currency {
		return rbcs.CurrencyMismatch, ""
	}
	return "", ""
}

// lacking is what is missing for a debit, nil where nothing is.
func lacking(a *modelAccount, needed *big.Int) *rbcs.Shortfall {
	available, allowed := a.available(), toBig(a.account.Overdraft.Limit)
	short := minus(needed, plus(available, allowed))
	if a.account.Overdraft.Unlimited || short.Sign() <= 0 {
		return nil
	}
	if !fits(short) {
		short = minus(limit, big.NewInt(1))
	}
	return &rbcs.Shortfall{Available: fromBig(available), Overdraft: fromBig(allowed), Needed: fromBig(needed), Short: fromBig(short)}
}

func failure(t *rbcs.Transaction, code rbcs.Code, fields ...string) *rbcs.Result {
	err := &rbcs.Error{Code: code}
	for _, f := range fields {
		err.Fields = append(err.Fields, rbcs.FieldError{Pointer: f})
	}
	return &rbcs.Result{Transaction: *t, Err: err}
}

// modelConflicts names the fields in which a submission differs from the record.
func modelConflicts(t *rbcs.Transaction, recorded *rbcs.Result) (fields []string) {
	was, settles := &recorded.Transaction, t.Settles()
	value := func(d rbcs.Decimal) *big.Int {
		return new(big.Int).Mul(toBig(d.Units), power(rbcs.MaxDecimals-int(d.Scale)))
	}
	sameAmount := value(t.Amount).Cmp(value(was.Amount)) == 0
	if settles && t.Amount.Units.IsZero() && was.Currency != "" {
		sameAmount = recorded.Remainder.IsZero() // it asked for all that was left
	}
	follow := settles && was.Settles() // the accounts do, from the original
	for _, f := range []struct {
		pointer string
		same    bool
	}{
		{"/type", t.Type == was.Type},
		{"/source", t.Source == was.Source || follow},
		{"/destination", t.Destination == was.Destination || follow},
		{"/amount", sameAmount},
		{"/currency", t.Currency == "" || t.Currency == was.Currency},
		{"/timestamp", t.Timestamp.UnixMicro() == was.Timestamp.UnixMicro() || settles && t.Timestamp.IsZero()},
		{"/expires_at", t.ExpiresAt.Equal(was.ExpiresAt)},
		{"/original", t.Original == was.Original},
		{"/description", t.Description == was.Description},
		{"/metadata", t.Metadata == was.Metadata},
		{"/atomic", t.Group == was.Group},
	} {
		if !f.same {
			fields = append(fields, f.pointer)
		}
	}
	return fields
}
