package postgres

import (
	"reflect"
	"slices"
	"testing"
	"time"

	"rbcs"
)

// hold is a hold of five cents from a:0 for a:1.
func hold(id string) *rbcs.Transaction {
	t := transfer(id)
	t.Type, t.Amount.Units = rbcs.Hold, rbcs.AmountOf(5)
	return t
}

// settle refers to a hold, or takes back what moved from a:0 to a:1; of 0 cents: all that is left.
func settle(kind rbcs.Type, id, original string, cents int64) *rbcs.Transaction {
	t := &rbcs.Transaction{ID: id, Type: kind, Source: "a:0", Destination: "a:1", Original: original}
	if kind == rbcs.Reversal {
		t.Source, t.Destination = t.Destination, t.Source
	}
	if cents > 0 {
		t.Amount = rbcs.Decimal{Units: rbcs.AmountOf(cents), Scale: 2}
	}
	return t
}

// commit commits a batch and wants no failures.
func commit(t testing.TB, s *Store, batch ...*rbcs.Transaction) []rbcs.Result {
	t.Helper()
	results, err := s.Commit(t.Context(), batch)
	if err != nil {
		t.Fatal(err)
	}
	for i := range results {
		if results[i].Err != nil {
			t.Fatalf("%s: %v", batch[i].ID, results[i].Err)
		}
	}
	return results
}

// wantCodes checks why each was rejected; "" stands for what was not.
func wantCodes(t testing.TB, results []rbcs.Result, want ...rbcs.Code) {
	t.Helper()
	for i := range results {
		if results[i].Code != want[i] || (results[i].Status == rbcs.Rejected) != (want[i] != "") {
			t.Errorf("%s: %s %q, want %q", results[i].Transaction.ID, results[i].Status, results[i].Code, want[i])
		}
	}
}

// now reads a transaction as it stands.
func now(t testing.TB, s *Store, id string) rbcs.Record {
	t.Helper()
	r, err := s.Transaction(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// lives commits every kind of transaction there is, in several batches, and
// returns what each was answered.
func lives(t *testing.T, s *Store) []rbcs.Result {
	t.Helper()
	createAccounts(t, s, 2)
	if _, err := s.CreateAccounts(t.Context(), []rbcs.NewAccount{{Number: "poor", Currency: usd}}); err != nil {
		t.Fatal(err)
	}
	past, future := time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC), time.Date(3020, 1, 1, 0, 0, 0, 0, time.UTC)
	due, later, poor := hold("due"), hold("later"), hold("poor")
	due.ExpiresAt, later.ExpiresAt, poor.Source = past, future, "poor"
	missing, frozen := transfer("missing"), transfer("frozen")
	missing.Source, frozen.Destination = "nobody", "frozen"
	if _, err := s.CreateAccounts(t.Context(), []rbcs.NewAccount{{Number: "frozen", Currency: usd}}); err != nil {
		t.Fatal(err)
	}
	if _, err := s.UpdateAccount(t.Context(), "frozen", rbcs.AccountChange{Status: new(rbcs.Frozen)}); err != nil {
		t.Fatal(err)
	}
	alone := commit(t, s, missing, frozen, transfer("beside them"))
	wantCodes(t, alone, rbcs.AccountNotFound, rbcs.AccountFrozen, "")
	all := commit(t, s, hold("h1"), hold("h2"), hold("open"), due, later, poor, transfer("t"), transfer("partly"))
	wantCodes(t, all, "", "", "", "", "", rbcs.InsufficientFunds, "", "")
	group := []*rbcs.Transaction{transfer("g1"), hold("g2")}
	failed := []*rbcs.Transaction{transfer("f1"), hold("f2")}
	failed[1].Source = "poor"
	for _, members := range [][]*rbcs.Transaction{group, failed} {
		for i, m := range members {
			m.Group = rbcs.Group{ID: rbcs.GroupID(members), Position: i, Size: len(members)}
		}
	}
	next := commit(t, s,
		settle(rbcs.Capture, "c-too-much", "h1", 6), settle(rbcs.Capture, "c1", "h1", 3), settle(rbcs.Capture, "c1-again", "h1", 0),
		settle(rbcs.Release, "r2", "h2", 0), settle(rbcs.Release, "r-nothing", "t", 0), settle(rbcs.Capture, "c-due", "due", 0),
		settle(rbcs.Expiry, "e", "due", 0), settle(rbcs.Reversal, "v-hold", "open", 0),
		settle(rbcs.Reversal, "v", "t", 0), settle(rbcs.Reversal, "v-again", "t", 1), settle(rbcs.Reversal, "v-part", "c1", 1),
		hold("at once"), settle(rbcs.Capture, "c-at-once", "at once", 0),
		group[0], group[1], failed[0], failed[1])
	wantCodes(t, next, rbcs.AmountExceedsHold, "", rbcs.HoldNotOpen, "", rbcs.HoldNotFound, rbcs.HoldNotOpen, "", rbcs.AmountExceedsReversible,
		"", rbcs.AmountExceedsReversible, "", "", "", "", "", rbcs.GroupFailed, rbcs.InsufficientFunds)
	last := commit(t, s, settle(rbcs.Reversal, "v-part2", "c1", 1), settle(rbcs.Reversal, "v-too-much", "c1", 2),
		settle(rbcs.Reversal, "v-partly", "partly", 0), settle(rbcs.Capture, "c-settled", "h2", 0))
	wantCodes(t, last, "", rbcs.AmountExceedsReversible, "", rbcs.HoldNotOpen)
	return slices.Concat(alone, all, next, last)
}

// TestEveryKindReadsBack compares what was answered with what is read, and with a replay.
func TestEveryKindReadsBack(t *testing.T) {
	s := openStore(t, migrated(t))
	committed := lives(t, s)
	current := map[string]rbcs.Status{
		"h1": rbcs.Captured, "h2": rbcs.Released, "due": rbcs.Expired, "at once": rbcs.Captured, "t": rbcs.Reversed, "partly": rbcs.Reversed,
	}
	closedBy := map[string]string{"h1": "c1", "h2": "r2", "due": "e", "at once": "c-at-once"}
	takenBack := map[string]int64{"t": 1, "partly": 1, "c1": 2}
	bySequence := map[int64]rbcs.Result{}
	for _, r := range committed {
		id := r.Transaction.ID
		want := rbcs.Record{Result: r, Current: r.Status, ClosedBy: closedBy[id], TakenBack: rbcs.AmountOf(takenBack[id])}
		if c, ok := current[id]; ok {
			want.Current = c
		}
		if got := now(t, s, id); !reflect.DeepEqual(got, want) {
			t.Errorf("%s reads\n%+v\nwant\n%+v", id, got, want)
		}
		bySequence[r.Sequence] = r
	}
	again := commit(t, s, settle(rbcs.Capture, "c1", "h1", 3), settle(rbcs.Capture, "c1-again", "h1", 0), settle(rbcs.Reversal, "v", "t", 0))
	for _, r := range again {
		want := now(t, s, r.Transaction.ID).Result
		if want.Replayed = true; !reflect.DeepEqual(r, want) {
			t.Errorf("%s is answered\n%+v\nwant\n%+v", r.Transaction.ID, r, want)
		}
	}
	page, err := s.Log(t.Context(), 0, 1000)
	if err != nil || len(page.Results) != len(committed) {
		t.Fatalf("the log has %d decisions, want %d; error %v", len(page.Results), len(committed), err)
	}
	for i := range page.Results {
		if got := page.Results[i]; !reflect.DeepEqual(got, bySequence[got.Sequence]) {
			t.Errorf("the log has\n%+v\nwant\n%+v", got, bySequence[got.Sequence])
		}
	}
}

// TestEveryStatusIsListed compares each filter with the whole list, page by page.
func TestEveryStatusIsListed(t *testing.T) {
	s := openStore(t, migrated(t))
	lives(t, s)
	all, err := s.Transactions(t.Context(), rbcs.TransactionQuery{Limit: 1000})
	if err != nil {
		t.Fatal(err)
	}
	names := func(r *rbcs.Record, account string) bool {
		return account == "" || r.Transaction.Source == account || r.Transaction.Destination == account
	}
	middle := all[len(all)/2].CommittedAt
	seen := 0
	for _, status := range []rbcs.Status{"", rbcs.Posted, rbcs.Holding, rbcs.Rejected, rbcs.Captured, rbcs.Released, rbcs.Expired, rbcs.Reversed, "other"} {
		for _, account := range []string{"", "a:0", "a:1", "poor", "nobody"} {
			for _, span := range [][2]time.Time{{}, {middle, time.Time{}}, {time.Time{}, middle}} {
				var want, got []string
				for i := range all {
					r := &all[i]
					if (status == "" || r.Current == status) && names(r, account) && !r.CommittedAt.Before(span[0]) && (span[1].IsZero() || r.CommittedAt.Before(span[1])) {
						want = append(want, r.Transaction.ID)
					}
				}
				q := rbcs.TransactionQuery{Account: account, Status: status, From: span[0], To: span[1], Limit: 2}
				for {
					page, err := s.Transactions(t.Context(), q)
					if err != nil {
						t.Fatal(err)
					}
					for i := range page {
						got = append(got, page[i].Transaction.ID)
						q.Before = page[i].Sequence
					}
					if len(page) < q.Limit {
						break
					}
				}
				if !reflect.DeepEqual(got, want) {
					t.Errorf("%q of %q in %v: %v, want %v", status, account, span, got, want)
				}
				seen += len(want)
			}
		}
	}
	if seen < 200 {
		t.Errorf("only %d listed", seen)
	}
}

// TestHistoryWithHolds checks that held is in an account's states, and that only what moves is a change.
func TestHistoryWithHolds(t *testing.T) {
	s := openStore(t, migrated(t))
	lives(t, s)
	for _, number := range []string{"a:0", "a:1"} {
		account, err := s.Account(t.Context(), number)
		if err != nil {
			t.Fatal(err)
		}
		entries, err := s.History(t.Context(), rbcs.HistoryQuery{Account: number, Limit: 1000})
		if err != nil {
			t.Fatal(err)
		}
		var balance rbcs.Amount
		for i, e := range entries {
			balance, _ = balance.Add(e.Change)
			if e.Version != int64(i+1) || e.Balance != balance {
				t.Errorf("%s, change %d: %+v, want balance %s", number, i, e, balance)
			}
			if kind := e.Result.Transaction.Type; (kind == rbcs.Hold || kind == rbcs.Release || kind == rbcs.Expiry) != e.Change.IsZero() {
				t.Errorf("%s, change %d: a %s changes the balance by %s", number, i, kind, e.Change)
			}
		}
		b, err := s.BalanceAt(t.Context(), number, account.UpdatedAt)
		if err != nil || b.Held != account.Held || b.Balance != account.Balance || b.Version != account.Version || b.Version != int64(len(entries)) {
			t.Errorf("%s was %+v, want %+v; error %v", number, b, account, err)
		}
		if number == "a:0" && b.Held != rbcs.AmountOf(15) {
			t.Errorf("held %s", b.Held)
		}
	}
}

// TestPreviewRecordsNothing compares a preview with the commit of the same, and looks for its traces.
func TestPreviewRecordsNothing(t *testing.T) {
	dsn := migrated(t)
	s := openStore(t, dsn)
	createAccounts(t, s, 2)
	commit(t, s, hold("h"), transfer("t"))
	conn := connect(t, dsn)
	state := func() (traces string) {
		err := conn.QueryRow(t.Context(), `select concat_ws('|', (select last_value from transactions_sequence), (select count(*) from transactions),
			(select count(*) from open_holds), (select string_agg(a::text, ',' order by number) from accounts a))`).Scan(&traces)
		if err != nil {
			t.Fatal(err)
		}
		return traces
	}
	batch := func() []*rbcs.Transaction {
		return []*rbcs.Transaction{
			settle(rbcs.Capture, "c", "h", 0), settle(rbcs.Capture, "c2", "h", 0), transfer("t"), settle(rbcs.Reversal, "v", "t", 0), hold("x"), hold("x"),
		}
	}
	before := state()
	execute(t, conn, "begin")
	execute(t, conn, "select 1 from accounts for update") // nobody waits for a preview, and it for nobody
	previewed, err := s.Preview(t.Context(), batch())
	if err != nil {
		t.Fatal(err)
	}
	execute(t, conn, "rollback")
	if after := state(); after != before {
		t.Errorf("the preview left\n%s\nof\n%s", after, before)
	}
	if none, err := s.Preview(t.Context(), nil); none != nil || err != nil {
		t.Errorf("a preview of nothing: %v, %v", none, err)
	}
	for i, r := range commit(t, s, batch()...) {
		p := previewed[i]
		if !r.Replayed || r.Transaction.ID == "x" {
			if p.Sequence != 0 {
				t.Errorf("%s has sequence %d in a preview", p.Transaction.ID, p.Sequence)
			}
			p.Sequence = r.Sequence
			p.CommittedAt = r.CommittedAt
			if p.Transaction.Settles() {
				p.Transaction.Timestamp = r.Transaction.Timestamp
			}
		}
		if !reflect.DeepEqual(p, r) {
			t.Errorf("previewed\n%+v\ncommitted\n%+v", p, r)
		}
	}
}
