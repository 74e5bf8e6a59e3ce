package storetest

import (
	"context"
	"fmt"
	"slices"
	"time"

	"rbcs"
)

// follow reads the log from where it is, until the context has ended and all is
// read that anybody was told by then.
func (c *throng) follow(ended context.Context) (followed []rbcs.Result, err error) {
	after := int64(0)
	for ended.Err() == nil {
		page, err := c.store.Log(c.ctx, after, 50)
		if err != nil {
			return nil, err
		}
		for _, r := range page.Results {
			if r.Sequence <= after {
				return nil, fmt.Errorf("sequence %d follows %d in the log", r.Sequence, after)
			}
			after = r.Sequence
		}
		followed = append(followed, page.Results...)
		after = max(after, page.End)
		if len(page.Results) == 0 {
			select {
			case <-time.After(time.Millisecond):
			case <-ended.Done():
			}
		}
	}
	c.mu.Lock()
	last := after
	for _, a := range c.told {
		last = max(last, a.result.Sequence)
	}
	c.mu.Unlock()
	rest, err := readLog(c.ctx, c.store, after, last, 500)
	return append(followed, rest...), err
}

// watchTotals reads the sum of all accounts, which is zero at every moment.
func (c *throng) watchTotals(ended context.Context) error {
	for ended.Err() == nil {
		totals, err := c.store.Totals(c.ctx, c.number(""))
		if err != nil {
			return err
		}
		if len(totals) != 1 || !totals[0].Balance.IsZero() || totals[0].Held.Sign() < 0 {
			return fmt.Errorf("the totals are %+v while money moves, want a balance of zero", totals)
		}
		select {
		case <-time.After(5 * time.Millisecond):
		case <-ended.Done():
		}
	}
	return nil
}

// checkAnswers checks that each ID was decided for one submission, and that
// those who were told a conflict had one.
func (c *throng) checkAnswers() {
	decided, recorded := map[string]int{}, map[string]*rbcs.Result{}
	for i := range c.told {
		if r := &c.told[i].result; r.Err == nil {
			recorded[r.Transaction.ID] = r
			if !r.Replayed {
				decided[r.Transaction.ID]++
			}
		}
	}
	for id := range recorded {
		if n := decided[id]; n > 1 || n == 0 && !c.unknown {
			c.t.Errorf("%s: %d answers tell that it was decided just then, want 1", id, n)
		}
	}
	codes := map[rbcs.Code]int{}
	for _, a := range c.told {
		if a.result.Err != nil {
			codes[a.result.Err.Code]++
			first := recorded[a.submitted.ID]
			if a.result.Err.Code == rbcs.IDConflict && first != nil {
				c.wantFields(a.result.Err, modelConflicts(a.submitted, first)...)
			}
			continue
		}
		codes[a.result.Code]++
	}
	for code := range codes {
		if !slices.Contains([]rbcs.Code{
			"", rbcs.InsufficientFunds, rbcs.HoldNotFound, rbcs.HoldNotOpen, rbcs.AmountExceedsHold, rbcs.AmountExceedsReversible,
			rbcs.GroupFailed, rbcs.IDConflict, rbcs.InvalidRequest, rbcs.NotFound,
		}, code) {
			c.t.Errorf("%d were answered with %s", codes[code], code)
		}
	}
	c.t.Logf("answers by code: %v", codes)
}

// checkFollowed compares what the follower saw with the log as it is now.
func (c *throng) checkFollowed(followed []rbcs.Result) {
	next := 0
	err := c.store.Dump(c.ctx, func(r *rbcs.Result) error {
		if next < len(followed) {
			if followed[next].Sequence != r.Sequence {
				return fmt.Errorf("the follower saw sequence %d where the log has %d", followed[next].Sequence, r.Sequence)
			}
			c.same(followed[next], *r)
		}
		next++
		return nil
	}, func(*rbcs.Account) error { return nil })
	c.must(err)
	if next != len(followed) {
		c.t.Errorf("the follower saw %d decisions, the log has %d", len(followed), next)
	}
}

// replayLog has the model decide what is in the log, in its order. The members
// of a group may stand between decisions of other commits, which share no
// account with it.
func (c *throng) replayLog(m *model, log []rbcs.Result) {
	byGroup := map[string][]int{}
	for i := range log {
		if g := log[i].Transaction.Group.ID; g != "" {
			byGroup[g] = append(byGroup[g], i)
		}
	}
	statuses := map[string]int{}
	for i := range log {
		r := &log[i]
		statuses[string(r.Transaction.Type)+" "+string(r.Status)]++
		unit := []int{i}
		if g := r.Transaction.Group; g.ID != "" {
			if unit = byGroup[g.ID]; unit[0] != i {
				continue
			}
		}
		var batch []*rbcs.Transaction
		var got []rbcs.Result
		for _, k := range unit {
			batch, got = append(batch, &log[k].Transaction), append(got, log[k])
		}
		if r.Code == rbcs.HoldNotFound && m.decided[r.Transaction.Original] != nil {
			m.record(r) // it shares no lock with the hold, which was committed at the same time
			continue
		}
		m.sequence = 0
		for _, f := range m.commit(batch, got) {
			c.t.Errorf("sequence %d: %s", r.Sequence, f)
		}
	}
	c.t.Logf("the log by type: %v", statuses)
	for _, kind := range []string{"transfer posted", "hold held", "capture posted", "capture rejected", "release posted", "expiry posted", "reversal posted", "reversal rejected"} {
		if statuses[kind] == 0 {
			c.t.Errorf("no %s: this run has proved less than it should", kind)
		}
	}
}

// checkReads compares all that can be read with the model.
func (c *throng) checkReads(m *model) {
	all := m.records()
	for number, a := range m.accounts {
		c.sameAccount(c.get(number), *a.want())
		c.checkHistory("all", number, c.history(rbcs.HistoryQuery{Account: number, Limit: 500}), a.changes)
		for i := 0; i < len(a.changes); i += 1 + len(a.changes)/50 {
			at := a.changes[i].CommittedAt
			got, err := c.store.BalanceAt(c.ctx, number, at)
			c.must(err)
			if state := (rbcs.State{Balance: got.Balance, Held: got.Held, Version: got.Version}); state != a.stateAt(at) {
				c.t.Errorf("account %s at %v: %+v, want %+v", number, at, state, a.stateAt(at))
			}
		}
		q := rbcs.TransactionQuery{Account: number, Limit: 500}
		want := slices.DeleteFunc(slices.Clone(all), func(r rbcs.Record) bool { return !selected(&q, &r) })
		got := c.pageTransactions(q)
		if len(got) != len(want) {
			c.t.Errorf("account %s: %d decisions, want %d", number, len(got), len(want))
			continue
		}
		for i := range got {
			if d := compareRecords(&got[i], &want[i]); d != nil {
				c.t.Errorf("account %s: %v", number, d)
			}
		}
	}
	totals, err := c.store.Totals(c.ctx, c.number(""))
	c.must(err)
	if d := compareTotals(totals, m.totals()); d != nil {
		c.t.Error(d)
	}
}
