package mock_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"math/big"
	"testing"
	"time"

	"rbcs"
	"rbcs/internal/mock"
)

var usd = rbcs.Currency{Code: "USD", Decimals: 2}

// files is what a configuration comes to.
type files struct{ accounts, transactions, expected []byte }

func generate(t *testing.T, cfg mock.Config) (files, mock.Summary) {
	t.Helper()
	g, err := mock.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	var accounts, transactions, expected bytes.Buffer
	for _, write := range []error{
		g.WriteAccounts(t.Context(), &accounts),
		g.WriteTransactions(t.Context(), &transactions),
		g.WriteExpected(t.Context(), &expected),
	} {
		if write != nil {
			t.Fatal(write)
		}
	}
	return files{accounts.Bytes(), transactions.Bytes(), expected.Bytes()}, g.Summary()
}

// TestBytes pins the bytes: whoever has a file of a seed can make it again, on
// any machine and with any later version.
func TestBytes(t *testing.T) {
	for shape, want := range map[mock.Shape]string{
		mock.Uniform: "e6fe8c961ac2d74a",
		mock.Zipf:    "cbf849b9a9e3fc90",
		mock.Hot:     "21fa1cfeaae748c6",
	} {
		f, _ := generate(t, mock.Config{Seed: 7, Accounts: 300, Transactions: 5000, Currency: usd, Shape: shape})
		h := sha256.New()
		h.Write(f.accounts)
		h.Write(f.transactions)
		h.Write(f.expected)
		if got := hex.EncodeToString(h.Sum(nil))[:16]; got != want {
			t.Errorf("%s: the bytes are %s, not %s", shape, got, want)
		}
	}
}

type accountLine struct{ Number, Currency, Overdraft string }

type transactionLine struct {
	ID, Source, Destination, Amount, Currency, Description string
	Timestamp                                              time.Time
	Metadata                                               json.RawMessage
}

type expectedLine struct {
	Number, Currency, Balance, Available string
	Version                              int64
}

func decode[T any](t *testing.T, ndjson []byte) []T {
	t.Helper()
	var list []T
	dec := json.NewDecoder(bytes.NewReader(ndjson))
	dec.DisallowUnknownFields()
	for {
		var v T
		if err := dec.Decode(&v); errors.Is(err, io.EOF) {
			return list
		} else if err != nil {
			t.Fatal(err)
		}
		list = append(list, v)
	}
}

func number(t *testing.T, s string) *big.Rat {
	t.Helper()
	r, ok := new(big.Rat).SetString(s)
	if !ok {
		t.Fatalf("%q is not a number", s)
	}
	return r
}

// TestExpectedBalances plays the transactions by the plainest rules there are,
// in rational numbers, and compares.
func TestExpectedBalances(t *testing.T) {
	for _, cfg := range []mock.Config{
		{Seed: 1, Accounts: 2, Transactions: 4000, Currency: usd, Shape: mock.Uniform},
		{Seed: 1, Accounts: 2, Transactions: 4000, Currency: usd, Shape: mock.Hot},
		{Seed: 2, Accounts: 500, Transactions: 20000, Currency: usd, Shape: mock.Uniform},
		{Seed: 3, Accounts: 500, Transactions: 20000, Currency: rbcs.Currency{Code: "JPY"}, Shape: mock.Zipf},
		{Seed: 4, Accounts: 500, Transactions: 20000, Currency: rbcs.Currency{Code: "ETH", Decimals: 18}, Shape: mock.Hot},
	} {
		f, summary := generate(t, cfg)
		balance, overdraft, version := map[string]*big.Rat{}, map[string]*big.Rat{}, map[string]int64{}
		accounts := decode[accountLine](t, f.accounts)
		for _, a := range accounts {
			balance[a.Number] = new(big.Rat)
			if a.Overdraft != "unlimited" {
				overdraft[a.Number] = new(big.Rat)
				if a.Overdraft != "" {
					overdraft[a.Number] = number(t, a.Overdraft)
				}
			}
		}
		if len(balance) != cfg.Accounts {
			t.Fatalf("%+v: %d different accounts", cfg, len(balance))
		}
		var played mock.Summary
		seen := map[string]transactionLine{}
		last := transactionLine{}
		for _, tx := range decode[transactionLine](t, f.transactions) {
			if before, ok := seen[tx.ID]; ok {
				if before.Amount != tx.Amount || before.Source != tx.Source || !before.Timestamp.Equal(tx.Timestamp) {
					t.Fatalf("%+v: the ID %s stands for two things", cfg, tx.ID)
				}
				played.Replayed++
				continue
			}
			if tx.ID <= last.ID || !tx.Timestamp.After(last.Timestamp) || tx.Source == tx.Destination {
				t.Fatalf("%+v: %+v after %+v", cfg, tx, last)
			}
			seen[tx.ID], last = tx, tx
			amount := number(t, tx.Amount)
			left := new(big.Rat).Sub(balance[tx.Source], amount)
			if limit := overdraft[tx.Source]; limit != nil && new(big.Rat).Add(left, limit).Sign() < 0 {
				played.Rejected++
				continue
			}
			played.Posted++
			balance[tx.Source] = left
			balance[tx.Destination] = new(big.Rat).Add(balance[tx.Destination], amount)
			version[tx.Source]++
			version[tx.Destination]++
		}
		if played != summary {
			t.Errorf("%+v: played %+v, the generator says %+v", cfg, played, summary)
		}
		if played.Rejected == 0 || played.Replayed == 0 || played.Posted < cfg.Transactions*9/10 {
			t.Errorf("%+v: %+v is not worth an import", cfg, played)
		}
		sum := new(big.Rat)
		for i, e := range decode[expectedLine](t, f.expected) {
			got := number(t, e.Balance)
			sum.Add(sum, got)
			if e.Number != accounts[i].Number || got.Cmp(balance[e.Number]) != 0 || e.Available != e.Balance || e.Version != version[e.Number] {
				t.Errorf("%+v: expected %+v, played %s at version %d", cfg, e, balance[e.Number].FloatString(2), version[e.Number])
			}
		}
		if sum.Sign() != 0 {
			t.Errorf("%+v: all balances come to %s", cfg, sum.FloatString(2))
		}
	}
}

// TestShapes looks at how often the most used destination is used.
func TestShapes(t *testing.T) {
	share := func(shape mock.Shape) float64 {
		f, _ := generate(t, mock.Config{Seed: 1, Accounts: 2000, Transactions: 20000, Currency: usd, Shape: shape})
		uses := map[string]int{}
		for _, tx := range decode[transactionLine](t, f.transactions) {
			uses[tx.Destination]++
		}
		delete(uses, "acme:treasury:0001")
		most := 0
		for _, n := range uses {
			most = max(most, n)
		}
		return float64(most) / 20000
	}
	if s := share(mock.Uniform); s > 0.005 {
		t.Errorf("uniform: one account receives %.3f", s)
	}
	if s := share(mock.Zipf); s < 0.03 || s > 0.2 {
		t.Errorf("zipf: one account receives %.3f", s)
	}
	if s := share(mock.Hot); s < 0.4 {
		t.Errorf("hot: one account receives %.3f", s)
	}
}

func TestOtherSeedsShareNoID(t *testing.T) {
	a := mock.Config{Seed: 1, Accounts: 10, Transactions: 1000, Currency: usd, Shape: mock.Uniform}
	b, c := a, a
	b.Seed, c.Shape = 2, mock.Zipf
	ids := map[string]int{}
	for n, cfg := range []mock.Config{a, b, c} {
		f, _ := generate(t, cfg)
		for _, tx := range decode[transactionLine](t, f.transactions) {
			if before, ok := ids[tx.ID]; ok && before != n {
				t.Fatalf("%s stands in two files", tx.ID)
			}
			ids[tx.ID] = n
		}
	}
}

func TestConfigFaults(t *testing.T) {
	_, err := mock.New(mock.Config{Accounts: 1, Transactions: -1, Shape: "square"})
	want := "mock data: accounts: 1 is outside 2–100000000\ntransactions: -1 is outside 0–10000000000\n" +
		"currency: {Code: Decimals:0} is not a currency\nshape: \"square\" is none of uniform, zipf, hot"
	if err == nil || err.Error() != want {
		t.Errorf("got %v", err)
	}
}

func TestStopsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	g, err := mock.New(mock.Config{Accounts: 2, Transactions: 10, Currency: usd, Shape: mock.Hot})
	if err != nil {
		t.Fatal(err)
	}
	if err := g.WriteTransactions(ctx, io.Discard); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

func BenchmarkTransactions(b *testing.B) {
	g, err := mock.New(mock.Config{Accounts: 1_000_000, Transactions: b.N, Currency: usd, Shape: mock.Uniform})
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	if err := g.WriteTransactions(b.Context(), io.Discard); err != nil {
		b.Fatal(err)
	}
}
