package sqlite

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"rbcs"
)

// TestLongHistory compares what is read of a history over many anchors with a
// list kept beside it, for any range and page.
func TestLongHistory(t *testing.T) {
	s := openTemp(t)
	createAccounts(t, s, "a", "b", "c")
	start := time.Date(2031, 1, 1, 0, 0, 0, 0, time.UTC)
	clock := start
	s.now = func() time.Time { return clock }

	// Account a is now the source, now the destination, now not part of it, and a few are rejected.
	// Three commits out of four fall into one microsecond with others.
	var log []rbcs.Result // by sequence
	for i := range 150 {
		if i%4 == 0 {
			clock = clock.Add(time.Microsecond)
		}
		id := fmt.Sprint(i)
		log = append(log, mustCommit(t, s,
			transfer(id+"-1", "a", "b", 7), transfer(id+"-2", "c", "a", 2), transfer(id+"-3", "b", "c", 1),
			transfer(id+"-4", "a", "ghost", 1), transfer(id+"-5", "a", "c", 3))...)
	}
	var history []rbcs.Entry // of a, by version
	for i := range log {
		if r := &log[i]; r.Status == rbcs.Posted && (r.Transaction.Source == "a" || r.Transaction.Destination == "a") {
			history = append(history, entryOf(r, r.Transaction.Destination == "a"))
		}
	}
	if last := history[len(history)-1]; last.Version != 450 || last.Balance != rbcs.AmountOf(-150*8) {
		t.Fatalf("the history ends with %+v", last.State)
	}
	moment := rapid.Custom(func(t *rapid.T) time.Time {
		return start.Add(time.Duration(rapid.IntRange(-1500, 45_000).Draw(t, "ns")))
	})
	rapid.Check(t, func(r *rapid.T) {
		checkBalanceAt(t, r, s, "a", history, moment.Draw(r, "at"))

		q := rbcs.HistoryQuery{
			Account: "a", Descending: rapid.Bool().Draw(r, "descending"),
			After: rapid.Int64Range(0, 460).Draw(r, "after"), Limit: rapid.IntRange(1, 200).Draw(r, "limit"),
		}
		tq := rbcs.TransactionQuery{
			Account: "a", Status: rapid.SampledFrom([]rbcs.Status{"", rbcs.Posted, rbcs.Rejected, rbcs.Holding}).Draw(r, "status"),
			Before: rapid.Int64Range(0, 760).Draw(r, "before"), Limit: q.Limit,
		}
		if rapid.Bool().Draw(r, "from?") {
			q.From = moment.Draw(r, "from")
		}
		if rapid.Bool().Draw(r, "to?") {
			q.To = moment.Draw(r, "to")
		}
		tq.From, tq.To = q.From, q.To
		checkHistory(t, r, s, history, q)
		checkTransactions(t, r, s, log, tq)
	})
}

func within(at, from, to time.Time) bool {
	return !at.Before(from) && (to.IsZero() || at.Before(to))
}

func checkBalanceAt(t *testing.T, r *rapid.T, s *Store, number string, history []rbcs.Entry, at time.Time) {
	want := rbcs.State{}
	for _, e := range history {
		if !e.Result.CommittedAt.After(at) {
			want = e.State
		}
	}
	b, err := s.BalanceAt(t.Context(), number, at)
	if got := (rbcs.State{Balance: b.Balance, Held: b.Held, Version: b.Version}); err != nil || got != want {
		r.Fatalf("at %v: %+v, %v; want %+v", at, got, err, want)
	}
}

func checkHistory(t *testing.T, r *rapid.T, s *Store, history []rbcs.Entry, q rbcs.HistoryQuery) {
	want := slices.DeleteFunc(slices.Clone(history), func(e rbcs.Entry) bool {
		return !within(e.Result.CommittedAt, q.From, q.To) ||
			q.After > 0 && (q.Descending && e.Version >= q.After || !q.Descending && e.Version <= q.After)
	})
	if q.Descending {
		slices.Reverse(want)
	}
	want = want[:min(len(want), q.Limit)]
	got, err := s.History(t.Context(), q)
	if err != nil || !slices.EqualFunc(got, want, func(a, b rbcs.Entry) bool { return a == b }) {
		r.Fatalf("%+v: %d entries, %v; want %d", q, len(got), err, len(want))
	}
}

func checkTransactions(t *testing.T, r *rapid.T, s *Store, log []rbcs.Result, q rbcs.TransactionQuery) {
	want := slices.DeleteFunc(slices.Clone(log), func(e rbcs.Result) bool {
		return !within(e.CommittedAt, q.From, q.To) || q.Before > 0 && e.Sequence >= q.Before ||
			q.Status != "" && e.Status != q.Status || e.Transaction.Source != "a" && e.Transaction.Destination != "a"
	})
	slices.Reverse(want)
	want = want[:min(len(want), q.Limit)]
	got, err := s.Transactions(t.Context(), q)
	if err != nil || !slices.EqualFunc(got, want, func(a rbcs.Record, b rbcs.Result) bool { return a.Result == b }) {
		r.Fatalf("%+v: %d decisions, %v; want %d", q, len(got), err, len(want))
	}
}

// TestMissingAnchor reads a history whose row is gone.
func TestMissingAnchor(t *testing.T) {
	s := openTemp(t)
	createAccounts(t, s, "a", "b")
	for i := range 70 {
		mustCommit(t, s, transfer(fmt.Sprint(i), "a", "b", 1))
	}
	err := s.withWrite(t.Context(), func(w *writer, _ time.Time) error {
		if err := w.exec("DROP TRIGGER transactions_no_delete"); err != nil {
			return err
		}
		return w.exec("DELETE FROM transactions WHERE source_version = 64")
	})
	if err != nil {
		t.Fatal(err)
	}
	_, err = s.History(t.Context(), rbcs.HistoryQuery{Account: "a", Limit: 3})
	wantError(t, err, rbcs.Internal, "rbcs verify")
	_, err = s.Transactions(t.Context(), rbcs.TransactionQuery{Account: "b", Before: 60, Limit: 3})
	wantError(t, err, rbcs.Internal, "rbcs verify")
}
