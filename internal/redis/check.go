package redis

import (
	"context"
	"log/slog"
	"sync/atomic"
	"time"

	"rbcs"
)

const (
	// sampleSize is how many accounts one self-check covers at most.
	sampleSize = 64

	// sampleEach is every how many hits one is noted for the next check.
	sampleEach = 16
)

// samples are accounts that were served from Redis lately.
type samples [sampleSize]atomic.Pointer[string]

// note keeps the account of some hits: of the first ones, and of every 16th.
func (s *samples) note(hit int64, number string) {
	if hit <= sampleSize || hit%sampleEach == 0 {
		s[hit/sampleEach%sampleSize].Store(&number)
	}
}

// take returns the accounts that were noted, each once.
func (s *samples) take() []string {
	var numbers []string
	seen := map[string]bool{}
	for i := range s {
		if p := s[i].Swap(nil); p != nil && !seen[*p] {
			seen[*p] = true
			numbers = append(numbers, *p)
		}
	}
	return numbers
}

// check compares a sample with the store again and again, until the context ends.
func (c *Cache) check(ctx context.Context) {
	tick := time.NewTicker(c.opts.CheckEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			c.checkOnce(ctx, c.sampled.take())
		}
	}
}

// checkOnce compares the entries of these accounts with the store.
//
// It raises no false alarm: an entry that is the same before and after the store
// was read was there at that moment. No commit was visible then whose marks were
// confirmed after the entry's version, for its mark would have replaced it; nor
// one whose marks were not, for the switch is looked at in between and is off
// for as long as such an entry lives.
func (c *Cache) checkOnce(ctx context.Context, numbers []string) {
	k := c.looks.latest()
	if k == nil || len(numbers) == 0 || !c.link.worthAsking() {
		return
	}
	keys := make([]string, len(numbers))
	for i, number := range numbers {
		keys[i] = k.space.key(number)
	}
	before, err := c.link.get(ctx, probeTimeout, keys)
	if err != nil {
		return
	}
	stored, err := c.opts.Store.Balances(ctx, numbers)
	if err != nil || len(stored) != len(numbers) {
		return
	}
	now := c.looks.look(ctx)
	if now == nil || !now.state.Serve || now.space != k.space {
		return
	}
	after, err := c.link.get(ctx, probeTimeout, keys)
	if err != nil {
		return
	}
	for i := range numbers {
		if before[i] == after[i] {
			c.compare(ctx, k, before[i], &stored[i])
		}
	}
}

// compare counts an entry that is not what the store says, and removes it.
func (c *Cache) compare(ctx context.Context, k *look, e found, stored *rbcs.BalanceReading) {
	if e.failed || !e.there || e.entry == "" || e.entry[0] != valueLetter {
		return
	}
	if stored.Err == nil && (!stored.Fillable || stored.Timeline != k.state.Timeline) {
		return // a transaction holds the account: there is nothing to compare with
	}
	c.stats.checked.Add(1)
	cached, err := decode(stored.Number, e.entry)
	s := &stored.Balance
	if err == nil && stored.Err == nil && cached.Version == s.Version &&
		cached.Balance == s.Balance && cached.Held == s.Held && cached.Currency == s.Currency {
		return
	}
	c.stats.differences.Add(1)
	c.log.ErrorContext(ctx, "a cached balance differs from the store; the entry is removed",
		slog.String("account", stored.Number), slog.Int64("cached_version", cached.Version), slog.Int64("stored_version", s.Version))
	c.work.add(func() []change { return []change{{key: k.space.key(stored.Number), from: e.entry}} })
}
