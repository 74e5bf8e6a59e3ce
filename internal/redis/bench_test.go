package redis

import (
	"strconv"
	"testing"

	"rbcs"
)

// BenchmarkHit reads cached balances, one at a time, on many goroutines.
func BenchmarkHit(b *testing.B) {
	r := wellRig(b)
	r.fillWith("a", 1)
	b.SetParallelism(32)
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if _, err := r.Balances(b.Context(), []string{"a"}); err != nil {
				b.Error(err)
			}
		}
	})
}

// BenchmarkMarkAndRefresh is what a commit of 2,000 transactions on 4,000
// accounts pays, with as many of them cached as the name says.
func BenchmarkMarkAndRefresh(b *testing.B) {
	for _, cached := range []int{0, 400, 4_000} {
		b.Run(strconv.Itoa(cached), func(b *testing.B) {
			r := wellRig(b)
			numbers := make([]string, 4_000)
			balances := make([]rbcs.Balance, len(numbers))
			for i := range numbers {
				numbers[i] = "account:" + strconv.Itoa(i)
				balances[i] = balanceOf(numbers[i], 1)
				if i < cached {
					r.put(numbers[i], "L1")
				}
			}
			for b.Loop() {
				m := r.mark(numbers...)
				if !m.Confirmed() {
					b.Fatal("not confirmed")
				}
				m.Refresh(balances)
				r.idle()
			}
		})
	}
}
