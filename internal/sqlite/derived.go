package sqlite

import (
	"context"
	"strconv"

	"rbcs"
)

// What is stored beside the log and follows from it, or must agree otherwise.
// Each statement returns what differs: account, transaction, what, expected, found.
var derivedSQL = []string{
	// What holds and reversed transactions are: whether a hold is open, and what is
	// left to reverse, is read from it.
	`WITH refers AS (
			SELECT original_id, max(sequence) AS sequence FROM transactions
			WHERE status = 'posted' AND type IN ('capture', 'release', 'expiry', 'reversal') GROUP BY original_id
		), stands AS (
			SELECT t.sequence, t.id, CASE WHEN b.sequence IS NULL THEN 'held' WHEN b.type = 'capture' THEN 'captured'
				WHEN b.type = 'release' THEN 'released' WHEN b.type = 'expiry' THEN 'expired' WHEN b.remainder IS NULL THEN 'reversed' ELSE 'posted' END
				|| coalesce(' by ' || b.sequence, '') || ' of ' || t.source_key || ', ' || t.destination_key || coalesce(' until ' || t.expires_at, '') AS state
			FROM transactions t LEFT JOIN refers r ON r.original_id = t.id LEFT JOIN transactions b ON b.sequence = r.sequence
			WHERE t.status = 'held' OR t.status = 'posted' AND r.sequence IS NOT NULL
		), standings AS (
			SELECT sequence, status || coalesce(' by ' || by_sequence, '') || ' of ' || source_key || ', ' || destination_key
				|| coalesce(' until ' || expires_at, '') AS state
			FROM standing
		)
		SELECT '', x.id, 'standing', x.state, coalesce(s.state, 'none') FROM stands x LEFT JOIN standings s ON s.sequence = x.sequence
		WHERE s.state IS NOT x.state
		UNION ALL
		SELECT '', '', 'standing of ' || s.sequence, 'none', s.state FROM standings s LEFT JOIN stands x ON x.sequence = s.sequence
		WHERE x.sequence IS NULL`,

	// What an account is besides its balance is what it was last changed to.
	`WITH last AS (
			SELECT account_key, CASE field WHEN 'created' THEN 'currency' ELSE field END AS field, new_value, max(key) AS key
			FROM account_changes GROUP BY 1, 2
		), is_now AS (
			SELECT key, number, 'currency' AS field, currency AS value FROM accounts
			UNION ALL SELECT key, number, 'status', nullif(status, 'open') FROM accounts
			UNION ALL SELECT key, number, 'metadata', metadata FROM accounts
		)
		SELECT a.number, '', a.field || ' of the account', coalesce(l.new_value, 'none'), coalesce(a.value, 'none')
		FROM is_now a LEFT JOIN last l ON l.account_key = a.key AND l.field = a.field
		WHERE CASE l.field WHEN 'status' THEN nullif(l.new_value, 'open') ELSE l.new_value END IS NOT a.value
		UNION ALL
		SELECT '', '', 'account ' || l.account_key, 'one that was created', 'none' FROM last l LEFT JOIN accounts a ON a.key = l.account_key
		WHERE l.field = 'currency' AND a.key IS NULL`,
	`SELECT a.number, '', 'decimals of ' || a.currency, c.decimals, a.decimals
		FROM accounts a JOIN currencies c ON c.code = a.currency WHERE a.decimals <> c.decimals`,

	// The queue finds what waits by its source account.
	`SELECT e.source, '', 'turn of its queue', 'not after ' || e.due_at, coalesce(s.ready_at, 'none') FROM (
			SELECT source, min(due_at) AS due_at FROM intake WHERE state IN ('queued', 'retrying') GROUP BY source
		) e LEFT JOIN intake_sources s ON s.source = e.source
		WHERE s.source IS NULL OR s.claim IS NULL AND s.ready_at > e.due_at`,

	// The table against its indexes: that an ID stands in the log once hangs on one.
	`SELECT '', '', 'the database file', 'ok', integrity_check FROM pragma_integrity_check WHERE integrity_check <> 'ok'`,
}

const (
	selectLinks = `SELECT sequence, id, committed_at, status, posted_before, source_key, source_version, source_previous,
		destination_key, destination_version, destination_previous FROM transactions ORDER BY sequence`
	selectLasts = `SELECT a.number, a.key, a.last_sequence, a.overdraft, a.decimals,
			(SELECT new_value FROM account_changes c WHERE c.account_key = a.key AND c.field = 'overdraft' ORDER BY c.key DESC LIMIT 1)
		FROM accounts a`
)

// Derived compares, in one snapshot, all that is stored beside the log with it,
// and calls differs for what does not follow.
func (s *Store) Derived(ctx context.Context, differs func(rbcs.Difference)) error {
	return s.withSnapshot(ctx, func(c *conn) error {
		// What is grouped and sorted here grows with the log: it goes to a file where it does not fit into a cache.
		if err := c.exec("PRAGMA temp_store = file"); err != nil {
			return err
		}
		defer func() { _ = c.exec("PRAGMA temp_store = memory") }() // as the other readers have it
		for _, sql := range derivedSQL {
			query, err := c.stmt(sql)
			if err != nil {
				return err
			}
			for query.next() {
				differs(rbcs.Difference{Account: query.textAt(0), Transaction: query.textAt(1), What: query.textAt(2), Expected: query.textAt(3), Found: query.textAt(4)})
			}
			if err := query.done(); err != nil {
				return err
			}
		}
		l := links{differs: differs, last: map[int64]int64{}}
		if err := l.walk(c); err != nil {
			return err
		}
		return l.accounts(c)
	})
}

// links follows the links of the log: from each version of an account to the
// one before it, and from what is not posted to what is. What they lead past is in
// no history and in no list.
type links struct {
	differs func(rbcs.Difference)
	last    map[int64]int64 // by account key: the sequence that made its current version
}

func (l *links) check(account, transaction, what string, expected, found int64) {
	if expected != found {
		l.differs(rbcs.Difference{Account: account, Transaction: transaction, What: what, Expected: strconv.FormatInt(expected, 10), Found: strconv.FormatInt(found, 10)})
	}
}

// walk reads the log, whose sequences have no gap and whose times never run backward.
func (l *links) walk(c *conn) error {
	s, err := c.stmt(selectLinks)
	if err != nil {
		return err
	}
	var sequence, committed, posted int64
	for s.next() {
		id := s.textAt(1)
		l.check("", id, "sequence", sequence+1, s.intAt(0))
		sequence = s.intAt(0)
		l.check("", id, "committed_at, in microseconds", max(committed, s.intAt(2)), s.intAt(2))
		committed = s.intAt(2)
		if s.wordAt(3) == string(rbcs.Posted) {
			l.check("", id, "posted_before", 0, s.intAt(4))
			posted = sequence
		} else {
			l.check("", id, "posted_before", posted, s.intAt(4))
		}
		for i, side := range [...]string{"source_previous", "destination_previous"} {
			if key := s.intAt(5 + 3*i); s.intAt(6+3*i) > 0 {
				l.check("", id, side, l.last[key], s.intAt(7+3*i))
				l.last[key] = sequence
			} else {
				l.check("", id, side, 0, s.intAt(7+3*i))
			}
		}
	}
	return s.done()
}

// accounts compares what made each account's version, and its overdraft, which
// is recorded as it is written.
func (l *links) accounts(c *conn) error {
	s, err := c.stmt(selectLasts)
	if err != nil {
		return err
	}
	for s.next() {
		number := s.textAt(0)
		l.check(number, "", "last_sequence", l.last[s.intAt(1)], s.intAt(2))
		limit := rbcs.Overdraft{Unlimited: s.isNull(3), Limit: s.amountAt(3)}
		if is, was := formatOverdraft(limit, rbcs.Currency{Decimals: int(s.intAt(4))}), s.textAt(5); is != was {
			l.differs(rbcs.Difference{Account: number, What: "overdraft", Expected: was, Found: is})
		}
	}
	return s.done()
}
