package rest

import (
	"sync/atomic"
	"time"

	"rbcs"
)

// bodies bounds the bytes of all bodies that are being read or decoded at one
// time. It is what stands before the engine's own bound, which sees transactions
// only after they are decoded: clients that send much and slowly would fill the
// memory before it.
//
// Small bodies are let in a little longer than large ones, so that a few large
// ones that stall do not keep every other request out.
type bodies struct {
	limit    int64
	reserved atomic.Int64
}

// bodyStep is in which steps room is reserved for a body that does not say its length.
const bodyStep = 64 << 10

// reserve takes room for n more bytes of a body that has some already.
func (b *bodies) reserve(has, n int64) error {
	limit := b.limit
	if has+n > maxSingleBody {
		limit -= limit / 8
	}
	for now := b.reserved.Load(); now+n <= limit; now = b.reserved.Load() {
		if b.reserved.CompareAndSwap(now, now+n) {
			return nil
		}
	}
	return &rbcs.Error{Code: rbcs.Overloaded, Message: "too much is being received at once; come back later", RetryAfter: time.Second}
}

func (b *bodies) release(n int64) { b.reserved.Add(-n) }
