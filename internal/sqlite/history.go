package sqlite

import (
	"context"
	"slices"
	"sort"
	"time"

	"rbcs"
)

// anchorEvery is the distance of the versions that the indexes have; the
// migration's number is the same.
const anchorEvery = 64

const (
	selectCommittedAt = "SELECT committed_at FROM transactions WHERE sequence = ?"

	// One of the two sides made the version.
	selectAnchor = `SELECT sequence FROM transactions
			WHERE source_key = ?1 AND source_version = ?2 AND source_version % 64 = 0
		UNION ALL SELECT sequence FROM transactions
			WHERE destination_key = ?1 AND destination_version = ?2 AND destination_version % 64 = 0`

	// The versions of account ?1 from ?2 (made by sequence ?3) down to ?4.
	walk = `WITH RECURSIVE walk (version, sequence) AS (
			SELECT ?2, ?3
		UNION ALL
			SELECT w.version - 1, CASE ?1 WHEN t.source_key THEN t.source_previous ELSE t.destination_previous END
			FROM walk w CROSS JOIN transactions t ON t.sequence = w.sequence
			WHERE w.version > ?4
		) `

	selectVersionAt = walk + "SELECT version FROM walk WHERE sequence <= ?5 LIMIT 1"

	selectEntries = walk + "SELECT " + resultColumns + `, t.source_key IS NOT ?1
		FROM walk w CROSS JOIN transactions t ON t.sequence = w.sequence WHERE w.version <= ?5 LIMIT ?6`
)

// lastBefore returns the last sequence that was committed before a time, 0 where
// there is none. Along the log committed_at never runs backward.
func (c *conn) lastBefore(t time.Time) (int64, error) {
	n, err := c.maxSequence()
	if err != nil {
		return 0, err
	}
	s, err := c.stmt(selectCommittedAt)
	if err != nil {
		return 0, err
	}
	limit := microsUp(t)
	found := sort.Search(int(n), func(i int) bool {
		late := false
		if s.bind(int64(i) + 1).next() {
			late = s.intAt(0) >= limit
		}
		if failed := s.done(); err == nil {
			err = failed
		}
		return late
	})
	return int64(found), err
}

// microsUp is the first moment in the database that is not before t.
func microsUp(t time.Time) int64 { return micros(t.Add(time.Microsecond - 1)) }

// anchor returns the sequence that made a version of an account: one that the
// indexes have, or the current one.
func (c *conn) anchor(a *account, version int64) (sequence int64, err error) {
	if version == a.Version {
		return a.last, nil
	}
	s, err := c.stmt(selectAnchor)
	if err != nil {
		return 0, err
	}
	if s.bind(a.key, version).next() {
		sequence = s.intAt(0)
	}
	if err := s.done(); err != nil {
		return 0, err
	}
	if sequence == 0 {
		return 0, rbcs.Errorf(rbcs.Internal, "the log has no version %d of account %s; run: rbcs verify", version, a.Number)
	}
	return sequence, nil
}

// anchorFrom returns the version at or after the given one from which a walk begins.
func (a *account) anchorFrom(version int64) int64 {
	return min((version+anchorEvery-1)/anchorEvery*anchorEvery, a.Version)
}

// versionAt returns the version that an account had once the log had come to a
// sequence; 0 is before the first.
func (c *conn) versionAt(a *account, sequence int64) (version int64, err error) {
	switch {
	case sequence <= 0:
		return 0, nil
	case a.last <= sequence:
		return a.Version, nil
	}
	// Of the anchors, the first that is later: the version is at most 64 before it.
	later := sort.Search(int(a.Version/anchorEvery), func(i int) bool {
		made, failed := c.anchor(a, int64(i+1)*anchorEvery)
		if err == nil {
			err = failed
		}
		return made > sequence
	})
	if err != nil {
		return 0, err
	}
	from := min(int64(later+1)*anchorEvery, a.Version)
	made, err := c.anchor(a, from)
	if err != nil {
		return 0, err
	}
	s, err := c.stmt(selectVersionAt)
	if err != nil {
		return 0, err
	}
	if s.bind(a.key, from, made, max(from-anchorEvery, 1), sequence).next() {
		version = s.intAt(0)
	}
	return version, s.done()
}

// walk runs a query over the versions of an account from high down to low, at
// most limit of them.
func (c *conn) walk(sql string, a *account, high, low int64, limit int) (*stmt, error) {
	from := a.anchorFrom(high)
	made, err := c.anchor(a, from)
	if err != nil {
		return nil, err
	}
	s, err := c.stmt(sql)
	if err != nil {
		return nil, err
	}
	return s.bind(a.key, from, made, low, high, limit), nil
}

// entries calls f with the decisions that made the versions from high down to
// low, at most limit of them; credit says that the account is the destination.
func (c *conn) entries(a *account, high, low int64, limit int, f func(r *rbcs.Result, credit bool)) error {
	if high < low {
		return nil
	}
	s, err := c.walk(selectEntries, a, high, low, limit)
	if err != nil {
		return err
	}
	var r rbcs.Result
	for s.next() {
		scanResult(s, &r)
		f(&r, s.intAt(resultWidth) == 1)
	}
	return s.done()
}

// BalanceAt implements [rbcs.Store]. A time that has not come yet is the present: AsOf says so.
func (s *Store) BalanceAt(ctx context.Context, number string, at time.Time) (rbcs.Balance, error) {
	var balance rbcs.Balance
	limit := at.Truncate(time.Microsecond).Add(time.Microsecond)
	settled, err := s.settle(ctx, limit)
	if err != nil {
		return balance, err
	}
	if settled.Before(limit) {
		at = settled.Add(-time.Microsecond)
	}
	err = s.withRead(ctx, func(c *conn) error {
		a, err := c.account(number) // what it names never changes: no snapshot is needed
		if err != nil {
			return err
		}
		balance = rbcs.Balance{Number: number, Currency: a.Currency, AsOf: at.UTC()}
		sequence, err := c.lastBefore(settled)
		if err != nil {
			return err
		}
		version, err := c.versionAt(a, sequence)
		if err != nil || version == 0 {
			return err
		}
		return c.entries(a, version, version, 1, func(r *rbcs.Result, credit bool) {
			state := sideOf(r, credit)
			balance.Balance, balance.Held, balance.Version = state.Balance, state.Held, state.Version
		})
	})
	return balance, err
}

// sideOf returns the state of one of the two accounts.
func sideOf(r *rbcs.Result, credit bool) rbcs.State {
	if credit {
		return r.Destination
	}
	return r.Source
}

// History implements [rbcs.Store].
func (s *Store) History(ctx context.Context, q rbcs.HistoryQuery) ([]rbcs.Entry, error) {
	var list []rbcs.Entry
	if !q.To.IsZero() {
		settled, err := s.settle(ctx, q.To)
		if err != nil {
			return nil, err
		}
		q.To = settled
	}
	err := s.withRead(ctx, func(c *conn) error {
		a, err := c.account(q.Account) // what it names never changes: no snapshot is needed
		if err != nil {
			return err
		}
		low, high, err := c.versionsOf(a, &q)
		if err != nil {
			return err
		}
		return c.entries(a, high, low, q.Limit, func(r *rbcs.Result, credit bool) {
			list = append(list, entryOf(r, credit))
		})
	})
	if !q.Descending {
		slices.Reverse(list)
	}
	return list, err
}

// versionsOf returns the first and the last version that a query selects.
func (c *conn) versionsOf(a *account, q *rbcs.HistoryQuery) (low, high int64, err error) {
	low, high = 1, a.Version
	if !q.From.IsZero() {
		before, err := c.versionBefore(a, q.From)
		if err != nil {
			return 0, 0, err
		}
		low = before + 1
	}
	if !q.To.IsZero() {
		if high, err = c.versionBefore(a, q.To); err != nil {
			return 0, 0, err
		}
	}
	limit := int64(q.Limit)
	switch {
	case q.Descending && q.After > 0:
		high = min(high, q.After-1)
		fallthrough
	case q.Descending:
		low = max(low, high-limit+1)
	default:
		low = max(low, q.After+1)
		high = min(high, low+limit-1)
	}
	return low, high, nil
}

// versionBefore returns the last version that was committed before a time.
func (c *conn) versionBefore(a *account, t time.Time) (int64, error) {
	sequence, err := c.lastBefore(t)
	if err != nil {
		return 0, err
	}
	return c.versionAt(a, sequence)
}

// entryOf is a decision, seen from one of its accounts.
func entryOf(r *rbcs.Result, credit bool) rbcs.Entry {
	e := rbcs.Entry{Result: *r, Credit: credit, State: sideOf(r, credit)}
	if r.Destination.Version > 0 { // else only held has changed
		e.Change = r.Transaction.Amount.Units
		if !credit {
			e.Change = e.Change.Neg()
		}
	}
	return e
}
