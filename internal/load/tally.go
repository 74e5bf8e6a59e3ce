package load

import "sync/atomic"

// tally is what each account must have, by what was acknowledged. It is safe
// for concurrent use.
type tally struct{ accounts []account }

type account struct {
	balance  atomic.Int64 // in cents
	postings atomic.Int64 // how often its balance changed: its version
	seen     atomic.Int64 // the highest version that anybody was told
}

func newTally(accounts int) *tally { return &tally{make([]account, accounts)} }

// enter notes an acknowledged posting.
func (t *tally) enter(tr transfer, o outcome) {
	source, destination := &t.accounts[tr.source], &t.accounts[tr.destination]
	source.balance.Add(-tr.cents)
	source.postings.Add(1)
	source.told(o.sourceVersion)
	destination.balance.Add(tr.cents)
	destination.postings.Add(1)
	destination.told(o.destinationVersion)
}

func (a *account) told(version int64) {
	for {
		before := a.seen.Load()
		if version <= before || a.seen.CompareAndSwap(before, version) {
			return
		}
	}
}
