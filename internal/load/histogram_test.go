package load

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

// TestQuantiles compares with sorted values.
func TestQuantiles(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for _, n := range []int{1, 2, 3, 10, 999, 1000, 20000} {
		var h, half histogram
		var values []time.Duration
		for i := range n {
			d := time.Duration(r.Int64N(1 << r.IntN(40)))
			values = append(values, d)
			if i%2 == 0 {
				h.add(d)
			} else {
				half.add(d)
			}
		}
		h.merge(&half)
		slices.Sort(values)
		for _, perMille := range []int64{1, 500, 900, 990, 999, 1000} {
			want := values[(int64(n)*perMille+999)/1000-1]
			if got := h.quantile(perMille); got < want || got > want+want/64+1 {
				t.Errorf("%d values: %d ‰ is %d, want %d", n, perMille, got, want)
			}
		}
		if h.max != values[n-1] || h.count != int64(n) {
			t.Errorf("%d values: max %d, count %d", n, h.max, h.count)
		}
	}
}

// TestBuckets checks that buckets follow each other without a gap.
func TestBuckets(t *testing.T) {
	for i := range bucketCount - 1 {
		if last := upper(i); bucketOf(last) != i || bucketOf(last+1) != i+1 {
			t.Fatalf("bucket %d ends with %d, which is in %d; the next value is in %d", i, last, bucketOf(last), bucketOf(last+1))
		}
	}
	if bucketOf(1<<62) != bucketCount-1 || bucketOf(-5) != 0 {
		t.Error("what is out of range is not in the outermost buckets")
	}
}

func TestLatency(t *testing.T) {
	var h histogram
	if got := h.latency(); got != (Latency{}) {
		t.Errorf("nothing comes to %+v", got)
	}
	for range 99 {
		h.add(2 * time.Millisecond)
	}
	h.add(300 * time.Millisecond)
	got := h.latency()
	if got.Count != 100 || got.Mean != 4.98 || got.P50 < 2 || got.P50 > 2.04 || got.P99 > 2.04 || got.P999 != 300 || got.Max != 300 {
		t.Errorf("got %+v", got)
	}
}
