package expiry_test

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"rbcs"
	"rbcs/internal/expiry"
)

// service is a store and an engine in one. It decides expiries as the posting
// rules do, and notes what it must never see. Its functions may be nil.
type service struct {
	look   func(ctx context.Context) error // before a look; an error is its answer
	before func(ctx context.Context) error // before a submission is decided; an error is its answer
	after  func() error                    // an error instead of the answer to what was decided
	decide func(hold string) *rbcs.Result  // nil, or what is decided about a hold instead
	behind time.Duration                   // how far the commit's clock is behind that of the look

	mu       sync.Mutex
	holds    map[string]rbcs.Transaction
	settled  map[string]string // what settled a hold
	recorded map[string]rbcs.Result
	released map[string]time.Time
	looks    int
	submits  int
	wrong    []string
}

func newService() *service {
	return &service{
		holds: map[string]rbcs.Transaction{}, settled: map[string]string{},
		recorded: map[string]rbcs.Result{}, released: map[string]time.Time{},
	}
}

// hold places a hold that is due after a time.
func (s *service) hold(id string, due time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.holds[id] = rbcs.Transaction{
		ID: id, Type: rbcs.Hold, Source: "from:" + id, Destination: "to:" + id,
		Currency: "USD", Timestamp: time.Now(), ExpiresAt: time.Now().Add(due),
	}
}

// settle lets somebody else settle a hold.
func (s *service) settle(id, by string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.settled[id] = by
}

func (s *service) DueHolds(ctx context.Context, limit int) ([]rbcs.Transaction, error) {
	s.mu.Lock()
	s.looks++
	s.mu.Unlock()
	if s.look != nil {
		if err := s.look(ctx); err != nil {
			return nil, err
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	var due []rbcs.Transaction
	for id, h := range s.holds {
		if s.settled[id] == "" && !time.Now().Before(h.ExpiresAt) {
			due = append(due, h)
		}
	}
	slices.SortFunc(due, func(a, b rbcs.Transaction) int { return a.ExpiresAt.Compare(b.ExpiresAt) })
	return due[:min(limit, len(due))], nil
}

func (s *service) Submit(ctx context.Context, txs []*rbcs.Transaction) ([]rbcs.Result, error) {
	if s.before != nil {
		if err := s.before(ctx); err != nil {
			return nil, err
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.submits++
	results := make([]rbcs.Result, len(txs))
	for i, tx := range txs {
		results[i] = s.commit(tx)
	}
	if s.after != nil {
		if err := s.after(); err != nil {
			return nil, err
		}
	}
	return results, nil
}

func (s *service) commit(tx *rbcs.Transaction) rbcs.Result {
	h := s.holds[tx.Original]
	want := rbcs.Transaction{
		ID: "rbcs.expiry." + h.ID, Type: rbcs.Expiry, Original: h.ID, Source: h.Source, Destination: h.Destination, Actor: expiry.Actor,
	}
	if *tx != want {
		s.wrong = append(s.wrong, fmt.Sprintf("submitted %+v, want %+v", *tx, want))
	}
	if recorded, ok := s.recorded[tx.ID]; ok {
		recorded.Replayed = true
		return recorded
	}
	result := rbcs.Result{Transaction: *tx, Status: rbcs.Posted}
	if s.decide != nil {
		if decided := s.decide(h.ID); decided != nil {
			return *decided
		}
	}
	switch {
	case time.Now().Add(-s.behind).Before(h.ExpiresAt):
		return rbcs.Result{Transaction: *tx, Err: rbcs.Errorf(rbcs.InvalidRequest, "the hold is not due yet")}
	case s.settled[h.ID] != "":
		result.Status, result.Code, result.SettledBy = rbcs.Rejected, rbcs.HoldNotOpen, s.settled[h.ID]
	default:
		s.settled[h.ID] = tx.ID
		s.released[h.ID] = time.Now()
	}
	s.recorded[tx.ID] = result
	return result
}

// looked returns how often it was looked for what is due.
func (s *service) looked() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.looks
}

// check fails where something was submitted that must not be, or where not
// exactly the given number of holds was released.
func (s *service) check(t *testing.T, released int) {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, w := range s.wrong {
		t.Error(w)
	}
	if len(s.released) != released {
		t.Errorf("%d holds were released, want %d", len(s.released), released)
	}
	for id, at := range s.released {
		if at.Before(s.holds[id].ExpiresAt) {
			t.Errorf("%s was released at %v, before its time %v", id, at, s.holds[id].ExpiresAt)
		}
	}
}
