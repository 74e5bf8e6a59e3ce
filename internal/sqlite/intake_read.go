package sqlite

import (
	"cmp"
	"context"
	"slices"
	"time"

	"rbcs"
)

const (
	selectIntakes = "SELECT " + intakeColumns + ` FROM intake INDEXED BY intake_state
		WHERE state = ?1 AND (due_at, position) > (?2, ?3) ORDER BY due_at, position LIMIT ?4`
	// The last attempt may not be an event yet.
	selectLastAttempt  = "SELECT " + lastColumns + " FROM intake WHERE id = ? AND unlisted > 0"
	selectIntakeEvents = "SELECT at, kind, instance, actor, code, detail, next_at, coalesce(omitted, 0) FROM intake_events WHERE id = ? ORDER BY key DESC LIMIT ?"
	countIntake        = "SELECT count(*) FROM (SELECT 1 FROM intake INDEXED BY intake_state WHERE state = ?1 LIMIT ?2)"
	selectOldest       = "SELECT due_at FROM intake INDEXED BY intake_state WHERE state = ?1 ORDER BY due_at, position LIMIT 1"

	actIntake = `UPDATE intake SET state = ?2, attempts = 0, code = NULL, detail = NULL, due_at = ?3,
		tried_at = NULL, next_at = NULL, kind = NULL, instance = NULL, listed = NULL, unlisted = NULL WHERE id = ?1`
	selectIsRecorded = "SELECT 1 FROM transactions WHERE id = ? LIMIT 1"
	// What waits after a failure waits no longer.
	putReadyAgain = `INSERT INTO intake_sources (source, ready_at) VALUES (?1, ?2)
		ON CONFLICT (source) DO UPDATE SET ready_at = min(ready_at, ?2), claim = NULL WHERE claim IS NULL OR claim = ''`
)

// Intake implements [rbcs.IntakeStore].
func (s *Store) Intake(ctx context.Context, id string) (rbcs.IntakeEntry, error) {
	var list []rbcs.IntakeEntry
	err := s.withRead(ctx, func(c *conn) (err error) {
		list, err = c.intakes(selectIntake, id)
		return err
	})
	switch {
	case err != nil:
		return rbcs.IntakeEntry{}, err
	case len(list) == 0:
		return rbcs.IntakeEntry{}, rbcs.NotQueued(id, false)
	}
	return list[0], nil
}

// Intakes implements [rbcs.IntakeStore].
func (s *Store) Intakes(ctx context.Context, q rbcs.IntakeQuery) ([]rbcs.IntakeEntry, error) {
	after := int64(0)
	if !q.After.DueAt.IsZero() {
		after = micros(q.After.DueAt)
	}
	states := []rbcs.IntakeState{q.State}
	if q.State == rbcs.IntakeWaiting {
		states = []rbcs.IntakeState{rbcs.IntakeQueued, rbcs.IntakeRetrying}
	}
	var list []rbcs.IntakeEntry
	err := s.withSnapshot(ctx, func(c *conn) error {
		for _, state := range states {
			some, err := c.intakes(selectIntakes, string(state), after, q.After.Position, q.Limit)
			if err != nil {
				return err
			}
			list = append(list, some...)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	slices.SortFunc(list, func(a, b rbcs.IntakeEntry) int {
		return cmp.Or(a.DueAt.Compare(b.DueAt), cmp.Compare(a.Position, b.Position))
	})
	return list[:min(len(list), q.Limit)], nil
}

// IntakeHistory implements [rbcs.IntakeStore].
func (s *Store) IntakeHistory(ctx context.Context, id string) (list []rbcs.IntakeEvent, err error) {
	err = s.withSnapshot(ctx, func(c *conn) error {
		for _, q := range []struct {
			sql  string
			args []any
		}{{selectLastAttempt, []any{id}}, {selectIntakeEvents, []any{id, rbcs.MaxIntakeHistory}}} {
			st, err := c.stmt(q.sql)
			if err != nil {
				return err
			}
			for st.bind(q.args...); st.next(); {
				list = append(list, scanEvent(st, 0))
			}
			if err := st.done(); err != nil {
				return err
			}
		}
		return nil
	})
	list = list[:min(len(list), rbcs.MaxIntakeHistory)]
	slices.Reverse(list)
	return list, err
}

// IntakeStats implements [rbcs.IntakeStore].
func (s *Store) IntakeStats(ctx context.Context) (rbcs.IntakeStats, error) {
	stats := rbcs.IntakeStats{Now: s.clock()}
	err := s.withSnapshot(ctx, func(c *conn) error {
		for _, k := range []struct {
			state rbcs.IntakeState
			to    *int64
		}{{rbcs.IntakeQueued, &stats.Queued}, {rbcs.IntakeRetrying, &stats.Retrying}, {rbcs.IntakeDead, &stats.Dead}} {
			n, _, err := c.number(countIntake, string(k.state), rbcs.IntakeCountLimit)
			if err != nil {
				return err
			}
			*k.to = n
			if k.state == rbcs.IntakeDead {
				return nil
			}
			due, found, err := c.number(selectOldest, string(k.state))
			if err != nil {
				return err
			}
			if at := timeOf(due); found && (stats.OldestDue.IsZero() || at.Before(stats.OldestDue)) {
				stats.OldestDue = at
			}
		}
		return nil
	})
	return stats, err
}

// number returns the one number that a statement selects, and whether there is one.
func (c *conn) number(sql string, args ...any) (n int64, found bool, err error) {
	s, err := c.stmt(sql)
	if err != nil {
		return 0, false, err
	}
	if s.bind(args...).next() {
		n, found = s.intAt(0), true
	}
	return n, found, s.done()
}

// ReplayIntake implements [rbcs.IntakeStore].
func (s *Store) ReplayIntake(ctx context.Context, a rbcs.IntakeAction) ([]*rbcs.Error, error) {
	return s.act(ctx, a, rbcs.IntakeQueued, rbcs.IntakeReplayed)
}

// DiscardIntake implements [rbcs.IntakeStore].
func (s *Store) DiscardIntake(ctx context.Context, a rbcs.IntakeAction) ([]*rbcs.Error, error) {
	return s.act(ctx, a, rbcs.IntakeDiscarded, rbcs.IntakeWasDiscarded)
}

// act moves entries to a state, where they are not in it already.
func (s *Store) act(ctx context.Context, a rbcs.IntakeAction, to rbcs.IntakeState, kind rbcs.IntakeEventKind) ([]*rbcs.Error, error) {
	errs := make([]*rbcs.Error, len(a.IDs))
	err := s.withWrite(ctx, func(w *writer, now time.Time) error {
		for i, id := range a.IDs {
			list, err := w.intakes(selectIntake, id)
			if err != nil {
				return err
			}
			if len(list) == 0 {
				recorded, err := w.wrote(selectIsRecorded, id)
				if err != nil {
					return err
				}
				errs[i] = rbcs.NotQueued(id, recorded)
				continue
			}
			e := &list[0]
			if errs[i], err = w.refuse(e, to, now); err != nil {
				return err
			}
			if errs[i] != nil || e.State == to {
				continue
			}
			if err := w.actOn(e, to, now); err != nil {
				return err
			}
			event := rbcs.IntakeEvent{At: now, Kind: kind, Instance: w.instanceName, Actor: a.Actor, Detail: a.Reason}
			err = w.insertIntakeEvent(id, &event)
			if err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return errs, nil
}

// refuse says why an operator cannot have an entry: somebody is deciding it, or has.
func (w *writer) refuse(e *rbcs.IntakeEntry, to rbcs.IntakeState, now time.Time) (*rbcs.Error, error) {
	recorded, err := w.wrote(selectIsRecorded, e.Transaction.ID)
	if err != nil {
		return nil, err
	}
	claim, until, err := w.claimOf(e.Transaction.Source)
	return e.Refuse(to, recorded, claim != "" && until.After(now)), err
}

func (w *writer) actOn(e *rbcs.IntakeEntry, to rbcs.IntakeState, now time.Time) error {
	tried, _, err := w.attemptsOf(selectTried, e.Transaction.ID)
	if err != nil {
		return err
	}
	if err := w.keepLast(e.Transaction.ID, &tried); err != nil {
		return err
	}
	due := e.DueAt
	if to == rbcs.IntakeQueued {
		if due = now; e.Transaction.ExecuteAt.After(now) {
			due = e.Transaction.ExecuteAt
		}
	}
	if err := w.change(actIntake, e.Transaction.ID, string(to), micros(due)); err != nil {
		return err
	}
	if to != rbcs.IntakeQueued {
		return nil
	}
	return w.change(putReadyAgain, e.Transaction.Source, micros(due))
}
