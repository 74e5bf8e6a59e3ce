package storetest_test

import (
	"context"
	"runtime"
	"slices"
	"time"

	"rbcs"
	"rbcs/internal/posting"
)

// tampered returns a defect of Commit: before is called with the batch, and what
// it returns with the results.
func tampered(group string, before func(m *memory, batch []*rbcs.Transaction) (after func(results []rbcs.Result))) defect {
	return defect{group, func(m *memory) rbcs.Store {
		return &committing{memory: m, commit: func(batch []*rbcs.Transaction, commit commitFunc) ([]rbcs.Result, error) {
			after := before(m, batch)
			results, err := commit(batch)
			if after != nil {
				after(results)
			}
			return results, err
		}}
	}}
}

// lifeDefects are those of holds, reversals, groups, events and the like.
var lifeDefects = map[string]defect{
	"a hold is captured twice": tampered("Holds", func(m *memory, batch []*rbcs.Transaction) func([]rbcs.Result) {
		for _, t := range batch {
			if t.Type == rbcs.Capture && !m.has(t.ID) {
				delete(m.references, t.Original)
			}
		}
		return nil
	}),
	"the rest of a capture stays held": tampered("Holds", func(m *memory, _ []*rbcs.Transaction) func([]rbcs.Result) {
		return func(results []rbcs.Result) {
			for _, r := range results {
				if r.Status == rbcs.Posted && r.Transaction.Type == rbcs.Capture && !r.Replayed {
					a := m.accounts[r.Transaction.Source]
					a.Held, _ = a.Held.Add(r.Remainder)
				}
			}
		}
	}),
	"what is held can be spent": tampered("Settling", func(m *memory, batch []*rbcs.Transaction) func([]rbcs.Result) {
		if len(batch) != 1 || batch[0].Type != rbcs.Transfer || m.accounts[batch[0].Source] == nil {
			return nil
		}
		a := m.accounts[batch[0].Source]
		held := a.Held
		a.Held = rbcs.Amount{}
		return func([]rbcs.Result) { a.Held = held }
	}),
	"a due hold is captured": tampered("Holds", func(m *memory, batch []*rbcs.Transaction) func([]rbcs.Result) {
		var restore []func()
		for _, t := range batch {
			if hold := m.recorded[t.Original]; t.Type == rbcs.Capture && hold != nil {
				end := hold.Transaction.ExpiresAt
				hold.Transaction.ExpiresAt = time.Time{}
				restore = append(restore, func() { hold.Transaction.ExpiresAt = end })
			}
		}
		return func([]rbcs.Result) {
			for _, f := range restore {
				f()
			}
		}
	}),
	"who settled the hold is not told": tampered("Settling", func(m *memory, _ []*rbcs.Transaction) func([]rbcs.Result) {
		return func(results []rbcs.Result) {
			for i := range results {
				results[i].SettledBy = ""
				if r := m.recorded[results[i].Transaction.ID]; r != nil {
					r.SettledBy = ""
				}
			}
		}
	}),
	"more is reversed than was moved": tampered("Reversals", func(m *memory, batch []*rbcs.Transaction) func([]rbcs.Result) {
		for _, t := range batch {
			if t.Type == rbcs.Reversal && !m.has(t.ID) {
				delete(m.references, t.Original)
			}
		}
		return nil
	}),
	"a reversal ignores a freeze": tampered("Reversals", func(m *memory, batch []*rbcs.Transaction) func([]rbcs.Result) {
		var restore []func()
		for _, t := range batch {
			if a := m.accounts[t.Source]; t.Type == rbcs.Reversal && a != nil && a.Status == rbcs.Frozen {
				a.Status = rbcs.Open
				restore = append(restore, func() { a.Status = rbcs.Frozen })
			}
		}
		return func([]rbcs.Result) {
			for _, f := range restore {
				f()
			}
		}
	}),
	"a replay forgets the remainder": tampered("Reversals", func(*memory, []*rbcs.Transaction) func([]rbcs.Result) {
		return func(results []rbcs.Result) {
			for i := range results {
				if results[i].Replayed {
					results[i].Remainder = rbcs.Amount{}
				}
			}
		}
	}),
	"a group takes place in part": tampered("Groups", func(m *memory, batch []*rbcs.Transaction) func([]rbcs.Result) {
		groups := make([]rbcs.Group, len(batch))
		for i, t := range batch {
			groups[i] = t.Group
			batch[i] = new(*t)
			batch[i].Group = rbcs.Group{}
		}
		return func(results []rbcs.Result) {
			for i := range results {
				batch[i].Group, results[i].Transaction.Group = groups[i], groups[i]
				if r := m.recorded[results[i].Transaction.ID]; r != nil {
					r.Transaction.Group = groups[i]
				}
			}
		}
	}),
	"a failed group settles its holds": tampered("Machine", func(m *memory, _ []*rbcs.Transaction) func([]rbcs.Result) {
		return func(results []rbcs.Result) {
			for _, r := range results {
				if t := r.Transaction; r.Code == rbcs.GroupFailed && !r.Replayed && t.Type == rbcs.Release && m.recorded[t.Original] != nil {
					m.references[t.Original] = posting.Reference{SettledBy: t.ID}
				}
			}
		}
	}),
	"a capture between committers is lost": tampered("Throng", func(m *memory, _ []*rbcs.Transaction) func([]rbcs.Result) {
		return func(results []rbcs.Result) {
			for _, r := range results {
				if t := r.Transaction; r.Status == rbcs.Posted && t.Type == rbcs.Capture && r.Sequence%50 == 0 && !r.Replayed {
					m.references[t.Original] = posting.Reference{}
				}
			}
		}
	}),
	"a preview is recorded":                       {"Preview", func(m *memory) rbcs.Store { return recording{m} }},
	"the log skips what commits late":             {"Log", func(m *memory) rbcs.Store { return skipping{m} }},
	"the status filter is of the past":            {"Reads", func(m *memory) rbcs.Store { return dated{m} }},
	"a hold that is settled is due":               {"Holds", func(m *memory) rbcs.Store { return overdue{m} }},
	"the history leaves holds out":                {"Holds", func(m *memory) rbcs.Store { return moving{m} }},
	"an account with holds is closed":             {"Holds", func(m *memory) rbcs.Store { return closing{m} }},
	"the totals are of two moments":               {"Throng", func(m *memory) rbcs.Store { return twice{m} }},
	"two instances deliver a webhook":             {"Webhooks", func(m *memory) rbcs.Store { return sharing{m} }},
	"a cursor that was moved is moved back":       {"Webhooks", func(m *memory) rbcs.Store { return forcing{m} }},
	"a statement's closing does not see the last": {"Reads", func(m *memory) rbcs.Store { return short{m} }},
}

type recording struct{ *memory }

func (s recording) Preview(ctx context.Context, batch []*rbcs.Transaction) ([]rbcs.Result, error) {
	return s.Commit(ctx, batch)
}

// skipping shows the newest decision only to who comes when there is a newer one,
// and says that the log is settled up to it.
type skipping struct{ *memory }

func (s skipping) Log(ctx context.Context, after int64, limit int) (rbcs.LogPage, error) {
	page, err := s.memory.Log(ctx, after, limit)
	if n := len(page.Results); n > 0 && n < limit {
		page.Results = page.Results[:n-1]
	}
	return page, err
}

type dated struct{ *memory }

func (s dated) Transactions(ctx context.Context, q rbcs.TransactionQuery) (list []rbcs.Record, err error) {
	status, limit := q.Status, q.Limit
	q.Status, q.Limit = "", 1<<30
	all, err := s.memory.Transactions(ctx, q)
	for _, r := range all {
		if (status == "" || r.Status == status) && len(list) < limit {
			list = append(list, r)
		}
	}
	return list, err
}

type overdue struct{ *memory }

func (s overdue) DueHolds(ctx context.Context, limit int) (list []rbcs.Transaction, err error) {
	leave, err := s.enter(ctx)
	if err != nil {
		return nil, err
	}
	defer leave()
	for _, r := range s.log {
		if end := r.Transaction.ExpiresAt; r.Status == rbcs.Holding && !end.IsZero() && end.Before(now()) && len(list) < limit {
			list = append(list, r.Transaction)
		}
	}
	return list, nil
}

type moving struct{ *memory }

func (s moving) History(ctx context.Context, q rbcs.HistoryQuery) ([]rbcs.Entry, error) {
	list, err := s.memory.History(ctx, q)
	return slices.DeleteFunc(list, func(e rbcs.Entry) bool { return e.Change.IsZero() }), err
}

type closing struct{ *memory }

func (s closing) UpdateAccount(ctx context.Context, number string, change rbcs.AccountChange) (rbcs.Account, error) {
	s.mu.Lock()
	a := s.accounts[number]
	var held rbcs.Amount
	if a != nil {
		held, a.Held = a.Held, held
	}
	s.mu.Unlock()
	updated, err := s.memory.UpdateAccount(ctx, number, change)
	if a != nil {
		s.mu.Lock()
		a.Held, updated.Held = held, held
		s.mu.Unlock()
	}
	return updated, err
}

// twice sums one part of the accounts after the other.
type twice struct{ *memory }

func (s twice) Totals(ctx context.Context, prefix string) ([]rbcs.Total, error) {
	totals, err := s.memory.Totals(ctx, prefix)
	if err != nil || len(totals) == 0 {
		return totals, err
	}
	before, _ := s.memory.Totals(ctx, prefix+"a")
	for began, n := time.Now(), s.decisions(); s.decisions() == n && time.Since(began) < 5*time.Millisecond; {
		runtime.Gosched() // for the others to commit
	}
	after, err := s.memory.Totals(ctx, prefix+"a")
	if err == nil && len(before) > 0 && len(after) > 0 {
		totals[0].Balance, _ = totals[0].Balance.Sub(before[0].Balance)
		totals[0].Balance, _ = totals[0].Balance.Add(after[0].Balance)
	}
	return totals, err
}

func (m *memory) decisions() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.log)
}

type sharing struct{ *memory }

func (s sharing) ClaimWebhooks(ctx context.Context, instance string, lease time.Duration) ([]rbcs.Webhook, error) {
	s.mu.Lock()
	for _, c := range s.webhooks {
		c.until = time.Time{}
	}
	s.mu.Unlock()
	return s.memory.ClaimWebhooks(ctx, instance, lease)
}

type forcing struct{ *memory }

func (s forcing) DeliveredWebhook(ctx context.Context, instance string, w rbcs.Webhook, from int64) (bool, error) {
	if now, err := s.Webhook(ctx, w.ID); err == nil {
		from = now.Cursor
	}
	return s.memory.DeliveredWebhook(ctx, instance, w, from)
}

type short struct{ *memory }

func (s short) BalanceAt(ctx context.Context, number string, at time.Time) (rbcs.Balance, error) {
	return s.memory.BalanceAt(ctx, number, at.Add(-time.Microsecond))
}
