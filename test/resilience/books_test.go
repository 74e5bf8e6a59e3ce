package resilience

import (
	"fmt"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"rbcs"
	"rbcs/client"
)

// books are what the clients of a scenario sent and what they were told. They
// know nothing of the service's rules but what each kind of transaction moves.
//
// At the end of a scenario, with all of it decided, these must hold; each that
// does not is an anomaly:
//
//   - Whatever a client was told stands in the log, once, with the same status,
//     sequence, time, versions and balances.
//   - Whatever stands in the log was sent, with that content.
//   - The accounts have the balances, held amounts and versions that come of
//     applying what was sent in the log's order, and their sum is zero.
//   - Nobody was told two outcomes of one ID.
//   - No read that began after an acknowledgement shows an earlier version.
type books struct {
	run    string         // begins every ID
	prefix string         // begins the number of every account
	seen   []atomic.Int64 // per account, the highest version that anybody was told

	mu        sync.Mutex
	sent      map[string]sent
	told      map[string]told
	open      map[string]submit // what has no outcome yet, and how to ask for it
	due       map[string]bool   // what the durable queue has accepted
	refused   map[string]bool   // what was refused for good, and sent by nobody again
	anomalies []string
	more      int // anomalies that are not listed

	// lossy is the moment of a promotion in microseconds: what was committed before it may be lost.
	lossy atomic.Int64
	lost  int // of that, what was decided again since
}

// maxAnomalies bounds how many are listed.
const maxAnomalies = 20

// sent is the content of a transaction.
type sent struct {
	kind                rbcs.Type
	source, destination int32 // indices of accounts
	cents               int64
	original            string // of what is settled or reversed
}

// told is an outcome.
type told struct {
	status                           rbcs.Status
	code                             rbcs.Code
	sequence, committedAt            int64
	sourceVersion, destVersion       int64
	sourceBalance, destBalance, held rbcs.Amount
}

// submit asks for the outcome of a transaction; ok is false where there is none yet.
type submit func() (ok bool)

func newBooks(run, prefix string, accounts int) *books {
	return &books{
		run: run, prefix: prefix, seen: make([]atomic.Int64, accounts),
		sent: map[string]sent{}, told: map[string]told{}, open: map[string]submit{}, due: map[string]bool{}, refused: map[string]bool{},
	}
}

func (b *books) anomaly(format string, args ...any) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.anomalyLocked(format, args...)
}

func (b *books) anomalyLocked(format string, args ...any) {
	if len(b.anomalies) == maxAnomalies {
		b.more++
		return
	}
	b.anomalies = append(b.anomalies, fmt.Sprintf(format, args...))
}

// send notes what is about to be submitted, and how to learn later what became of it.
func (b *books) send(id string, s sent, again submit) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.sent[id] = s
	b.open[id] = again
}

// tell notes an outcome that a client was told.
func (b *books) tell(r *client.Result) {
	t := told{
		status: r.Status, code: r.Code, sequence: r.Sequence,
		sourceVersion: r.SourceVersion, destVersion: r.DestinationVersion,
		sourceBalance: amount(r.SourceBalance), destBalance: amount(r.DestinationBalance), held: amount(r.SourceHeld),
	}
	if !r.CommittedAt.IsZero() {
		t.committedAt = r.CommittedAt.UnixMicro()
	}
	b.mu.Lock()
	s, known := b.sent[r.ID]
	before, again := b.told[r.ID]
	switch {
	case !known:
		b.anomalyLocked("an outcome of %q, which nobody sent", r.ID)
	case again && before != t && b.mayBeLost(&before):
		b.lost++
		b.told[r.ID] = t
	case again && before != t:
		b.anomalyLocked("%s: told %+v, then %+v", r.ID, before, t)
	case !again:
		b.told[r.ID] = t
	}
	delete(b.open, r.ID)
	b.mu.Unlock()
	if !b.mayBeLost(&t) {
		b.raise(s.source, t.sourceVersion)
		b.raise(s.destination, t.destVersion)
	}
}

// mayBeLost reports whether an outcome is older than a promotion that may have lost it.
func (b *books) mayBeLost(t *told) bool { return t.committedAt < b.lossy.Load() }

// raise notes that somebody was told of a version of an account.
func (b *books) raise(account int32, version int64) {
	for seen := &b.seen[account]; ; {
		before := seen.Load()
		if version <= before || seen.CompareAndSwap(before, version) {
			return
		}
	}
}

// forget lowers what may be expected: a promotion may lose the end of the log.
func (b *books) forget() {
	b.lossy.Store(time.Now().UnixMicro())
	for i := range b.seen {
		b.seen[i].Store(0)
	}
}

// withdraw takes back what certainly has no outcome and will have none.
func (b *books) withdraw(id string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.open, id)
}

// undecided returns what has no outcome yet.
func (b *books) undecided() (list []submit) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, s := range b.open {
		list = append(list, s)
	}
	return list
}

func (b *books) counts() (sent, told int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.sent), len(b.told)
}

// amount reads an amount in cents; "" is zero.
func amount(a client.Amount) rbcs.Amount {
	if a == "" {
		return rbcs.Amount{}
	}
	units, err := a.In(2)
	if err != nil {
		panic(err) // the service writes no such thing
	}
	return units
}

// dollars writes cents as an amount.
func dollars(cents int64) client.Amount { return client.Amount(rbcs.AmountOf(cents).Format(2)) }

// number returns the account of an index; 0 is the world, where the money comes from.
func (b *books) number(i int32) string { return numberOf(b.prefix, i) }

func numberOf(prefix string, i int32) string { return fmt.Sprintf("%s%04d", prefix, i) }

// index is the inverse of number; −1 for any other account.
func (b *books) index(number string) int32 {
	digits, ok := strings.CutPrefix(number, b.prefix)
	i, err := strconv.ParseInt(digits, 10, 32)
	if !ok || err != nil {
		return -1
	}
	return int32(i)
}
