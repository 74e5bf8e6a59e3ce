package sqlite

import (
	"context"
	"time"

	"rbcs"
)

// The durable queue. An entry is inserted once and deleted once it is decided;
// what is claimed is its source account, one row of intake_sources. A source with
// entries that wait has a row, and unless that is claimed its ready_at is not
// later than the first of them. Everything goes through the one writer.

var _ rbcs.IntakeStore = (*Store)(nil)

// intakeColumns are what [scanIntake] reads.
const intakeColumns = `position, due_at, accepted_at, attempts, state, code, detail,
	id, type, source, destination, amount, decimals, currency, occurred_at, expires_at, execute_at, retry_until,
	description, metadata, actor`

const (
	insertIntake = `INSERT INTO intake (due_at, accepted_at, attempts, state, id, type, source, destination, amount, decimals,
			currency, occurred_at, expires_at, execute_at, retry_until, description, metadata, actor)
		VALUES (?, ?, 0, 'queued', ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`
	selectIntake       = "SELECT " + intakeColumns + " FROM intake WHERE id = ?"
	selectIntakeExists = "SELECT 1 FROM intake LIMIT 1"

	// What is claimed, or waits after a failure, is not brought forward.
	putReady = `INSERT INTO intake_sources (source, ready_at) VALUES (?1, ?2)
		ON CONFLICT (source) DO UPDATE SET ready_at = ?2 WHERE claim IS NULL AND ready_at > ?2`

	selectReady     = "SELECT source FROM intake_sources WHERE ready_at <= ?1 ORDER BY ready_at LIMIT ?2"
	claimSource     = "UPDATE intake_sources SET claim = ?2, ready_at = ?3 WHERE source = ?1"
	selectDueIntake = "SELECT " + intakeColumns + ` FROM intake INDEXED BY intake_source
		WHERE source = ?1 AND state IN ('queued', 'retrying') AND due_at <= ?2 ORDER BY due_at, position LIMIT ?3`
	selectClaim    = "SELECT claim, ready_at FROM intake_sources WHERE source = ?"
	selectFirstDue = `SELECT due_at FROM intake INDEXED BY intake_source
		WHERE source = ?1 AND state IN ('queued', 'retrying') ORDER BY due_at, position LIMIT 1`
	deleteSource = "DELETE FROM intake_sources WHERE source = ?"
)

func scanIntake(s *stmt) rbcs.IntakeEntry {
	return rbcs.IntakeEntry{
		Position:   s.intAt(0),
		DueAt:      timeOf(s.intAt(1)),
		AcceptedAt: timeOf(s.intAt(2)),
		Attempts:   int(s.intAt(3)),
		State:      rbcs.IntakeState(s.wordAt(4)),
		Code:       rbcs.Code(s.wordAt(5)),
		Detail:     s.textAt(6),
		Transaction: rbcs.Transaction{
			ID:          s.textAt(7),
			Type:        rbcs.Type(s.wordAt(8)),
			Source:      s.textAt(9),
			Destination: s.textAt(10),
			Amount:      rbcs.Decimal{Units: s.amountAt(11), Scale: uint8(s.intAt(12))},
			Currency:    s.wordAt(13),
			Timestamp:   timeOf(s.intAt(14)),
			ExpiresAt:   s.timeAt(15),
			ExecuteAt:   s.timeAt(16),
			RetryUntil:  s.timeAt(17),
			Description: s.textAt(18),
			Metadata:    s.textAt(19),
			Actor:       s.textAt(20),
		},
	}
}

// intakes returns the entries that a statement selects.
func (c *conn) intakes(sql string, args ...any) (list []rbcs.IntakeEntry, err error) {
	s, err := c.stmt(sql)
	if err != nil {
		return nil, err
	}
	for s.bind(args...); s.next(); {
		list = append(list, scanIntake(s))
	}
	return list, s.done()
}

// change runs a statement that returns nothing.
func (c *conn) change(sql string, args ...any) error {
	s, err := c.stmt(sql)
	if err != nil {
		return err
	}
	return s.bind(args...).run()
}

// lookQueued looks the IDs of a commit up in the queue, if there is anything in it.
func (c *commit) lookQueued() error {
	some, err := c.wrote(selectIntakeExists)
	if err != nil || !some {
		return err
	}
	c.batch.Queued = map[string]*rbcs.IntakeEntry{}
	for _, t := range c.batch.Transactions {
		list, err := c.intakes(selectIntake, t.ID)
		if err != nil {
			return err
		}
		for i := range list {
			c.batch.Queued[t.ID] = &list[i]
		}
	}
	return nil
}

// Enqueue implements [rbcs.IntakeStore].
func (s *Store) Enqueue(ctx context.Context, txs []*rbcs.Transaction) ([]rbcs.IntakeResult, error) {
	if len(txs) == 0 {
		return nil, nil
	}
	results := make([]rbcs.IntakeResult, len(txs))
	err := s.withWrite(ctx, func(w *writer, now time.Time) error {
		for i, t := range txs {
			if err := w.enqueue(t, now, &results[i]); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return results, nil
}

// enqueue queues one transaction, unless its ID is recorded or queued.
func (w *writer) enqueue(t *rbcs.Transaction, now time.Time, r *rbcs.IntakeResult) error {
	recorded, err := w.record(selectOriginal, t.ID)
	if err != nil {
		return err
	}
	if recorded != nil {
		*r = rbcs.ReplayQueued(t, &recorded.Result)
		return nil
	}
	list, err := w.intakes(selectIntake, t.ID)
	if err != nil {
		return err
	}
	if len(list) == 0 {
		if err := w.insertIntake(t, now); err != nil {
			return err
		}
		if list, err = w.intakes(selectIntake, t.ID); err != nil {
			return err
		}
	}
	if r.Err = list[0].Conflict(t); r.Err == nil {
		r.Entry = &list[0]
	}
	return nil
}

func (w *writer) insertIntake(t *rbcs.Transaction, now time.Time) error {
	due := now
	if t.ExecuteAt.After(now) {
		due = t.ExecuteAt
	}
	err := w.change(insertIntake, micros(due), micros(now), t.ID, string(t.Type), t.Source, t.Destination, t.Amount.Units, int(t.Amount.Scale),
		textValue(t.Currency), micros(t.Timestamp), timeValue(t.ExpiresAt), timeValue(t.ExecuteAt), timeValue(t.RetryUntil),
		textValue(t.Description), textValue(t.Metadata), textValue(t.Actor))
	if err != nil {
		return err
	}
	return w.change(putReady, t.Source, micros(due))
}

// ClaimIntake implements [rbcs.IntakeStore]. Where there is nothing to claim it
// does not wait for the writer.
func (s *Store) ClaimIntake(ctx context.Context, claim rbcs.IntakeClaim) (rbcs.IntakeBatch, error) {
	claimed := rbcs.IntakeBatch{Now: s.clock()}
	some := false
	err := s.withRead(ctx, func(c *conn) (err error) {
		some, err = c.wrote(selectReady, micros(claimed.Now), 1)
		return err
	})
	if err != nil || !some {
		return claimed, err
	}
	err = s.withWrite(ctx, func(w *writer, now time.Time) (err error) {
		claimed = rbcs.IntakeBatch{Now: now}
		if claimed.Sources, err = w.texts(selectReady, micros(now), claim.Sources); err != nil {
			return err
		}
		for _, source := range claimed.Sources {
			if err := w.change(claimSource, source, claim.Claimant, micros(now.Add(claim.Lease))); err != nil {
				return err
			}
			left := claim.Limit - len(claimed.Entries)
			if left <= 0 {
				continue
			}
			list, err := w.intakes(selectDueIntake, source, micros(now), left)
			if err != nil {
				return err
			}
			claimed.Entries = append(claimed.Entries, list...)
		}
		return nil
	})
	if err != nil {
		return rbcs.IntakeBatch{}, err
	}
	return claimed, nil
}

// texts returns the one column that a statement selects.
func (c *conn) texts(sql string, args ...any) (list []string, err error) {
	s, err := c.stmt(sql)
	if err != nil {
		return nil, err
	}
	for s.bind(args...); s.next(); {
		list = append(list, s.textAt(0))
	}
	return list, s.done()
}
