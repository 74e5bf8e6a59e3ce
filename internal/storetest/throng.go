package storetest

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"rbcs"
)

// operations is how many transactions [testThrong] submits. The long search
// that issue 3 asks for is -run '.../Throng' -storetest.operations=100000.
var operations = flag.Int("storetest.operations", 3000, "how many random transactions of all types the committers of the conformance suite submit")

var throngTests = []test{
	{"all-types", testThrong},
}

const (
	// throngSize is how many commit at once.
	throngSize = 6
	// throngMemory is how many of the last submissions everybody can refer to:
	// few, so that they meet at the same holds and originals.
	throngMemory = 40
	throngBatch  = 12 // units, at most
	namingTries  = 20
)

// throng is what the committers of [testThrong] share.
type throng struct {
	*env
	left    atomic.Int64 // transactions to submit
	count   atomic.Int64 // IDs given
	mu      sync.Mutex
	recent  [][]*rbcs.Transaction
	told    []answer
	unknown bool
}

// testThrong has several committers submit transactions of all types at once:
// they settle and reverse what the others have just submitted, submit it again,
// or submit something else under its ID, and expire what is due, while others
// read sums and follow the log. Afterwards everybody was told the truth, and one
// after the other, in the order of the log, the model decides each as the store did.
func testThrong(e *env) {
	seed := uint64(time.Now().UnixNano())
	e.t.Logf("seed %d, %d operations", seed, *operations)
	m := e.modelled("USD", map[string]string{"bank": "unlimited", "a": "0", "b": "0", "c": "20", "d": "0", "e": "500"})
	numbers := m.numbers()
	c := &throng{env: e}
	c.left.Store(int64(*operations))
	ended, cancel := context.WithCancel(e.ctx)
	var readers sync.WaitGroup
	var follow, sums error
	var followed []rbcs.Result
	readers.Go(func() { followed, follow = c.follow(ended) })
	readers.Go(func() { sums = c.watchTotals(ended) })
	err := together(throngSize, func(i int) error { return c.committer(numbers, rand.New(rand.NewPCG(seed, uint64(i)))) })
	cancel()
	readers.Wait()
	e.must(errors.Join(err, sums, follow))
	told := make([]rbcs.Result, len(c.told))
	for i := range c.told {
		told[i] = c.told[i].result
	}
	e.must(CheckAcknowledged(e.ctx, e.store, told))
	c.checkAnswers()
	c.checkFollowed(followed)
	c.replayLog(m, followed)
	c.checkReads(m)
}

// committer submits batches until there are enough, and expires what is due.
func (c *throng) committer(numbers []string, random *rand.Rand) error {
	for c.left.Load() > 0 {
		var units [][]*rbcs.Transaction
		for range 1 + random.IntN(throngBatch) {
			unit := c.draw(numbers, random)
			c.left.Add(-int64(len(unit)))
			units = append(units, unit)
		}
		if random.IntN(4) == 0 {
			due, err := c.store.DueHolds(c.ctx, throngBatch)
			if err != nil {
				return err
			}
			for i := range due {
				units = append(units, []*rbcs.Transaction{c.expire(&due[i])})
			}
		}
		if err := c.submit(units); err != nil {
			return err
		}
	}
	return nil
}

// expire is what every instance submits for a hold that is due: under one ID.
func (c *throng) expire(hold *rbcs.Transaction) *rbcs.Transaction {
	t := c.settle(rbcs.Expiry, "", hold, "")
	t.ID = rbcs.ReservedPrefix + "expiry." + hold.ID
	return t
}

// submit looks up what settlements refer to, as a client's request is handled,
// commits, and does both again for what was committed in between.
func (c *throng) submit(units [][]*rbcs.Transaction) error {
	for range namingTries {
		var batch []*rbcs.Transaction
		for _, unit := range units {
			for _, t := range unit {
				if err := c.look(t, batch); err != nil {
					return err
				}
				batch = append(batch, t)
			}
		}
		results, unknown, err := submit(c.ctx, c.store, batch)
		if err != nil {
			return err
		}
		units = c.note(units, results, unknown)
		if len(units) == 0 {
			return nil
		}
	}
	return fmt.Errorf("%s still refers to what was committed just now", units[0][0].ID)
}

// look names the accounts of what a transaction refers to: it is recorded, or
// stands before it in the batch.
func (c *throng) look(t *rbcs.Transaction, batch []*rbcs.Transaction) error {
	if !t.Settles() {
		return nil
	}
	var original *rbcs.Transaction
	record, err := c.store.Transaction(c.ctx, t.Original)
	switch rbcs.CodeOf(err) {
	case "":
		original = &record.Transaction
	case rbcs.NotFound:
		if i := slices.IndexFunc(batch, func(b *rbcs.Transaction) bool { return b.ID == t.Original }); i >= 0 {
			original = batch[i]
		}
	default:
		return err
	}
	if original != nil {
		if t.Source, t.Destination = original.Source, original.Destination; t.Type == rbcs.Reversal {
			t.Source, t.Destination = t.Destination, t.Source
		}
	}
	return nil
}

// note keeps the answers, and returns the units that are to be submitted again.
func (c *throng) note(units [][]*rbcs.Transaction, results []rbcs.Result, unknown bool) (again [][]*rbcs.Transaction) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.unknown = c.unknown || unknown
	for _, unit := range units {
		own := results[:len(unit)]
		results = results[len(unit):]
		if slices.ContainsFunc(own, func(r rbcs.Result) bool { return r.Err != nil && r.Err.Code == rbcs.Unavailable }) {
			again = append(again, unit)
			continue
		}
		for i, t := range unit {
			c.told = append(c.told, answer{t, own[i]})
		}
		if c.recent = append(c.recent, unit); len(c.recent) > throngMemory {
			c.recent = slices.Delete(c.recent, 0, 1)
		}
	}
	return again
}

// draw returns a new transaction or group, or one of the last ones, mostly as it was.
func (c *throng) draw(numbers []string, random *rand.Rand) []*rbcs.Transaction {
	c.mu.Lock()
	recent := slices.Clone(c.recent)
	c.mu.Unlock()
	if len(recent) > 0 && random.IntN(10) == 0 {
		var again []*rbcs.Transaction
		for _, t := range recent[random.IntN(len(recent))] {
			again = append(again, new(*t))
			if random.IntN(6) == 0 {
				again[len(again)-1].Description = "something else"
			}
		}
		return again
	}
	size := 1
	if random.IntN(12) == 0 {
		size = 2 + random.IntN(3)
	}
	unit := make([]*rbcs.Transaction, 0, size)
	for range size {
		unit = append(unit, c.transaction(append(recent, unit), numbers, random))
	}
	if size > 1 {
		return grouped(unit...)
	}
	return unit
}

// transaction draws a new transaction.
func (c *throng) transaction(recent [][]*rbcs.Transaction, numbers []string, random *rand.Rand) *rbcs.Transaction {
	id := fmt.Sprintf("%06d", c.count.Add(1))
	kind := []rbcs.Type{
		rbcs.Transfer, rbcs.Transfer, rbcs.Transfer, rbcs.Transfer, rbcs.Hold, rbcs.Hold, rbcs.Hold,
		rbcs.Capture, rbcs.Capture, rbcs.Capture, rbcs.Release, rbcs.Reversal, rbcs.Reversal,
	}[random.IntN(13)]
	if kind != rbcs.Transfer && kind != rbcs.Hold {
		if t := c.settlement(id, kind, recent, random); t != nil {
			return t
		}
	}
	from := random.IntN(len(numbers))
	to := (from + 1 + random.IntN(len(numbers)-1)) % len(numbers)
	t := c.transfer(id, numbers[from], numbers[to], rbcs.AmountOf(1+random.Int64N(3000)).Format(2))
	if kind == rbcs.Hold {
		t.Type = kind
		if random.IntN(2) == 0 { // some are due before they are committed, some while others settle them
			t.ExpiresAt = time.Now().UTC().Truncate(time.Microsecond).Add(time.Duration(random.IntN(60)-10) * time.Millisecond)
		}
	}
	return t
}

// settlement refers to one of the last submissions that it can settle or reverse.
func (c *throng) settlement(id string, kind rbcs.Type, recent [][]*rbcs.Transaction, random *rand.Rand) *rbcs.Transaction {
	var candidates []*rbcs.Transaction
	for _, t := range slices.Concat(recent...) {
		if kind == rbcs.Reversal && (t.Type == rbcs.Transfer || t.Type == rbcs.Capture) || kind != rbcs.Reversal && t.Type == rbcs.Hold {
			candidates = append(candidates, t)
		}
	}
	if len(candidates) == 0 {
		return nil
	}
	original := candidates[random.IntN(len(candidates))]
	amount := ""
	if units, _ := original.Amount.Units.Int64(); kind != rbcs.Release && units > 0 && random.IntN(3) > 0 {
		amount = rbcs.AmountOf(1 + random.Int64N(units+units/5+1)).Format(2)
	}
	return c.settle(kind, id, &rbcs.Transaction{ID: original.ID}, amount)
}
