package engine_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"rbcs"
	"rbcs/internal/engine"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// fault is how one call of the fake store goes wrong.
type fault int

const (
	none          fault = iota
	refused             // Unavailable, no effect
	gone                // Unavailable, no effect: the store is away
	lostBefore          // OutcomeUnknown, no effect
	lostAfter           // OutcomeUnknown, took effect
	panicBefore         // no effect
	panicAfter          // took effect
	shortAfter          // a result is missing, took effect
	bareAfter           // an error that the contract does not name, took effect
	broken              // Internal, no effect
	timeoutBefore       // waits until its context ends, then OutcomeUnknown, no effect
	deaf                // does not look at its context, and succeeds after a minute
	faults              // how many there are
)

// retried reports whether the same batch is to be tried again.
func (f fault) retried() bool {
	return f == refused || f == gone || f == lostBefore || f == lostAfter || f == timeoutBefore
}

// fakeStore keeps the contract of rbcs.Committer in memory, except where script
// says otherwise, and notes what an engine must never do.
type fakeStore struct {
	pause  time.Duration                                    // of each commit
	script func(call int, batch []*rbcs.Transaction) fault  // nil for none; call counts from 1
	before func(ctx context.Context, b []*rbcs.Transaction) // nil for nothing

	preview func(context.Context, []*rbcs.Transaction) ([]rbcs.Result, error) // nil where none is expected

	mu      sync.Mutex
	calls   int
	sizes   []int                  // of the batches
	decided map[string]rbcs.Result // by ID
	log     []*rbcs.Transaction    // in the order in which they were decided
	flying  map[string]int         // accounts and IDs, by the call that has them
	wrong   []string

	previewing, mostPreviews int
}

func (s *fakeStore) Commit(ctx context.Context, batch []*rbcs.Transaction) ([]rbcs.Result, error) {
	call, fault := s.begin(ctx, batch)
	if s.before != nil {
		s.before(ctx, batch)
	}
	if s.pause > 0 {
		time.Sleep(s.pause)
	}
	switch fault {
	case timeoutBefore:
		<-ctx.Done()
	case deaf:
		time.Sleep(time.Minute)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for key, owner := range s.flying {
		if owner == call {
			delete(s.flying, key)
		}
	}
	switch fault {
	case refused:
		return nil, rbcs.Errorf(rbcs.Unavailable, "the database is away")
	case gone:
		return nil, &rbcs.Error{Code: rbcs.Unavailable, Message: "nobody listens", Away: true}
	case lostBefore, timeoutBefore:
		return nil, rbcs.Errorf(rbcs.OutcomeUnknown, "the connection was lost")
	case panicBefore:
		panic("before")
	case broken:
		return nil, rbcs.Errorf(rbcs.Internal, "the table is damaged")
	}
	results := s.decide(batch)
	switch fault {
	case lostAfter:
		return nil, rbcs.Errorf(rbcs.OutcomeUnknown, "the connection was lost")
	case panicAfter:
		panic("after")
	case shortAfter:
		return results[1:], nil
	case bareAfter:
		return nil, errors.New("unexpected EOF")
	}
	return results, nil
}

// Preview answers like a commit of nothing that is known, or goes wrong as script says.
func (s *fakeStore) Preview(ctx context.Context, batch []*rbcs.Transaction) ([]rbcs.Result, error) {
	s.mu.Lock()
	s.previewing++
	s.mostPreviews = max(s.mostPreviews, s.previewing)
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.previewing--
	}()
	if s.preview == nil {
		return nil, errors.New("no preview is expected")
	}
	return s.preview(ctx, batch)
}

func (s *fakeStore) begin(ctx context.Context, batch []*rbcs.Transaction) (int, fault) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.calls++
	s.sizes = append(s.sizes, len(batch))
	if _, ok := ctx.Deadline(); !ok {
		s.wrong = append(s.wrong, "an attempt without a deadline")
	}
	if s.flying == nil {
		s.flying = map[string]int{}
	}
	for i := 0; i < len(batch); {
		n, err := rbcs.Unit(batch[i:])
		if err != nil {
			s.wrong = append(s.wrong, err.Error())
			break
		}
		i += n
	}
	for _, tx := range batch {
		for _, key := range []string{tx.Source, tx.Destination, "id " + tx.ID, "id " + tx.Original} {
			if key == "" || key == "id " {
				continue
			}
			if other, ok := s.flying[key]; ok && other != s.calls {
				s.wrong = append(s.wrong, fmt.Sprintf("%s is in two commits at once", key))
			}
			s.flying[key] = s.calls
		}
	}
	if s.script == nil {
		return s.calls, none
	}
	return s.calls, s.script(s.calls, batch)
}

func (s *fakeStore) decide(batch []*rbcs.Transaction) []rbcs.Result {
	if s.decided == nil {
		s.decided = map[string]rbcs.Result{}
	}
	results := make([]rbcs.Result, 0, len(batch))
	for _, tx := range batch {
		result, ok := s.decided[tx.ID]
		switch {
		case !ok:
			s.log = append(s.log, tx)
			result = rbcs.Result{Transaction: *tx, Status: rbcs.Posted, Sequence: int64(len(s.log))}
			s.decided[tx.ID] = result
		case result.Transaction != *tx:
			result = rbcs.Result{Transaction: *tx, Err: &rbcs.Error{Code: rbcs.IDConflict}}
		default:
			result.Replayed = true
		}
		results = append(results, result)
	}
	return results
}

// check fails where the engine did what it must never do.
func (s *fakeStore) check(t *testing.T) {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, w := range s.wrong {
		t.Error(w)
	}
}

// checkOrder fails where transactions that share an account or an ID were decided in
// another order than the one they were admitted in.
func (s *fakeStore) checkOrder(t *testing.T, admitted []*rbcs.Transaction) {
	t.Helper()
	place := map[*rbcs.Transaction]int{} // of each submission that was the one to be decided
	for i, tx := range s.log {
		place[tx] = i
	}
	last := map[string]int{}
	for _, tx := range admitted {
		at, ok := place[tx]
		if !ok {
			continue // it failed, or another submission of its ID was decided
		}
		for _, key := range []string{tx.Source, tx.Destination, "id " + tx.ID, "id " + tx.Original} {
			if key == "" || key == "id " {
				continue
			}
			if at < last[key] {
				t.Errorf("%s was decided before an earlier transaction with %s", tx.ID, key)
			}
			last[key] = max(last[key], at)
		}
	}
}

func (s *fakeStore) has(id string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, ok := s.decided[id]
	return ok
}

func newEngine(t *testing.T, store rbcs.Committer, cfg engine.Config) *engine.Engine {
	t.Helper()
	e, err := engine.New(store, cfg)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func stop(t *testing.T, e *engine.Engine) {
	t.Helper()
	if err := e.Stop(t.Context()); err != nil {
		t.Errorf("Stop: %v", err)
	}
	s := e.Stats()
	s.Away = false // the store may be
	if s != (engine.Stats{Stopped: true}) {
		t.Errorf("after Stop: %+v", s)
	}
}

func tx(id, source, destination string) *rbcs.Transaction {
	return &rbcs.Transaction{ID: id, Type: rbcs.Transfer, Source: source, Destination: destination}
}

// series makes n transfers that share no account.
func series(prefix string, n int) []*rbcs.Transaction {
	txs := make([]*rbcs.Transaction, n)
	for i := range txs {
		id := fmt.Sprintf("%s%d", prefix, i)
		txs[i] = tx(id, id+":from", id+":to")
	}
	return txs
}

// submission is a Submit that runs in its own goroutine.
// What it returned may be read only when it is done.
type submission struct {
	txs      []*rbcs.Transaction
	results  []rbcs.Result
	err      error
	after    time.Duration
	returned chan struct{}
}

func (s *submission) done() bool {
	select {
	case <-s.returned:
		return true
	default:
		return false
	}
}

// submit starts a Submit, and returns when it waits or is done.
// It must be called in a synctest bubble.
func submit(ctx context.Context, e *engine.Engine, txs ...*rbcs.Transaction) *submission {
	s := &submission{txs: txs, returned: make(chan struct{})}
	begin := time.Now()
	go func() {
		s.results, s.err = e.Submit(ctx, s.txs)
		s.after = time.Since(begin)
		close(s.returned)
	}()
	synctest.Wait()
	return s
}

// codes waits for the results and returns the codes of their errors, "" for a
// result without one.
func (s *submission) codes() []rbcs.Code {
	<-s.returned
	codes := make([]rbcs.Code, len(s.results))
	for i, r := range s.results {
		if r.Err != nil {
			codes[i] = r.Err.Code
		}
	}
	return codes
}

// want fails unless the submission is done and every result has the given code.
func (s *submission) want(t *testing.T, code rbcs.Code) {
	t.Helper()
	synctest.Wait()
	if !s.done() {
		t.Error("a submission without an answer")
		return
	}
	if s.err != nil || len(s.results) != len(s.txs) {
		t.Errorf("error %v, %d results for %d transactions", s.err, len(s.results), len(s.txs))
		return
	}
	for i, r := range s.results {
		if r.Transaction.ID != s.txs[i].ID {
			t.Errorf("result %d is of %s, not of %s", i, r.Transaction.ID, s.txs[i].ID)
		}
	}
	if codes := s.codes(); slices.ContainsFunc(codes, func(c rbcs.Code) bool { return c != code }) {
		t.Errorf("codes %q, want %q only", codes, code)
	}
}
