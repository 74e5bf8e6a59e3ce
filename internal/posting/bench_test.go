package posting_test

import (
	"fmt"
	"testing"

	"rbcs"
	"rbcs/internal/posting"
)

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
