package postgres

import (
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"rbcs"
)

// usd is the currency of these tests.
var usd = rbcs.Currency{Code: "USD", Decimals: 2}

// createAccounts creates accounts a:0 … a:n−1 without a limit.
func createAccounts(t testing.TB, s *Store, n int) {
	t.Helper()
	const most = 5000
	for from := 0; from < n; from += most {
		batch := make([]rbcs.NewAccount, min(most, n-from))
		for i := range batch {
			batch[i] = rbcs.NewAccount{Number: fmt.Sprintf("a:%d", from+i), Currency: usd, Overdraft: rbcs.Overdraft{Unlimited: true}}
		}
		if _, err := s.CreateAccounts(t.Context(), batch); err != nil {
			t.Fatal(err)
		}
	}
}

// generator makes transfers with new IDs between accounts a:0 … a:n−1.
type generator struct {
	prefix   string
	accounts int
	hot      bool // every transfer has the destination a:0
	next     int
	random   *rand.Rand
}

func (g *generator) batch(size int) []*rbcs.Transaction {
	batch := make([]*rbcs.Transaction, size)
	for i := range batch {
		source := 1 + g.random.IntN(g.accounts-1)
		destination := 0
		if !g.hot {
			destination = (source + 1 + g.random.IntN(g.accounts-1)) % g.accounts
		}
		g.next++
		batch[i] = &rbcs.Transaction{
			ID: fmt.Sprintf("%s-%08x-%010d", g.prefix, g.random.Uint32(), g.next), Type: rbcs.Transfer,
			Source: fmt.Sprintf("a:%d", source), Destination: fmt.Sprintf("a:%d", destination),
			Amount: rbcs.Decimal{Units: rbcs.AmountOf(1 + g.random.Int64N(100000)), Scale: 2}, Currency: "USD",
			Timestamp: time.Date(2026, 1, 1, 0, 0, g.next, 0, time.UTC), Actor: "bench",
		}
	}
	return batch
}

// BenchmarkCommit measures whole commits, with one or two committers. One
// operation is one transaction.
func BenchmarkCommit(b *testing.B) {
	server := migratedServer(b, "shared_buffers=512MB", "max_wal_size=4GB")
	s := openStore(b, server.URL)
	const accounts = 10_000
	createAccounts(b, s, accounts)
	run := 0
	for _, shape := range []string{"uniform", "hot"} {
		for _, committers := range []int{1, 2} {
			for _, size := range []int{1, 64, 1000, 4000} {
				b.Run(fmt.Sprintf("%s/committers=%d/size=%d", shape, committers, size), func(b *testing.B) {
					run++
					var left atomic.Int64
					left.Store(int64(b.N))
					var group sync.WaitGroup
					for c := range committers {
						g := generator{
							prefix: fmt.Sprintf("b%d-%d", run, c), accounts: accounts, hot: shape == "hot",
							random: rand.New(rand.NewPCG(uint64(run), uint64(c))),
						}
						group.Go(func() {
							for left.Add(-int64(size)) > -int64(size) {
								if _, err := s.Commit(b.Context(), g.batch(size)); err != nil {
									b.Error(err)
									return
								}
							}
						})
					}
					group.Wait()
					b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "tx/s")
				})
			}
		}
	}
}

// BenchmarkHolds measures transfers, holds and captures in turn: one operation is
// a batch of each. It reports what one transaction of each costs.
func BenchmarkHolds(b *testing.B) {
	server := migratedServer(b, "shared_buffers=512MB", "max_wal_size=4GB")
	s := openStore(b, server.URL)
	const accounts = 10_000
	createAccounts(b, s, accounts)
	g := generator{prefix: "h", accounts: accounts, random: newRandom(1)}
	for _, size := range []int{1, 64, 1000} {
		b.Run(fmt.Sprintf("size=%d", size), func(b *testing.B) {
			spent := map[string]time.Duration{}
			timed := func(kind string, batch []*rbcs.Transaction) {
				start := time.Now()
				commit(b, s, batch...)
				spent[kind] += time.Since(start)
			}
			for b.Loop() {
				timed("transfer", g.batch(size))
				holds := g.batch(size)
				for _, t := range holds {
					t.Type, t.ExpiresAt = rbcs.Hold, time.Date(3000, 1, 1, 0, 0, 0, 0, time.UTC)
				}
				timed("hold", holds)
				captures := make([]*rbcs.Transaction, size)
				for i, t := range holds {
					captures[i] = settle(rbcs.Capture, t.ID+"-c", t.ID, 0)
					captures[i].Source, captures[i].Destination = t.Source, t.Destination
				}
				timed("capture", captures)
			}
			for kind, d := range spent {
				b.ReportMetric(float64(d.Nanoseconds())/float64(b.N*size), "ns/"+kind)
			}
		})
	}
}

// BenchmarkBalances compares the read of one balance with that of one account,
// and reads many balances at once, by several readers. One operation is one call.
func BenchmarkBalances(b *testing.B) {
	s := openStore(b, migrated(b))
	const accounts = 10_000
	createAccounts(b, s, accounts)
	numbers := make([]string, accounts)
	for i := range numbers {
		numbers[i] = fmt.Sprintf("a:%d", i)
	}
	g := generator{prefix: "b", accounts: accounts, random: newRandom(1)}
	for range 5 {
		commit(b, s, g.batch(2000)...)
	}
	if _, err := s.Cache(b.Context()); err != nil { // in use, which is the dearer case
		b.Fatal(err)
	}
	read := func(name string, once func(i int) error) {
		b.Run(name, func(b *testing.B) {
			var next atomic.Int64
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					if err := once(int(next.Add(1)*7919) % accounts); err != nil {
						b.Error(err)
						return
					}
				}
			})
		})
	}
	read("account", func(i int) error {
		_, err := s.Account(b.Context(), numbers[i])
		return err
	})
	for _, size := range []int{1, 10, 1000} {
		read(fmt.Sprintf("balances=%d", size), func(i int) error {
			from := min(i, accounts-size)
			_, err := s.Balances(b.Context(), numbers[from:from+size])
			return err
		})
	}
}
