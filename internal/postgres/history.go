package postgres

import (
	"context"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"rbcs"
)

// An account's versions are 1…n without a gap, and neither committed_at nor
// sequence ever runs backward in them. What an account was at some moment is
// therefore found by halving: each step is a look-up in the two unique indexes.
// This finds the last version for which CONDITION holds; 0 where there is none.
const lastVersionSQL = `
with recursive search (low, high) as (
	select 0::bigint, a.version from accounts a where a.key = $1
	union all
	select case when probe.holds then middle.version else low end, case when probe.holds then high else middle.version - 1 end
	from search, lateral (select (low + high + 1) / 2 as version) as middle, lateral (
		select CONDITION as holds from transactions t where t.source_key = $1 and t.source_version = middle.version
		union all
		select CONDITION as holds from transactions t where t.destination_key = $1 and t.destination_version = middle.version
	) as probe
	where low < high
)
select low from search where low = high`

var (
	lastVersionAtSQL     = strings.ReplaceAll(lastVersionSQL, "CONDITION", "t.committed_at <= $2")
	lastVersionBeforeSQL = strings.ReplaceAll(lastVersionSQL, "CONDITION", "t.committed_at < $2")
	lastVersionUptoSQL   = strings.ReplaceAll(lastVersionSQL, "CONDITION", "t.sequence < $2")
)

const keySQL = `select key, version, currency, decimals from accounts where number = $1`

// keyOf returns an account's key, its version and its currency, or [rbcs.NotFound].
func (s *Store) keyOf(ctx context.Context, number string) (key, version int64, currency rbcs.Currency, err error) {
	err = s.read(ctx, one(&key, &version, &currency.Code, &currency.Decimals), keySQL, number)
	if err == nil && key == 0 {
		err = noAccount(number)
	}
	return key, version, currency, err
}

// one scans the one row that a query has, or none.
func one(targets ...any) func(pgx.Rows) error {
	return func(rows pgx.Rows) error {
		_, err := pgx.ForEachRow(rows, targets, func() error { return nil })
		return err
	}
}

// A commit takes its time under its account's lock and is seen only after COMMIT.
// Who takes that lock for a moment waits for the commits that have a time already;
// later ones get a later time. It is not a lock for share, which two could have at
// once: that would need a multixact. Its transaction is rolled back, and waits for
// neither disk nor standby.
//
// What is older than recent is not waited for, unless who holds the row began before
// it: a COMMIT waits for its standby as long as that is away. Whoever began later got
// a later time.
//
// Times of one account never go back, the clock may: now is later than the last of them.
const recent = time.Minute

var settledAtSQL = `
select greatest(clock_timestamp(), a.updated_at + interval '1 microsecond') from accounts a
where a.key = $1 and ($2::timestamptz > clock_timestamp() - $3::interval or case when ` + unheldSQL + ` then false
	else exists (select from pg_stat_activity p where p.backend_xid = a.xmax and coalesce(p.xact_start <= $2, true)) end)
for no key update of a`

// settledAt waits until what was committed on an account up to a moment does not
// change any more. That moment is the one given, or now where that is earlier.
func (s *Store) settledAt(ctx context.Context, key int64, at time.Time) (time.Time, error) {
	now := at
	b := &pgx.Batch{}
	b.Queue("begin isolation level read committed")
	b.Queue(readSettings, limit(ctx), idleLimit)
	b.Queue(settledAtSQL, key, at, recent).Query(one(&now))
	b.Queue("rollback")
	if err := s.sendRead(ctx, b); err != nil {
		return at, err
	}
	if now.Before(at) {
		return now, nil
	}
	return at, nil
}

const stateSQL = `
select t.source_balance, t.source_held from transactions t where t.source_key = $1 and t.source_version = $2
union all
select t.destination_balance, t.destination_held from transactions t where t.destination_key = $1 and t.destination_version = $2`

// BalanceAt implements [rbcs.Store].
func (s *Store) BalanceAt(ctx context.Context, number string, at time.Time) (rbcs.Balance, error) {
	key, _, currency, err := s.keyOf(ctx, number)
	if err != nil {
		return rbcs.Balance{}, err
	}
	if at, err = s.settledAt(ctx, key, at); err != nil {
		return rbcs.Balance{}, err
	}
	b := rbcs.Balance{Number: number, Currency: currency, AsOf: at}
	if err := s.read(ctx, one(&b.Version), lastVersionAtSQL, key, at); err != nil || b.Version == 0 {
		return b, err
	}
	// What the log says about a version never changes: it need not be the same snapshot.
	err = s.read(ctx, one(&b.Balance, &b.Held), stateSQL, key, b.Version)
	return b, err
}

// Each side gives its first rows, in the order of versions; at most twice the
// limit are read.
const historySQL = `
select * from (
	(select ` + resultColumns + `, false as credit, t.source_version as version from transactions t
	where t.source_key = $1 and t.source_version between $2 and $3 order by t.source_version DIRECTION limit $4)
	union all
	(select ` + resultColumns + `, true as credit, t.destination_version as version from transactions t
	where t.destination_key = $1 and t.destination_version between $2 and $3 order by t.destination_version DIRECTION limit $4)
) as both_sides order by version DIRECTION limit $4`

var (
	historyAscendingSQL  = strings.ReplaceAll(historySQL, "DIRECTION", "asc")
	historyDescendingSQL = strings.ReplaceAll(historySQL, "DIRECTION", "desc")
)

// History implements [rbcs.Store].
func (s *Store) History(ctx context.Context, q rbcs.HistoryQuery) ([]rbcs.Entry, error) {
	key, high, _, err := s.keyOf(ctx, q.Account)
	if err != nil {
		return nil, err
	}
	low, high, err := s.versions(ctx, key, high, q.From, q.To)
	if err != nil {
		return nil, err
	}
	sql := historyAscendingSQL
	switch {
	case q.Descending:
		sql = historyDescendingSQL
		if q.After > 0 {
			high = min(high, q.After-1)
		}
	default:
		low = max(low, q.After+1)
	}
	var entries []rbcs.Entry
	err = s.read(ctx, func(rows pgx.Rows) error {
		var credit bool
		var version int64
		return scanResults(rows, func(r *rbcs.Result) error {
			entries = append(entries, entry(r, credit))
			return nil
		}, &credit, &version)
	}, sql, key, low, high, q.Limit)
	return entries, err
}

func entry(r *rbcs.Result, credit bool) rbcs.Entry {
	amount := r.Transaction.Amount.Units
	switch {
	case credit:
		return rbcs.Entry{Result: *r, Credit: true, Change: amount, State: r.Destination}
	case r.Destination.Version == 0: // a hold, its release or its expiry: nothing moves
		return rbcs.Entry{Result: *r, State: r.Source}
	}
	return rbcs.Entry{Result: *r, Change: amount.Neg(), State: r.Source}
}

// versions returns the first and the last version that were committed in
// [from, to), once these do not change any more.
func (s *Store) versions(ctx context.Context, key, last int64, from, to time.Time) (low, high int64, err error) {
	low, high = 1, last
	if !to.IsZero() { // before anything is looked up: it may wait
		if to, err = s.settledAt(ctx, key, to); err != nil {
			return 0, 0, err
		}
	}
	if !from.IsZero() {
		var before int64
		if err := s.read(ctx, one(&before), lastVersionBeforeSQL, key, from); err != nil {
			return 0, 0, err
		}
		low = before + 1
	}
	if !to.IsZero() {
		if err := s.read(ctx, one(&high), lastVersionBeforeSQL, key, to); err != nil {
			return 0, 0, err
		}
	}
	return low, high, nil
}
