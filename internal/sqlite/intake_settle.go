package sqlite

import (
	"context"
	"time"

	"rbcs"
)

const (
	// The last attempt, as [scanEvent] reads it.
	lastColumns    = "tried_at, kind, instance, NULL AS actor, code, detail, next_at, unlisted - 1 AS omitted"
	attemptColumns = "coalesce(listed, 0), coalesce(unlisted, 0), " + lastColumns

	deleteIntake = "DELETE FROM intake WHERE id = ? RETURNING " + attemptColumns
	selectTried  = "SELECT " + attemptColumns + " FROM intake WHERE id = ? AND state IN ('queued', 'retrying')"
	failIntake   = `UPDATE intake SET attempts = attempts * ?2 + 1, state = ?3, code = ?4, detail = ?5, due_at = coalesce(?6, due_at),
		tried_at = ?7, next_at = ?8, kind = ?9, instance = ?10, listed = ?11, unlisted = ?12 WHERE id = ?1`
	insertIntakeEvent = `INSERT INTO intake_events (id, at, kind, code, detail, actor, instance, next_at, omitted)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, nullif(?, 0))`
)

// scanEvent reads an event whose columns begin at a place.
func scanEvent(s *stmt, from int) rbcs.IntakeEvent {
	return rbcs.IntakeEvent{
		At: timeOf(s.intAt(from)), Kind: rbcs.IntakeEventKind(s.wordAt(from + 1)), Instance: s.textAt(from + 2), Actor: s.textAt(from + 3),
		Code: rbcs.Code(s.wordAt(from + 4)), Detail: s.textAt(from + 5), NextAt: s.timeAt(from + 6), Omitted: int(s.intAt(from + 7)),
	}
}

// SettleIntake implements [rbcs.IntakeStore].
func (s *Store) SettleIntake(ctx context.Context, claimant string, sources []string, outcomes []rbcs.IntakeOutcome) error {
	return s.withWrite(ctx, func(w *writer, now time.Time) error {
		mine := make(map[string]bool, len(sources))
		for _, source := range sources {
			claim, _, err := w.claimOf(source)
			if err != nil {
				return err
			}
			mine[source] = claim == claimant
		}
		waits := map[string]time.Duration{}
		for i := range outcomes {
			o := &outcomes[i]
			var err error
			switch {
			case o.Kind == "":
				err = w.dequeue(o.ID)
			case mine[o.Source]:
				if o.Kind == rbcs.IntakeFailed {
					waits[o.Source] = max(waits[o.Source], o.After)
				}
				err = w.fail(o, now)
			}
			if err != nil {
				return err
			}
		}
		for _, source := range sources {
			if !mine[source] {
				continue
			}
			if err := w.free(source, waits[source], now); err != nil {
				return err
			}
		}
		return nil
	})
}

// claimOf returns whose claim a source has, "" for none, and when that ends.
func (c *conn) claimOf(source string) (claim string, until time.Time, err error) {
	s, err := c.stmt(selectClaim)
	if err != nil {
		return "", time.Time{}, err
	}
	if s.bind(source).next() {
		claim, until = s.textAt(0), timeOf(s.intAt(1))
	}
	return claim, until, s.done()
}

// attempts is what an entry knows of its attempts that failed.
type attempts struct {
	listed, unlisted int
	last             rbcs.IntakeEvent
}

// attemptsOf returns what a statement that ends in attemptColumns finds; found is
// false where it finds nothing.
func (c *conn) attemptsOf(sql string, args ...any) (a attempts, found bool, err error) {
	s, err := c.stmt(sql)
	if err != nil {
		return attempts{}, false, err
	}
	if found = s.bind(args...).next(); found {
		a = attempts{listed: int(s.intAt(0)), unlisted: int(s.intAt(1)), last: scanEvent(s, 2)}
	}
	return a, found, s.done()
}

// dequeue lets go of an entry that was decided.
func (w *writer) dequeue(id string) error {
	a, _, err := w.attemptsOf(deleteIntake, id)
	if err != nil {
		return err
	}
	return w.keepLast(id, &a)
}

// keepLast makes an event of an entry's last attempt, where it is not one yet.
func (w *writer) keepLast(id string, a *attempts) error {
	if a.unlisted == 0 {
		return nil
	}
	return w.insertIntakeEvent(id, &a.last)
}

func (w *writer) insertIntakeEvent(id string, e *rbcs.IntakeEvent) error {
	return w.change(insertIntakeEvent, id, micros(e.At), string(e.Kind), textValue(string(e.Code)), textValue(e.Detail), textValue(e.Actor), e.Instance,
		timeValue(e.NextAt), e.Omitted)
}

// fail counts an attempt that failed. One that is not listed is kept in the
// entry, as its last one, and becomes an event when that is over: with the next
// one that is listed, an operator's act or the decision. Nothing is ever taken
// out of intake_events.
func (w *writer) fail(o *rbcs.IntakeOutcome, now time.Time) error {
	a, waits, err := w.attemptsOf(selectTried, o.ID)
	if err != nil || !waits {
		return err
	}
	event := rbcs.IntakeEvent{At: now, Kind: o.Kind, Instance: w.instanceName, Code: o.Code, Detail: o.Detail, NextAt: now.Add(o.After)}
	state, due, kept := rbcs.IntakeRetrying, time.Time{}, 1
	switch o.Kind {
	case rbcs.IntakeDied:
		state, event.NextAt = rbcs.IntakeDead, time.Time{}
	case rbcs.IntakeRefused:
		due = event.NextAt
	}
	if o.Anew {
		kept = 0
	}
	changed := a.last.Kind != o.Kind || a.last.Code != o.Code
	if o.Kind == rbcs.IntakeDied || a.listed < rbcs.IntakeListedAll || changed && a.listed < rbcs.IntakeListedMost {
		if err := w.keepLast(o.ID, &a); err != nil {
			return err
		}
		if err := w.insertIntakeEvent(o.ID, &event); err != nil {
			return err
		}
		a.listed, a.unlisted = a.listed+1+min(a.unlisted, 1), 0
	} else {
		a.unlisted++
	}
	return w.change(failIntake, o.ID, kept, string(state), textValue(string(o.Code)), textValue(o.Detail), timeValue(due),
		micros(now), timeValue(event.NextAt), string(o.Kind), w.instanceName, a.listed, a.unlisted)
}

// free ends the claim of a source, which waits after a failure.
func (w *writer) free(source string, wait time.Duration, now time.Time) error {
	s, err := w.stmt(selectFirstDue)
	if err != nil {
		return err
	}
	first, some := int64(0), false
	if s.bind(source).next() {
		first, some = s.intAt(0), true
	}
	if err := s.done(); err != nil {
		return err
	}
	switch {
	case !some:
		return w.change(deleteSource, source)
	case wait > 0:
		return w.change(claimSource, source, "", micros(now.Add(wait)))
	}
	return w.change(claimSource, source, nil, first)
}
