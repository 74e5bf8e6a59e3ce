package redis

import "sync/atomic"

// Stats counts what the cache has done since it was opened.
type Stats struct {
	Hits   int64 // balances served from Redis
	Misses int64 // nothing was there

	MarksMet  int64 // a commit was under way
	LeasesMet int64 // another reader was about to fill

	Fills        int64 // by readers
	FillsRefused int64 // the lease was gone: something newer happened, or it died
	Unfit        int64 // the store saw the account held by a transaction: nothing was filled
	Refreshed    int64 // marks replaced by values after their commits
	Dropped      int64 // jobs of fills, refreshes and drops that were given up

	// Balances that were read from the store although Redis might have had them, by cause.
	Off     int64 // the switch was off, or was not looked at lately
	Down    int64 // Redis is known not to answer
	Timeout int64 // it did not answer in time
	Failed  int64 // it answered with an error, or with what this cache does not write

	Confirmed   int64 // commits whose marks were all certain
	Unconfirmed int64 // commits whose marks were not: the cache was turned off

	Checked     int64 // entries that the self-check compared with the store
	Differences int64 // and found to differ: must stay 0

	Up bool // whether Redis is asked at all, now
}

// counters are the [Stats] as they are counted.
type counters struct {
	hits, misses, marksMet, leasesMet              atomic.Int64
	fills, fillsRefused, unfit, refreshed, dropped atomic.Int64
	off, down, timeout, failed                     atomic.Int64
	confirmed, unconfirmed, checked, differences   atomic.Int64
}

// Stats returns what was counted so far.
func (c *Cache) Stats() Stats {
	n := &c.stats
	return Stats{
		Hits: n.hits.Load(), Misses: n.misses.Load(), MarksMet: n.marksMet.Load(), LeasesMet: n.leasesMet.Load(),
		Fills: n.fills.Load(), FillsRefused: n.fillsRefused.Load(), Unfit: n.unfit.Load(),
		Refreshed: n.refreshed.Load(), Dropped: n.dropped.Load(),
		Off: n.off.Load(), Down: n.down.Load(), Timeout: n.timeout.Load(), Failed: n.failed.Load(),
		Confirmed: n.confirmed.Load(), Unconfirmed: n.unconfirmed.Load(),
		Checked: n.checked.Load(), Differences: n.differences.Load(),
		Up: c.link.worthAsking(),
	}
}
