package storetest_test

import (
	"context"
	"errors"
	"maps"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"

	"rbcs"
)

// defectVariable names the environment variable that gives TestMemory a store
// with a defect.
const defectVariable = "STORETEST_DEFECT"

// defect is a wrong store, and the group of the suite that must find it.
type defect struct {
	group string
	store func(m *memory) rbcs.Store
}

// defects are those of transfers, and of what is true of every store.
var defects = map[string]defect{
	"the same ID moves money again": {"Replay", func(m *memory) rbcs.Store {
		return &committing{memory: m, commit: func(batch []*rbcs.Transaction, commit commitFunc) ([]rbcs.Result, error) {
			for i, t := range batch {
				for m.has(batch[i].ID) {
					batch[i] = new(*batch[i])
					batch[i].ID += "'"
				}
				defer func() { batch[i] = t }()
			}
			results, err := commit(batch)
			for i := range results {
				results[i].Transaction.ID = strings.TrimRight(results[i].Transaction.ID, "'")
			}
			return results, err
		}}
	}},
	"a replay in the batch has no sequence": {"Machine", func(m *memory) rbcs.Store {
		return &committing{memory: m, commit: func(batch []*rbcs.Transaction, commit commitFunc) ([]rbcs.Result, error) {
			before := int64(len(m.log))
			results, err := commit(batch)
			for i := range results {
				if results[i].Replayed && results[i].Sequence > before {
					results[i].Sequence = 0
				}
			}
			return results, err
		}}
	}},
	"a cent more than the overdraft": {"Crowd", func(m *memory) rbcs.Store {
		return &committing{memory: m, commit: func(batch []*rbcs.Transaction, commit commitFunc) ([]rbcs.Result, error) {
			shift := func(by int64) {
				for _, a := range m.accounts {
					a.Overdraft.Limit, _ = a.Overdraft.Limit.Add(rbcs.AmountOf(by))
				}
			}
			shift(1)
			defer shift(-1)
			return commit(batch)
		}}
	}},
	"what was acknowledged is lost": {"Crowd", func(m *memory) rbcs.Store {
		return &committing{memory: m, commit: func(batch []*rbcs.Transaction, commit commitFunc) ([]rbcs.Result, error) {
			results, err := commit(batch)
			if n := len(m.log); n%20 == 0 && n > 0 {
				r := m.log[n-1]
				delete(m.recorded, r.Transaction.ID)
				r.Transaction.ID += " lost"
				m.recorded[r.Transaction.ID] = r
			}
			return results, err
		}}
	}},
	"rejections are not recorded": {"Commit", func(m *memory) rbcs.Store {
		return &committing{memory: m, commit: func(batch []*rbcs.Transaction, commit commitFunc) ([]rbcs.Result, error) {
			results, err := commit(batch)
			for n := len(m.log); n > 0 && m.log[n-1].Status == rbcs.Rejected; n-- {
				delete(m.recorded, m.log[n-1].Transaction.ID)
				m.log = m.log[:n-1]
			}
			return results, err
		}}
	}},
	"the stored version runs ahead": {"Machine", func(m *memory) rbcs.Store {
		return &committing{memory: m, commit: func(batch []*rbcs.Transaction, commit commitFunc) ([]rbcs.Result, error) {
			results, err := commit(batch)
			for i := range results {
				if r := &results[i]; r.Status == rbcs.Posted && !r.Replayed && r.Source.Version == 5 {
					m.accounts[r.Transaction.Source].Version++
				}
			}
			return results, err
		}}
	}},
	"prefixes ignore case":             {"Listing", func(m *memory) rbcs.Store { return caseless{m} }},
	"a refused change is half made":    {"Update", func(m *memory) rbcs.Store { return halfMade{m} }},
	"the end of a time range is in it": {"Reads", func(m *memory) rbcs.Store { return inclusive{m} }},
	"an account is read late":          {"Crowd", func(m *memory) rbcs.Store { return &stale{memory: m} }},
}

// allDefects are all of them, by what is wrong.
var allDefects = func() map[string]defect {
	all := maps.Clone(defects)
	maps.Copy(all, lifeDefects)
	return all
}()

// TestSuiteFindsDefects runs a group of the suite on each wrong store, in a
// process of its own, where it must fail. What shows only when committers meet
// may take it a few runs.
func TestSuiteFindsDefects(t *testing.T) {
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	for name, defect := range allDefects {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cmd := exec.CommandContext(t.Context(), program, "-test.run=^TestMemory$/^"+defect.group+"$", "-test.count=10", "-test.failfast", "-rapid.shrinktime=100ms", "-rapid.nofailfile")
			cmd.Env = append(os.Environ(), defectVariable+"="+name)
			output, err := cmd.CombinedOutput()
			var failed *exec.ExitError
			if !errors.As(err, &failed) || !strings.Contains(string(output), "--- FAIL: TestMemory/"+defect.group) {
				t.Errorf("the group %s did not fail (%v):\n%s", defect.group, err, output)
			}
		})
	}
}

type commitFunc func(batch []*rbcs.Transaction) ([]rbcs.Result, error)

// committing is a memory whose commit is tampered with.
type committing struct {
	*memory
	serial sync.Mutex
	commit func(batch []*rbcs.Transaction, commit commitFunc) ([]rbcs.Result, error)
}

func (s *committing) Commit(ctx context.Context, batch []*rbcs.Transaction) ([]rbcs.Result, error) {
	defer s.serial.Unlock()
	s.serial.Lock()
	return s.commit(batch, func(batch []*rbcs.Transaction) ([]rbcs.Result, error) { return s.memory.Commit(ctx, batch) })
}

func (m *memory) has(id string) bool {
	_, err := m.Transaction(context.Background(), id)
	return err == nil
}

type caseless struct{ *memory }

func (s caseless) Accounts(ctx context.Context, q rbcs.AccountQuery) (list []rbcs.Account, err error) {
	prefix, limit := strings.ToLower(q.Prefix), q.Limit
	q.Prefix, q.Limit = "", 1<<30
	all, err := s.memory.Accounts(ctx, q)
	for _, a := range all {
		if strings.HasPrefix(strings.ToLower(a.Number), prefix) && len(list) < limit {
			list = append(list, a)
		}
	}
	return list, err
}

type halfMade struct{ *memory }

func (s halfMade) UpdateAccount(ctx context.Context, number string, change rbcs.AccountChange) (rbcs.Account, error) {
	a, err := s.memory.UpdateAccount(ctx, number, change)
	if rbcs.CodeOf(err) == rbcs.InvalidRequest && change.Metadata != nil {
		s.accounts[number].Metadata = *change.Metadata
	}
	return a, err
}

type inclusive struct{ *memory }

func (s inclusive) History(ctx context.Context, q rbcs.HistoryQuery) ([]rbcs.Entry, error) {
	if !q.To.IsZero() {
		q.To = q.To.Add(1)
	}
	return s.memory.History(ctx, q)
}

// stale answers with an account as it was when it was read before.
type stale struct {
	*memory
	last sync.Map
}

func (s *stale) Account(ctx context.Context, number string) (rbcs.Account, error) {
	a, err := s.memory.Account(ctx, number)
	if before, ok := s.last.Swap(number, a); ok && err == nil {
		return before.(rbcs.Account), nil
	}
	return a, err
}
