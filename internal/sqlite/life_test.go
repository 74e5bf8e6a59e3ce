package sqlite

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"rbcs"
)

var morning = time.Date(2031, 1, 1, 8, 0, 0, 0, time.UTC)

func hold(id, source, destination string, cents int64) *rbcs.Transaction {
	t := transfer(id, source, destination, cents)
	t.Type = rbcs.Hold
	return t
}

// settle returns what refers to a transaction of the given accounts; 0 cents leaves the amount out.
func settle(kind rbcs.Type, id string, original *rbcs.Transaction, cents int64) *rbcs.Transaction {
	t := &rbcs.Transaction{ID: id, Type: kind, Original: original.ID, Source: original.Source, Destination: original.Destination}
	if kind == rbcs.Reversal {
		t.Source, t.Destination = t.Destination, t.Source
	}
	if cents != 0 {
		t.Amount = rbcs.Decimal{Units: rbcs.AmountOf(cents), Scale: 2}
	}
	return t
}

func group(members ...*rbcs.Transaction) []*rbcs.Transaction {
	id := rbcs.GroupID(members)
	for i, t := range members {
		t.Group = rbcs.Group{ID: id, Position: i, Size: len(members)}
	}
	return members
}

// everyOutcome is a batch with each type, each way to be rejected that has
// something to tell, and groups; poor has nothing and no overdraft.
func everyOutcome() []*rbcs.Transaction {
	h1, h2, h3 := hold("h1", "a", "b", 1000), hold("h2", "a", "b", 500), hold("h3", "b", "a", 50)
	h3.ExpiresAt = morning
	t1 := transfer("t1", "a", "b", 700)
	t1.Description, t1.Metadata, t1.Actor = "lunch", `{"k":1}`, "alice"
	late := transfer("late", "a", "b", 30)
	c1 := settle(rbcs.Capture, "c1", h1, 400)
	c1.Timestamp = morning.Add(-time.Hour)
	batch := []*rbcs.Transaction{
		h1, h2, h3, t1, transfer("poor", "poor", "a", 10), hold("ghost", "a", "ghost", 1),
		settle(rbcs.Capture, "exceeds", h1, 1001), c1, settle(rbcs.Capture, "again", h1, 0), settle(rbcs.Release, "r2", h2, 0),
		settle(rbcs.Capture, "due", h3, 0), settle(rbcs.Expiry, "rbcs.e3", h3, 0),
		settle(rbcs.Capture, "no hold", t1, 0), settle(rbcs.Capture, "nothing", &rbcs.Transaction{ID: "none"}, 5),
		settle(rbcs.Reversal, "v1", t1, 200), settle(rbcs.Reversal, "v2", t1, 501), settle(rbcs.Reversal, "v3", t1, 0),
		settle(rbcs.Reversal, "v4", t1, 0), settle(rbcs.Reversal, "v5", c1, 400), settle(rbcs.Reversal, "none", &rbcs.Transaction{ID: "none"}, 5),
		late,
	}
	batch = append(batch, group(transfer("g1", "a", "b", 1), hold("g2", "b", "a", 2), transfer("g3", "a", "poor", 3))...)
	return append(batch, group(transfer("f1", "a", "b", 1), transfer("f2", "poor", "a", 9999))...)
}

// TestReadBack reads all that a decision has as it was answered: by its ID, by
// the log, by the dump, and as a replay, also after the file was opened again.
func TestReadBack(t *testing.T) {
	s := openTemp(t)
	s.now = func() time.Time { return morning }
	createAccounts(t, s, "a", "b")
	if _, err := s.CreateAccounts(t.Context(), []rbcs.NewAccount{{Number: "poor", Currency: usd}}); err != nil {
		t.Fatal(err)
	}
	results := mustCommit(t, s, everyOutcome()...)
	outcome := map[string]string{}
	recorded := map[string]rbcs.Result{}
	for i := range results {
		r := &results[i]
		switch {
		case r.Err != nil:
			outcome[r.Transaction.ID] = "!" + string(r.Err.Code)
			continue
		case r.Code != "":
			outcome[r.Transaction.ID] = string(r.Code)
		default:
			outcome[r.Transaction.ID] = string(r.Status)
		}
		recorded[r.Transaction.ID] = *r
	}
	want := map[string]string{
		"h1": "held", "h2": "held", "h3": "held", "t1": "posted", "poor": "insufficient_funds", "ghost": "account_not_found",
		"exceeds": "amount_exceeds_hold", "c1": "posted", "again": "hold_not_open", "r2": "posted", "due": "hold_not_open", "rbcs.e3": "posted",
		"no hold": "hold_not_found", "nothing": "hold_not_found", "v1": "posted", "v2": "amount_exceeds_reversible", "v3": "posted",
		"v4": "amount_exceeds_reversible", "v5": "posted", "none": "!not_found", "late": "posted",
		"g1": "posted", "g2": "held", "g3": "posted", "f1": "group_failed", "f2": "insufficient_funds",
	}
	for id := range want {
		if outcome[id] != want[id] {
			t.Errorf("%s is %s, want %s", id, outcome[id], want[id])
		}
	}
	if r := recorded["again"]; r.SettledBy != "c1" {
		t.Errorf("settled by %q", r.SettledBy)
	}
	if r := recorded["exceeds"]; r.Shortfall.Short != rbcs.AmountOf(1) || r.Remainder != rbcs.AmountOf(-1) {
		t.Errorf("%+v", r)
	}
	if r := recorded["v1"]; r.Remainder != rbcs.AmountOf(500) {
		t.Errorf("%+v", r)
	}

	check := func(s *Store) {
		for id, want := range recorded {
			if r, err := s.Transaction(t.Context(), id); err != nil || r.Result != want {
				t.Errorf("%s is read as\n%+v, %v, want\n%+v", id, r.Result, err, want)
			}
		}
		page, err := s.Log(t.Context(), 0, 100)
		if err != nil || len(page.Results) != len(recorded) {
			t.Fatalf("the log has %d decisions, %v", len(page.Results), err)
		}
		i := 0
		err = s.Dump(t.Context(), func(r *rbcs.Result) error {
			if page.Results[i] != *r || recorded[r.Transaction.ID] != *r {
				t.Errorf("the log has %+v, the dump %+v", page.Results[i], *r)
			}
			i++
			return nil
		}, func(*rbcs.Account) error { return nil })
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range mustCommit(t, s, everyOutcome()...) {
			if want, ok := recorded[r.Transaction.ID]; ok {
				if want.Replayed = true; r != want {
					t.Errorf("replayed as\n%+v, want\n%+v", r, want)
				}
			}
		}
	}
	check(s)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	check(openAt(t, s.path))
}

// TestSettlementFindsItsAccounts settles a hold without naming its accounts.
func TestSettlementFindsItsAccounts(t *testing.T) {
	s := openTemp(t)
	createAccounts(t, s, "a", "b")
	mustCommit(t, s, hold("h", "a", "b", 10))
	r := mustCommit(t, s, settle(rbcs.Capture, "c", &rbcs.Transaction{ID: "h"}, 0))[0]
	if r.Status != rbcs.Posted || r.Transaction.Source != "a" || r.Destination.Balance != rbcs.AmountOf(10) {
		t.Errorf("%+v", r)
	}
}

// standings is what decisions are now, worked out from the log alone.
func standings(log []rbcs.Result) map[string]*rbcs.Record {
	now := map[string]*rbcs.Record{}
	for _, r := range log {
		t := &r.Transaction
		now[t.ID] = &rbcs.Record{Result: r, Current: r.Status}
		if r.Status != rbcs.Posted {
			continue
		}
		original := now[t.Original]
		switch t.Type {
		case rbcs.Capture:
			original.Current, original.ClosedBy = rbcs.Captured, t.ID
		case rbcs.Release:
			original.Current, original.ClosedBy = rbcs.Released, t.ID
		case rbcs.Expiry:
			original.Current, original.ClosedBy = rbcs.Expired, t.ID
		case rbcs.Reversal:
			if original.TakenBack, _ = original.TakenBack.Add(t.Amount.Units); original.TakenBack == original.Transaction.Amount.Units {
				original.Current = rbcs.Reversed
			}
		}
	}
	return now
}

// liveLong commits a long random mixture of everything between four accounts.
func liveLong(t *testing.T, s *Store, clock *time.Time) (log []rbcs.Result) {
	t.Helper()
	numbers := []string{"a", "b", "c", "d"}
	createAccounts(t, s, numbers...)
	random := rand.New(rand.NewPCG(1, 2))
	var holds, moved []*rbcs.Transaction
	pick := func(list []*rbcs.Transaction) *rbcs.Transaction {
		return list[len(list)-1-min(len(list)-1, int(random.ExpFloat64()*10))] // mostly a late one
	}
	for i := range 600 {
		if i%4 == 0 { // most share a microsecond
			*clock = clock.Add(time.Microsecond)
		}
		var batch []*rbcs.Transaction
		for j := range 3 {
			id := fmt.Sprint(i, "-", j)
			source := random.IntN(4)
			destination := (source + 1 + random.IntN(3)) % 4
			cents := 1 + random.Int64N(9)
			tx := transfer(id, numbers[source], numbers[destination], cents)
			switch kind := random.IntN(12); {
			case kind < 3 || len(moved) == 0:
				moved = append(moved, tx)
			case kind < 6 || len(holds) == 0:
				tx.Type = rbcs.Hold
				if kind == 5 {
					tx.ExpiresAt = *clock
				}
				holds = append(holds, tx)
			case kind == 6:
				tx = settle(rbcs.Capture, id, pick(holds), random.Int64N(4))
				moved = append(moved, tx)
			case kind == 7:
				tx = settle(rbcs.Release, id, pick(holds), 0)
			case kind == 8:
				tx = settle(rbcs.Expiry, id, pick(holds), 0)
			case kind == 9:
				tx = settle(rbcs.Reversal, id, pick(moved), 0)
			case kind == 10:
				tx = settle(rbcs.Reversal, id, pick(moved), 1)
			default:
				tx.Destination = "ghost"
			}
			batch = append(batch, tx)
		}
		if i%7 == 0 {
			group(batch...)
		}
		for _, r := range mustCommit(t, s, batch...) {
			if r.Err == nil {
				log = append(log, r)
			}
		}
	}
	return log
}

// TestLongLife compares every way to read a long log with what follows from the
// log alone, for any filter, range and page.
func TestLongLife(t *testing.T) {
	s := openTemp(t)
	clock := morning
	s.now = func() time.Time { return clock }
	log := liveLong(t, s, &clock)
	now := standings(log)
	seen := map[rbcs.Status]int{}
	for id, want := range now {
		seen[want.Current]++
		if r, err := s.Transaction(t.Context(), id); err != nil || r != *want {
			t.Fatalf("%s is\n%+v, %v, want\n%+v", id, r, err, want)
		}
	}
	statuses := []rbcs.Status{rbcs.Posted, rbcs.Holding, rbcs.Rejected, rbcs.Captured, rbcs.Released, rbcs.Expired, rbcs.Reversed}
	for _, status := range statuses {
		if seen[status] < 20 {
			t.Errorf("only %d are %s", seen[status], status)
		}
	}
	histories := map[string][]rbcs.Entry{}
	for i := range log {
		r := &log[i]
		if r.Source.Version > 0 {
			histories[r.Transaction.Source] = append(histories[r.Transaction.Source], entryOf(r, false))
		}
		if r.Destination.Version > 0 {
			histories[r.Transaction.Destination] = append(histories[r.Transaction.Destination], entryOf(r, true))
		}
	}
	for number, history := range histories {
		var balance rbcs.Amount
		for i, e := range history {
			if balance, _ = balance.Add(e.Change); e.Balance != balance || e.Version != int64(i)+1 {
				t.Fatalf("%s has %+v after changes that sum up to %v", number, e.State, balance)
			}
		}
	}
	moment := rapid.Custom(func(t *rapid.T) time.Time {
		return morning.Add(time.Duration(rapid.IntRange(-1500, 160_000).Draw(t, "ns")))
	})
	rapid.Check(t, func(r *rapid.T) {
		q := rbcs.TransactionQuery{
			Account: rapid.SampledFrom([]string{"", "a", "b", "c", "d", "ghost", "none"}).Draw(r, "account"),
			Status:  rapid.SampledFrom(append([]rbcs.Status{"", "unknown"}, statuses...)).Draw(r, "status"),
			Before:  rapid.Int64Range(0, 1900).Draw(r, "before"), Limit: rapid.IntRange(1, 60).Draw(r, "limit"),
		}
		if rapid.Bool().Draw(r, "from?") {
			q.From = moment.Draw(r, "from")
		}
		if rapid.Bool().Draw(r, "to?") {
			q.To = moment.Draw(r, "to")
		}
		checkRecords(t, r, s, log, now, q)
		account := rapid.SampledFrom([]string{"a", "b", "c", "d"}).Draw(r, "history of")
		checkHistory(t, r, s, histories[account], rbcs.HistoryQuery{
			Account: account, Descending: rapid.Bool().Draw(r, "descending"),
			After: q.Before, From: q.From, To: q.To, Limit: q.Limit,
		})
		checkBalanceAt(t, r, s, account, histories[account], moment.Draw(r, "at"))
	})
}

func checkRecords(
	t *testing.T, r *rapid.T, s *Store, log []rbcs.Result, now map[string]*rbcs.Record, q rbcs.TransactionQuery,
) {
	var want []rbcs.Record
	for _, d := range slices.Backward(log) {
		record := now[d.Transaction.ID]
		if len(want) < q.Limit && within(d.CommittedAt, q.From, q.To) && (q.Before == 0 || d.Sequence < q.Before) &&
			(q.Status == "" || record.Current == q.Status) &&
			(q.Account == "" || d.Transaction.Source == q.Account || d.Transaction.Destination == q.Account) {
			want = append(want, *record)
		}
	}
	got, err := s.Transactions(t.Context(), q)
	if err != nil || !slices.Equal(got, want) {
		r.Fatalf("%+v: %d records, %v; want %d", q, len(got), err, len(want))
	}
}

// TestHeldAccounts closes, freezes and reopens accounts that hold.
func TestHeldAccounts(t *testing.T) {
	s := openTemp(t)
	createAccounts(t, s, "a", "b")
	to := func(status rbcs.AccountStatus) error {
		a, err := s.UpdateAccount(t.Context(), "a", rbcs.AccountChange{Status: &status})
		if err == nil && a.Status != status {
			t.Errorf("the account is %s, want %s", a.Status, status)
		}
		return err
	}
	h := hold("h", "a", "b", 10)
	mustCommit(t, s, h)
	err := to(rbcs.Closed)
	wantError(t, err, rbcs.InvalidRequest, "cannot be changed")
	if err == nil || !strings.Contains(err.Error(), "0.10 held") {
		t.Errorf("the refusal does not say what is held: %v", err)
	}
	mustCommit(t, s, settle(rbcs.Release, "r", h, 0))
	for _, status := range []rbcs.AccountStatus{rbcs.Frozen, rbcs.Open, rbcs.Closed, rbcs.Open} {
		if err := to(status); err != nil {
			t.Fatal(err)
		}
	}
	if r := mustCommit(t, s, transfer("t", "a", "b", 1))[0]; r.Status != rbcs.Posted {
		t.Errorf("reopened, but %+v", r)
	}
	wantError(t, to(rbcs.Closed), rbcs.InvalidRequest, "cannot be changed")
}

// TestEras lists holds that stand far apart in the log.
func TestEras(t *testing.T) {
	s := openTemp(t)
	createAccounts(t, s, "a", "b")
	var want []string // the holds, the latest first
	for era := range 3 {
		var batch []*rbcs.Transaction
		for i := range 3 {
			id := fmt.Sprintf("%d%d", era, i)
			batch = append(batch, hold(id, "a", "b", 1))
			want = slices.Insert(want, 0, id)
		}
		mustCommit(t, s, batch...)
		err := s.withWrite(t.Context(), func(w *writer, _ time.Time) error { // what is not theirs
			return w.exec(fmt.Sprintf(`WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < %d)
				INSERT INTO transactions (sequence, id, attempt, type, status, code, amount, decimals, occurred_at, instance, committed_at, posted_before)
				SELECT m.last + i, 'other-' || (m.last + i), 1, 'transfer', 'rejected', 'account_not_found', x'80000000000000000000000000000001', 2, 0, 1, 0, 0
				FROM n, (SELECT max(sequence) AS last FROM transactions) m`, 1<<eraBits))
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	list := func(account string, status rbcs.Status, before int64, limit int) (ids []string) {
		t.Helper()
		records, err := s.Transactions(t.Context(), rbcs.TransactionQuery{Account: account, Status: status, Before: before, Limit: limit})
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range records {
			ids = append(ids, r.Transaction.ID)
		}
		return ids
	}
	for limit := 1; limit <= len(want); limit++ {
		for _, account := range []string{"a", "b"} {
			for _, status := range []rbcs.Status{"", rbcs.Holding} {
				if got := list(account, status, 0, limit); !slices.Equal(got, want[:limit]) {
					t.Errorf("%s %q: %v, want %v", account, status, got, want[:limit])
				}
			}
		}
	}
	mustCommit(t, s, settle(rbcs.Capture, "c", hold("01", "a", "b", 1), 0))
	for _, account := range []string{"a", "b"} {
		if got := list(account, rbcs.Captured, 0, 5); !slices.Equal(got, []string{"01"}) {
			t.Errorf("captured: %v", got)
		}
		if got := list(account, rbcs.Holding, 4, 5); !slices.Equal(got, []string{"02", "00"}) {
			t.Errorf("of the first era are held: %v", got)
		}
	}
	if got := list("b", "", 0, 2); !slices.Equal(got, []string{"c", "22"}) {
		t.Errorf("the latest are %v", got)
	}
}
