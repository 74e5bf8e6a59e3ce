package load

import (
	"math/bits"
	"time"
)

// histogram counts durations in buckets that grow with what they hold: a value
// read from it is at most 1/64 too high, from nanoseconds to hours. The zero
// value is empty. It is not safe for concurrent use: each client has its own.
type histogram struct {
	buckets [bucketCount]int64
	count   int64
	sum     time.Duration
	max     time.Duration
}

const (
	subBits     = 6 // 64 buckets from a power of two to the next
	maxBits     = 44
	bucketCount = (maxBits - subBits + 1) << subBits
)

// bucketOf returns the bucket of a value: the power of two and the bits after
// its first one.
func bucketOf(d time.Duration) int {
	v := min(uint64(max(d, 0)), 1<<maxBits-1)
	shift := max(0, bits.Len64(v)-subBits-1)
	return shift<<subBits + int(v>>shift)
}

// upper returns the largest value of a bucket.
func upper(bucket int) time.Duration {
	shift := max(0, bucket>>subBits-1)
	return time.Duration(uint64(bucket-shift<<subBits+1)<<shift - 1)
}

func (h *histogram) add(d time.Duration) {
	h.buckets[bucketOf(d)]++
	h.count++
	h.sum += d
	h.max = max(h.max, d)
}

func (h *histogram) merge(other *histogram) {
	for i, n := range other.buckets {
		h.buckets[i] += n
	}
	h.count += other.count
	h.sum += other.sum
	h.max = max(h.max, other.max)
}

// quantile returns the value that perMille of 1000 values do not exceed.
func (h *histogram) quantile(perMille int64) time.Duration {
	rank := (h.count*perMille + 999) / 1000
	for i, n := range h.buckets {
		if rank -= n; rank <= 0 && n > 0 {
			return min(upper(i), h.max)
		}
	}
	return h.max
}

// Latency is how long requests took.
type Latency struct {
	Count int64   `json:"count"`
	Mean  float64 `json:"mean_ms"`
	P50   float64 `json:"p50_ms"`
	P90   float64 `json:"p90_ms"`
	P95   float64 `json:"p95_ms"`
	P99   float64 `json:"p99_ms"`
	P999  float64 `json:"p99_9_ms"`
	Max   float64 `json:"max_ms"`
}

func (h *histogram) latency() Latency {
	if h.count == 0 {
		return Latency{}
	}
	ms := func(d time.Duration) float64 { return float64(d.Round(time.Microsecond).Microseconds()) / 1000 }
	return Latency{
		Count: h.count, Mean: ms(h.sum / time.Duration(h.count)),
		P50: ms(h.quantile(500)), P90: ms(h.quantile(900)), P95: ms(h.quantile(950)),
		P99: ms(h.quantile(990)), P999: ms(h.quantile(999)), Max: ms(h.max),
	}
}
