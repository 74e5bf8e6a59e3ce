package sqlite

import (
	"cmp"
	"context"
	"slices"

	"rbcs"
)

// Which decisions a list has is found first, by their sequences: each of these
// statements reads the latest of one kind from an index that has nothing else,
// at most ?3 of them, from sequence ?2 down to ?1. What they are is read then.
//
// Only what is posted has no index, since that is most of the log: a transfer
// would pay for it. A run of rejections and holds is left by its link to what was
// posted before; a reversed transaction is passed by, and its reversal is posted.
const (
	selectLatest = "SELECT sequence FROM transactions WHERE sequence BETWEEN ?1 AND ?2 ORDER BY sequence DESC LIMIT ?3"

	notReversed = `t.status = 'posted'
		AND NOT EXISTS (SELECT 1 FROM standing s WHERE s.sequence = t.sequence AND s.status = 'reversed')`

	selectPosted = `WITH RECURSIVE walk (sequence) AS (
			SELECT ?2
		UNION ALL
			SELECT coalesce(t.posted_before, t.sequence - 1)
			FROM walk w CROSS JOIN transactions t ON t.sequence = w.sequence
			WHERE w.sequence > ?1
		)
		SELECT t.sequence FROM walk w CROSS JOIN transactions t ON t.sequence = w.sequence
		WHERE t.sequence >= ?1 AND ` + notReversed + " LIMIT ?3"

	selectRejected = `SELECT sequence FROM transactions INDEXED BY transactions_rejected
		WHERE status = 'rejected' AND sequence BETWEEN ?1 AND ?2 ORDER BY sequence DESC LIMIT ?3`
	selectRejectedSource = `SELECT sequence FROM transactions INDEXED BY transactions_source_number
		WHERE source_number = ?4 AND sequence BETWEEN ?1 AND ?2 ORDER BY sequence DESC LIMIT ?3`
	selectRejectedDestination = `SELECT sequence FROM transactions INDEXED BY transactions_destination_number
		WHERE destination_number = ?4 AND sequence BETWEEN ?1 AND ?2 ORDER BY sequence DESC LIMIT ?3`

	selectStanding = `SELECT sequence FROM standing INDEXED BY standing_status
		WHERE status = ?4 AND sequence BETWEEN ?1 AND ?2 ORDER BY sequence DESC LIMIT ?3`
	selectStandingSource = `SELECT sequence FROM standing INDEXED BY standing_source
		WHERE sequence >> 17 = ?6 AND source_key = ?4 AND status = ?5 AND sequence BETWEEN ?1 AND ?2
		ORDER BY sequence DESC LIMIT ?3`
	selectStandingDestination = `SELECT sequence FROM standing INDEXED BY standing_destination
		WHERE sequence >> 17 = ?6 AND destination_key = ?4 AND status = ?5 AND sequence BETWEEN ?1 AND ?2
		ORDER BY sequence DESC LIMIT ?3`

	// Releases and expiries, under the account that would have received.
	selectUnmoved = `SELECT sequence FROM transactions INDEXED BY transactions_unmoved
		WHERE destination_key = ?4 AND destination_version IS NULL AND status = 'posted'
			AND sequence BETWEEN ?1 AND ?2 ORDER BY sequence DESC LIMIT ?3`

	// What changed an account, by its versions: see walk.
	selectChanges       = walk + "SELECT w.sequence FROM walk w WHERE w.version <= ?5 LIMIT ?6"
	selectPostedChanges = walk + `SELECT w.sequence FROM walk w CROSS JOIN transactions t ON t.sequence = w.sequence
		WHERE w.version <= ?5 AND ` + notReversed + " LIMIT ?6"

	selectRecord = "SELECT " + recordColumns + recordTables + "WHERE t.sequence = ?"

	selectAttempts = "SELECT " + resultColumns + " FROM transactions t WHERE t.id = ? ORDER BY t.attempt"
)

// eraBits is how many bits of a sequence tell the place in its era; the
// migration's number is the same.
const eraBits = 17

// holdStatuses are what a hold may be now.
var holdStatuses = []rbcs.Status{rbcs.Holding, rbcs.Captured, rbcs.Released, rbcs.Expired}

// Transaction implements [rbcs.Store].
func (s *Store) Transaction(ctx context.Context, id string) (rbcs.Record, error) {
	var found rbcs.Record
	err := s.withRead(ctx, func(c *conn) error {
		r, err := c.record(selectOriginal, id)
		if err == nil && r == nil {
			err = rbcs.Errorf(rbcs.NotFound, "there is no transaction %s", id)
		}
		if err == nil {
			found = *r
		}
		return err
	})
	return found, err
}

// Attempts implements [rbcs.Store].
func (s *Store) Attempts(ctx context.Context, id string) (list []rbcs.Result, err error) {
	err = s.withRead(ctx, func(c *conn) error {
		q, err := c.stmt(selectAttempts)
		if err != nil {
			return err
		}
		for q.bind(id); q.next(); {
			list = append(list, rbcs.Result{})
			scanResult(q, &list[len(list)-1])
		}
		return q.done()
	})
	return list, err
}

// Transactions implements [rbcs.Store].
func (s *Store) Transactions(ctx context.Context, q rbcs.TransactionQuery) ([]rbcs.Record, error) {
	var list []rbcs.Record
	err := s.withSnapshot(ctx, func(c *conn) error {
		l := &listing{conn: c, status: q.Status, limit: q.Limit}
		err := l.between(&q)
		if err == nil && q.Account == "" {
			l.everywhere()
		} else if err == nil {
			err = l.of(q.Account)
		}
		if err != nil || l.err != nil {
			return cmp.Or(err, l.err)
		}
		list, err = l.records()
		return err
	})
	return list, err
}

// listing gathers the sequences of a list from where each kind of them is found.
type listing struct {
	*conn
	status    rbcs.Status
	low, high int64 // the first and the last sequence that may be in it
	limit     int
	sequences []int64 // what was gathered
	err       error   // the first failure of add
}

// between sets the range of the query.
func (l *listing) between(q *rbcs.TransactionQuery) (err error) {
	l.low = 1
	if l.high, err = l.maxSequence(); err != nil {
		return err
	}
	if q.Before > 0 {
		l.high = min(l.high, q.Before-1)
	}
	if !q.From.IsZero() {
		before, err := l.lastBefore(q.From)
		if err != nil {
			return err
		}
		l.low = before + 1
	}
	if !q.To.IsZero() {
		before, err := l.lastBefore(q.To)
		if err != nil {
			return err
		}
		l.high = min(l.high, before)
	}
	return nil
}

// everywhere gathers from the whole log.
func (l *listing) everywhere() {
	switch l.status {
	case "":
		l.add(selectLatest)
	case rbcs.Posted:
		l.add(selectPosted)
	case rbcs.Rejected:
		l.add(selectRejected)
	default:
		l.add(selectStanding, string(l.status))
	}
}

// of gathers what names one account: what was rejected by its number, which
// need not exist; anything else by its key.
func (l *listing) of(number string) error {
	if l.status == rbcs.Rejected || l.status == "" {
		l.add(selectRejectedSource, number)
		l.add(selectRejectedDestination, number)
	}
	a, err := l.account(number)
	if rbcs.CodeOf(err) == rbcs.NotFound {
		return nil
	}
	if err != nil {
		return err
	}
	switch l.status {
	case rbcs.Rejected:
	case "":
		l.add(selectUnmoved, a.key)
		err = l.changes(selectChanges, a)
		if l.cut(); len(l.sequences) == l.limit {
			l.low = l.sequences[0]
		}
		for _, status := range holdStatuses {
			l.stands(selectStandingDestination, a, status)
		}
	case rbcs.Posted:
		l.add(selectUnmoved, a.key)
		err = l.changes(selectPostedChanges, a)
	default:
		l.stands(selectStandingSource, a, l.status)
		l.stands(selectStandingDestination, a, l.status)
	}
	return err
}

// changes gathers what changed an account by walking its versions.
func (l *listing) changes(sql string, a *account) error {
	last, err := l.versionAt(a, l.high)
	if err != nil {
		return err
	}
	before, err := l.versionAt(a, l.low-1)
	if err != nil || last <= before {
		return err
	}
	s, err := l.walk(sql, a, last, before+1, l.limit)
	if err != nil {
		return err
	}
	l.gather(s)
	return nil
}

// stands gathers what has a status under an account, from one era of the log
// after another.
func (l *listing) stands(sql string, a *account, status rbcs.Status) {
	before := len(l.sequences)
	for era := l.high >> eraBits; era >= l.low>>eraBits && len(l.sequences)-before < l.limit && l.err == nil; era-- {
		l.add(sql, a.key, string(status), era)
	}
}

// add gathers from one statement, whose first parameters are the range and the limit.
func (l *listing) add(sql string, args ...any) {
	s, err := l.stmt(sql)
	if err != nil {
		l.err = cmp.Or(l.err, err)
		return
	}
	l.gather(s.bind(append([]any{l.low, l.high, l.limit}, args...)...))
}

func (l *listing) gather(s *stmt) {
	for s.next() {
		l.sequences = append(l.sequences, s.intAt(0))
	}
	l.err = cmp.Or(l.err, s.done())
}

// cut leaves the latest of what was gathered, in their order and each once: a
// rejection may name one account on both sides.
func (l *listing) cut() {
	slices.Sort(l.sequences)
	l.sequences = slices.Compact(l.sequences)
	l.sequences = l.sequences[max(0, len(l.sequences)-l.limit):]
}

// records reads what was gathered, the latest first.
func (l *listing) records() ([]rbcs.Record, error) {
	l.cut()
	list := make([]rbcs.Record, 0, len(l.sequences))
	for _, sequence := range slices.Backward(l.sequences) {
		r, err := l.record(selectRecord, sequence)
		if err != nil {
			return nil, err
		}
		list = append(list, *r)
	}
	return list, nil
}
