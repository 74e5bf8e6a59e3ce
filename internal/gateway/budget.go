package gateway

import (
	"sync"
	"time"
)

// Bounds of the budget for sending again.
const (
	budgetShare     = 0.2  // of the requests
	budgetPerSecond = 10   // beside that, so that a quiet gateway may send again too
	budgetLeast     = 100  // at the start
	budgetMost      = 1000 // saved up: as many as may be under way on one instance when it dies
)

// budget bounds how much load sending again adds: in any time t in which n
// requests came, at most budgetMost + n·budgetShare + t·budgetPerSecond. When
// all instances are in trouble, sending everything three times would keep them
// there.
//
// It counts what was saved up and not what is under way: when one of two
// instances dies, half of what is under way must be sent again at once.
type budget struct {
	mu    sync.Mutex
	left  float64
	since time.Time
}

func newBudget(now time.Time) *budget { return &budget{left: budgetLeast, since: now} }

// deposit is called for every request that came.
func (b *budget) deposit() {
	b.mu.Lock()
	b.left = min(b.left+budgetShare, budgetMost)
	b.mu.Unlock()
}

// withdraw reports whether one more request may be sent again.
func (b *budget) withdraw(now time.Time) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if passed := now.Sub(b.since); passed > 0 {
		b.left = min(b.left+budgetPerSecond*passed.Seconds(), budgetMost)
		b.since = now
	}
	if b.left < 1 {
		return false
	}
	b.left--
	return true
}
