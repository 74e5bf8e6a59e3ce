package audit

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"rbcs"
)

var (
	usd = rbcs.Currency{Code: "USD", Decimals: 2}
	jpy = rbcs.Currency{Code: "JPY"}
)

// books are a store's content, made up by hand.
type books struct {
	log      []rbcs.Result
	accounts []rbcs.Account
}

func (b *books) Dump(_ context.Context, decision func(*rbcs.Result) error, account func(*rbcs.Account) error) error {
	for i := range b.log {
		if err := decision(&b.log[i]); err != nil {
			return err
		}
	}
	for i := range b.accounts {
		if err := account(&b.accounts[i]); err != nil {
			return err
		}
	}
	return nil
}

var start = time.Date(2024, 1, 1, 0, 0, 0, 0, time.UTC)

// clean returns books without a fault: transactions 0–3 and 5–6 are posted, 4
// lacks funds and 7 names an account that does not exist.
//
//	0 bank→a 500   1 bank→b 300   2 a→b 120   3 b→a 20   4 a→bank 1000   5 yen→yen2 7   6 a→bank 400   7 ghost→a 1
func clean() *books {
	state := func(balance, version int64) rbcs.State {
		return rbcs.State{Balance: rbcs.AmountOf(balance), Version: version}
	}
	b := &books{}
	post := func(source, destination string, amount int64, c rbcs.Currency, s, d rbcs.State) *rbcs.Result {
		n := len(b.log)
		b.log = append(b.log, rbcs.Result{
			Transaction: rbcs.Transaction{
				ID: fmt.Sprint("t", n), Type: rbcs.Transfer, Source: source, Destination: destination,
				Amount: rbcs.Decimal{Units: rbcs.AmountOf(amount), Scale: uint8(c.Decimals)}, Currency: c.Code, Timestamp: start,
			},
			Status: rbcs.Posted, Sequence: int64(10 * (n + 1)), CommittedAt: start.Add(time.Duration(n) * time.Second), Source: s, Destination: d, Attempt: 1,
		})
		return &b.log[n]
	}
	none := rbcs.State{}
	post("bank", "a", 500, usd, state(-500, 1), state(500, 1))
	post("bank", "b", 300, usd, state(-800, 2), state(300, 1))
	post("a", "b", 120, usd, state(380, 2), state(420, 2))
	post("b", "a", 20, usd, state(400, 3), state(400, 3))
	short := post("a", "bank", 1000, usd, none, none)
	short.Status, short.Code = rbcs.Rejected, rbcs.InsufficientFunds
	short.Shortfall = rbcs.Shortfall{
		Available: rbcs.AmountOf(400), Overdraft: rbcs.AmountOf(50), Needed: rbcs.AmountOf(1000), Short: rbcs.AmountOf(550),
	}
	post("yen", "yen2", 7, jpy, state(-7, 1), state(7, 1))
	post("a", "bank", 400, usd, state(0, 4), state(-400, 3))
	ghost := post("ghost", "a", 1, usd, none, none)
	ghost.Status, ghost.Code, ghost.Transaction.Currency = rbcs.Rejected, rbcs.AccountNotFound, ""
	ghost.SettledBy = "ghost"
	for _, a := range []struct {
		number                  string
		currency                rbcs.Currency
		received, sent, version int64
	}{
		{"a", usd, 520, 520, 4}, {"b", usd, 420, 20, 3}, {"bank", usd, 400, 800, 3}, {"quiet", usd, 0, 0, 0}, {"yen", jpy, 0, 7, 1}, {"yen2", jpy, 7, 0, 1},
	} {
		b.accounts = append(b.accounts, rbcs.Account{
			Number: a.number, Currency: a.currency, Status: rbcs.Open, Balance: rbcs.AmountOf(a.received - a.sent),
			Received: rbcs.AmountOf(a.received), Sent: rbcs.AmountOf(a.sent), Version: a.version, CreatedAt: start, UpdatedAt: start.Add(time.Hour),
		})
	}
	return b
}

func run(t *testing.T, b *books) Report {
	t.Helper()
	report, err := Run(t.Context(), b, nil)
	if err != nil {
		t.Fatal(err)
	}
	if report.OK() != (len(report.Faults) == 0) || int64(len(report.Faults)) > report.FaultCount {
		t.Errorf("OK is %v, with %d faults listed and %d counted", report.OK(), len(report.Faults), report.FaultCount)
	}
	return report
}

// wantFault fails the test where the books have no fault whose text begins like this.
func wantFault(t *testing.T, b *books, text string) {
	t.Helper()
	var texts []string
	for _, f := range run(t, b).Faults {
		texts = append(texts, f.String())
	}
	if !slices.ContainsFunc(texts, func(s string) bool { return strings.HasPrefix(s, text) }) {
		t.Errorf("%q is not among the faults:\n%s", text, strings.Join(texts, "\n"))
	}
}

func TestCleanBooks(t *testing.T) {
	report := run(t, clean())
	for _, f := range report.Faults {
		t.Errorf("clean books: %v", f)
	}
	if report.Accounts != 6 || report.Transactions != 8 || report.Posted != 6 || report.Rejected != 2 {
		t.Errorf("counts: %+v", report)
	}
	want := []CurrencySum{{jpy, 2, "0", "0"}, {usd, 4, "0.00", "0.00"}}
	if !slices.Equal(report.Currencies, want) {
		t.Errorf("currencies: %v, want %v", report.Currencies, want)
	}
	if report = run(t, &books{}); !report.OK() || report.Currencies != nil {
		t.Errorf("empty books: %+v", report)
	}
}

// TestCorruption corrupts one thing at a time; each must be found, and named by
// the account or transaction that has it.
func TestCorruption(t *testing.T) {
	one := rbcs.AmountOf(1)
	for name, c := range map[string]struct {
		corrupt func(b *books)
		want    string // begins one of the faults
	}{
		"sequence twice":        {func(b *books) { b.log[3].Sequence = b.log[2].Sequence }, `transaction "t3": sequence: expected more than 30, found 30`},
		"log out of order":      {func(b *books) { b.log[0], b.log[5] = b.log[5], b.log[0] }, `transaction "t1": sequence: expected more than 60, found 20`},
		"log twice":             {func(b *books) { b.log = append(b.log, b.log[5]) }, `transaction "t5": sequence: expected more than 80, found 60`},
		"posted twice":          {func(b *books) { b.log = append(b.log, b.log[5]); b.log[8].Sequence = 90 }, `account yen: transaction "t5": version: expected 2, found 1`},
		"posting lost":          {func(b *books) { b.log = slices.Delete(b.log, 2, 3) }, `account b: transaction "t3": version: expected 2, found 3`},
		"last posting lost":     {func(b *books) { b.log = slices.Delete(b.log, 6, 7) }, `account a: version: expected 3, found 4`},
		"attempt":               {func(b *books) { b.log[1].Attempt = 0 }, `transaction "t1": attempt: expected at least 1, found 0`},
		"no time":               {func(b *books) { b.log[4].CommittedAt = time.Time{} }, `transaction "t4": committed_at: expected a time, found none`},
		"time runs backward":    {func(b *books) { b.log[6].CommittedAt = start.Add(2999 * time.Millisecond) }, `account a: transaction "t6": committed_at: expected not before 2024-01-01T00:00:03.000000Z, found 2024-01-01T00:00:02.999000Z`},
		"status":                {func(b *books) { b.log[5].Status = "lost" }, `transaction "t5": status: expected posted, held or rejected, found "lost"`},
		"type":                  {func(b *books) { b.log[5].Transaction.Type = "gift" }, `transaction "t5": type: expected one that is known, found "gift"`},
		"posted with a code":    {func(b *books) { b.log[5].Code = rbcs.Overflow }, `transaction "t5": code: expected , found overflow`},
		"same account":          {func(b *books) { b.log[5].Transaction.Destination = "yen" }, `account yen: transaction "t5": destination: expected another account`},
		"amount of zero":        {func(b *books) { b.log[5].Transaction.Amount.Units = rbcs.Amount{} }, `transaction "t5": amount: expected more than zero, found 0`},
		"negative amount":       {func(b *books) { b.log[5].Transaction.Amount.Units = one.Neg() }, `transaction "t5": amount: expected more than zero, found -1`},
		"amount":                {func(b *books) { b.log[5].Transaction.Amount.Units = one }, `account yen: transaction "t5": balance: expected -1, found -7`},
		"source's balance":      {func(b *books) { b.log[2].Source.Balance = one }, `account a: transaction "t2": balance: expected 3.80, found 0.01`},
		"destination's balance": {func(b *books) { b.log[2].Destination.Balance = one }, `account b: transaction "t2": balance: expected 4.20, found 0.01`},
		"held":                  {func(b *books) { b.log[2].Source.Held = one }, `account a: transaction "t2": held: expected 0.00, found 0.01`},
		"version gap":           {func(b *books) { b.log[6].Source.Version = 5 }, `account a: transaction "t6": version: expected 4, found 5`},
		"currency of a posting": {func(b *books) { b.log[6].Transaction.Currency = "EUR" }, `account a: transaction "t6": currency: expected {USD 2}, found {EUR 2}`},
		"scale of a posting":    {func(b *books) { b.log[6].Transaction.Amount.Scale = 3 }, `account a: transaction "t6": currency: expected {USD 2}, found {USD 3}`},
		"rejected and moved":    {func(b *books) { b.log[7].Destination.Version = 5 }, `account a: transaction "t7": state after a rejection: expected balance 0.00, held 0.00, version 0, found balance 0.00, held 0.00, version 5`},
		"rejected for nothing":  {func(b *books) { b.log[7].Code = "" }, `transaction "t7": code: expected one of a rejection, found ""`},
		"shortfall for nothing": {func(b *books) { b.log[7].Shortfall.Needed = one }, `account ghost: transaction "t7": shortfall of account_not_found: expected available 0.00, overdraft 0.00, needed 0.00, short 0.00, found available 0.00, overdraft 0.00, needed 0.01, short 0.00`},
		"available":             {func(b *books) { b.log[4].Shortfall.Available = rbcs.AmountOf(500) }, `account a: transaction "t4": available before the rejection: expected 4.00, found 5.00`},
		"needed":                {func(b *books) { b.log[4].Shortfall.Needed = one }, `account a: transaction "t4": needed: expected 10.00, found 0.01`},
		"short":                 {func(b *books) { b.log[4].Shortfall.Short = one }, `account a: transaction "t4": short: expected 5.50, found 0.01`},
		"nothing short": {func(b *books) {
			b.log[4].Transaction.Amount.Units = rbcs.AmountOf(450)
			b.log[4].Shortfall.Needed = rbcs.AmountOf(450)
			b.log[4].Shortfall.Short = rbcs.Amount{}
		}, `account a: transaction "t4": short: expected more than zero, found 0`},
		"too much to be short": {func(b *books) { b.log[4].Shortfall.Overdraft = rbcs.MaxAmount() }, `account a: transaction "t4": short: expected 0.00, found 5.50`},
		"account lost":         {func(b *books) { b.accounts = b.accounts[1:] }, `account a: account: expected one that is stored`},
		"account twice":        {func(b *books) { b.accounts = append(b.accounts, b.accounts[3]) }, `account quiet: account: expected stored once`},
		"stored version":       {func(b *books) { b.accounts[0].Version = 5 }, `account a: version: expected 4, found 5`},
		"stored balance":       {func(b *books) { b.accounts[0].Balance = one }, `account a: balance: expected 0.00, found 0.01`},
		"stored held":          {func(b *books) { b.accounts[0].Held = one }, `account a: held: expected 0.00, found 0.01`},
		"stored received":      {func(b *books) { b.accounts[0].Received = one }, `account a: received: expected 5.20, found 0.01`},
		"stored sent":          {func(b *books) { b.accounts[0].Sent = one }, `account a: sent: expected 5.20, found 0.01`},
		"quiet account":        {func(b *books) { b.accounts[3].Balance = one }, `account quiet: received − sent: expected 0.01, found 0.00`},
		"stored currency":      {func(b *books) { b.accounts[0].Currency = jpy }, `account a: currency: expected {USD 2}, found {JPY 0}`},
		"stored decimals":      {func(b *books) { b.accounts[0].Currency.Decimals = 3 }, `account a: currency: expected {USD 2}, found {USD 3}`},
		"updated_at":           {func(b *books) { b.accounts[1].UpdatedAt = start }, `account b: updated_at: expected not before 2024-01-01T00:00:03.000000Z`},
		"sum":                  {func(b *books) { b.accounts[0].Balance = rbcs.AmountOf(-5) }, `sum of USD: expected 0.00, found -0.05`},
		"whole sum":            {func(b *books) { b.accounts[4].Balance = rbcs.AmountOf(3) }, `sum of JPY: expected 0, found 10`},
	} {
		t.Run(name, func(t *testing.T) {
			b := clean()
			c.corrupt(b)
			wantFault(t, b, c.want)
		})
	}
}

// TestConsistentTheft moves money out of the log and the accounts alike: what
// came in and went out still tells.
func TestConsistentTheft(t *testing.T) {
	b := clean()
	b.log[6].Source.Balance = rbcs.AmountOf(100) // says that a kept 100 of the 400
	b.accounts[0].Balance = rbcs.AmountOf(100)
	if report := run(t, b); report.FaultCount < 2 || len(report.Faults) < 2 {
		t.Errorf("faults: %v", report.Faults)
	}
}

// TestOverflow sends, receives and owes more than 38 digits.
func TestOverflow(t *testing.T) {
	b := clean()
	for range 2 {
		d := b.log[5]
		d.Transaction.Amount.Units, d.Sequence = rbcs.MaxAmount(), b.log[len(b.log)-1].Sequence+1
		b.log = append(b.log, d)
	}
	found := map[string]bool{}
	for _, f := range run(t, b).Faults {
		if f.Expected == "at most 38 digits" {
			found[f.Account+" "+f.What] = true
		}
	}
	for _, want := range []string{"yen sent", "yen balance", "yen2 received", "yen2 balance"} {
		if !found[want] {
			t.Errorf("%s is not among the overflows %v", want, found)
		}
	}
}

// TestFaultsAreBounded has more faults than a report lists.
func TestFaultsAreBounded(t *testing.T) {
	b := &books{}
	for range 2 * MaxFaults {
		b.log = append(b.log, rbcs.Result{Status: "?", CommittedAt: start, Attempt: 1, Sequence: int64(len(b.log)) + 1})
	}
	if report := run(t, b); len(report.Faults) != MaxFaults || report.FaultCount != 2*MaxFaults {
		t.Errorf("%d faults listed, %d counted", len(report.Faults), report.FaultCount)
	}
}

// TestHugeSum sums balances whose partial sums have more than 38 digits.
func TestHugeSum(t *testing.T) {
	b := &books{}
	for i := range 3 {
		a := rbcs.Account{Number: fmt.Sprint(i), Currency: usd, Balance: rbcs.MaxAmount()}
		if i == 2 {
			a.Balance = rbcs.AmountOf(-1)
		}
		b.accounts = append(b.accounts, a)
	}
	want := "1999999999999999999999999999999999999.97"
	if got := run(t, b).Currencies[0].Sum; got != want {
		t.Errorf("the sum is %s, want %s", got, want)
	}
}

func TestProgressAndErrors(t *testing.T) {
	b := &books{}
	for i := range 2*progressEvery + 5 {
		b.log = append(b.log, rbcs.Result{Status: rbcs.Rejected, Code: rbcs.SameAccount, CommittedAt: start, Attempt: 1, Sequence: int64(i) + 1})
	}
	var calls []int64
	report, err := Run(t.Context(), b, func(done int64) { calls = append(calls, done) })
	if err != nil || !report.OK() || !slices.Equal(calls, []int64{progressEvery, 2 * progressEvery, 2*progressEvery + 5}) {
		t.Errorf("progress %v, report %+v, error %v", calls, report, err)
	}
	broken := errors.New("the disk is gone")
	if _, err := Run(t.Context(), failing{broken}, nil); !errors.Is(err, broken) {
		t.Errorf("the error is %v, want the dump's", err)
	}
}

type failing struct{ err error }

func (f failing) Dump(context.Context, func(*rbcs.Result) error, func(*rbcs.Account) error) error {
	return f.err
}

// BenchmarkRun replays ten million transactions over a million accounts and
// reports how much memory that takes at its end.
func BenchmarkRun(b *testing.B) {
	l := long{accounts: 1_000_000, transactions: 10_000_000}
	for b.Loop() {
		report, err := Run(b.Context(), &l, nil)
		if err != nil || !report.OK() {
			b.Fatal(err, report.Faults)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*l.transactions), "ns/transaction")
	b.ReportMetric(float64(l.heap)/float64(l.accounts), "B/account")
}

// long is a log of transfers that is made up while it is read.
type long struct {
	accounts, transactions int
	heap                   uint64 // that the reader holds after the last decision
}

func (l *long) Dump(_ context.Context, decision func(*rbcs.Result) error, account func(*rbcs.Account) error) error {
	var before, after runtime.MemStats
	accounts := make([]rbcs.Account, l.accounts)
	for i := range accounts {
		accounts[i] = rbcs.Account{Number: fmt.Sprintf("customers:account-%09d", i), Currency: usd, UpdatedAt: start}
	}
	runtime.GC()
	runtime.ReadMemStats(&before)
	one := rbcs.AmountOf(1)
	d := rbcs.Result{Status: rbcs.Posted, CommittedAt: start, Attempt: 1, Transaction: rbcs.Transaction{
		ID: "x", Type: rbcs.Transfer, Currency: "USD", Amount: rbcs.Decimal{Units: one, Scale: 2},
	}}
	for i := range l.transactions {
		source, destination := &accounts[i*7919%l.accounts], &accounts[(i*7919+1)%l.accounts]
		source.Version++
		source.Sent, _ = source.Sent.Add(one)
		source.Balance, _ = source.Balance.Sub(one)
		destination.Version++
		destination.Received, _ = destination.Received.Add(one)
		destination.Balance, _ = destination.Balance.Add(one)
		d.Sequence++
		d.Transaction.Source, d.Source = source.Number, rbcs.State{Balance: source.Balance, Version: source.Version}
		d.Transaction.Destination, d.Destination = destination.Number, rbcs.State{Balance: destination.Balance, Version: destination.Version}
		if err := decision(&d); err != nil {
			return err
		}
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	l.heap = after.HeapAlloc - before.HeapAlloc
	for i := range accounts {
		if err := account(&accounts[i]); err != nil {
			return err
		}
	}
	return nil
}
