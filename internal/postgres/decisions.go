package postgres

import (
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"

	"rbcs"
	"rbcs/internal/posting"
)

// decisionColumns are decisions to record, as column arrays.
type decisionColumns struct {
	sequence                               []int64
	id, kind, status                       []string
	attempt, decimals                      []int16
	amount                                 []rbcs.Amount
	occurredAt, committedAt                []time.Time
	expiresAt                              times
	code, currency                         texts
	sourceNumber, destinationNumber        texts
	original, description, metadata, actor texts
	sourceKey, destinationKey              integers
	sourceVersion, destinationVersion      integers
	sourceBalance, sourceHeld              amounts
	destinationBalance, destinationHeld    amounts
	available, overdraft, needed           amounts
}

func newDecisionColumns(n int) *decisionColumns {
	return &decisionColumns{
		sequence: make([]int64, n), id: make([]string, n), kind: make([]string, n), status: make([]string, n),
		attempt: make([]int16, n), decimals: make([]int16, n), amount: make([]rbcs.Amount, n),
		occurredAt: make([]time.Time, n), committedAt: make([]time.Time, n), expiresAt: make(times, n),
		code: make(texts, n), currency: make(texts, n), sourceNumber: make(texts, n), destinationNumber: make(texts, n),
		original: make(texts, n), description: make(texts, n), metadata: make(texts, n), actor: make(texts, n),
		sourceKey: make(integers, n), destinationKey: make(integers, n),
		sourceVersion: make(integers, n), destinationVersion: make(integers, n),
		sourceBalance: make(amounts, n), sourceHeld: make(amounts, n),
		destinationBalance: make(amounts, n), destinationHeld: make(amounts, n),
		available: make(amounts, n), overdraft: make(amounts, n), needed: make(amounts, n),
	}
}

func (c *decisionColumns) set(i int, d *posting.Decision) {
	t := &d.Transaction
	c.sequence[i], c.id[i], c.attempt[i] = d.Sequence, t.ID, int16(d.Attempt)
	c.kind[i], c.status[i], c.code[i] = string(t.Type), string(d.Status), string(d.Code)
	if d.SourceAccount != nil {
		c.sourceKey[i] = d.SourceAccount.Key
	} else {
		c.sourceNumber[i] = t.Source
	}
	if d.DestinationAccount != nil {
		c.destinationKey[i] = d.DestinationAccount.Key
	} else {
		c.destinationNumber[i] = t.Destination
	}
	c.amount[i], c.decimals[i], c.currency[i] = t.Amount.Units, int16(t.Amount.Scale), t.Currency
	c.occurredAt[i], c.expiresAt[i], c.committedAt[i] = t.Timestamp, t.ExpiresAt, d.CommittedAt
	c.original[i], c.description[i], c.metadata[i], c.actor[i] = t.Original, t.Description, t.Metadata, t.Actor
	c.sourceBalance[i], c.sourceHeld[i], c.sourceVersion[i] = d.Source.Balance, d.Source.Held, d.Source.Version
	c.destinationBalance[i], c.destinationHeld[i] = d.Destination.Balance, d.Destination.Held
	c.destinationVersion[i] = d.Destination.Version
	c.available[i], c.overdraft[i], c.needed[i] = d.Shortfall.Available, d.Shortfall.Overdraft, d.Shortfall.Needed
}

// args are the parameters of insertSQL.
func (c *decisionColumns) args(instance string) []any {
	return []any{
		instance, c.sequence, c.id, c.attempt, c.kind, c.status, c.code, c.sourceKey, c.destinationKey, c.sourceNumber, c.destinationNumber,
		c.amount, c.decimals, c.currency, c.occurredAt, c.expiresAt, c.original, c.description, c.metadata, c.actor, c.committedAt,
		c.sourceBalance, c.sourceHeld, c.sourceVersion, c.destinationBalance, c.destinationHeld, c.destinationVersion,
		c.available, c.overdraft, c.needed,
	}
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
