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

// BenchmarkLife compares what the types cost, in one run and on one file: of each
// 1,000 transfers, 1,000 holds with an end, and 1,000 captures of those.
func BenchmarkLife(b *testing.B) {
	const size = 1000
	s := openTemp(b)
	created := benchAccounts(b, s, 10_000)
	var spent, processor [3]time.Duration
	committed := 0
	for b.Loop() {
		batches := [3][]*rbcs.Transaction{}
		for range size {
			source := mathrand.IntN(len(created))
			destination := (source + 1 + mathrand.IntN(len(created)-1)) % len(created)
			t := transfer(rand.Text(), created[source].Number, created[destination].Number, 100)
			hold := *t
			hold.ID, hold.Type, hold.ExpiresAt = rand.Text(), rbcs.Hold, time.Now().Add(time.Hour).UTC()
			capture := &rbcs.Transaction{ID: rand.Text(), Type: rbcs.Capture, Original: hold.ID, Source: t.Source, Destination: t.Destination}
			batches[0], batches[1], batches[2] = append(batches[0], t), append(batches[1], &hold), append(batches[2], capture)
		}
		mathrand.Shuffle(size, func(i, j int) { batches[2][i], batches[2][j] = batches[2][j], batches[2][i] })
		for i, batch := range batches {
			start, used := time.Now(), processorTime()
			results, err := s.Commit(b.Context(), batch)
			if err != nil {
				b.Fatal(err)
			}
			spent[i] += time.Since(start)
			processor[i] += processorTime() - used
			if r := results[size-1]; r.Status == rbcs.Rejected {
				b.Fatalf("%+v", r)
			}
		}
		committed += size
	}
	for i, name := range []string{"transfer", "hold", "capture"} {
		b.ReportMetric(float64(spent[i].Nanoseconds())/1000/float64(committed), "µs/"+name)
		b.ReportMetric(float64(processor[i].Nanoseconds())/1000/float64(committed), "cpu-µs/"+name)
	}
	b.ReportMetric(0, "ns/op")
}

func benchAccounts(b *testing.B, s *Store, accounts int) []rbcs.NewAccount {
	created := make([]rbcs.NewAccount, accounts)
	for i := range created {
		created[i] = rbcs.NewAccount{Number: fmt.Sprintf("bench:%06d", i), Currency: usd, Overdraft: rbcs.Overdraft{Unlimited: true}}
	}
	if _, err := s.CreateAccounts(b.Context(), created); err != nil {
		b.Fatal(err)
	}
	return created
}

func benchmarkCommit(b *testing.B, shape string, size, accounts int) {
	s := openTemp(b)
	created := benchAccounts(b, s, accounts)
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
