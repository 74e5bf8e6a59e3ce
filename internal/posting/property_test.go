package posting_test

import (
	"fmt"
	"math/big"
	"testing"

	"pgregory.net/rapid"

	"rbcs"
	"rbcs/internal/posting"
)

// TestInvariants decides random batches over few accounts and checks what the package promises.
func TestInvariants(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		accounts := drawAccounts(t)
		before := map[string]posting.Account{}
		for _, a := range accounts {
			before[a.Number] = *a
		}
		b := batch(accounts, drawTransfers(t)...)
		sums := total(accounts)
		decisions := b.Decide()

		for code, sum := range total(accounts) {
			if sum.Cmp(sums[code]) != 0 {
				t.Fatalf("the sum of %s went from %s to %s", code, sums[code], sum)
			}
		}
		changes := map[string]int64{}
		for i, d := range decisions {
			if d.Status == rbcs.Posted && d.New() {
				changes[d.Transaction.Source]++
				changes[d.Transaction.Destination]++
				limit := before[d.Transaction.Source].Overdraft
				available, _ := d.Source.Balance.Sub(d.Source.Held)
				if !limit.Unlimited && available.Cmp(limit.Limit.Neg()) < 0 {
					t.Fatalf("decision %d left %s available with an overdraft of %s", i, available, limit.Limit)
				}
			}
		}
		for _, a := range accounts {
			if got := a.Version - before[a.Number].Version; got != changes[a.Number] {
				t.Fatalf("%s: the version grew by %d with %d changes", a.Number, got, changes[a.Number])
			}
			if balance, ok := a.Received.Sub(a.Sent); !ok || balance != a.Balance {
				t.Fatalf("%s: balance %s, received %s, sent %s", a.Number, a.Balance, a.Received, a.Sent)
			}
			if a.Changed != (changes[a.Number] > 0) {
				t.Fatalf("%s: changed is %v after %d changes", a.Number, a.Changed, changes[a.Number])
			}
		}
	})
}

func drawAccounts(t *rapid.T) []*posting.Account {
	accounts := make([]*posting.Account, 5)
	for i := range accounts {
		a := account(fmt.Sprint("n", i), rapid.Int64Range(0, 1000).Draw(t, "cents"))
		a.Currency = rapid.SampledFrom([]rbcs.Currency{usd, usd, usd, eur}).Draw(t, "currency")
		a.Status = rapid.SampledFrom([]rbcs.AccountStatus{rbcs.Open, rbcs.Open, rbcs.Open, rbcs.Frozen, rbcs.Closed}).Draw(t, "status")
		a.Held = rbcs.AmountOf(rapid.Int64Range(0, 100).Draw(t, "held"))
		a.Overdraft.Limit = rbcs.AmountOf(rapid.Int64Range(0, 200).Draw(t, "overdraft"))
		if a.Overdraft.Unlimited = rapid.IntRange(0, 9).Draw(t, "unlimited") == 0; a.Overdraft.Unlimited {
			a.Overdraft.Limit = rbcs.Amount{}
		}
		accounts[i] = a
	}
	return accounts
}

func drawTransfers(t *rapid.T) []*rbcs.Transaction {
	number := rapid.SampledFrom([]string{"n0", "n1", "n2", "n3", "n4", "absent"})
	txs := make([]*rbcs.Transaction, rapid.IntRange(1, 40).Draw(t, "transactions"))
	for i := range txs {
		txs[i] = &rbcs.Transaction{
			ID:          fmt.Sprint("t", rapid.IntRange(0, 30).Draw(t, "id")),
			Type:        rbcs.Transfer,
			Source:      number.Draw(t, "source"),
			Destination: number.Draw(t, "destination"),
			Amount:      rbcs.Decimal{Units: rbcs.AmountOf(rapid.Int64Range(1, 400).Draw(t, "amount")), Scale: 2},
			Timestamp:   start,
		}
	}
	return txs
}

func total(accounts []*posting.Account) map[string]*big.Int {
	sums := map[string]*big.Int{}
	for _, a := range accounts {
		sum, ok := sums[a.Currency.Code]
		if !ok {
			sum = new(big.Int)
			sums[a.Currency.Code] = sum
		}
		n, _ := new(big.Int).SetString(a.Balance.String(), 10)
		sum.Add(sum, n)
	}
	return sums
}

// BenchmarkDecide measures the rules alone: batches of 1,000 over 10,000 accounts.
func BenchmarkDecide(b *testing.B) {
	const size, population = 1000, 10_000
	accounts := make(map[string]*posting.Account, population)
	numbers := make([]string, population)
	for i := range numbers {
		numbers[i] = fmt.Sprintf("bench:%06d", i)
		accounts[numbers[i]] = account(numbers[i], 1_000_000_000)
	}
	txs := make([]*rbcs.Transaction, size)
	for b.Loop() {
		b.StopTimer()
		for i := range txs {
			txs[i] = &rbcs.Transaction{
				ID: fmt.Sprint(i), Type: rbcs.Transfer, Source: numbers[i*7%population], Destination: numbers[(i*13+1)%population],
				Amount: rbcs.Decimal{Units: rbcs.AmountOf(1), Scale: 2}, Timestamp: start,
			}
		}
		batch := &posting.Batch{Now: now, Accounts: accounts, Recorded: make(map[string]*rbcs.Result, size), Transactions: txs}
		b.StartTimer()
		batch.Decide()
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/size, "ns/transaction")
}
