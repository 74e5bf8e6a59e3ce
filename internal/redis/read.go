package redis

import (
	"context"
	"errors"
	"strconv"
	"time"

	"github.com/redis/rueidis"

	"rbcs"
)

var leaseLife = strconv.FormatInt(rbcs.LeaseLife.Milliseconds(), 10)

// miss is an account that the store must be asked about.
type miss struct {
	index int    // in what the caller asked for
	lease string // "" where this reader may not fill
}

// Balances returns one reading for each number, in the order given: with Redis
// well, in one round trip to it, one more for leases where something is missing,
// and one to the store for all that is missing.
func (c *Cache) Balances(ctx context.Context, numbers []string) ([]rbcs.BalanceReading, error) {
	began := time.Now() // before anything is asked: rule 6 is about this moment
	readings := make([]rbcs.BalanceReading, len(numbers))
	k := c.looks.latest()
	misses := c.fromRedis(ctx, k, began, numbers, readings)
	if len(misses) == 0 {
		return readings, nil
	}
	missing := numbers
	if len(misses) < len(numbers) {
		missing = make([]string, len(misses))
		for i, m := range misses {
			missing[i] = numbers[m.index]
		}
	}
	// Rule 3: this begins after the leases are certain, and a read that others share begins no earlier.
	stored, err := c.reads.read(ctx, missing)
	if err != nil {
		return nil, err
	}
	for i, m := range misses {
		readings[m.index] = stored[i]
	}
	c.fill(k, misses, stored)
	return readings, nil
}

// fromRedis sets the readings that Redis has, and returns the others.
func (c *Cache) fromRedis(ctx context.Context, k *look, began time.Time, numbers []string, readings []rbcs.BalanceReading) []miss {
	switch {
	case k == nil:
		c.stats.off.Add(int64(len(numbers)))
		return all(numbers)
	case !c.link.worthAsking():
		c.stats.down.Add(int64(len(numbers)))
		return all(numbers)
	}
	keys := make([]string, len(numbers))
	for i, number := range numbers {
		keys[i] = k.space.key(number)
	}
	entries, err := c.link.get(ctx, c.opts.Timeout, keys)
	if err != nil {
		c.countFailure(err, len(numbers))
		return all(numbers)
	}
	var misses []miss
	var empty []int // of misses
	for i, e := range entries {
		kind := c.classify(e, k, began, numbers[i], &readings[i])
		if kind == isHit {
			continue
		}
		if kind == isEmpty {
			empty = append(empty, len(misses))
		}
		misses = append(misses, miss{index: i})
	}
	if len(empty) > 0 {
		if left := c.opts.Timeout - time.Since(began); left > 0 { // one timeout for all that is asked of Redis
			c.lease(ctx, left, keys, misses, empty)
		}
	}
	return misses
}

type kind uint8

const (
	isOther kind = iota // the store is read, and nothing is filled
	isHit
	isEmpty
)

// classify counts what was found, and decodes a value that may be served.
func (c *Cache) classify(e found, k *look, began time.Time, number string, reading *rbcs.BalanceReading) kind {
	switch {
	case e.failed, e.there && e.entry == "":
		c.stats.failed.Add(1)
	case !e.there:
		c.stats.misses.Add(1)
		return isEmpty
	case e.entry[0] == markLetter: // rule 1
		c.stats.marksMet.Add(1)
	case e.entry[0] == leaseLetter: // rule 1
		c.stats.leasesMet.Add(1)
	case e.entry[0] != valueLetter:
		c.stats.failed.Add(1)
	case !k.serves(began): // rule 6
		c.stats.off.Add(1)
	default:
		balance, err := decode(number, e.entry)
		if err != nil || k.outlived(balance.AsOf) {
			c.stats.failed.Add(1)
			return isOther
		}
		*reading = rbcs.BalanceReading{Balance: balance, Cached: true}
		c.sampled.note(c.stats.hits.Add(1), number)
		return isHit
	}
	return isOther
}

// lease sets leases for what was not there (rule 1), each only where there is
// still nothing, and notes those that are certain.
func (c *Cache) lease(ctx context.Context, timeout time.Duration, keys []string, misses []miss, empty []int) {
	mine := newLease()
	answers, err := c.link.do(ctx, timeout, func(b rueidis.Builder) rueidis.Commands {
		commands := make(rueidis.Commands, len(empty))
		for i, at := range empty {
			key := keys[misses[at].index]
			commands[i] = b.Arbitrary("SET").Keys(key).Args(mine, "NX", "PX", leaseLife).Build() // rule 7
		}
		return commands
	})
	if err != nil {
		c.countFailure(err, len(empty))
		return
	}
	for i, at := range empty {
		switch {
		case !c.link.ok(answers[i]):
			c.stats.failed.Add(1)
		case answers[i].Error() != nil: // nil: something is there by now
			c.stats.leasesMet.Add(1)
		default:
			misses[at].lease = mine
		}
	}
}

// fill puts what was read where the leases are (rule 2), if it may (rule 3).
// What may not be filled gives its lease back, so that the next reader can try.
func (c *Cache) fill(k *look, misses []miss, stored []rbcs.BalanceReading) {
	var changes []change
	for i, m := range misses {
		r := &stored[i]
		if m.lease == "" || r.Err != nil {
			continue
		}
		ch := change{key: k.space.key(r.Number), from: m.lease}
		if r.Fillable && r.Timeline == k.state.Timeline {
			ch.to, ch.fill = encode(&r.Balance), true
		} else {
			c.stats.unfit.Add(1)
		}
		changes = append(changes, ch)
	}
	if len(changes) > 0 {
		c.work.add(func() []change { return changes })
	}
}

func (c *Cache) countFailure(err error, n int) {
	switch {
	case errors.Is(err, errSlow):
		c.stats.timeout.Add(int64(n))
	case errors.Is(err, errDown):
		c.stats.down.Add(int64(n))
	}
}

func all(numbers []string) []miss {
	misses := make([]miss, len(numbers))
	for i := range misses {
		misses[i].index = i
	}
	return misses
}
