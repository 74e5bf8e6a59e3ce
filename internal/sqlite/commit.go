package sqlite

import (
	"context"
	"time"

	"rbcs"
	"rbcs/internal/posting"
)

// The statements of a commit. Each runs once for each account or transaction.
// Multi-row VALUES, UPDATE FROM and json_each were measured through database/sql:
// inserts and updates gained nothing, and one account at a time straight on
// SQLite loads faster than json_each did.
const (
	selectAccount  = "SELECT " + accountColumns + ", key, last_sequence FROM accounts WHERE number = ?"
	selectRecorded = "SELECT " + resultColumns + " FROM transactions t WHERE t.id = ? ORDER BY t.attempt DESC LIMIT 1"
	selectOriginal = "SELECT " + recordColumns + recordTables + "WHERE t.id = ? ORDER BY t.attempt DESC LIMIT 1"
	selectLast     = `SELECT sequence, coalesce(posted_before, sequence) FROM transactions
		WHERE sequence = (SELECT max(sequence) FROM transactions)`

	insertTransaction = `INSERT INTO transactions (
		sequence, id, attempt, type, status, code,
		source_key, source_number, destination_key, destination_number,
		amount, decimals, currency, occurred_at, expires_at, original_id, description, metadata,
		actor, instance, committed_at,
		source_balance, source_held, source_version, source_previous,
		destination_balance, destination_held, destination_version, destination_previous,
		available, overdraft, needed, remainder, settled_by,
		group_id, group_position, group_size, posted_before, execute_at, retry_until)
	VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?,
		?, ?, ?, ?, ?, ?, ?)`

	// A standing changes once it is there; whose it is stays.
	putStanding = `INSERT INTO standing (sequence, status, by_sequence, source_key, destination_key, expires_at)
		VALUES (?, ?, ?, ?, ?, ?)
		ON CONFLICT (sequence) DO UPDATE SET status = excluded.status, by_sequence = excluded.by_sequence`

	updateAccount = `UPDATE accounts
		SET balance = ?, held = ?, received = ?, sent = ?, version = ?, last_sequence = ?, updated_at = ? WHERE key = ?`
)

// Commit implements [rbcs.Committer].
func (s *Store) Commit(ctx context.Context, transactions []*rbcs.Transaction) ([]rbcs.Result, error) {
	var results []rbcs.Result
	err := s.withWrite(ctx, func(w *writer, now time.Time) error {
		c := s.newCommit(w.conn, now, transactions)
		decisions, err := c.decide()
		if err != nil {
			return err
		}
		if err := c.insert(decisions, w.instance); err != nil {
			return err
		}
		results = c.results(decisions)
		return c.update()
	})
	if err != nil {
		return nil, err
	}
	return results, nil
}

// Preview implements [rbcs.Committer]. It only reads: no commit waits for it.
func (s *Store) Preview(ctx context.Context, transactions []*rbcs.Transaction) ([]rbcs.Result, error) {
	var results []rbcs.Result
	err := s.withSnapshot(ctx, func(conn *conn) error {
		c := s.newCommit(conn, s.clock(), transactions)
		decisions, err := c.decide()
		if err == nil {
			results = c.results(decisions)
		}
		return err
	})
	return results, err
}

// commit is one batch on its way.
type commit struct {
	*conn
	instance string
	batch    posting.Batch
	last     map[int64]int64 // by account key: the sequence that made its current version; 0 before the first
}

func (s *Store) newCommit(c *conn, now time.Time, transactions []*rbcs.Transaction) *commit {
	return &commit{
		conn:     c,
		instance: s.instance,
		last:     make(map[int64]int64, 2*len(transactions)),
		batch: posting.Batch{
			Now:          now,
			Accounts:     make(map[string]*posting.Account, 2*len(transactions)),
			Recorded:     make(map[string]*rbcs.Result, len(transactions)),
			References:   map[string]posting.Reference{},
			Transactions: transactions,
		},
	}
}

// decide loads what the batch names and decides it.
func (c *commit) decide() ([]posting.Decision, error) {
	if err := c.load(); err != nil {
		return nil, err
	}
	decisions := c.batch.Decide()
	for i := range decisions {
		if decisions[i].New() {
			decisions[i].Instance = c.instance
		}
	}
	return decisions, nil
}

func (c *commit) results(decisions []posting.Decision) []rbcs.Result {
	results := make([]rbcs.Result, len(decisions))
	for i := range decisions {
		d := &decisions[i]
		if d.Replayed { // of an ID that stands twice in the batch: numbered only now
			d.Sequence, d.Instance = d.Of.Sequence, d.Of.Instance
		}
		results[i] = d.Result
	}
	return results
}
