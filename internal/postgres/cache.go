package postgres

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"rbcs"
)

// # The database's part in the balance cache
//
// One row, cache_control, says whether a cache is in use, and whether it is off.
// What is in it is reckoned by the database's clock alone. The invariant is that
// of [rbcs.BalanceReader]: when COMMIT is sent, no cache answers with a balance
// from before it, and none will. It follows from these:
//
//  1. A row's old balance gets into a cache in two ways: by who read it while
//     nobody held the row (balancesSQL), within [rbcs.LeaseLife]; and by an earlier
//     commit of the same account, which has set its mark under the row's lock,
//     within [rbcs.MarkLife]. From the moment a commit has locked its rows, nobody
//     begins either of them; so that dead after that moment all old balances are gone.
//  2. Both happen only while a cache is in use, by a durable declaration that still
//     lasts: a read must have known it before it began, a commit that marks sees it
//     under its locks. A commit reads the row after its locks, in a later
//     snapshot: whoever read or marked before its locks saw the declaration earlier,
//     and so the commit sees it too, or that it has ended. As it had to last when
//     it was relied on, everything is dead by its end.
//  3. A commit that sees a declaration goes on only if its fence has confirmed that
//     the cache holds no old balance and never will; or if the cache is off: seen to
//     be off by everybody who looked since off_since, [rbcs.Trust] ago, and until
//     everything is dead. Else it turns the cache off and waits, holding its locks:
//     without them old balances could be read and filled in the meantime.
//  4. off_since is taken by the clock in a transaction of its own, after the one
//     that turns off has committed: who looks later sees it, however long that COMMIT took.
//  5. What is marked and filled carries the server's timeline. Whoever looked before
//     a promotion may trust, for Trust, a cache that the marks of the promoted
//     server do not reach. Until the row has its timeline, no confirmation counts,
//     and the cache is turned off once: by a commit, or by a look, which waits for
//     nothing. Nor does any count until Trust has passed since that off_since.
//
// Where no cache was declared a commit pays for the columns that it reads here,
// and for nothing else. After a declaration has ended the first commit turns the
// cache off and waits once more: the clock may have been set forward, and somebody
// may trust a look from before.
//
// A declaration that an asynchronous standby had not received before it was
// promoted is one that it does not know: of the first declaration of all, or of
// the renewals of more than lasting, commits on the promoted server do not wait
// out the second for which the old server's looks are trusted.
//
// A clock that is set forward by ten seconds ends the time for which the cache is
// off too early. What is cached at that moment is then as much too old, by the same
// clock, and caches do not serve it. A clock that is set back only makes it last longer.
const (
	// inUse is how long a declaration holds. It is renewed when half of it is over.
	inUse = 4 * time.Minute

	// lasting is how long it must still hold to rely on it: from a commit's look
	// until what becomes of its mark is dead, beyond the idle and statement limits
	// of a transaction whose process was stopped. It is less than half of inUse.
	lasting = 90 * time.Second

	// dead is after how long all is gone that was in the cache or on its way there:
	// a mark lives, then becomes a value. It contains a margin of LeaseLife.
	dead = rbcs.MarkLife + rbcs.LeaseLife + rbcs.ValueLife

	// offLife is for how long the cache is turned off at a time. It is more than
	// dead, so that not each commit must extend it while Redis is away.
	offLife = dead + 5*time.Second
)

// seconds is a duration as an interval.
func seconds(d time.Duration) string { return fmt.Sprintf("interval '%g seconds'", d.Seconds()) }

// What the row c says now.
var (
	lastingSQL = "(c.in_use_until > clock_timestamp() + " + seconds(lasting) + ")"
	usedSQL    = "(c.in_use_until > clock_timestamp())"
	endedSQL   = "(c.in_use_until > '-infinity' and not " + usedSQL + ")"
	offSQL     = "(c.off_until > clock_timestamp())"
	// longOffSQL is that it stays off until everything is dead; darkSQL that nobody trusts it any more, either.
	longOffSQL = "(c.off_until >= clock_timestamp() + " + seconds(dead) + ")"
	// knownSQL is that everybody knows of what turned it off last, if it is off.
	knownSQL = "(not " + offSQL + " or coalesce(c.off_since <= clock_timestamp() - " + seconds(rbcs.Trust) + ", false))"
	darkSQL  = "(" + longOffSQL + " and coalesce(c.off_since <= clock_timestamp() - " + seconds(rbcs.Trust) + ", false))"
)

// timelineNumberSQL is the timeline as a number, 0 on a standby.
const timelineNumberSQL = "('x' || (" + timelineSQL + "))::bit(32)::bigint"

// declaration is what this process knows of one: on which timeline it saw it,
// and until when it holds, by the database's clock.
type declaration struct {
	timeline int64
	until    time.Time
}

// lasts reports whether it lasts for what is read on a timeline at a time.
func (d *declaration) lasts(timeline int64, at time.Time) bool {
	return d != nil && d.timeline == timeline && d.until.Sub(at) > lasting
}

// control is what a commit has seen of cache_control, under its locks.
type control struct {
	timeline int64 // of the server
	row      int64 // the row's
	used     bool
	ended    bool // it was in use, and nobody has waited since
	lasting  bool
	known    bool
	dark     bool
}

// controlColumns are read with [control.targets], of cache_control c.
var controlColumns = timelineNumberSQL + ", c.timeline, " + usedSQL + ", " + endedSQL + ", " + lastingSQL + ", " + knownSQL + ", " + darkSQL

func (c *control) targets() []any {
	return []any{&c.timeline, &c.row, &c.used, &c.ended, &c.lasting, &c.known, &c.dark}
}

// fence tells the cache which accounts the commit is about to change. What it
// returns is nil where nothing is to be confirmed.
//
// Only balances and held amounts are cached: what creates an account, or changes
// its status or overdraft, passes no fence.
func (l *loaded) fence(ctx context.Context, fence rbcs.Fence) (confirmed func() bool) {
	if fence == nil || !l.control.lasting {
		return nil
	}
	numbers := l.changed()
	if len(numbers) == 0 {
		return nil
	}
	return fence(ctx, rbcs.Locked{Timeline: l.control.timeline, Numbers: numbers})
}

// changed returns the numbers of the accounts that the batch changes.
func (l *loaded) changed() []string {
	numbers := make([]string, 0, len(l.accounts))
	for i := range l.accounts {
		if a := &l.accounts[i]; a.Changed {
			numbers = append(numbers, a.Number)
		}
	}
	return numbers
}

// settle returns once the commit may become visible, as far as a cache is
// concerned. REQUIRES: the transaction holds the locks of its accounts.
func (s *Store) settle(ctx context.Context, l *loaded, confirmed func() bool) error {
	c := &l.control
	same := c.timeline == c.row
	switch {
	case !c.used && !c.ended, len(l.changed()) == 0:
		return nil
	case confirmed != nil && confirmed() && same && c.known: // rule 5; it is asked in any case: it notes its answer
		return nil
	case same && c.dark:
		return nil
	}
	wait, err := s.turnOff(ctx, c.timeline)
	if err != nil {
		f := failure(err)
		return &rbcs.Error{
			Code: f.Code, Message: "the balance cache has not confirmed the change and could not be turned off: " + f.Message, Away: f.Away, Err: err,
		}
	}
	if err := sleep(ctx, wait); err != nil {
		return err
	}
	if c.ended {
		return s.inControl(ctx, notToDisk, forgetSQL, nil)
	}
	return nil
}

// sleep waits, where the deadline leaves the time.
func sleep(ctx context.Context, wait time.Duration) error {
	if wait <= 0 {
		return nil
	}
	if deadline, ok := ctx.Deadline(); ok && time.Until(deadline) <= wait {
		return rbcs.Errorf(rbcs.Unavailable, "no time is left to wait until everybody knows that the balance cache is off")
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return failure(ctx.Err())
	}
}

// Turning off takes two transactions (rule 4), and a third one looks at what has
// come of it. Whoever finds another one at it waits for the row's lock, and has
// then nothing left to do.
var (
	// After the clock was set back commits would wait until it is where it was: off_since is taken again.
	pastSQL = "coalesce(c.off_since <= clock_timestamp(), true)"

	turnOffSQL = `
update cache_control c set timeline = $1, off_until = clock_timestamp() + ` + seconds(offLife) + `,
	off_since = case when c.timeline = $1 and ` + offSQL + ` and ` + pastSQL + ` then c.off_since end
where c.one and $1 = ` + timelineNumberSQL + ` and not (c.timeline = $1 and ` + longOffSQL + ` and ` + pastSQL + `)`

	// forgetSQL is for a declaration that has ended and for which a commit has waited.
	forgetSQL = "update cache_control c set in_use_until = '-infinity' where c.one and " + endedSQL

	offSinceSQL = "update cache_control c set off_since = clock_timestamp() where c.one and c.off_since is null and " + offSQL

	untilDarkSQL = `
select extract(epoch from c.off_since + ` + seconds(rbcs.Trust) + ` - clock_timestamp())::float8
from cache_control c where c.one and c.timeline = $1 and c.off_since is not null and ` + longOffSQL
)

// turnOff turns the cache off until all that it holds is dead, and returns how
// long to wait until nobody answers from it any more. It goes over connections of
// its own: those of the pool may all be held by commits that wait for this one.
//
// Its transactions do not wait for the disk: the commit that does is later in the WAL.
func (s *Store) turnOff(ctx context.Context, timeline int64) (wait time.Duration, err error) {
	if err := s.inControl(ctx, notToDisk, turnOffSQL, nil, timeline); err != nil {
		return 0, err
	}
	if err := s.inControl(ctx, notToDisk, offSinceSQL, nil); err != nil {
		return 0, err
	}
	left := -1.0
	looked := false
	err = s.inControl(ctx, nothingToWrite, untilDarkSQL, func(rows pgx.Rows) error {
		_, err := pgx.ForEachRow(rows, []any{&left}, func() error { looked = true; return nil })
		return err
	}, timeline)
	switch {
	case err != nil:
		return 0, err
	case !looked:
		return 0, rbcs.Errorf(rbcs.Unavailable, "the database was promoted, or its clock has jumped")
	}
	return time.Duration(left * float64(time.Second)), nil
}

var (
	lookAtSQL = "select " + databaseSQL + ", " + timelineNumberSQL + ", c.timeline = " + timelineNumberSQL + ", " + usedSQL + ", " + halfSQL + ", " + offSQL +
		", greatest(c.in_use_until, 'epoch'), clock_timestamp() from cache_control c where c.one"
	halfSQL = "(c.in_use_until > clock_timestamp() + " + seconds(inUse/2) + ")"

	// A declaration after none has held for long begins with the server's timeline:
	// nothing that was cached on another one is left.
	declareCacheSQL = "update cache_control c set in_use_until = clock_timestamp() + " + seconds(inUse) +
		", timeline = case when " + usedSQL + " then c.timeline else $1 end where c.one and $1 = " + timelineNumberSQL + " and not " + halfSQL
)

// databaseSQL names the database among others: in a cache that they share, and to
// gateways. A restored dump has the row of the database that it came from, but not
// its cluster or OID.
const databaseSQL = "c.database || '/' || (select system_identifier from pg_control_system()) || '/' || (select oid from pg_database where datname = current_database())"

// Cache implements [rbcs.CacheControl]. Looks do not wait for commits or reads.
func (s *Store) Cache(ctx context.Context) (rbcs.CacheState, error) {
	state, known, half, err := s.lookAtControl(ctx)
	switch {
	case err != nil:
		return rbcs.CacheState{}, err
	case !half:
		err = s.inControl(ctx, durability, declareCacheSQL, nil, state.Timeline)
	case !known: // promoted (rule 5)
		_, err = s.turnOff(ctx, state.Timeline)
	default:
		return state, nil
	}
	if err != nil {
		return rbcs.CacheState{}, err
	}
	state, _, _, err = s.lookAtControl(ctx)
	return state, err
}

// lookAtControl looks once, and notes the declaration that it sees. half is
// whether that is not to be renewed yet, known whether the row has the server's timeline.
func (s *Store) lookAtControl(ctx context.Context) (state rbcs.CacheState, known, half bool, err error) {
	var used, off bool
	var until time.Time
	err = s.inControl(ctx, nothingToWrite, lookAtSQL, one(&state.Database, &state.Timeline, &known, &used, &half, &off, &until, &state.Now))
	switch {
	case err != nil:
		return rbcs.CacheState{}, false, false, err
	case state.Timeline == 0:
		return rbcs.CacheState{}, false, false, s.standby()
	}
	s.declared.Store(&declaration{timeline: state.Timeline, until: until})
	state.Serve = known && used && !off
	return state, known, half, nil
}

// How inControl's transactions are written.
const (
	nothingToWrite = "''"
	notToDisk      = "set_config('synchronous_commit', 'off', true)"
)

// inControl runs one statement on cache_control as a transaction, over the
// connections that are kept for that.
func (s *Store) inControl(ctx context.Context, synchronous, sql string, scan func(pgx.Rows) error, args ...any) error {
	b := &pgx.Batch{}
	b.Queue("select "+timeLimits+", "+synchronous, limit(ctx), idleLimit)
	q := b.Queue(sql, args...)
	if scan != nil {
		q.Query(scan)
	}
	if err := s.control.SendBatch(ctx, b).Close(); err != nil {
		return failure(err)
	}
	return nil
}
