package postgres

import (
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"

	"rbcs"
	"rbcs/internal/posting"
)

// decisionColumns returns the parameters of insertSQL.
func decisionColumns(instance string, decisions []*posting.Decision) []any {
	n := len(decisions)
	text := func(size int) *column { return newColumn(pgtype.TextOID, n, size) }
	bigint := func() *column { return newColumn(pgtype.Int8OID, n, 8) }
	smallint := func() *column { return newColumn(pgtype.Int2OID, n, 2) }
	timestamp := func() *column { return newColumn(pgtype.TimestamptzOID, n, 8) }
	const commonAmount = numericHeader + 3*2 // up to 12 digits
	amount := func(size int) *column { return newColumn(pgtype.NumericOID, n, size) }

	var (
		sequence, id, attempt                    = bigint(), text(32), smallint()
		kind, status, code                       = text(8), text(8), text(0)
		sourceKey, destinationKey                = bigint(), bigint()
		sourceNumber, destinationNumber          = text(0), text(0)
		units, decimals, currency                = amount(commonAmount), smallint(), text(4)
		occurredAt, expiresAt, committedAt       = timestamp(), newColumn(pgtype.TimestamptzOID, n, 0), timestamp()
		original, description, metadata, actor   = text(0), text(0), text(0), text(8)
		sourceBalance, sourceHeld, sourceVersion = amount(commonAmount), amount(0), bigint()
		destinationBalance, destinationHeld      = amount(commonAmount), amount(0)
		destinationVersion                       = bigint()
		available, overdraft, needed             = amount(0), amount(0), amount(0)
	)
	for _, d := range decisions {
		t := &d.Transaction
		sequence.bigint(d.Sequence)
		id.text(t.ID)
		attempt.smallint(d.Attempt)
		kind.text(string(t.Type))
		status.text(string(d.Status))
		code.textOrNull(string(d.Code))
		setAccount(sourceKey, sourceNumber, d.SourceAccount, t.Source)
		setAccount(destinationKey, destinationNumber, d.DestinationAccount, t.Destination)
		units.amount(t.Amount.Units)
		decimals.smallint(int(t.Amount.Scale))
		currency.textOrNull(t.Currency)
		occurredAt.timestamp(t.Timestamp)
		expiresAt.timestampOrNull(t.ExpiresAt)
		committedAt.timestamp(d.CommittedAt)
		original.textOrNull(t.Original)
		description.textOrNull(t.Description)
		metadata.textOrNull(t.Metadata)
		actor.textOrNull(t.Actor)
		setState(sourceBalance, sourceHeld, sourceVersion, d.Source)
		setState(destinationBalance, destinationHeld, destinationVersion, d.Destination)
		available.amountOrNull(d.Shortfall.Available)
		overdraft.amountOrNull(d.Shortfall.Overdraft)
		needed.amountOrNull(d.Shortfall.Needed)
	}
	return []any{
		instance, sequence, id, attempt, kind, status, code, sourceKey, destinationKey, sourceNumber, destinationNumber,
		units, decimals, currency, occurredAt, expiresAt, original, description, metadata, actor, committedAt,
		sourceBalance, sourceHeld, sourceVersion, destinationBalance, destinationHeld, destinationVersion,
		available, overdraft, needed,
	}
}

// setAccount writes an account's key, or its number where there is no such account.
func setAccount(key, number *column, a *posting.Account, name string) {
	if a == nil {
		key.null()
		number.text(name)
		return
	}
	key.bigint(a.Key)
	number.null()
}

func setState(balance, held, version *column, s rbcs.State) {
	balance.amountOrNull(s.Balance)
	held.amountOrNull(s.Held)
	version.bigintOrNull(s.Version)
}

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
	t.available, t.overdraft, t.needed`

// scanResults calls each for every row of resultColumns, and what more the
// query has, for the targets given. What each gets is valid during the call only.
func scanResults(rows pgx.Rows, each func(*rbcs.Result) error, more ...any) error {
	var r rbcs.Result
	var expires pgtype.Timestamptz
	t := &r.Transaction
	target := append([]any{
		&r.Sequence, &t.ID, &r.Attempt, (*string)(&t.Type), (*string)(&r.Status), (*string)(&r.Code),
		&t.Source, &t.Destination,
		&t.Amount.Units, &t.Amount.Scale, &t.Currency, &t.Timestamp, &expires,
		&t.Original, &t.Description, &t.Metadata, &t.Actor, &r.Instance, &r.CommittedAt,
		&r.Source.Balance, &r.Source.Held, &r.Source.Version,
		&r.Destination.Balance, &r.Destination.Held, &r.Destination.Version,
		&r.Shortfall.Available, &r.Shortfall.Overdraft, &r.Shortfall.Needed,
	}, more...)
	for rows.Next() {
		if err := rows.Scan(target...); err != nil {
			return err
		}
		t.ExpiresAt = expires.Time
		r.Shortfall.Short = short(r)
		if err := each(&r); err != nil {
			return err
		}
	}
	return rows.Err()
}

// short is what insufficient_funds lacked: it follows from what is stored.
func short(r rbcs.Result) rbcs.Amount {
	if r.Code != rbcs.InsufficientFunds {
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
