//go:build unix

package sqlite

import (
	"crypto/rand"
	"fmt"
	mathrand "math/rand/v2"
	"syscall"
	"testing"
	"time"

	"rbcs"
)

// BenchmarkCommit commits batches over 10,000 accounts. It reports transactions
// and processor time for each transaction.
func BenchmarkCommit(b *testing.B) {
	for _, shape := range []string{"uniform", "hot"} {
		for _, size := range []int{1, 100, 1000} {
			b.Run(fmt.Sprintf("%s/%d", shape, size), func(b *testing.B) { benchmarkCommit(b, shape, size, 10_000) })
		}
	}
}

func benchmarkCommit(b *testing.B, shape string, size, accounts int) {
	s := openTemp(b)
	created := make([]rbcs.NewAccount, accounts)
	for i := range created {
		created[i] = rbcs.NewAccount{Number: fmt.Sprintf("bench:%06d", i), Currency: usd, Overdraft: rbcs.Overdraft{Unlimited: true}}
	}
	if _, err := s.CreateAccounts(b.Context(), created); err != nil {
		b.Fatal(err)
	}
	batch := make([]*rbcs.Transaction, size)
	committed := 0
	var spent time.Duration
	for b.Loop() {
		b.StopTimer()
		for i := range batch {
			source := mathrand.IntN(accounts)
			destination := (source + 1 + mathrand.IntN(accounts-1)) % accounts
			if shape == "hot" {
				source, destination = 1+mathrand.IntN(accounts-1), 0
			}
			batch[i] = transfer(rand.Text(), created[source].Number, created[destination].Number, 100)
		}
		b.StartTimer()
		start := processorTime()
		results, err := s.Commit(b.Context(), batch)
		if err != nil {
			b.Fatal(err)
		}
		spent += processorTime() - start
		if r := results[size-1]; r.Status != rbcs.Posted {
			b.Fatalf("%+v", r)
		}
		committed += size
	}
	b.ReportMetric(float64(committed)/b.Elapsed().Seconds(), "tx/s")
	b.ReportMetric(float64(spent.Microseconds())/float64(committed), "cpu-µs/tx")
}

// processorTime is what the process used so far.
func processorTime() time.Duration {
	var r syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &r) // it cannot fail
	return time.Duration(r.Utime.Nano() + r.Stime.Nano())
}
