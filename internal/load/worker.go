package load

import (
	"context"
	"strconv"
	"sync"
	"time"

	"github.com/valyala/fasthttp"

	"rbcs"
)

// worker is one client: it sends one request after the other.
type worker struct {
	*runner
	exchange *exchange
	list     []transfer
	path     []byte
	body     []byte
	held     []int // the holds of the round that are to be settled

	writes, reads histogram
	statuses      map[string]int64 // answers by HTTP status, "none" where there was none
	codes         map[rbcs.Code]int64
	kinds         [refused + 1]int64 // transactions
	read, stale   int64              // balances; those that were older than what was acknowledged
	cached        int64              // of those that were read, from a cache
	readFailed    int64
	unresolved    []unresolved
	firstError    error
}

// unresolved is a request with transactions whose outcome is not known.
type unresolved struct {
	round int64
	step  step
	known []bool // which of them have an outcome
}

// shedPause is how long a client waits that was told that there is too much
// load: without it, refusals would be most of the load.
const shedPause = 100 * time.Millisecond

// load runs all clients and returns them with what they counted.
func (r *runner) load(ctx context.Context) ([]*worker, time.Duration) {
	workers := make([]*worker, r.Clients)
	r.start = time.Now()
	ctx, cancel := context.WithDeadline(ctx, r.start.Add(r.Duration))
	defer cancel()
	var group sync.WaitGroup
	for i := range workers {
		w := &worker{
			runner: r, exchange: r.target.newExchange(),
			statuses: map[string]int64{}, codes: map[rbcs.Code]int64{},
		}
		workers[i] = w
		group.Go(func() { w.run(ctx) })
	}
	group.Wait()
	return workers, time.Since(r.start)
}

func (w *worker) run(ctx context.Context) {
	for ctx.Err() == nil {
		n := w.next.Add(1) - 1
		due := time.Now()
		if w.Rate > 0 {
			due = w.due(n)
			if !sleepUntil(ctx, due) {
				return
			}
		}
		if w.do(n, due) {
			sleepUntil(ctx, time.Now().Add(shedPause))
		}
	}
}

// due returns when the n-th round starts in an open loop.
func (r *runner) due(n int64) time.Time {
	_, transactions := r.round()
	perRound := float64(transactions) / r.Rate * float64(time.Second)
	return r.start.Add(time.Duration(float64(n) * perRound))
}

// sleepUntil returns false, at once, where the context ends before that time.
func sleepUntil(ctx context.Context, t time.Time) bool {
	if end, ok := ctx.Deadline(); ok && !t.Before(end) {
		<-ctx.Done()
		return false
	}
	timer := time.NewTimer(time.Until(t))
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return !time.Now().Before(t)
	}
}

// do makes the n-th round, which was due at the given time. It reports whether
// the service has too much load.
func (w *worker) do(n int64, due time.Time) (overload bool) {
	if account, yes, _ := w.plan.read(n); yes {
		return w.readBalance(account, due)
	}
	w.list = w.plan.transfers(n, w.list[:0])
	w.held = w.held[:0]
	overload = w.submit(n, 0, due)
	for _, i := range w.held {
		overload = w.submit(n, step(1+i), time.Now()) || overload
	}
	return overload
}

// submit sends one step of the n-th round.
func (w *worker) submit(n int64, k step, due time.Time) (overload bool) {
	w.path = w.plan.appendPath(w.path[:0], n, k, w.list)
	w.body = w.plan.appendBody(w.body[:0], n, k, w.list)
	outcomes, status, err := w.target.submit(w.exchange, string(w.path), w.body, w.plan.size(k))
	w.writes.add(time.Since(due))
	w.answered(status, err)
	open := false
	for i, o := range outcomes {
		w.kinds[o.kind]++
		if o.kind != posted {
			w.codes[o.code]++
		}
		switch o.kind {
		case posted:
			w.enter(w.list, k, i, o)
			if w.Workload == Hold && k == 0 {
				w.held = append(w.held, i)
			}
		case shed:
			overload = true
		case unknown:
			open = true
			overload = overload || status == 0 // whoever broke the connection needs a moment too
		case rejected, refused:
		}
	}
	if open {
		w.open(n, k, outcomes)
	}
	w.done.Add(int64(len(outcomes)))
	return overload
}

// enter notes an acknowledged transaction of a step.
func (r *runner) enter(list []transfer, k step, i int, o outcome) {
	switch {
	case k > 0:
		r.tally.settle(list[k-1], o)
	case r.Workload == Hold:
		r.tally.hold(list[i], o)
	default:
		r.tally.enter(list[i], o)
	}
}

// open notes a request that must be submitted again.
func (w *worker) open(n int64, k step, outcomes []outcome) {
	u := unresolved{round: n, step: k, known: make([]bool, len(outcomes))}
	for i, o := range outcomes {
		u.known[i] = o.kind != unknown
	}
	w.unresolved = append(w.unresolved, u)
}

func (w *worker) readBalance(account uint64, due time.Time) (overload bool) {
	a := &w.tally.accounts[account]
	acknowledged := a.seen.Load() // before the read starts
	w.body = append(w.body[:0], "/v1/accounts/"...)
	w.body = append(w.plan.appendNumber(w.body, account), "/balance"...)
	status, err := w.target.do(w.exchange, string(w.body), nil)
	w.reads.add(time.Since(due))
	w.done.Add(1)
	version, cached := int64(-1), false
	if err == nil && status == fasthttp.StatusOK {
		version, cached, err = w.exchange.balance()
	}
	w.answered(status, err)
	switch {
	case version < 0:
		w.readFailed++
		return true
	case version < acknowledged:
		w.stale++
	}
	w.read++
	if cached {
		w.cached++
	}
	return false
}

func (w *worker) answered(status int, err error) {
	key := "none"
	if status != 0 {
		key = strconv.Itoa(status)
	}
	w.statuses[key]++
	if err != nil && w.firstError == nil {
		w.firstError = err
	}
}
