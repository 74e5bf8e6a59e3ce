package audit

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"rbcs"
)

// ledger is the replay so far.
type ledger struct {
	accounts  map[string]*account
	sums      map[rbcs.Currency]*sum
	kinds     []rbcs.Currency      // those of the postings
	sequence  int64                // of the last decision
	holds     map[string]*hold     // the open ones
	groups    map[string]*group    // those that have members to come
	originals map[string]*original // what reversals say of what they reverse
	verdicts  map[string]*verdict  // what refused settlements say of their holds
	retried   map[string]*retried  // IDs with more than one attempt
	report    Report
}

func newLedger() *ledger {
	return &ledger{
		accounts: map[string]*account{}, sums: map[rbcs.Currency]*sum{}, holds: map[string]*hold{},
		groups: map[string]*group{}, originals: map[string]*original{}, verdicts: map[string]*verdict{},
		retried: map[string]*retried{},
	}
}

// account is what the replay knows of one account. There is one for each, so it
// holds no pointers and no more than it must.
//
// Balance, held and version are those that the last change told, so that a break
// in the chain is reported once, where it is; received, sent and reserved (by
// open holds) are the audit's own sums from the beginning of the log.
type account struct {
	balance, held            rbcs.Amount
	received, sent, reserved rbcs.Amount
	version                  int64
	committedAt              int64  // of the last change, in microseconds since 1970
	currency                 uint16 // of the last change: an index into kinds
	stored                   bool   // the dump had it among the accounts
}

func (l *ledger) fault(f Fault) {
	l.report.FaultCount++
	if len(l.report.Faults) < MaxFaults {
		l.report.Faults = append(l.report.Faults, f)
	}
}

// check reports a fault where found is not what was expected.
func check[T comparable](l *ledger, account, transaction, what string, expected, found T) {
	if expected != found {
		l.fault(Fault{account, transaction, what, fmt.Sprint(expected), fmt.Sprint(found)})
	}
}

// account returns the replayed account, which begins with nothing.
func (l *ledger) account(number string) *account {
	a := l.accounts[number]
	if a == nil {
		a = &account{}
		l.accounts[strings.Clone(number)] = a // the dump's string may share a whole row
	}
	return a
}

// kind returns the index of the currency that a posting's amount is written in.
func (l *ledger) kind(t *rbcs.Transaction) uint16 {
	c := rbcs.Currency{Code: t.Currency, Decimals: int(t.Amount.Scale)}
	i := slices.Index(l.kinds, c)
	if i < 0 {
		i = len(l.kinds)
		l.kinds = append(l.kinds, c)
	}
	return uint16(i)
}

// decision replays one decision.
func (l *ledger) decision(d *rbcs.Result) {
	id := d.Transaction.ID
	l.report.Transactions++
	if d.Sequence <= l.sequence {
		l.fault(Fault{Transaction: id, What: "sequence", Expected: "more than " + strconv.FormatInt(l.sequence, 10), Found: strconv.FormatInt(d.Sequence, 10)})
	}
	l.sequence = max(l.sequence, d.Sequence)
	l.attempt(d)
	if d.CommittedAt.IsZero() {
		l.fault(Fault{Transaction: id, What: "committed_at", Expected: "a time", Found: "none"})
	}
	switch d.Status {
	case rbcs.Posted:
		l.report.Posted++
		l.accepted(d)
	case rbcs.Holding:
		l.report.Held++
		l.accepted(d)
	case rbcs.Rejected:
		l.report.Rejected++
		l.rejected(d)
	default:
		l.fault(Fault{Transaction: id, What: "status", Expected: "posted, held or rejected", Found: strconv.Quote(string(d.Status))})
	}
	l.member(d)
}

// accepted replays what changed an account.
func (l *ledger) accepted(d *rbcs.Result) {
	t := &d.Transaction
	check(l, "", t.ID, "code", "", d.Code)
	check(l, "", t.ID, "shortfall", shortfallOf(t, rbcs.Shortfall{}), shortfallOf(t, d.Shortfall))
	check(l, "", t.ID, "settled by", "", d.SettledBy)
	status := rbcs.Posted
	if t.Type == rbcs.Hold {
		status = rbcs.Holding
	}
	check(l, "", t.ID, "status", status, d.Status)
	if t.Source == t.Destination {
		l.fault(Fault{Account: t.Source, Transaction: t.ID, What: "destination", Expected: "another account than the source", Found: t.Destination})
		return
	}
	if t.Amount.Units.Sign() <= 0 {
		l.fault(Fault{Transaction: t.ID, What: "amount", Expected: "more than zero", Found: t.Amount.String()})
	}
	none := rbcs.Amount{}
	remainder := none
	switch t.Type {
	case rbcs.Transfer:
		l.move(d, none)
	case rbcs.Hold:
		l.hold(d)
	case rbcs.Capture:
		reserved := l.settle(d)
		l.move(d, reserved.Neg())
		remainder, _ = reserved.Sub(t.Amount.Units) // both are in range and, but for a fault, not below zero
		if remainder.Sign() < 0 {
			l.fault(Fault{t.Source, t.ID, "amount", "at most the hold's " + written(t, reserved).String(), t.Amount.String()})
		}
	case rbcs.Release, rbcs.Expiry:
		reserved := l.settle(d)
		check(l, t.Source, t.ID, "amount", written(t, reserved), written(t, t.Amount.Units))
		l.reserve(d, reserved.Neg())
	case rbcs.Reversal:
		remainder = d.Remainder // checked with the original
		l.move(d, none)
		l.reversed(d)
	default:
		l.fault(Fault{Transaction: t.ID, What: "type", Expected: "one that is known", Found: strconv.Quote(string(t.Type))})
	}
	check(l, t.Source, t.ID, "remainder", written(t, remainder), written(t, d.Remainder))
}

// move replays a posting on both accounts; held changes on the source only.
func (l *ledger) move(d *rbcs.Result, held rbcs.Amount) {
	t := &d.Transaction
	amount := t.Amount.Units
	source, destination := l.account(t.Source), l.account(t.Destination)
	l.add(&source.sent, amount, t.Source, t.ID, "sent")
	l.add(&destination.received, amount, t.Destination, t.ID, "received")
	currency := l.kind(t)
	l.change(source, t.Source, d, d.Source, amount.Neg(), held, currency)
	l.change(destination, t.Destination, d, d.Destination, amount, rbcs.Amount{}, currency)
}

// reserve replays a change of held alone: the destination is not touched.
func (l *ledger) reserve(d *rbcs.Result, held rbcs.Amount) {
	t := &d.Transaction
	l.change(l.account(t.Source), t.Source, d, d.Source, rbcs.Amount{}, held, l.kind(t))
	check(l, t.Destination, t.ID, "state of the destination", stateOf(t, rbcs.State{}), stateOf(t, d.Destination))
}

// add adds to one of the audit's own sums.
func (l *ledger) add(sum *rbcs.Amount, amount rbcs.Amount, number, id, what string) {
	if total, ok := sum.Add(amount); ok {
		*sum = total
	} else {
		l.overflow(number, id, what)
	}
}

// change replays one change of one account: state is the account after it.
func (l *ledger) change(a *account, number string, d *rbcs.Result, state rbcs.State, change, held rbcs.Amount, currency uint16) {
	id := d.Transaction.ID
	check(l, number, id, "version", a.version+1, state.Version)
	if balance, ok := a.balance.Add(change); ok {
		check(l, number, id, "balance", written(&d.Transaction, balance), written(&d.Transaction, state.Balance))
	} else {
		l.overflow(number, id, "balance")
	}
	if total, ok := a.held.Add(held); ok {
		check(l, number, id, "held", written(&d.Transaction, total), written(&d.Transaction, state.Held))
	} else {
		l.overflow(number, id, "held")
	}
	at := d.CommittedAt.UnixMicro()
	if a.version > 0 {
		check(l, number, id, "currency", l.kinds[a.currency], l.kinds[currency])
		if at < a.committedAt {
			l.fault(Fault{number, id, "committed_at", "not before " + formatMicro(a.committedAt), formatMicro(at)})
		}
	}
	a.balance, a.held, a.version, a.currency = state.Balance, state.Held, state.Version, currency
	a.committedAt = max(a.committedAt, at)
}

func (l *ledger) overflow(number, id, what string) {
	l.fault(Fault{number, id, what, "at most 38 digits", "more"})
}

// stored compares a stored account with its replay.
func (l *ledger) stored(s *rbcs.Account) {
	l.report.Accounts++
	a := l.account(s.Number)
	if a.stored {
		l.fault(Fault{Account: s.Number, What: "account", Expected: "stored once", Found: "stored again"})
		return
	}
	a.stored = true
	if a.version > 0 {
		check(l, s.Number, "", "currency", l.kinds[a.currency], s.Currency)
		if s.UpdatedAt.UnixMicro() < a.committedAt {
			l.fault(Fault{Account: s.Number, What: "updated_at", Expected: "not before " + formatMicro(a.committedAt), Found: formatMicro(s.UpdatedAt.UnixMicro())})
		}
	}
	in := func(amount rbcs.Amount) money { return money{amount, s.Currency.Decimals} }
	check(l, s.Number, "", "version", a.version, s.Version)
	check(l, s.Number, "", "received", in(a.received), in(s.Received))
	check(l, s.Number, "", "sent", in(a.sent), in(s.Sent))
	check(l, s.Number, "", "held", in(a.held), in(s.Held))
	check(l, s.Number, "", "held by open holds", in(a.reserved), in(s.Held))
	check(l, s.Number, "", "balance", in(a.balance), in(s.Balance))
	if balance, ok := a.received.Sub(a.sent); !ok || balance != s.Balance {
		l.fault(Fault{Account: s.Number, What: "received − sent", Expected: in(s.Balance).String(), Found: in(balance).String()})
	}
	currency := l.sums[s.Currency]
	if currency == nil {
		currency = &sum{}
		l.sums[s.Currency] = currency
	}
	currency.add(s.Balance, s.Held)
}

func formatMicro(micro int64) string {
	return time.UnixMicro(micro).UTC().Format(rbcs.TimeFormat)
}
