package redis

import (
	"context"
	"fmt"
	"sync"

	"rbcs"
)

// collector makes few store reads out of many misses.
//
// Invariant: a caller is answered by a store read that began after it asked. One
// that is under way already may have looked before the caller was told of a
// newer balance, and is never joined; the next one is, by all who come until it
// begins. For one account there is one under way at most.
type collector struct {
	store rbcs.BalanceReader
	base  context.Context // of store reads: several callers share one, and each may leave
	group sync.WaitGroup  // store reads under way

	mu      sync.Mutex
	waiting map[string][]place // by account: who is to be told
	order   []string           // the keys of waiting, in the order they came
	flying  map[string]bool    // accounts that are being read
	free    int                // how many store reads may begin
}

// place is where one reading belongs.
type place struct {
	asker *asker
	index int
}

// asker is one call of read. Its fields are guarded by the collector's mutex
// until done is closed.
type asker struct {
	readings []rbcs.BalanceReading
	left     int
	err      error
	done     chan struct{}
}

func newCollector(base context.Context, store rbcs.BalanceReader) *collector {
	return &collector{store: store, base: base, waiting: map[string][]place{}, flying: map[string]bool{}, free: storeReads}
}

// read returns one reading for each number.
func (c *collector) read(ctx context.Context, numbers []string) ([]rbcs.BalanceReading, error) {
	if len(numbers) == 0 {
		return nil, nil
	}
	a := &asker{readings: make([]rbcs.BalanceReading, len(numbers)), left: len(numbers), done: make(chan struct{})}
	if err := c.join(a, numbers); err != nil {
		return nil, err
	}
	select {
	case <-a.done:
		return a.readings, a.err
	case <-ctx.Done():
		return nil, gone(ctx)
	}
}

// gone is the answer to a caller that leaves.
func gone(ctx context.Context) error {
	return &rbcs.Error{Code: rbcs.Unavailable, Message: "the request ended before its balances were read", Err: context.Cause(ctx)}
}

func (c *collector) join(a *asker, numbers []string) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.order)+len(numbers) > maxWaiting {
		return rbcs.Errorf(rbcs.Overloaded, "more than %d accounts wait to be read; come back later", maxWaiting)
	}
	for i, number := range numbers {
		places, known := c.waiting[number]
		c.waiting[number] = append(places, place{a, i})
		if !known {
			c.order = append(c.order, number)
		}
	}
	c.start()
	return nil
}

// start begins the store reads that may begin. REQUIRES: c.mu.
func (c *collector) start() {
	for c.free > 0 {
		numbers, places := c.take()
		if len(numbers) == 0 {
			return
		}
		c.free--
		c.group.Go(func() { c.fetch(numbers, places) })
	}
}

// take removes what one store read may cover from the waiting. REQUIRES: c.mu.
func (c *collector) take() (numbers []string, places [][]place) {
	kept := c.order[:0]
	for i, number := range c.order {
		switch {
		case len(numbers) == storeReadSize:
			kept = append(kept, c.order[i:]...)
			c.order = kept
			return numbers, places
		case c.flying[number]:
			kept = append(kept, number)
		default:
			numbers, places = append(numbers, number), append(places, c.waiting[number])
			c.flying[number] = true
			delete(c.waiting, number)
		}
	}
	c.order = kept
	return numbers, places
}

func (c *collector) fetch(numbers []string, places [][]place) {
	ctx, cancel := context.WithTimeout(c.base, storeTimeout)
	defer cancel()
	readings, err := c.store.Balances(ctx, numbers)
	if err == nil && len(readings) != len(numbers) {
		err = rbcs.Errorf(rbcs.Internal, "the store returned %d readings for %d accounts", len(readings), len(numbers))
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.free++
	for i, number := range numbers {
		delete(c.flying, number)
		for _, p := range places[i] {
			if err == nil {
				p.asker.readings[p.index] = readings[i]
			} else {
				p.asker.err = fmt.Errorf("%w", err)
			}
			if p.asker.left--; p.asker.left == 0 {
				close(p.asker.done)
			}
		}
	}
	c.start()
}

// wait returns once no store read is under way. REQUIRES: nobody reads any more.
func (c *collector) wait() { c.group.Wait() }
