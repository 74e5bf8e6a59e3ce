package load

import "sync/atomic"

// tally is what each account must have, by what was acknowledged. It is safe
// for concurrent use.
type tally struct{ accounts []account }

type account struct {
	balance atomic.Int64 // in cents
	held    atomic.Int64 // in cents
	changes atomic.Int64 // how often its balance or held changed: its version
	seen    atomic.Int64 // the highest version that anybody was told
}

func newTally(accounts int) *tally { return &tally{make([]account, accounts)} }

// enter notes an acknowledged transfer.
func (t *tally) enter(tr transfer, o outcome) {
	t.accounts[tr.source].change(-tr.cents, 0, o.sourceVersion)
	t.accounts[tr.destination].change(tr.cents, 0, o.destinationVersion)
}

// hold notes an acknowledged hold.
func (t *tally) hold(tr transfer, o outcome) {
	t.accounts[tr.source].change(0, tr.cents, o.sourceVersion)
}

// settle notes the acknowledged capture or release of a hold.
func (t *tally) settle(tr transfer, o outcome) {
	t.accounts[tr.source].change(-tr.captured, -tr.cents, o.sourceVersion)
	if tr.captured > 0 {
		t.accounts[tr.destination].change(tr.captured, 0, o.destinationVersion)
	}
}

// change notes one change of an account.
func (a *account) change(balance, held, version int64) {
	a.balance.Add(balance)
	a.held.Add(held)
	a.changes.Add(1)
	a.told(version)
}

func (a *account) told(version int64) {
	for {
		before := a.seen.Load()
		if version <= before || a.seen.CompareAndSwap(before, version) {
			return
		}
	}
}
