package sqlite

import (
	"time"

	"rbcs"
)

// accountColumns are what [scanAccount] reads.
const accountColumns = `number, currency, decimals, status, overdraft, balance, held, received, sent,
	version, metadata, created_at, updated_at`

// accountWidth is how many they are: what follows them stands there.
const accountWidth = 13

func scanAccount(s *stmt, a *rbcs.Account) {
	*a = rbcs.Account{
		Number:    s.textAt(0),
		Currency:  rbcs.Currency{Code: s.wordAt(1), Decimals: int(s.intAt(2))},
		Status:    rbcs.AccountStatus(s.wordAt(3)),
		Overdraft: rbcs.Overdraft{Unlimited: s.isNull(4), Limit: s.amountAt(4)},
		Balance:   s.amountAt(5),
		Held:      s.amountAt(6),
		Received:  s.amountAt(7),
		Sent:      s.amountAt(8),
		Version:   s.intAt(9),
		Metadata:  s.textAt(10),
		CreatedAt: timeOf(s.intAt(11)),
		UpdatedAt: timeOf(s.intAt(12)),
	}
}

// resultColumns are what [scanResult] reads, of transactions as t.
const resultColumns = `t.sequence, t.id, t.attempt, t.type, t.status, t.code,
	coalesce(t.source_number, (SELECT number FROM accounts WHERE key = t.source_key)),
	coalesce(t.destination_number, (SELECT number FROM accounts WHERE key = t.destination_key)),
	t.amount, t.decimals, t.currency, t.occurred_at, t.expires_at, t.original_id, t.description, t.metadata,
	t.actor, (SELECT name FROM instances WHERE key = t.instance), t.committed_at,
	t.source_balance, t.source_held, t.source_version,
	t.destination_balance, t.destination_held, t.destination_version,
	t.available, t.overdraft, t.needed, t.remainder, t.settled_by, t.group_id, t.group_position, t.group_size,
	t.execute_at, t.retry_until`

// resultWidth is how many they are: what follows them stands there.
const resultWidth = 35

func scanResult(s *stmt, r *rbcs.Result) {
	*r = rbcs.Result{
		Transaction: rbcs.Transaction{
			ID:          s.textAt(1),
			Type:        rbcs.Type(s.wordAt(3)),
			Source:      s.textAt(6),
			Destination: s.textAt(7),
			Amount:      rbcs.Decimal{Units: s.amountAt(8), Scale: uint8(s.intAt(9))},
			Currency:    s.wordAt(10),
			Timestamp:   timeOf(s.intAt(11)),
			ExpiresAt:   s.timeAt(12),
			ExecuteAt:   s.timeAt(33),
			RetryUntil:  s.timeAt(34),
			Original:    s.textAt(13),
			Description: s.textAt(14),
			Metadata:    s.textAt(15),
			Group:       rbcs.Group{ID: s.textAt(30), Position: int(s.intAt(31)), Size: int(s.intAt(32))},
			Actor:       s.textAt(16),
		},
		Sequence:    s.intAt(0),
		Attempt:     int(s.intAt(2)),
		Status:      rbcs.Status(s.wordAt(4)),
		Code:        rbcs.Code(s.wordAt(5)),
		SettledBy:   s.textAt(29),
		Remainder:   s.amountAt(28),
		Instance:    s.wordAt(17),
		CommittedAt: timeOf(s.intAt(18)),
		Source:      rbcs.State{Balance: s.amountAt(19), Held: s.amountAt(20), Version: s.intAt(21)},
		Destination: rbcs.State{Balance: s.amountAt(22), Held: s.amountAt(23), Version: s.intAt(24)},
	}
	switch r.Code {
	case rbcs.InsufficientFunds, rbcs.AmountExceedsHold, rbcs.AmountExceedsReversible:
		r.Shortfall = shortfall(s.amountAt(25), s.amountAt(26), s.amountAt(27))
	}
}

// The columns and tables that [scanRecord] reads: of decisions as t, what each is
// now as s, and what made it that as b.
const (
	recordColumns = resultColumns + ", s.status, b.id, b.remainder"
	recordTables  = ` FROM transactions t
		LEFT JOIN standing s ON s.sequence = t.sequence LEFT JOIN transactions b ON b.sequence = s.by_sequence `
)

func scanRecord(s *stmt, r *rbcs.Record) {
	*r = rbcs.Record{}
	scanResult(s, &r.Result)
	r.Current = r.Status
	if !s.isNull(resultWidth) {
		r.Current = rbcs.Status(s.wordAt(resultWidth))
	}
	switch {
	case s.isNull(resultWidth + 1):
	case r.Transaction.Type == rbcs.Hold:
		r.ClosedBy = s.textAt(resultWidth + 1)
	default: // the last reversal knows what was left
		r.TakenBack, _ = r.Transaction.Amount.Units.Sub(s.amountAt(resultWidth + 2)) // from zero to the amount
	}
}

// shortfall fills in what is not stored because it follows.
func shortfall(available, overdraft, needed rbcs.Amount) rbcs.Shortfall {
	short := rbcs.MaxAmount()
	if usable, ok := available.Add(overdraft); ok {
		if difference, ok := needed.Sub(usable); ok {
			short = difference
		}
	}
	return rbcs.Shortfall{Available: available, Overdraft: overdraft, Needed: needed, Short: short}
}

func nullTime(s *stmt, i int, t time.Time) {
	if t.IsZero() {
		s.null(i)
		return
	}
	s.int(i, micros(t))
}
