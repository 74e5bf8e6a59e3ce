package engine_test

import (
	"context"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"rbcs"
	"rbcs/internal/engine"
)

// fencedStore is a fakeStore that keeps the contract of rbcs.FencedCommitter,
// and the versions of accounts.
type fencedStore struct {
	fakeStore
	overtaken int  // how often each commit runs again
	unfenced  bool // the store finds that no cache is in use
	decides   func(id string) rbcs.Status

	versions map[string]int64
}

func (s *fencedStore) CommitFenced(ctx context.Context, batch []*rbcs.Transaction, fence rbcs.Fence) ([]rbcs.Result, error) {
	for range 1 + s.overtaken {
		l := rbcs.Locked{Timeline: 7}
		for _, t := range batch {
			l.Numbers = append(l.Numbers, t.Source, t.Destination)
		}
		if !s.unfenced {
			fence(ctx, l)()
		}
	}
	results, err := s.Commit(ctx, batch)
	if s.versions == nil {
		s.versions = map[string]int64{}
	}
	for i := range results {
		r := &results[i]
		if s.decides != nil {
			r.Status = s.decides(r.Transaction.ID)
		}
		if r.Status != rbcs.Posted || r.Replayed {
			continue
		}
		for number, state := range map[string]*rbcs.State{r.Transaction.Source: &r.Source, r.Transaction.Destination: &r.Destination} {
			s.versions[number]++
			*state = rbcs.State{Balance: rbcs.AmountOf(10 * s.versions[number]), Held: rbcs.AmountOf(1), Version: s.versions[number]}
		}
	}
	return results, err
}

// fakeCache keeps what became of the marks of each attempt, in their order.
type fakeCache struct {
	mu    sync.Mutex
	marks []*fakeMarks
}

type fakeMarks struct {
	locked    rbcs.Locked
	confirmed int
	ended     []string // "refreshed" or "dropped", each time
	balances  []rbcs.Balance
}

func (c *fakeCache) Mark(_ context.Context, l rbcs.Locked) engine.Marks {
	c.mu.Lock()
	defer c.mu.Unlock()
	m := &fakeMarks{locked: l}
	c.marks = append(c.marks, m)
	return m
}

func (m *fakeMarks) Confirmed() bool { m.confirmed++; return true }
func (m *fakeMarks) Drop()           { m.ended = append(m.ended, "dropped") }
func (m *fakeMarks) Refresh(balances []rbcs.Balance) {
	m.ended, m.balances = append(m.ended, "refreshed"), balances
}

// ends is what became of all marks, "-" where that was nothing.
func (c *fakeCache) ends() string {
	var ends []string
	for _, m := range c.marks {
		ends = append(ends, strings.Join(append(m.ended, "-")[:max(1, len(m.ended))], "+"))
	}
	return strings.Join(ends, " ")
}

// Marks are refreshed after a commit that succeeded, dropped after an attempt
// that certainly failed or ran again, and left alone where nobody knows.
func TestMarksEndAsTheirAttemptDoes(t *testing.T) {
	for name, c := range map[string]struct {
		store  *fencedStore // nil for a plain one
		faults []fault
		want   string
	}{
		"committed":               {want: "refreshed"},
		"overtaken":               {store: &fencedStore{overtaken: 2}, want: "dropped dropped refreshed"},
		"no cache is in use":      {store: &fencedStore{unfenced: true}},
		"refused, then committed": {faults: []fault{refused}, want: "dropped refreshed"},
		"refused after a re-run":  {store: &fencedStore{overtaken: 1}, faults: []fault{refused}, want: "dropped dropped dropped refreshed"},
		"lost before":             {faults: []fault{lostBefore}, want: "- refreshed"},
		"lost after":              {faults: []fault{lostAfter}, want: "- dropped"}, // replays change nothing
		"panicked":                {faults: []fault{panicAfter}, want: "-"},
		"a bare error":            {faults: []fault{bareAfter}, want: "-"},
		"a result is missing":     {faults: []fault{shortAfter}, want: "-"},
		"damaged":                 {faults: []fault{broken}, want: "dropped"},
		"rejected":                {store: &fencedStore{decides: func(string) rbcs.Status { return rbcs.Rejected }}, want: "dropped"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				store, cache := c.store, &fakeCache{}
				if store == nil {
					store = &fencedStore{}
				}
				store.script = func(call int, _ []*rbcs.Transaction) fault {
					if call <= len(c.faults) {
						return c.faults[call-1]
					}
					return none
				}
				e := newEngine(t, store, engine.Config{Cache: cache, Logger: quiet})
				s := submit(t.Context(), e, tx("x", "a", "b"))
				<-s.returned
				if got := cache.ends(); got != c.want {
					t.Errorf("the marks are %q, want %q", got, c.want)
				}
				for _, m := range cache.marks {
					if m.confirmed != 1 || m.locked.Timeline != 7 || !slices.Equal(m.locked.Numbers, []string{"a", "b"}) {
						t.Errorf("marks %+v", m)
					}
				}
				stop(t, e)
			})
		})
	}
}

// A batch on a hot account is refreshed with its last balance, once.
func TestRefreshIsOfTheLastBalances(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store, cache := &fencedStore{decides: func(id string) rbcs.Status {
			if id == "t7" {
				return rbcs.Rejected
			}
			return rbcs.Posted
		}}, &fakeCache{}
		e := newEngine(t, store, engine.Config{Cache: cache})
		txs := series("t", 8)
		for _, tx := range txs {
			tx.Destination, tx.Currency, tx.Amount.Scale = "hot", "USD", 2
		}
		txs[5].Source = txs[0].Source
		submit(t.Context(), e, txs...).want(t, "")
		stop(t, e)
		if cache.ends() != "refreshed" {
			t.Fatalf("the marks are %q", cache.ends())
		}
		want := map[string]int64{"hot": 7, "t0:from": 2, "t1:from": 1, "t2:from": 1, "t3:from": 1, "t4:from": 1, "t6:from": 1}
		for _, b := range cache.marks[0].balances {
			expected := rbcs.Balance{
				Number: b.Number, Currency: rbcs.Currency{Code: "USD", Decimals: 2}, Version: want[b.Number],
				Balance: rbcs.AmountOf(10 * want[b.Number]), Held: rbcs.AmountOf(1),
			}
			if b != expected {
				t.Errorf("refreshed with %+v, want %+v", b, expected)
			}
			delete(want, b.Number)
		}
		if len(want) > 0 {
			t.Errorf("not refreshed: %v", want)
		}
	})
}

func TestCacheNeedsFencedStore(t *testing.T) {
	_, err := engine.New(&fakeStore{}, engine.Config{Cache: &fakeCache{}})
	if rbcs.CodeOf(err) != rbcs.InvalidRequest || !strings.Contains(err.Error(), "/Cache") {
		t.Errorf("error %v", err)
	}
}
