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
	accounts map[string]*account
	sums     map[rbcs.Currency]*sum
	kinds    []rbcs.Currency // those of the postings
	sequence int64           // of the last decision
	report   Report
}

// account is what the replay knows of one account. There is one for each, so it
// holds no pointers and no more than it must.
//
// Balance, held and version are those that the last posting told, so that a
// break in the chain is reported once, where it is; received and sent are the
// audit's own sums from the beginning of the log.
type account struct {
	balance, held, received, sent rbcs.Amount
	version                       int64
	committedAt                   int64  // of the last posting, in microseconds since 1970
	currency                      uint16 // of the last posting: an index into kinds
	stored                        bool   // the dump had it among the accounts
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
	if d.Attempt < 1 {
		l.fault(Fault{Transaction: id, What: "attempt", Expected: "at least 1", Found: strconv.Itoa(d.Attempt)})
	}
	if d.CommittedAt.IsZero() {
		l.fault(Fault{Transaction: id, What: "committed_at", Expected: "a time", Found: "none"})
	}
	switch d.Status {
	case rbcs.Posted:
		l.report.Posted++
		l.posted(d)
	case rbcs.Rejected:
		l.report.Rejected++
		l.rejected(d)
	default:
		l.fault(Fault{Transaction: id, What: "status", Expected: "posted or rejected", Found: strconv.Quote(string(d.Status))})
	}
}

// posted replays a posting on both accounts.
func (l *ledger) posted(d *rbcs.Result) {
	t := &d.Transaction
	check(l, "", t.ID, "type", rbcs.Transfer, t.Type)
	check(l, "", t.ID, "code", "", d.Code)
	if t.Source == t.Destination {
		l.fault(Fault{Account: t.Source, Transaction: t.ID, What: "destination", Expected: "another account than the source", Found: t.Destination})
		return
	}
	amount := t.Amount.Units
	if amount.Sign() <= 0 {
		l.fault(Fault{Transaction: t.ID, What: "amount", Expected: "more than zero", Found: t.Amount.String()})
	}
	source, destination := l.account(t.Source), l.account(t.Destination)
	if sent, ok := source.sent.Add(amount); ok {
		source.sent = sent
	} else {
		l.overflow(t.Source, t.ID, "sent")
	}
	if received, ok := destination.received.Add(amount); ok {
		destination.received = received
	} else {
		l.overflow(t.Destination, t.ID, "received")
	}
	currency := l.kind(t)
	l.change(source, t.Source, d, d.Source, amount.Neg(), currency)
	l.change(destination, t.Destination, d, d.Destination, amount, currency)
}

// change replays one posting on one account: state is the account after it.
func (l *ledger) change(a *account, number string, d *rbcs.Result, state rbcs.State, change rbcs.Amount, currency uint16) {
	id := d.Transaction.ID
	check(l, number, id, "version", a.version+1, state.Version)
	if balance, ok := a.balance.Add(change); ok {
		check(l, number, id, "balance", balance, state.Balance)
	} else {
		l.overflow(number, id, "balance")
	}
	check(l, number, id, "held", a.held, state.Held)
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

// rejected checks that a rejection has a known reason and moved nothing.
func (l *ledger) rejected(d *rbcs.Result) {
	t := &d.Transaction
	if !slices.Contains(rejectionCodes, d.Code) {
		l.fault(Fault{Transaction: t.ID, What: "code", Expected: "one of a rejection", Found: strconv.Quote(string(d.Code))})
	}
	check(l, t.Source, t.ID, "state after a rejection", rbcs.State{}, d.Source)
	check(l, t.Destination, t.ID, "state after a rejection", rbcs.State{}, d.Destination)
	if d.Code != rbcs.InsufficientFunds {
		check(l, t.Source, t.ID, "shortfall of "+string(d.Code), rbcs.Shortfall{}, d.Shortfall)
		return
	}
	available, short := rbcs.Amount{}, rbcs.MaxAmount() // MaxAmount where the difference has more than 38 digits
	if a := l.accounts[t.Source]; a != nil {
		available, _ = a.balance.Sub(a.held)
	}
	if usable, ok := d.Shortfall.Available.Add(d.Shortfall.Overdraft); !ok {
		short = rbcs.Amount{} // more than any amount needs
	} else if gap, ok := t.Amount.Units.Sub(usable); ok {
		short = gap
	}
	check(l, t.Source, t.ID, "available before the rejection", available, d.Shortfall.Available)
	check(l, t.Source, t.ID, "needed", t.Amount.Units, d.Shortfall.Needed)
	check(l, t.Source, t.ID, "short", short, d.Shortfall.Short)
	if d.Shortfall.Short.Sign() <= 0 {
		l.fault(Fault{t.Source, t.ID, "short", "more than zero", d.Shortfall.Short.String()})
	}
}

var rejectionCodes = rbcs.RejectionCodes()

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
	check(l, s.Number, "", "version", a.version, s.Version)
	check(l, s.Number, "", "received", a.received, s.Received)
	check(l, s.Number, "", "sent", a.sent, s.Sent)
	check(l, s.Number, "", "held", a.held, s.Held)
	check(l, s.Number, "", "balance", a.balance, s.Balance)
	if balance, ok := a.received.Sub(a.sent); !ok || balance != s.Balance {
		l.fault(Fault{Account: s.Number, What: "received − sent", Expected: s.Balance.String(), Found: balance.String()})
	}
	currency := l.sums[s.Currency]
	if currency == nil {
		currency = &sum{}
		l.sums[s.Currency] = currency
	}
	currency.add(s.Balance)
}

func formatMicro(micro int64) string {
	return time.UnixMicro(micro).UTC().Format(rbcs.TimeFormat)
}
