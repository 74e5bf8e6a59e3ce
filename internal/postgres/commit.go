package postgres

import (
	"context"
	"slices"

	"rbcs"
	"rbcs/internal/posting"
)

// commitAttempts bounds how often a batch runs again because one of its IDs was
// committed at the same moment with other accounts. Each further one needs
// another such ID.
const commitAttempts = 20

// Commit implements [rbcs.Committer].
func (s *Store) Commit(ctx context.Context, batch []*rbcs.Transaction) ([]rbcs.Result, error) {
	return s.CommitFenced(ctx, batch, nil)
}

// CommitFenced implements [rbcs.FencedCommitter].
func (s *Store) CommitFenced(ctx context.Context, batch []*rbcs.Transaction, fence rbcs.Fence) ([]rbcs.Result, error) {
	if len(batch) == 0 {
		return nil, nil
	}
	for range commitAttempts {
		results, overtaken, err := s.tryCommit(ctx, batch, fence)
		if !overtaken {
			return results, err
		}
	}
	return nil, rbcs.Errorf(rbcs.Unavailable, "%d times an ID of the batch was committed at the same moment with other accounts", commitAttempts)
}

// tryCommit commits a batch, unless one of its IDs was committed since they were
// looked up: then nothing was changed and it reports overtaken.
func (s *Store) tryCommit(ctx context.Context, batch []*rbcs.Transaction, fence rbcs.Fence) (results []rbcs.Result, overtaken bool, err error) {
	tx, err := s.begin(ctx)
	if err != nil {
		return nil, false, err
	}
	defer tx.rollback(ctx)
	l, err := tx.load(ctx, batch)
	if err != nil {
		return nil, false, failure(err)
	}
	decisions := l.Decide()
	w := s.number(l, decisions)
	switch {
	case len(w.decisions) > 0:
		confirmed := l.fence(ctx, fence)
		if overtaken, err = tx.record(ctx, w); err != nil || overtaken {
			return nil, overtaken, err
		}
		if err = s.settle(ctx, l, confirmed); err != nil {
			return nil, false, err
		}
		err = tx.commit(ctx)
	case slices.ContainsFunc(decisions, func(d posting.Decision) bool { return d.Replayed }):
		err = tx.confirm(ctx)
	}
	if err != nil {
		return nil, false, err
	}
	return resultsOf(decisions), false, nil
}

// Preview implements [rbcs.Committer]. It decides on one snapshot, without a
// lock: no commit waits for it.
func (s *Store) Preview(ctx context.Context, batch []*rbcs.Transaction) ([]rbcs.Result, error) {
	if len(batch) == 0 {
		return nil, nil
	}
	done, err := s.reading(ctx)
	if err != nil {
		return nil, err
	}
	defer done()
	tx, err := s.begin(ctx)
	if err != nil {
		return nil, err
	}
	defer tx.rollback(ctx)
	l, err := tx.look(ctx, batch)
	if err != nil {
		return nil, failure(err)
	}
	decisions := l.Decide()
	for i := range decisions {
		if d := &decisions[i]; d.New() {
			d.Instance = s.instance
		}
	}
	l.complete(decisions)
	return resultsOf(decisions), nil
}

func resultsOf(decisions []posting.Decision) []rbcs.Result {
	results := make([]rbcs.Result, len(decisions))
	for i := range decisions {
		results[i] = decisions[i].Result
	}
	return results
}

// decision is one to be recorded.
type decision struct {
	*posting.Decision
	original int64 // the sequence of what it refers to, where it is posted; 0 for none
}

// outcome is what a decision makes of the transaction to which it refers, "" where it leaves it as it is.
func (d *decision) outcome() rbcs.Status {
	switch t := &d.Transaction; {
	case d.Status != rbcs.Posted:
	case t.Type == rbcs.Capture:
		return rbcs.Captured
	case t.Type == rbcs.Release:
		return rbcs.Released
	case t.Type == rbcs.Expiry:
		return rbcs.Expired
	case t.Type == rbcs.Reversal && d.Remainder.IsZero():
		return rbcs.Reversed
	}
	return ""
}

// writes is what a commit records.
type writes struct {
	decisions []*decision
	accounts  []lockedAccount
	further   bool                // a decision has some of insertFurtherSQL's columns
	opened    map[int64]*decision // the holds among them that stay open, by sequence
	settled   []int64             // the sequences of holds that were open and are no longer
}

// number gives the new decisions their places in the log, in the order in which
// they were decided, and returns what is to be recorded.
func (s *Store) number(l *loaded, decisions []posting.Decision) *writes {
	fresh := make([]decision, 0, len(decisions))
	w := &writes{decisions: make([]*decision, 0, len(decisions)), accounts: l.accounts, opened: map[int64]*decision{}}
	for i := range decisions {
		if !decisions[i].New() {
			continue
		}
		fresh = append(fresh, decision{Decision: &decisions[i]}) // has the capacity: the pointers stay good
		d := &fresh[len(fresh)-1]
		d.Sequence, d.Instance = l.sequences[len(fresh)-1], s.instance
		w.decisions = append(w.decisions, d)
		w.add(l, d)
	}
	l.complete(decisions)
	return w
}

// add notes what a decision needs beyond its row of a plain transfer.
func (w *writes) add(l *loaded, d *decision) {
	t := &d.Transaction
	if t.Type == rbcs.Transfer && t.Group.ID == "" && d.SettledBy == "" && !t.Scheduled() {
		return
	}
	w.further = true
	switch {
	case d.Status == rbcs.Holding:
		w.opened[d.Sequence] = d
	case d.Status == rbcs.Posted && t.Settles():
		d.original = l.Recorded[t.Original].Sequence
		if t.Type == rbcs.Reversal {
			return
		}
		if _, opened := w.opened[d.original]; !opened {
			w.settled = append(w.settled, d.original)
		}
		delete(w.opened, d.original) // then it was never open for anybody else
	}
}

// complete gives the replays of decisions of this very batch what those have got since.
func (l *loaded) complete(decisions []posting.Decision) {
	for i := range decisions {
		if d := &decisions[i]; d.Replayed {
			d.Sequence, d.Instance = d.Of.Sequence, d.Of.Instance
		}
	}
}
