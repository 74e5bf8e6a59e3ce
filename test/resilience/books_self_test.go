package resilience

import (
	"context"
	"strings"
	"testing"
	"time"

	"rbcs"
	"rbcs/client"
)

// memory is a store that tells what a test says.
type memory struct {
	log      []rbcs.Result
	accounts []rbcs.Account
}

func (m *memory) Dump(_ context.Context, decision func(*rbcs.Result) error, account func(*rbcs.Account) error) error {
	for i := range m.log {
		if err := decision(&m.log[i]); err != nil {
			return err
		}
	}
	for i := range m.accounts {
		if err := account(&m.accounts[i]); err != nil {
			return err
		}
	}
	return nil
}

func (*memory) Close() error { return nil }

// right returns books of one transfer that was told, and the store that has it.
func right() (*books, *memory) {
	at := time.UnixMicro(1_000_000)
	b := newBooks("t", "a:", 2)
	b.send("t-1", sent{kind: rbcs.Transfer, source: 0, destination: 1, cents: 500}, nil)
	b.tell(&client.Result{
		ID: "t-1", Status: rbcs.Posted, Sequence: 3, CommittedAt: at,
		SourceBalance: "-5.00", DestinationBalance: "5.00", SourceVersion: 1, DestinationVersion: 1,
	})
	five := rbcs.AmountOf(500)
	return b, &memory{
		log: []rbcs.Result{{
			Transaction: rbcs.Transaction{ID: "t-1", Type: rbcs.Transfer, Source: b.number(0), Destination: b.number(1), Amount: rbcs.Decimal{Units: five, Scale: 2}},
			Status:      rbcs.Posted, Sequence: 3, CommittedAt: at,
			Source: rbcs.State{Balance: five.Neg(), Version: 1}, Destination: rbcs.State{Balance: five, Version: 1},
		}},
		accounts: []rbcs.Account{{Number: b.number(0), Balance: five.Neg(), Version: 1}, {Number: b.number(1), Balance: five, Version: 1}},
	}
}

// TestBooksFindAnomalies breaks a store that is right in every way that the suite looks for.
func TestBooksFindAnomalies(t *testing.T) {
	for name, c := range map[string]struct {
		damage func(b *books, m *memory)
		want   string // "" for nothing
	}{
		"right":      {func(*books, *memory) {}, ""},
		"lost":       {func(_ *books, m *memory) { m.log = nil }, "acknowledged"},
		"twice":      {func(_ *books, m *memory) { m.log = append(m.log, m.log[0]) }, "twice"},
		"other told": {func(_ *books, m *memory) { m.log[0].Sequence = 4 }, "a client was told"},
		"not sent":   {func(_ *books, m *memory) { m.log[0].Transaction.ID = "t-2" }, "nobody sent it"},
		"other sent": {func(_ *books, m *memory) { m.log[0].Transaction.Amount.Units = rbcs.AmountOf(501) }, "was sent as"},
		"moved twice": {func(_ *books, m *memory) {
			m.accounts[1].Balance, m.accounts[1].Version = rbcs.AmountOf(1000), 2
		}, "what was sent makes"},
		"not balanced": {func(_ *books, m *memory) { m.accounts[1].Balance = rbcs.AmountOf(501) }, "sum to 0.01"},
		"no account":   {func(_ *books, m *memory) { m.accounts = m.accounts[:1] }, "1 of 2 accounts"},
		"two outcomes": {func(b *books, _ *memory) {
			b.tell(&client.Result{ID: "t-1", Status: rbcs.Rejected, Code: rbcs.InsufficientFunds, CommittedAt: time.UnixMicro(2_000_000)})
		}, "then"},
		"told of nothing": {func(b *books, _ *memory) { b.tell(&client.Result{ID: "t-9"}) }, "nobody sent"},
		"lost with the old primary": {func(b *books, m *memory) {
			b.forget()
			m.log = nil
			m.accounts = []rbcs.Account{{Number: b.number(0)}, {Number: b.number(1)}}
		}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			b, m := right()
			c.damage(b, m)
			_, lost, err := b.check(t.Context(), m)
			if err != nil {
				t.Fatal(err)
			}
			found := strings.Join(b.anomalies, "\n")
			if (c.want == "") != (found == "") || !strings.Contains(found, c.want) {
				t.Errorf("found %q, want %q", found, c.want)
			}
			if (lost > 0) != strings.HasPrefix(name, "lost with") {
				t.Errorf("%d lost", lost)
			}
		})
	}
}

func TestBooksListWhatIsUndecided(t *testing.T) {
	b := newBooks("t", "a:", 2)
	asked := 0
	b.send("t-1", sent{kind: rbcs.Transfer, destination: 1, cents: 1}, func() bool {
		if asked++; asked == 3 {
			b.tell(&client.Result{ID: "t-1", Status: rbcs.Posted, SourceVersion: 1, DestinationVersion: 4})
		}
		return asked == 3
	})
	b.resolve(2)
	if n := len(b.undecided()); n != 0 || asked != 3 || len(b.anomalies) != 0 {
		t.Errorf("%d undecided after %d questions, anomalies %q", n, asked, b.anomalies)
	}
	if seen := b.seen[1].Load(); seen != 4 {
		t.Errorf("seen version %d", seen)
	}
}
