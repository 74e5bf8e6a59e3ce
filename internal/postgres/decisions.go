package postgres

import (
	"github.com/jackc/pgx/v5/pgtype"

	"rbcs"
	"rbcs/internal/posting"
)

// decisionColumns returns the parameters of insertSQL.
func decisionColumns(instance string, decisions []*decision) []any {
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
		occurredAt, committedAt                  = timestamp(), timestamp()
		description, metadata, actor             = text(0), text(0), text(8)
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
		committedAt.timestamp(d.CommittedAt)
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
		units, decimals, currency, occurredAt, description, metadata, actor, committedAt,
		sourceBalance, sourceHeld, sourceVersion, destinationBalance, destinationHeld, destinationVersion,
		available, overdraft, needed,
	}
}

// furtherColumns returns the parameters of insertFurtherSQL behind those of insertSQL.
func furtherColumns(decisions []*decision) []any {
	n := len(decisions)
	text := func() *column { return newColumn(pgtype.TextOID, n, 0) }
	expiresAt, originalSequence := newColumn(pgtype.TimestamptzOID, n, 0), newColumn(pgtype.Int8OID, n, 8)
	original, outcome, settledBy, groupID := text(), text(), text(), text()
	remainder := newColumn(pgtype.NumericOID, n, 0)
	position, size := newColumn(pgtype.Int2OID, n, 0), newColumn(pgtype.Int2OID, n, 0)
	executeAt, retryUntil := newColumn(pgtype.TimestamptzOID, n, 0), newColumn(pgtype.TimestamptzOID, n, 0)
	for _, d := range decisions {
		t := &d.Transaction
		expiresAt.timestampOrNull(t.ExpiresAt)
		executeAt.timestampOrNull(t.ExecuteAt)
		retryUntil.timestampOrNull(t.RetryUntil)
		original.textOrNull(t.Original)
		originalSequence.bigintOrNull(d.original)
		outcome.textOrNull(string(d.outcome()))
		remainder.amountOrNull(d.Remainder)
		settledBy.textOrNull(d.SettledBy)
		groupID.textOrNull(t.Group.ID)
		if t.Group.ID == "" {
			position.null()
			size.null()
			continue
		}
		position.smallint(t.Group.Position)
		size.smallint(t.Group.Size)
	}
	return []any{expiresAt, original, originalSequence, outcome, remainder, settledBy, groupID, position, size, executeAt, retryUntil}
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
