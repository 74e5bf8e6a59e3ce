package engine

import (
	"sync"
	"sync/atomic"

	"rbcs"
)

// request is one Submit: its transactions are answered one by one, by any
// number of batches, and its caller is woken once.
type request struct {
	size    int
	left    atomic.Int64 // transactions without a result
	once    sync.Once    // makes results, where they come from several batches
	results []rbcs.Result
	done    chan struct{} // closed when nothing is left; results may be read then
	stuck   stuck         // guarded by Engine.mu
}

func newRequest(size int) *request {
	r := &request{size: size, done: make(chan struct{})}
	r.left.Store(int64(size))
	return r
}

// fill stores the results of some of the request's transactions, which are in
// the request's order, as those of one batch always are. Of each
// transaction it is called exactly once. batchSize is that of the batch which
// the results come from.
func (r *request) fill(entries []entry, results []rbcs.Result, batchSize int) {
	if len(entries) == r.size && 2*len(entries) >= batchSize {
		// The store's slice itself will do. (A smaller part is copied, so that
		// one slow reader does not keep the results of a whole batch in memory.)
		r.results = results
	} else {
		r.once.Do(func() { r.results = make([]rbcs.Result, r.size) })
		for i := range entries {
			r.results[entries[i].index] = results[i]
		}
	}
	if r.left.Add(-int64(len(entries))) == 0 {
		close(r.done)
	}
}

// answer hands results, one for each entry, to the requests that they belong to.
func answer(entries []entry, results []rbcs.Result) {
	for from := 0; from < len(entries); {
		to := from + 1
		for to < len(entries) && entries[to].req == entries[from].req {
			to++
		}
		entries[from].req.fill(entries[from:to], results[from:to:to], len(entries))
		from = to
	}
}

// refuse answers entries with an error.
func refuse(entries []entry, err *rbcs.Error) {
	results := make([]rbcs.Result, len(entries))
	for i := range entries {
		results[i] = rbcs.Result{Transaction: *entries[i].tx, Err: err}
	}
	answer(entries, results)
}
