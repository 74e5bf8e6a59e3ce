package events_test

import (
	"context"
	"fmt"
	"log/slog"
	"math"
	"sync"
	"testing"

	"rbcs"
	"rbcs/internal/events"
)

// longLog is a log of which end is settled.
type longLog struct {
	mu  sync.Mutex
	end int64
}

func (l *longLog) Log(_ context.Context, after int64, limit int) (rbcs.LogPage, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	page := rbcs.LogPage{Timeline: 1, End: l.end}
	if after == math.MaxInt64 {
		return page, nil
	}
	page.End = min(after+int64(limit), l.end)
	page.Results = make([]rbcs.Result, page.End-after)
	for i := range page.Results {
		page.Results[i] = rbcs.Result{
			Transaction: rbcs.Transaction{ID: "t", Source: "acme:users:42", Destination: "bank"}, Sequence: after + int64(i) + 1,
		}
	}
	return page, nil
}

// BenchmarkFanOut is the time in which one decision comes to all readers.
func BenchmarkFanOut(b *testing.B) {
	for _, readers := range []int{1, 100, 1000} {
		b.Run(fmt.Sprint(readers), func(b *testing.B) {
			log := &longLog{}
			f := events.New(log, events.Config{Ring: 1 << 20, Logger: slog.New(slog.DiscardHandler)})
			f.Start()
			defer stop(b, f)
			var done sync.WaitGroup
			for range readers {
				r, err := f.Subscribe(b.Context(), events.Tail, events.Filter{Prefix: "acme:"})
				if err != nil {
					b.Fatal(err)
				}
				done.Go(func() {
					for n := 0; n < b.N; {
						list, err := r.Next(b.Context())
						if err != nil {
							b.Error(err)
							return
						}
						n += len(list)
					}
				})
			}
			b.ResetTimer()
			log.mu.Lock()
			log.end = int64(b.N)
			log.mu.Unlock()
			f.Wake(int64(b.N))
			done.Wait()
		})
	}
}
