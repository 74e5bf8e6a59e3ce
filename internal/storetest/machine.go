package storetest

import (
	"flag"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"pgregory.net/rapid"
	"rbcs"
)

// The number of random runs and their mean length, where no flag says
// otherwise: what a store with a disk does in some seconds. For a long search
// raise -rapid.checks and -rapid.steps.
const (
	machineChecks = "100"
	machineSteps  = "30"
)

// testMachine drives the store and the model with the same random steps. All
// runs share one store, each with accounts and IDs of its own.
func testMachine(t *testing.T, open func(t *testing.T) rbcs.Store) {
	defer setFlag("rapid.checks", machineChecks)()
	defer setFlag("rapid.steps", machineSteps)()
	defer setFlag("rapid.nofailfile", "true")() // the seed that is printed will do
	e := begin(t, open)
	var runs, logged atomic.Int64
	rapid.Check(t, func(rt *rapid.T) {
		m := &machine{T: rt, e: e, model: newModel(), run: fmt.Sprintf("r%d:", runs.Add(1)), logged: &logged, after: logged.Load()}
		m.create(rt)
		rt.Repeat(map[string]func(*rapid.T){
			"commit":       m.commit,
			"commit again": m.commit, // more often than the others
			"commit more":  m.commit,
			"preview":      m.preview,
			"create":       m.create,
			"update":       m.update,
			"read":         m.read,
		})
		m.finish()
	})
	e.audit()
}

// setFlag sets a flag for the duration of a test, unless the command line did.
func setFlag(name, value string) (restore func()) {
	given := false
	flag.Visit(func(f *flag.Flag) { given = given || f.Name == name })
	f := flag.Lookup(name)
	if given {
		return func() {}
	}
	before := f.Value.String()
	set := func(value string) {
		if err := f.Value.Set(value); err != nil {
			panic(err)
		}
	}
	set(value)
	return func() { set(before) }
}

// machine is one random run.
type machine struct {
	*rapid.T
	e         *env
	model     *model
	run       string                // begins the accounts and IDs of this run
	submitted [][]*rbcs.Transaction // single ones, and whole atomic groups
	count     int                   // of IDs
	logged    *atomic.Int64         // the last sequence that any run was told
	after     int64                 // the same at the start of this one
}

// numbers are few, so that they collide; "nobody" is never created.
var (
	machineNumbers    = []string{"a", "b", "c", "d", "e", "yen"}
	machineCurrencies = []string{"USD", "USD", "USD", "USD", "EUR", "JPY"}
	machineOverdrafts = []string{"0", "10", "unlimited", "0", "unlimited", "1000"}
)

// choice draws one of the values, the first ones more often where they stand more often.
func choice[T any](t *rapid.T, label string, values ...T) T {
	return rapid.SampledFrom(values).Draw(t, label)
}

// must fails the run where an error came that should not.
func (m *machine) must(err error) {
	if err != nil {
		m.Fatalf("unexpected error: %v", err)
	}
}

func (m *machine) agree(faults differences) {
	for _, f := range faults {
		m.Error(f)
	}
	if faults != nil {
		m.FailNow()
	}
}

// create creates some of the accounts; it may ask for one again, in the same or
// in other words, and for one twice.
func (m *machine) create(t *rapid.T) {
	indexes := rapid.SliceOfN(rapid.IntRange(0, len(machineNumbers)-1), 1, 6).Draw(t, "accounts")
	asked := make([]rbcs.NewAccount, len(indexes))
	for i, at := range indexes {
		code := machineCurrencies[at]
		asked[i] = rbcs.NewAccount{
			Number: m.run + machineNumbers[at], Currency: currency(code), Overdraft: overdraft(machineOverdrafts[at], code), Actor: "machine",
		}
		switch choice(t, "variant", "", "", "", "", "metadata", "overdraft", "currency") {
		case "metadata":
			asked[i].Metadata = `{"k":1}`
		case "overdraft":
			asked[i].Overdraft = overdraft("7", code)
		case "currency":
			asked[i].Currency = currency("BTC")
		}
	}
	got, err := m.e.store.CreateAccounts(m.e.ctx, asked)
	m.must(err)
	m.agree(m.model.create(asked, got))
}

func (m *machine) number(t *rapid.T, label string) string {
	return m.run + choice(t, label, append(machineNumbers, machineNumbers[0], machineNumbers[1], machineNumbers[2], "nobody")...)
}

// update changes status, overdraft and metadata of an account.
func (m *machine) update(t *rapid.T) {
	number, change := m.number(t, "number"), rbcs.AccountChange{Actor: "machine"}
	switch choice(t, "status", "", "", "open", "open", "frozen", "outgoing", "closed") {
	case "open":
		change.Status = new(rbcs.Open)
	case "frozen":
		change.Status = new(rbcs.Frozen)
	case "outgoing":
		change.Status = new(rbcs.FrozenOutgoing)
	case "closed":
		change.Status = new(rbcs.Closed)
	}
	switch o := choice(t, "overdraft", "", "", "0", "10", "500.00", "0.001", largest("JPY"), "unlimited"); o {
	case "":
	case "unlimited":
		change.Overdraft = &rbcs.OverdraftChange{Unlimited: true}
	default:
		change.Overdraft = &rbcs.OverdraftChange{Limit: decimal(o)}
	}
	if rapid.Bool().Draw(t, "metadata") {
		change.Metadata = new(choice(t, "text", "", `{"k":1}`, `{"k":"ü"}`))
	}
	got, err := m.e.store.UpdateAccount(m.e.ctx, number, change)
	want := m.model.update(number, change)
	if code := rbcs.CodeOf(err); code != want {
		m.Fatalf("changing %s by %+v: error %v (%q), want %q", number, change, err, code, want)
	}
	if a := m.model.accounts[number]; err == nil {
		if got.UpdatedAt.Before(a.account.UpdatedAt) {
			m.Fatalf("updated_at of %s went from %v to %v", number, a.account.UpdatedAt, got.UpdatedAt)
		}
		a.account.UpdatedAt = got.UpdatedAt
		m.agree(compareAccounts(&got, a.want()))
	}
}

// batch draws new transactions and groups, and submitted ones as they were or changed.
func (m *machine) batch(t *rapid.T) (batch []*rbcs.Transaction) {
	for range rapid.IntRange(1, 10).Draw(t, "size") {
		batch = append(batch, m.unit(t)...)
	}
	return batch
}

func (m *machine) commit(t *rapid.T) {
	batch := m.batch(t)
	got, _, err := submit(m.e.ctx, m.e.store, batch)
	m.must(err)
	for _, r := range got {
		m.logged.Store(max(m.logged.Load(), r.Sequence))
	}
	m.agree(m.model.commit(batch, got))
}

// preview asks what would become of a batch; nothing must.
func (m *machine) preview(t *rapid.T) {
	batch := m.batch(t)
	got, err := m.e.store.Preview(m.e.ctx, batch)
	m.must(err)
	if len(got) != len(batch) {
		m.Fatalf("%d previews of a batch of %d", len(got), len(batch))
	}
	dry := m.model.clone()
	dry.preview = true
	m.agree(dry.commit(batch, got))
}

// read compares one account and one transaction with the model's.
func (m *machine) read(t *rapid.T) {
	m.account(m.number(t, "number"))
	if len(m.submitted) > 0 {
		m.decision(choice(t, "which", m.submitted...)[0].ID)
	}
	m.totals()
}

func (m *machine) account(number string) {
	got, err := m.e.store.Account(m.e.ctx, number)
	a := m.model.accounts[number]
	if a == nil {
		if rbcs.CodeOf(err) != rbcs.NotFound {
			m.Fatalf("account %s: %+v, %v; want it not found", number, got, err)
		}
		return
	}
	m.must(err)
	m.agree(compareAccounts(&got, a.want()))
}

func (m *machine) decision(id string) {
	got, err := m.e.store.Transaction(m.e.ctx, id)
	want := m.model.decided[id]
	if want == nil {
		if rbcs.CodeOf(err) != rbcs.NotFound {
			m.Fatalf("transaction %s: %+v, %v; want it not found", id, got, err)
		}
		return
	}
	m.must(err)
	m.agree(compareRecords(&got, want.want()))
}

// totals compares the sums over the accounts of this run.
func (m *machine) totals() {
	got, err := m.e.store.Totals(m.e.ctx, m.run)
	if !m.model.totalsFit() {
		if rbcs.CodeOf(err) != rbcs.InvalidRequest {
			m.Fatalf("the totals have too many digits: %+v, %v", got, err)
		}
		return
	}
	m.must(err)
	m.agree(compareTotals(got, m.model.totals()))
}

// finish compares all that can be read with the model.
func (m *machine) finish() {
	for _, unit := range m.submitted {
		for _, s := range unit {
			m.decision(s.ID)
		}
	}
	list, err := m.e.store.Accounts(m.e.ctx, rbcs.AccountQuery{Prefix: m.run, Limit: 100})
	m.must(err)
	var numbers []string
	for _, a := range list {
		numbers = append(numbers, a.Number)
	}
	if want := m.model.numbers(); !slices.Equal(numbers, want) {
		m.Fatalf("the accounts are %q, want %q", numbers, want)
	}
	for _, number := range numbers {
		m.account(number)
		m.changes(m.model.accounts[number])
		m.decisions(number)
	}
	m.totals()
	m.log()
	m.due()
}

// log compares what this run has added to the log.
func (m *machine) log() {
	want := m.model.records()
	if len(want) == 0 {
		return
	}
	slices.Reverse(want)
	got, err := readLog(m.e.ctx, m.e.store, m.after, want[len(want)-1].Sequence, 7)
	m.must(err)
	if len(got) != len(want) {
		m.Fatalf("the log has %d decisions more, want %d", len(got), len(want))
	}
	for i := range got {
		m.agree(compareResults(&got[i], &want[i].Result))
	}
}

// due compares which holds are due.
func (m *machine) due() {
	got, err := m.e.store.DueHolds(m.e.ctx, 1_000_000)
	m.must(err)
	got = slices.DeleteFunc(got, func(t rbcs.Transaction) bool { return !strings.HasPrefix(t.ID, m.run) })
	want := m.model.due(time.Now())
	if len(got) != len(want) {
		m.Fatalf("%d holds are due, want %d", len(got), len(want))
	}
	for i := range got {
		m.agree(compareTransactions(&got[i], &m.model.decided[got[i].ID].Transaction))
		if i > 0 && got[i].ExpiresAt.Before(got[i-1].ExpiresAt) {
			m.Fatalf("a hold that was due at %v is listed before one of %v", got[i-1].ExpiresAt, got[i].ExpiresAt)
		}
		if !slices.Contains(want, got[i].ID) {
			m.Fatalf("the hold %s is listed as due", got[i].ID)
		}
	}
}

// changes compares an account's history, and its balance at each moment of it.
func (m *machine) changes(a *modelAccount) {
	number := a.account.Number
	entries, err := m.e.store.History(m.e.ctx, rbcs.HistoryQuery{Account: number, Limit: len(a.changes) + 1})
	m.must(err)
	if len(entries) != len(a.changes) {
		m.Fatalf("account %s: %d entries, want %d", number, len(entries), len(a.changes))
	}
	for i, entry := range entries {
		want := entryOf(&a.changes[i], number)
		m.agree(compareResults(&entry.Result, &want.Result))
		if entry.Credit != want.Credit || entry.Change != want.Change || entry.State != want.State {
			m.Fatalf("account %s: entry %d is %+v, want %+v", number, i, entry, want)
		}
		for _, at := range []time.Time{entry.Result.CommittedAt, entry.Result.CommittedAt.Add(-time.Microsecond)} {
			got, err := m.e.store.BalanceAt(m.e.ctx, number, at)
			m.must(err)
			if state := (rbcs.State{Balance: got.Balance, Held: got.Held, Version: got.Version}); state != a.stateAt(at) {
				m.Fatalf("account %s at %v: %+v, want %+v", number, at, state, a.stateAt(at))
			}
		}
	}
}

// decisions compares the list of what named an account, and the part of it that
// has one status.
func (m *machine) decisions(number string) {
	all := m.model.records()
	q := rbcs.TransactionQuery{Account: number, Limit: len(all) + 1}
	for _, q.Status = range []rbcs.Status{"", choice(m.T, "status", rbcs.Posted, rbcs.Holding, rbcs.Captured, rbcs.Released, rbcs.Expired, rbcs.Reversed, rbcs.Rejected)} {
		want := slices.DeleteFunc(slices.Clone(all), func(r rbcs.Record) bool { return !selected(&q, &r) })
		got, err := m.e.store.Transactions(m.e.ctx, q)
		m.must(err)
		if len(got) != len(want) {
			m.Fatalf("account %s: %d decisions that are %q, want %d", number, len(got), q.Status, len(want))
		}
		for i := range got {
			m.agree(compareRecords(&got[i], &want[i]))
		}
	}
}
