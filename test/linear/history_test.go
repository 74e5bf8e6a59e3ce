package linear

import (
	"math"
	"sync"
	"time"

	"rbcs"
)

// never is when an operation returned whose answer nobody has got: it may have
// happened at any time after it was called.
const never = math.MaxInt64

// value is what an account has after a version, in minor units.
type value struct{ balance, held int64 }

// op is one operation on one account: that it reached a version, or that a
// client was told so by a read. Times are nanoseconds since the history began.
type op struct {
	write     bool
	version   int64
	value     value
	call, ret int64
	client    int
	cached    bool
	by        string // the instance that was asked
}

// place orders operations as any linearization must: a version is written, and then read.
func (o *op) place() int64 {
	if o.write {
		return 2 * o.version
	}
	return 2*o.version + 1
}

// submission is a transaction as its client knows it.
type submission struct {
	client    int
	call, ret int64
	by        string
	told      []told // where it was acknowledged as posted or held
}

// told is what an acknowledgement says about one account.
type told struct {
	number  string
	version int64
	value   value
}

// history is all that clients have seen. It is safe for concurrent use.
type history struct {
	begin time.Time

	mu          sync.Mutex
	reads       map[string][]op        // by account
	submissions map[string]*submission // by ID
	failed      int                    // requests without an answer
}

func newHistory() *history {
	return &history{begin: time.Now(), reads: map[string][]op{}, submissions: map[string]*submission{}}
}

func (h *history) now() int64 { return time.Since(h.begin).Nanoseconds() }

// submit notes that transactions are about to be sent for the first time.
func (h *history) submit(client int, by string, txs []*rbcs.Transaction) {
	h.mu.Lock()
	defer h.mu.Unlock()
	now := h.now()
	for _, tx := range txs {
		h.submissions[tx.ID] = &submission{client: client, call: now, ret: never, by: by}
	}
}

// answered notes the answers that were received by now, and returns the
// transactions that have none yet.
func (h *history) answered(now int64, txs []*rbcs.Transaction, results []rbcs.Result) (open []*rbcs.Transaction) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for i := range results {
		r := &results[i]
		if r.Err != nil {
			open = append(open, txs[i])
			continue
		}
		s := h.submissions[txs[i].ID]
		s.ret = now
		s.told = append(tell(r.Transaction.Source, &r.Source), tell(r.Transaction.Destination, &r.Destination)...)
	}
	return open
}

// done notes that transactions were posted, without what became of the accounts.
func (h *history) done(txs []*rbcs.Transaction) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, tx := range txs {
		h.submissions[tx.ID].ret = h.now()
	}
}

// tell is what a state says, where it says anything.
func tell(number string, s *rbcs.State) []told {
	if s.Version == 0 {
		return nil
	}
	return []told{{number, s.Version, valueOf(s.Balance, s.Held)}}
}

func valueOf(balance, held rbcs.Amount) value {
	b, ok1 := balance.Int64()
	h, ok2 := held.Int64()
	if !ok1 || !ok2 {
		panic("an amount that no client can have made")
	}
	return value{b, h}
}

// read notes readings that were received by now.
func (h *history) read(client int, by string, call, now int64, readings []rbcs.BalanceReading) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for i := range readings {
		r := &readings[i]
		h.reads[r.Number] = append(h.reads[r.Number], op{
			version: r.Version, value: valueOf(r.Balance.Balance, r.Held), call: call, ret: now, client: client, cached: r.Cached, by: by,
		})
	}
}

// fail notes that a request got no answer.
func (h *history) fail() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.failed++
}
