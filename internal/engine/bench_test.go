package engine_test

import (
	"context"
	"fmt"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"rbcs"
	"rbcs/internal/engine"
)

// nullStore takes everything at once, or after a pause, and keeps nothing.
type nullStore struct {
	pause   time.Duration
	commits atomic.Int64
}

func (s *nullStore) Commit(_ context.Context, batch []*rbcs.Transaction) ([]rbcs.Result, error) {
	s.commits.Add(1)
	if s.pause > 0 {
		time.Sleep(s.pause)
	}
	return make([]rbcs.Result, len(batch)), nil
}

func (*nullStore) Preview(_ context.Context, batch []*rbcs.Transaction) ([]rbcs.Result, error) {
	return make([]rbcs.Result, len(batch)), nil
}

// transfers makes n transfers between accounts accounts; with hot, all to one destination.
func transfers(n, accounts int, hot bool) []*rbcs.Transaction {
	txs := make([]*rbcs.Transaction, n)
	for i := range txs {
		txs[i] = &rbcs.Transaction{
			ID:          fmt.Sprintf("01890a5d-ac96-774b-bcce-%012d", i),
			Type:        rbcs.Transfer,
			Source:      "acme:users:" + strconv.Itoa(i*7919%accounts),
			Destination: "acme:users:" + strconv.Itoa((i*104729+i/accounts+1)%accounts),
		}
		if hot {
			txs[i].Destination = "acme:hot"
		}
	}
	return txs
}

// BenchmarkSubmit measures what the engine costs over a store that costs
// nothing, and with a pause in the store, which batches form under concurrency.
// Every ns/op is per Submit; tx/s and tx/commit say the rest.
func BenchmarkSubmit(b *testing.B) {
	for _, bench := range []struct {
		size, clients, inFlight int
		hot                     bool
		pause                   time.Duration
	}{
		{size: 1, clients: 1, inFlight: 1},
		{size: 1, clients: 256, inFlight: 1},
		{size: 1, clients: 256, inFlight: 2},
		{size: 1, clients: 256, inFlight: 1, pause: time.Millisecond},
		{size: 1, clients: 256, inFlight: 2, pause: time.Millisecond},
		{size: 1, clients: 256, inFlight: 2, pause: time.Millisecond, hot: true},
		{size: 1, clients: 8_192, inFlight: 2, pause: time.Millisecond, hot: true}, // a deep queue that waits for one account
		{size: 1_000, clients: 1, inFlight: 1},
		{size: 1_000, clients: 8, inFlight: 1},
		{size: 1_000, clients: 8, inFlight: 2},
		{size: 1_000, clients: 8, inFlight: 2, hot: true},
	} {
		name := fmt.Sprintf("size=%d/clients=%d/inflight=%d/hot=%v/pause=%v",
			bench.size, bench.clients, bench.inFlight, bench.hot, bench.pause)
		b.Run(name, func(b *testing.B) {
			store := &nullStore{pause: bench.pause}
			e, err := engine.New(store, engine.Config{InFlight: bench.inFlight})
			if err != nil {
				b.Fatal(err)
			}
			const distinct = 64_000 // more than are ever pending
			txs := transfers(distinct, 10_000, bench.hot)
			var next atomic.Int64
			b.ReportAllocs()
			b.SetParallelism((bench.clients + 1) / 2) // times GOMAXPROCS, which is 2 where the numbers were taken
			b.ResetTimer()
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					from := int(next.Add(1)) * bench.size % distinct
					if _, err := e.Submit(context.Background(), txs[from:from+bench.size]); err != nil {
						b.Error(err)
					}
				}
			})
			b.StopTimer()
			submitted := float64(b.N * bench.size)
			b.ReportMetric(submitted/b.Elapsed().Seconds(), "tx/s")
			b.ReportMetric(submitted/float64(store.commits.Load()), "tx/commit")
			if err := e.Stop(context.Background()); err != nil {
				b.Error(err)
			}
		})
	}
}
