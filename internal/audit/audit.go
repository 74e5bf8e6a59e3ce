// Package audit proves a store's books: it replays the whole log of decisions
// with arithmetic of its own and compares what comes out with the stored
// accounts. It is what `rbcs verify` runs, and it shares no code with the rules
// that made the log.
//
// What it proves, for one consistent snapshot:
//
//   - The log is in order: every sequence is larger than the one before it.
//   - Per account, the version grows by one with each change, without a gap;
//     balance and held follow from the change; committed_at never runs backward.
//   - Each hold is settled at most once: captured before its end, for no more
//     than was held, or released whole; it expired only at its end.
//   - No more of a transaction was reversed than it had moved, back between its
//     own accounts, and each reversal tells what was still left.
//   - The members of an atomic group are all there and in order; all of them
//     took place, or all were rejected, exactly one for a reason of its own.
//   - A rejection moved nothing, and tells what was there at that place of the
//     log: available, what was left of the hold or original, who settled the hold.
//   - Every stored account has the balance, held, received, sent and version of
//     its own history, its balance is received − sent, its held is the sum of its
//     open holds, and it is stored once.
//   - The balances of each currency sum to zero.
//   - What the store keeps beside these, to find things fast, is what follows from
//     them: what is open, settled and reversed, an account's status, overdraft and
//     metadata, the turns of the queue. A store that has such compares it by itself
//     (its method Derived), in a later snapshot.
//
// What it cannot know: whether a posting kept available ≥ −overdraft, and
// whether the accounts were open, because the log does not tell what an
// account's overdraft and status were then; what the earlier members of a failed
// group looked like to the one that made it fail; that an ID stands in the
// log once, which would need all IDs in memory: the store's unique index sees to it;
// and what nothing else depends on: the ID of a plain transfer, when it happened in
// the client's words, its description, metadata and actor, or that the log's end
// was taken away together with what it had made of the accounts.
//
// Memory is bounded by the number of accounts, of open holds, and of originals
// that reversals and refused settlements refer to. Where there are such, the log
// is read a second time, up to the same place, and only they are compared with it.
package audit

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"math/big"
	"slices"
	"strconv"
	"strings"

	"rbcs"
)

// Dumper is the part of an [rbcs.Store] that the audit reads.
type Dumper interface {
	Dump(ctx context.Context, decision func(*rbcs.Result) error, account func(*rbcs.Account) error) error
}

// deriver is a store that keeps more than its log and its accounts, to find
// things fast: it compares that with the log by itself.
type deriver interface {
	Derived(ctx context.Context, differs func(rbcs.Difference)) error
}

// MaxFaults is how many faults a report lists: enough to see a pattern, and
// few enough to read. All are counted.
const MaxFaults = 100

// progressEvery is how many decisions pass between two calls of progress.
const progressEvery = 10_000

// Report is what an audit found.
type Report struct {
	Accounts     int64
	Transactions int64 // Posted + Held + Rejected, and whatever has a status unknown to the audit
	Posted       int64
	Held         int64 // holds, open or settled
	Rejected     int64
	OpenHolds    int64
	Currencies   []CurrencySum // by code
	Faults       []Fault       // the first MaxFaults of them
	FaultCount   int64
}

// CurrencySum is what the stored balances of one currency sum to.
type CurrencySum struct {
	Currency rbcs.Currency
	Accounts int64
	Held     string // what the open holds reserve
	Sum      string // with the currency's decimals: "0.00" where money was conserved
}

// Fault is one thing that is not as the log says it must be.
type Fault struct {
	Account     string // "" where the fault is not one account's
	Transaction string // an ID; "" where the fault is not one transaction's
	What        string // "version", "balance", "sum of USD"
	Expected    string
	Found       string
}

// OK reports whether the audit found no fault.
func (r *Report) OK() bool { return r.FaultCount == 0 }

// String returns the fault on one line.
func (f Fault) String() string {
	var b strings.Builder
	if f.Account != "" {
		fmt.Fprintf(&b, "account %s: ", f.Account)
	}
	if f.Transaction != "" {
		fmt.Fprintf(&b, "transaction %q: ", f.Transaction)
	}
	fmt.Fprintf(&b, "%s: expected %s, found %s", f.What, f.Expected, f.Found)
	return b.String()
}

// Run audits a store. It calls progress (which may be nil) now and then with
// the number of decisions replayed, and at the end. Its error is the dump's: a
// report that comes with one is not complete.
func Run(ctx context.Context, store Dumper, progress func(done int64)) (Report, error) {
	if progress == nil {
		progress = func(int64) {}
	}
	l := newLedger()
	err := store.Dump(ctx,
		func(d *rbcs.Result) error {
			l.decision(d)
			if l.report.Transactions%progressEvery == 0 {
				progress(l.report.Transactions)
			}
			return nil
		},
		func(a *rbcs.Account) error {
			l.stored(a)
			return nil
		})
	if err == nil && len(l.originals)+len(l.verdicts)+len(l.retried) > 0 {
		err = l.lookUp(ctx, store)
	}
	if derives, ok := store.(deriver); ok && err == nil {
		err = derives.Derived(ctx, func(d rbcs.Difference) { l.fault(Fault(d)) })
	}
	if err != nil {
		return l.report, err
	}
	l.finish()
	progress(l.report.Transactions)
	return l.report, nil
}

// errEnd ends the second reading of the log where the first one ended.
var errEnd = errors.New("all of it is read")

// lookUp reads the log again, which only grows, for what the first reading
// found that later decisions refer to.
func (l *ledger) lookUp(ctx context.Context, store Dumper) error {
	err := store.Dump(ctx,
		func(d *rbcs.Result) error {
			switch r := l.retried[d.Transaction.ID]; {
			case d.Sequence > l.sequence:
				return errEnd
			case d.Attempt > 1 && (r == nil || d.Attempt > r.last): // committed since, though with a lower sequence
				return nil
			}
			if !l.superseded(d) {
				l.original(d)
			}
			l.settled(d)
			return nil
		},
		func(*rbcs.Account) error { return errEnd })
	if errors.Is(err, errEnd) {
		err = nil
	}
	return err
}

// finish checks what only the end of the dump shows.
func (l *ledger) finish() {
	l.report.OpenHolds = int64(len(l.holds))
	l.absent()
	for currency, s := range l.sums {
		l.report.Currencies = append(l.report.Currencies, CurrencySum{
			Currency: currency, Accounts: s.accounts, Held: formatSum(&s.held, currency.Decimals), Sum: formatSum(&s.total, currency.Decimals),
		})
	}
	slices.SortFunc(l.report.Currencies, func(a, b CurrencySum) int {
		return cmp.Or(strings.Compare(a.Currency.Code, b.Currency.Code), cmp.Compare(a.Currency.Decimals, b.Currency.Decimals))
	})
	for _, s := range l.report.Currencies {
		if strings.ContainsAny(s.Sum, "123456789") {
			l.fault(Fault{What: "sum of " + s.Currency.Code, Expected: formatSum(new(big.Int), s.Currency.Decimals), Found: s.Sum})
		}
	}
}

// absent reports what the log tells of and the dump did not have, in order.
func (l *ledger) absent() {
	var missing []string
	for number, a := range l.accounts {
		if !a.stored {
			missing = append(missing, number)
		}
	}
	slices.Sort(missing)
	for _, number := range missing {
		l.fault(Fault{Account: number, What: "account", Expected: "one that is stored: the log has changes of it", Found: "none"})
	}
	for _, id := range slices.Sorted(maps.Keys(l.groups)) {
		g := l.groups[id]
		l.fault(Fault{Transaction: id, What: "members of the atomic group", Expected: strconv.Itoa(g.size), Found: strconv.Itoa(g.next)})
	}
	for _, id := range slices.Sorted(maps.Keys(l.originals)) {
		if !l.originals[id].found {
			l.fault(Fault{Transaction: id, What: "original", Expected: "one in the log: it was reversed", Found: "none"})
		}
	}
	for _, id := range slices.Sorted(maps.Keys(l.retried)) {
		if !l.retried[id].found {
			l.fault(Fault{Transaction: id, What: "attempt 1", Expected: "one in the log: there is a later one", Found: "none"})
		}
	}
	for _, id := range slices.Sorted(maps.Keys(l.verdicts)) {
		if v := l.verdicts[id]; v.settledBy != "" && !v.found {
			l.fault(Fault{Transaction: id, What: "settled by", Expected: "nothing", Found: strconv.Quote(v.settledBy)})
		}
	}
}

// sum adds the balances of one currency. It is a big.Int because a partial sum
// may need more than an amount's 38 digits.
type sum struct {
	total    big.Int
	held     big.Int
	accounts int64
}

func (s *sum) add(balance, held rbcs.Amount) {
	var n big.Int
	n.SetString(balance.String(), 10)
	s.total.Add(&s.total, &n)
	n.SetString(held.String(), 10)
	s.held.Add(&s.held, &n)
	s.accounts++
}

// formatSum writes minor units with the given number of decimals.
func formatSum(n *big.Int, decimals int) string {
	digits, sign := new(big.Int).Abs(n).String(), ""
	if n.Sign() < 0 {
		sign = "-"
	}
	if decimals == 0 {
		return sign + digits
	}
	digits = strings.Repeat("0", max(0, decimals+1-len(digits))) + digits
	point := len(digits) - decimals
	return sign + digits[:point] + "." + digits[point:]
}
