package redis

import (
	"sync"
	"sync/atomic"
	"time"
)

// breaker says whether Redis is worth asking. It opens on failures close
// together, and only who looks after the connection closes it: there is no
// half-open state in which clients' requests would try Redis out.
type breaker struct {
	closed   atomic.Bool
	onOpen   func()                    // called each time it opens; must not block
	mu       sync.Mutex                // guards what follows
	failures [failuresToOpen]time.Time // the latest ones, in a ring
	next     int
}

// isClosed reports whether Redis is worth asking.
func (b *breaker) isClosed() bool { return b.closed.Load() }

// open opens it at once.
func (b *breaker) open() {
	if b.closed.Swap(false) {
		b.onOpen()
	}
}

// close closes it and forgets earlier failures.
func (b *breaker) close() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.failures = [failuresToOpen]time.Time{}
	b.closed.Store(true)
}

// failed notes a failure, and opens the breaker where enough were close together.
func (b *breaker) failed() {
	b.mu.Lock()
	now := time.Now()
	oldest := b.failures[(b.next+1)%failuresToOpen] // of the last failuresToOpen, this one included
	b.failures[b.next] = now
	b.next = (b.next + 1) % failuresToOpen
	b.mu.Unlock()
	if now.Sub(oldest) <= failurePeriod {
		b.open()
	}
}
