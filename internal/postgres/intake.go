package postgres

import (
	"cmp"
	"context"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"

	"rbcs"
)

// The durable queue.
//
// An entry is inserted once and deleted once it is decided; what is claimed is
// its source account, one row of intake_sources. So a claim of thousands of
// entries of one source updates one row, and finds what is ready by one index
// that has neither what waits nor what is claimed.
//
//   - A source with entries that wait has a row, and unless that is claimed its
//     ready_at is not later than the first of them: enqueueing brings it forward
//     in the commit of the entries.
//   - Who changes what is claimed has the row's lock, and reads the entries in a
//     later statement: that sees all that whoever had the lock before has done.
//   - Rows of sources are locked in their order, after the entries of an insert
//     and before those of anything else; a claim waits for no lock.
//
// Claims and their ends are commits that need not be on disk: one that is lost
// is made again, and posting twice is safe. The entries themselves, and what
// operators do, are on disk before they are acknowledged.

// maxEnqueued bounds the transactions of one Enqueue: their places are numbered in 14 bits.
const maxEnqueued = 1 << 14

const intakeColumns = `e.position, e.due_at, e.accepted_at, e.attempts, e.state, coalesce(e.code, ''), coalesce(e.detail, ''),
	e.id, e.type, e.source, e.destination, e.amount, e.decimals, coalesce(e.currency, ''), e.occurred_at, e.expires_at, e.execute_at, e.retry_until,
	coalesce(e.description, ''), coalesce(e.metadata, ''), coalesce(e.actor, '')`

// Where two instances enqueue the same ID, the second one waits for the first one here.
const enqueueSQL = `
with n as materialized (select nextval('intake_positions') as base, clock_timestamp() as now)
insert into intake (position, id, due_at, accepted_at, type, source, destination, amount, decimals, currency, occurred_at, expires_at,
	execute_at, retry_until, description, metadata, actor)
select (n.base << 14) + u.ordinal, u.id, greatest(u.execute_at, n.now), n.now, u.type, u.source, u.destination, u.amount, u.decimals, u.currency,
	u.occurred_at, u.expires_at, u.execute_at, u.retry_until, u.description, u.metadata, u.actor
from n, (
	select unnest($1::smallint[]) as ordinal, unnest($2::text[]) as id, unnest($3::text[]) as type, unnest($4::text[]) as source,
		unnest($5::text[]) as destination, unnest($6::numeric[]) as amount, unnest($7::smallint[]) as decimals, unnest($8::text[]) as currency,
		unnest($9::timestamptz[]) as occurred_at, unnest($10::timestamptz[]) as expires_at, unnest($11::timestamptz[]) as execute_at,
		unnest($12::timestamptz[]) as retry_until, unnest($13::text[]) as description, unnest($14::text[]) as metadata, unnest($15::text[]) as actor
) as u
where not exists (select 1 from transactions t where t.id = u.id)
on conflict (id) do nothing returning id, position, due_at, accepted_at`

const readySQL = `
insert into intake_sources as s (source, ready_at)
select u.source, coalesce(u.at, clock_timestamp()) from (select unnest($1::text[]) as source, unnest($2::timestamptz[]) as at) as u
on conflict (source) do update set ready_at = excluded.ready_at where s.claim is null and s.ready_at > excluded.ready_at`

const (
	intakesSQL    = "select " + intakeColumns + " from intake e where e.id = any($1)"
	asynchronous  = "select set_config('synchronous_commit', 'off', true)"
	liveStates    = "('queued', 'retrying')"
	enqueueRounds = 5 // each further one needs an entry that was decided in just this moment
)

// queuedSQL looks IDs up in the queue, if there is anything in it, and
// discardedSQL if anything was discarded.
const (
	queuedSQL    = "select " + intakeColumns + " from intake e where e.id = any(case when exists (select 1 from intake) then $1::text[] end)"
	discardedSQL = "select " + intakeColumns + ` from intake e
where e.id = any(case when exists (select 1 from intake where state = 'discarded') then $1::text[] end)`
)

// lookQueued queues the look-up of a commit's IDs in the queue. Of what the queue
// itself submits only what was discarded matters. A later statement than that of
// the locks sees what was queued before; who discards has the source's lock.
func (l *loaded) lookQueued(b *pgx.Batch, batch []*rbcs.Transaction) {
	direct := make([]string, 0, len(batch))
	var own []string
	for _, t := range batch {
		if t.Turn == rbcs.Direct {
			direct = append(direct, t.ID)
		} else {
			own = append(own, t.ID)
		}
	}
	l.lookUp(b, queuedSQL, direct)
	l.lookUp(b, discardedSQL, own)
}

func (l *loaded) lookUp(b *pgx.Batch, sql string, ids []string) {
	if len(ids) == 0 {
		return
	}
	b.Queue(sql, ids).Query(func(rows pgx.Rows) error {
		return scanIntake(rows, func(e *rbcs.IntakeEntry) {
			if l.Queued == nil {
				l.Queued = map[string]*rbcs.IntakeEntry{}
			}
			l.Queued[e.Transaction.ID] = e
		})
	})
}

// scanIntake calls each for every row of intakeColumns, with an entry of its own.
func scanIntake(rows pgx.Rows, each func(*rbcs.IntakeEntry), more ...any) error {
	var expires, execute, retry pgtype.Timestamptz
	var e rbcs.IntakeEntry
	t := &e.Transaction
	targets := append([]any{
		&e.Position, &e.DueAt, &e.AcceptedAt, &e.Attempts, (*string)(&e.State), (*string)(&e.Code), &e.Detail,
		&t.ID, (*string)(&t.Type), &t.Source, &t.Destination, &t.Amount.Units, &t.Amount.Scale, &t.Currency, &t.Timestamp, &expires, &execute, &retry,
		&t.Description, &t.Metadata, &t.Actor,
	}, more...)
	for rows.Next() {
		if err := rows.Scan(targets...); err != nil {
			return err
		}
		t.ExpiresAt, t.ExecuteAt, t.RetryUntil = expires.Time, execute.Time, retry.Time
		each(new(e))
	}
	return rows.Err()
}

// Enqueue implements [rbcs.IntakeStore].
func (s *Store) Enqueue(ctx context.Context, txs []*rbcs.Transaction) ([]rbcs.IntakeResult, error) {
	if len(txs) == 0 {
		return nil, nil
	}
	if len(txs) > maxEnqueued {
		return nil, rbcs.Errorf(rbcs.InvalidRequest, "%d transactions are more than the %d that can be queued at once", len(txs), maxEnqueued)
	}
	for range enqueueRounds {
		results, gone, err := s.tryEnqueue(ctx, txs)
		if !gone {
			return results, err
		}
	}
	return nil, rbcs.Errorf(rbcs.Unavailable, "%d times an entry was decided in the moment in which it was looked up", enqueueRounds)
}

// enqueueing is what an Enqueue finds out.
type enqueueing struct {
	fresh    []*rbcs.Transaction // each ID once, sorted
	ordinal  map[string]int      // of an ID's first transaction
	accepted map[string]*rbcs.IntakeEntry
	existing map[string]*rbcs.IntakeEntry
	recorded map[string]*rbcs.Result
}

// tryEnqueue enqueues, unless an entry that was there is gone: then it changed
// nothing and reports so.
func (s *Store) tryEnqueue(ctx context.Context, txs []*rbcs.Transaction) (results []rbcs.IntakeResult, gone bool, err error) {
	tx, err := s.begin(ctx)
	if err != nil {
		return nil, false, err
	}
	defer tx.rollback(ctx)
	q := newEnqueueing(txs)
	if err := q.insert(ctx, tx); err != nil {
		return nil, false, failure(err)
	}
	if gone, err = q.complete(ctx, tx); err != nil || gone {
		return nil, gone, err
	}
	if len(q.accepted) > 0 {
		err = tx.commit(ctx)
	} else { // what was there before is told only once it is where a commit must be
		err = tx.confirm(ctx)
	}
	if err != nil {
		return nil, false, err
	}
	return q.results(txs), false, nil
}

func newEnqueueing(txs []*rbcs.Transaction) *enqueueing {
	q := &enqueueing{
		ordinal:  make(map[string]int, len(txs)),
		accepted: make(map[string]*rbcs.IntakeEntry, len(txs)),
		existing: map[string]*rbcs.IntakeEntry{}, recorded: map[string]*rbcs.Result{},
	}
	for i, t := range txs {
		if _, twice := q.ordinal[t.ID]; !twice {
			q.ordinal[t.ID] = i
			q.fresh = append(q.fresh, t)
		}
	}
	slices.SortFunc(q.fresh, func(a, b *rbcs.Transaction) int { return strings.Compare(a.ID, b.ID) })
	return q
}

// insert inserts what is neither queued nor recorded, and finds what is recorded.
func (q *enqueueing) insert(ctx context.Context, tx *transaction) error {
	b := tx.open(ctx)
	b.Queue(enqueueSQL, q.columns()...).Query(func(rows pgx.Rows) error {
		var id string
		var e rbcs.IntakeEntry
		_, err := pgx.ForEachRow(rows, []any{&id, &e.Position, &e.DueAt, &e.AcceptedAt}, func() error {
			accepted := e
			accepted.State = rbcs.IntakeQueued
			q.accepted[id] = &accepted
			return nil
		})
		return err
	})
	b.Queue(readySQL, q.sources()...)
	ids := make([]string, len(q.fresh))
	for i, t := range q.fresh {
		ids[i] = t.ID
	}
	b.Queue(recordedSQL, ids).Query(func(rows pgx.Rows) error {
		return scanRecords(rows, func(r *rbcs.Record) error {
			q.recorded[r.Transaction.ID] = &r.Result // of several attempts the last one stays
			return nil
		})
	})
	b.Queue(tx.store.settings.commit)
	return tx.send(ctx, b)
}

// complete reads the entries that were there before, and takes back those that
// were recorded in the moment in which they were inserted.
func (q *enqueueing) complete(ctx context.Context, tx *transaction) (gone bool, err error) {
	var missing, overtaken []string
	for _, t := range q.fresh {
		_, accepted := q.accepted[t.ID]
		_, recorded := q.recorded[t.ID]
		switch {
		case accepted && recorded:
			overtaken = append(overtaken, t.ID)
		case !accepted && !recorded:
			missing = append(missing, t.ID)
		}
	}
	if len(missing)+len(overtaken) == 0 {
		return false, nil
	}
	b := &pgx.Batch{}
	b.Queue(dequeueSQL, overtaken)
	b.Queue(intakesSQL, missing).Query(func(rows pgx.Rows) error {
		return scanIntake(rows, func(e *rbcs.IntakeEntry) { q.existing[e.Transaction.ID] = e })
	})
	if err := tx.send(ctx, b); err != nil {
		return false, failure(err)
	}
	return len(q.existing) < len(missing), nil
}

// results answers each transaction.
func (q *enqueueing) results(txs []*rbcs.Transaction) []rbcs.IntakeResult {
	results := make([]rbcs.IntakeResult, len(txs))
	for i, t := range txs {
		r := &results[i]
		if recorded, ok := q.recorded[t.ID]; ok {
			*r = rbcs.ReplayQueued(t, recorded)
			continue
		}
		entry := q.existing[t.ID]
		if entry == nil {
			entry = q.accepted[t.ID]
			entry.Transaction = *txs[q.ordinal[t.ID]]
		}
		if err := entry.Conflict(t); err != nil {
			r.Err = err
			continue
		}
		r.Entry = new(*entry)
	}
	return results
}

// columns returns the parameters of enqueueSQL.
func (q *enqueueing) columns() []any {
	n := len(q.fresh)
	text := func(size int) *column { return newColumn(pgtype.TextOID, n, size) }
	moment := func() *column { return newColumn(pgtype.TimestamptzOID, n, 8) }
	var (
		ordinal, decimals                                           = newColumn(pgtype.Int2OID, n, 2), newColumn(pgtype.Int2OID, n, 2)
		id, kind, source, destination, currency                     = text(32), text(8), text(16), text(16), text(4)
		amount                                                      = newColumn(pgtype.NumericOID, n, numericHeader+3*2)
		occurred, expires, execute, retry, description, meta, actor = moment(), moment(), moment(), moment(), text(0), text(0), text(8)
	)
	for _, t := range q.fresh {
		ordinal.smallint(q.ordinal[t.ID])
		id.text(t.ID)
		kind.text(string(t.Type))
		source.text(t.Source)
		destination.text(t.Destination)
		amount.amount(t.Amount.Units)
		decimals.smallint(int(t.Amount.Scale))
		currency.textOrNull(t.Currency)
		occurred.timestamp(t.Timestamp)
		expires.timestampOrNull(t.ExpiresAt)
		execute.timestampOrNull(t.ExecuteAt)
		retry.timestampOrNull(t.RetryUntil)
		description.textOrNull(t.Description)
		meta.textOrNull(t.Metadata)
		actor.textOrNull(t.Actor)
	}
	return []any{ordinal, id, kind, source, destination, amount, decimals, currency, occurred, expires, execute, retry, description, meta, actor}
}

// sources returns the parameters of readySQL: each source in their order, and
// the time of its first entry, NULL for now.
func (q *enqueueing) sources() []any {
	first := make(map[string]time.Time, len(q.fresh))
	for _, t := range q.fresh {
		at, known := first[t.Source]
		if !known || t.ExecuteAt.Before(at) { // the zero time is before all
			at = t.ExecuteAt
		}
		first[t.Source] = at
	}
	names := make([]string, 0, len(first))
	for name := range first {
		names = append(names, name)
	}
	slices.SortFunc(names, cmp.Compare[string])
	source, at := newColumn(pgtype.TextOID, len(names), 16), newColumn(pgtype.TimestamptzOID, len(names), 8)
	for _, name := range names {
		source.text(name)
		at.timestampOrNull(first[name])
	}
	return []any{source, at}
}

var _ rbcs.IntakeStore = (*Store)(nil)
