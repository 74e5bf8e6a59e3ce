package resilience

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"
	"unicode"

	"rbcs"
	"rbcs/client"
)

// The load: a closed loop of clients, each of which waits for its answer.
const (
	accounts     = 300   // beside the world
	busy         = 200   // of these, that are in batches; the others rest long enough to be cached
	fundedCents  = 50_00 // of each; some transactions lack funds
	maxCents     = 10_00 // of a transaction
	singles      = 10    // clients that submit one transaction at a time
	batchers     = 2     // clients that submit batches
	batchSize    = 250
	batchPause   = 40 * time.Millisecond // between a batcher's requests: the machine is to do other things too
	readersPause = 3 * time.Millisecond  // between two reads of one instance
)

// retry is how patient the clients are: more than any fault lasts. One attempt
// may take longer than the service takes to answer at its worst.
var retry = client.Retry{MaxElapsed: 30 * time.Second, AttemptTimeout: 12 * time.Second, MaxDelay: 500 * time.Millisecond}

// deadline is when every call must have returned.
var deadline = retry.MaxElapsed + retry.AttemptTimeout + 5*time.Second

// request is one call of a client, with all its attempts.
type request struct {
	start, end   time.Time
	transactions int // that were submitted
	decided      int // of these, that have an outcome
	trace        trace
	err          error
}

// load is the clients of one scenario.
type load struct {
	api     *client.Client
	books   *books
	follows *follower
	run     string // begins every ID
	lossy   bool   // a promotion may lose what was acknowledged
	stopped atomic.Bool
	workers sync.WaitGroup

	reads, hits, readsFailed atomic.Int64

	mu       sync.Mutex
	requests []request
	success  []time.Time // ends of requests that were decided, in order
	troubles map[string]int
}

// trouble counts what clients met, by its words without numbers.
func (l *load) trouble(what string, err error) {
	text := what + ": " + strings.Map(func(r rune) rune {
		if unicode.IsDigit(r) {
			return -1
		}
		return r
	}, err.Error())
	l.mu.Lock()
	defer l.mu.Unlock()
	l.troubles[text[:min(len(text), 250)]]++
}

// newLoad creates and funds the accounts.
func newLoad(ctx context.Context, s *system, run string) (*load, error) {
	api, err := client.New("http://balancer", client.WithHTTPClient(&http.Client{Transport: s.balancer}), client.WithRetry(retry))
	if err != nil {
		return nil, err
	}
	l := &load{api: api, books: newBooks(run, s.accounts, accounts+1), run: run, troubles: map[string]int{}}
	if l.follows, err = newFollower(ctx, s, api, l.books); err != nil {
		return nil, err
	}
	list := []client.NewAccount{{Number: l.books.number(0), Currency: "USD", Overdraft: client.Unlimited}}
	for i := range int32(accounts) {
		list = append(list, client.NewAccount{Number: l.books.number(i + 1), Currency: "USD"})
	}
	results, err := api.CreateAccounts(ctx, list)
	if err != nil {
		return nil, fmt.Errorf("the accounts of the load: %w", err)
	}
	for _, r := range results {
		if r.Err != nil {
			return nil, fmt.Errorf("the accounts of the load: %w", r.Err)
		}
	}
	var batch []client.Transaction
	for i := range int32(accounts) {
		batch = append(batch, l.next(fmt.Sprintf("%s-fund-%d", run, i), rbcs.Transfer, 0, i+1, fundedCents))
	}
	l.batch(batch)
	return l, nil
}

// start starts the clients.
func (l *load) start(s *system, random *rand.Rand) {
	worker := func(name string, do func(name string, n int, random *rand.Rand)) {
		own := rand.New(rand.NewPCG(random.Uint64(), 0))
		l.workers.Go(func() {
			for n := 0; !l.stopped.Load(); n++ {
				do(fmt.Sprintf("%s-%s-%d", l.run, name, n), n, own)
			}
		})
	}
	for i := range singles {
		worker(fmt.Sprintf("s%d", i), l.single)
	}
	for i := range batchers {
		worker(fmt.Sprintf("b%d", i), l.many)
	}
	for _, i := range s.instances {
		own := rand.New(rand.NewPCG(random.Uint64(), 0))
		l.workers.Go(func() { l.read(i, own) })
	}
}

// stop ends the load; what is under way is answered first.
func (l *load) stop() {
	l.stopped.Store(true)
	l.workers.Wait()
}

// next makes a transaction and enters it in the books.
func (l *load) next(id string, kind rbcs.Type, source, destination int32, cents int64) client.Transaction {
	t := client.Transaction{
		ID: id, Type: kind, Source: l.books.number(source), Destination: l.books.number(destination), Amount: dollars(cents), Timestamp: time.Now().Truncate(time.Microsecond),
	}
	l.books.send(id, sent{kind: kind, source: source, destination: destination, cents: cents}, func() bool {
		return l.decide(id, func(ctx context.Context) (client.Result, error) { return l.api.Submit(ctx, t) })
	})
	return t
}

// pair draws two of the first accounts and an amount.
func pair(random *rand.Rand, accounts int32) (source, destination int32, cents int64) {
	source = 1 + random.Int32N(accounts)
	destination = 1 + (source+random.Int32N(accounts-1))%accounts
	return source, destination, 1 + random.Int64N(maxCents)
}

// single submits a transfer, sometimes again, or reverses it, or a hold and what settles it.
func (l *load) single(id string, _ int, random *rand.Rand) {
	source, destination, cents := pair(random, accounts)
	kind := rbcs.Transfer
	if random.IntN(3) == 0 {
		kind = rbcs.Hold
	}
	t := l.next(id, kind, source, destination, cents)
	submit := func(ctx context.Context) (client.Result, error) { return l.api.Submit(ctx, t) }
	var decision client.Result
	if !l.decide(id, func(ctx context.Context) (r client.Result, err error) {
		decision, err = submit(ctx)
		return decision, err
	}) || decision.Status == rbcs.Rejected {
		return
	}
	switch {
	case kind == rbcs.Hold && random.IntN(3) == 0:
		l.settle(id, sent{rbcs.Release, source, destination, cents, id}, "", l.api.Release)
	case kind == rbcs.Hold && random.IntN(3) > 0:
		part := 1 + random.Int64N(cents)
		l.settle(id, sent{rbcs.Capture, source, destination, part, id}, dollars(part), l.api.Capture)
	case kind == rbcs.Transfer && random.IntN(10) == 0:
		l.settle(id, sent{rbcs.Reversal, destination, source, cents, id}, dollars(cents), l.api.Reverse)
	case random.IntN(10) == 0:
		l.decide(id, submit) // a replay: the same outcome
	}
}

// settle settles or reverses the transaction with that ID.
func (l *load) settle(
	original string, s sent, amount client.Amount,
	call func(ctx context.Context, original string, settlement client.Settlement, opts ...client.SubmitOption) (client.Result, error),
) {
	id := original + "-" + string(s.kind)
	submit := func(ctx context.Context) (client.Result, error) {
		return call(ctx, original, client.Settlement{ID: id, Amount: amount})
	}
	l.books.send(id, s, func() bool { return l.decide(id, submit) })
	l.decide(id, submit)
}

// decide calls once for one transaction, and reports whether it has an outcome.
func (l *load) decide(id string, submit func(ctx context.Context) (client.Result, error)) bool {
	ctx, tr := traced(context.Background())
	r := request{start: time.Now(), transactions: 1}
	result, err := submit(ctx)
	switch {
	case err == nil:
		l.books.tell(&result)
		r.decided = 1
	case l.lossy && rbcs.CodeOf(err) == rbcs.NotFound: // what was to be reversed is lost
		l.books.withdraw(id)
		return false
	}
	l.note(r, tr, err)
	return err == nil
}

// many submits a batch of transfers and some holds.
func (l *load) many(id string, _ int, random *rand.Rand) {
	list := make([]client.Transaction, batchSize)
	for k := range list {
		source, destination, cents := pair(random, busy)
		kind := rbcs.Transfer
		if random.IntN(20) == 0 {
			kind, cents = rbcs.Hold, 1+cents%50 // it stays open
		}
		list[k] = l.next(fmt.Sprintf("%s-%d", id, k), kind, source, destination, cents)
	}
	l.batch(list)
	time.Sleep(batchPause)
}

func (l *load) batch(list []client.Transaction) {
	ctx, tr := traced(context.Background())
	r := request{start: time.Now(), transactions: len(list)}
	results, err := l.api.SubmitBatch(ctx, list)
	var failures []error
	for k := range results {
		if results[k].Err != nil {
			failures = append(failures, results[k].Err)
			continue
		}
		l.books.tell(&results[k])
		r.decided++
	}
	if err == nil && len(failures) > 0 {
		err = fmt.Errorf("%d of %d transactions: %w", len(failures), len(list), failures[0])
	}
	l.note(r, tr, err)
}

// note keeps what became of a call.
func (l *load) note(r request, tr *trace, err error) {
	r.end, r.trace, r.err = time.Now(), *tr, err
	if took := r.end.Sub(r.start); took > deadline {
		l.books.anomaly("a request was answered after %s: %v", took, err)
	}
	var known *rbcs.Error
	if err != nil && (!errors.As(err, &known) || !known.Retryable()) {
		l.books.anomaly("a request failed with what no retry mends: %v", err)
	}
	for _, err := range tr.errors {
		l.trouble("attempt", err)
	}
	if err != nil {
		l.trouble("request", err)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.requests = append(l.requests, r)
	if r.decided > 0 {
		l.success = append(l.success, time.Now())
	}
}

// read reads balances from one instance, through its cache, and checks that
// none is older than what anybody was told before.
func (l *load) read(i *instance, random *rand.Rand) {
	api, err := client.New("http://"+i.address,
		client.WithHTTPClient(&http.Client{Transport: &http.Transport{}}), client.WithRetry(client.Retry{Attempts: 1, AttemptTimeout: retry.AttemptTimeout}))
	if err != nil {
		panic(err) // the address is this program's
	}
	defer api.Close()
	for !l.stopped.Load() {
		account := 1 + random.Int32N(accounts)
		least, lossy := l.books.seen[account].Load(), l.books.lossy.Load()
		began := time.Now()
		b, err := api.Balance(context.Background(), l.books.number(account))
		switch {
		case err != nil:
			l.readsFailed.Add(1)
			l.trouble("read", err)
			time.Sleep(10 * readersPause)
			continue
		case b.Version < least && lossy == l.books.lossy.Load(): // there was no promotion meanwhile that may have lost something
			l.books.anomaly("instance %s served version %d of %s from the %s %s after version %d was acknowledged",
				i.name, b.Version, b.Number, b.ServedBy, time.Since(began), least)
		}
		l.reads.Add(1)
		if b.ServedBy == "cache" {
			l.hits.Add(1)
		}
		time.Sleep(readersPause)
	}
}
