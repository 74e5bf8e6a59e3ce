package postgres

import (
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"

	"rbcs"
)

// resultColumns are the columns of transactions t that make a result. The
// numbers of accounts are sub-selects, since those are never planned as anything
// but look-ups.
const resultColumns = `
	t.sequence, t.id, t.attempt, t.type, t.status, coalesce(t.code, ''),
	coalesce(t.source_number, (select number from accounts where key = t.source_key)),
	coalesce(t.destination_number, (select number from accounts where key = t.destination_key)),
	t.amount, t.decimals, coalesce(t.currency, ''), t.occurred_at, t.expires_at,
	coalesce(t.original_id, ''), coalesce(t.description, ''), coalesce(t.metadata, ''), coalesce(t.actor, ''), t.instance, t.committed_at,
	t.source_balance, t.source_held, coalesce(t.source_version, 0),
	t.destination_balance, t.destination_held, coalesce(t.destination_version, 0),
	t.available, t.overdraft, t.needed, t.remainder, coalesce(t.settled_by, ''),
	coalesce(t.group_id, ''), coalesce(t.group_position, 0), coalesce(t.group_size, 0), t.execute_at, t.retry_until`

// scanResults calls each for every row of resultColumns, and what more the
// query has, for the targets given. What each gets is valid during the call only.
func scanResults(rows pgx.Rows, each func(*rbcs.Result) error, more ...any) error {
	var r rbcs.Result
	var expires, execute, retry pgtype.Timestamptz
	t := &r.Transaction
	target := append([]any{
		&r.Sequence, &t.ID, &r.Attempt, (*string)(&t.Type), (*string)(&r.Status), (*string)(&r.Code),
		&t.Source, &t.Destination,
		&t.Amount.Units, &t.Amount.Scale, &t.Currency, &t.Timestamp, &expires,
		&t.Original, &t.Description, &t.Metadata, &t.Actor, &r.Instance, &r.CommittedAt,
		&r.Source.Balance, &r.Source.Held, &r.Source.Version,
		&r.Destination.Balance, &r.Destination.Held, &r.Destination.Version,
		&r.Shortfall.Available, &r.Shortfall.Overdraft, &r.Shortfall.Needed, &r.Remainder, &r.SettledBy,
		&t.Group.ID, &t.Group.Position, &t.Group.Size, &execute, &retry,
	}, more...)
	for rows.Next() {
		if err := rows.Scan(target...); err != nil {
			return err
		}
		t.ExpiresAt, t.ExecuteAt, t.RetryUntil = expires.Time, execute.Time, retry.Time
		r.Shortfall.Short = short(&r)
		if err := each(&r); err != nil {
			return err
		}
	}
	return rows.Err()
}

// recordColumns are those of resultColumns, and the last transaction r that
// refers to t: what became of t follows from that one alone. The FROM clause ends
// with lastReference.
const recordColumns = resultColumns + `, coalesce(r.id, ''), coalesce(r.outcome, ''), r.remainder`

// The order of sequences is the order in which the decisions about one original
// were made, since all of them hold the locks of its accounts.
const lastReference = `
left join lateral (
	select x.id, x.outcome, x.remainder from transactions x where x.original_sequence = t.sequence order by x.sequence desc limit 1
) as r on true`

// scanRecords is [scanResults] for recordColumns.
func scanRecords(rows pgx.Rows, each func(*rbcs.Record) error) error {
	var by, outcome string
	var left rbcs.Amount
	return scanResults(rows, func(r *rbcs.Result) error {
		return each(record(r, by, rbcs.Status(outcome), left))
	}, &by, &outcome, &left)
}

// record says what a decision is now, because of the last one that refers to
// it: that one's ID, what it made of the decision, and what it left of the amount.
func record(r *rbcs.Result, by string, outcome rbcs.Status, left rbcs.Amount) *rbcs.Record {
	now := &rbcs.Record{Result: *r, Current: r.Status}
	if outcome != "" {
		now.Current = outcome
	}
	switch {
	case by == "":
	case r.Transaction.Type == rbcs.Hold:
		now.ClosedBy = by
	default:
		now.TakenBack, _ = r.Transaction.Amount.Units.Sub(left) // left is at most the amount
	}
	return now
}

// short is what was lacking: it follows from what is stored.
func short(r *rbcs.Result) rbcs.Amount {
	switch r.Code {
	case rbcs.InsufficientFunds, rbcs.AmountExceedsHold, rbcs.AmountExceedsReversible:
	default:
		return rbcs.Amount{}
	}
	usable, ok := r.Shortfall.Available.Add(r.Shortfall.Overdraft)
	if ok {
		if lack, ok := r.Shortfall.Needed.Sub(usable); ok {
			return lack
		}
	}
	return rbcs.MaxAmount()
}
