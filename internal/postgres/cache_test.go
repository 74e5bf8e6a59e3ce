package postgres

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"rbcs"
)

// fences records what a fence is told, and answers as it is set.
type fences struct {
	confirm bool
	mu      sync.Mutex
	told    []rbcs.Locked
}

func (f *fences) fence(_ context.Context, l rbcs.Locked) func() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.told = append(f.told, l)
	return func() bool { return f.confirm }
}

// declared declares a cache to be in use, which may answer.
func declared(t *testing.T, s *Store) rbcs.CacheState {
	t.Helper()
	state, err := s.Cache(t.Context())
	if err != nil || !state.Serve || state.Timeline == 0 || state.Database == "" {
		t.Fatalf("%+v, %v", state, err)
	}
	return state
}

// controlRow is cache_control as a text, and which version of the row it is.
func controlRow(t *testing.T, conn *pgx.Conn) (row string) {
	t.Helper()
	if err := conn.QueryRow(t.Context(), "select xmin::text || ' ' || c::text from cache_control c").Scan(&row); err != nil {
		t.Fatal(err)
	}
	return row
}

// wantTrue runs a query that must yield true.
func wantTrue(t *testing.T, conn *pgx.Conn, what, sql string, args ...any) {
	t.Helper()
	var ok bool
	if err := conn.QueryRow(t.Context(), sql, args...).Scan(&ok); err != nil || !ok {
		t.Errorf("%s: %v, %v; the row is %s", what, ok, err, controlRow(t, conn))
	}
}

// tooEarly yields true where a transaction is visible and the cache may still be trusted, or not for long enough.
const tooEarly = `
select exists (select from transactions where id = any($1)) and not coalesce(
	off_since + interval '1 second' <= clock_timestamp() and off_until >= clock_timestamp() + interval '14 seconds', false)
from cache_control`

// watch looks all the time whether a transaction is visible too early, until
// the returned function is called.
func watch(t *testing.T, dsn string, ids ...string) (stop func()) {
	conn := connect(t, dsn)
	done := make(chan struct{})
	var group sync.WaitGroup
	group.Go(func() {
		for last := false; ; {
			var early bool
			if err := conn.QueryRow(context.Background(), tooEarly, ids).Scan(&early); err != nil || early {
				t.Errorf("visible before the cache was off: %v, %v", early, err)
				return
			}
			if last {
				return
			}
			select {
			case <-done:
				last = true // a look after all that happened
			default:
			}
		}
	})
	return func() {
		close(done)
		group.Wait()
	}
}

// TestCommitTurnsTheCacheOff commits, while a cache is in use, what it did not confirm.
func TestCommitTurnsTheCacheOff(t *testing.T) {
	for name, c := range map[string]struct {
		fence    *fences
		promoted bool
		looked   bool // another one has met the promotion before
		asked    int
	}{
		"no fence":                    {},
		"not confirmed":               {fence: &fences{}, asked: 1},
		"confirmed after a promotion": {fence: &fences{confirm: true}, promoted: true, asked: 1},
		"confirmed after a promotion that a look has met": {fence: &fences{confirm: true}, promoted: true, looked: true, asked: 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dsn := migrated(t)
			s, reader, conn := openStore(t, dsn), openStore(t, dsn), connect(t, dsn)
			createAccounts(t, s, 3)
			timeline := declared(t, s).Timeline
			declared(t, reader)
			if c.promoted {
				execute(t, conn, "update cache_control set timeline = timeline + 100, off_since = '-infinity', off_until = 'infinity'")
			}
			if c.looked {
				if state, err := reader.Cache(t.Context()); err != nil || state.Serve {
					t.Errorf("promoted: %+v, %v", state, err)
				}
			}
			stop := watch(t, dsn, "x")
			finished := make(chan error, 1)
			go func() {
				var fence rbcs.Fence
				if c.fence != nil {
					fence = c.fence.fence
				}
				_, err := s.CommitFenced(t.Context(), []*rbcs.Transaction{transfer("x")}, fence)
				finished <- err
			}()
			eventually(t, conn, `select coalesce(off_until > clock_timestamp() and off_since > '-infinity' and timeline = $1, false)
				and (select xmax <> 0 from accounts where number = 'a:0') from cache_control`, timeline) // off, and the account is locked
			if r := reading(t, reader, "a:0"); r.Fillable || r.Version != 0 {
				t.Errorf("while it waits: %+v", r)
			}
			if state, err := reader.Cache(t.Context()); err != nil || state.Serve || state.Timeline != timeline {
				t.Errorf("while it waits: %+v, %v", state, err)
			}
			if err := <-finished; err != nil {
				t.Fatal(err)
			}
			stop()
			if r := reading(t, reader, "a:0"); !r.Fillable || r.Version != 1 {
				t.Errorf("afterwards: %+v", r)
			}
			if c.fence != nil && len(c.fence.told) != c.asked {
				t.Errorf("the fence was told %+v", c.fence.told)
			}
			row := controlRow(t, conn)
			commit(t, s, transfer("y"), transfer("z")) // it is off for long enough
			if now := controlRow(t, conn); now != row {
				t.Errorf("%s became %s", row, now)
			}
		})
	}
}

// TestConfirmedCommitLeavesTheCacheOn tells a fence exactly what changes.
func TestConfirmedCommitLeavesTheCacheOn(t *testing.T) {
	dsn := migrated(t)
	s, conn := openStore(t, dsn), connect(t, dsn)
	createAccounts(t, s, 5)
	state, row := declared(t, s), controlRow(t, conn)
	f := &fences{confirm: true}
	rejected, more := transfer("r"), transfer("more")
	rejected.Source, rejected.Destination, rejected.Currency = "a:3", "a:4", "EUR"
	more.Destination = "a:2"
	results, err := s.CommitFenced(t.Context(), []*rbcs.Transaction{transfer("x"), rejected, more}, f.fence)
	if err != nil || results[1].Status != rbcs.Rejected || results[2].Status != rbcs.Posted {
		t.Fatalf("%+v, %v", results, err)
	}
	if len(f.told) != 1 || f.told[0].Timeline != state.Timeline || !slices.Equal(f.told[0].Numbers, []string{"a:0", "a:1", "a:2"}) {
		t.Errorf("told %+v", f.told)
	}
	if state.Timeline != reading(t, s, "a:0").Timeline {
		t.Errorf("the timelines differ: %+v", state)
	}
	// What changes no account needs no fence, and no other way either.
	rejected.ID = "again"
	for _, tx := range []*rbcs.Transaction{transfer("x"), rejected} {
		if _, err := s.Commit(t.Context(), []*rbcs.Transaction{tx}); err != nil {
			t.Fatal(err)
		}
	}
	if now := controlRow(t, conn); now != row {
		t.Errorf("%s became %s", row, now)
	}
}

// TestNoCacheNoFence has no cache, or none any more, for which somebody has waited: nothing is asked or written.
func TestNoCacheNoFence(t *testing.T) {
	dsn := migrated(t)
	s, conn := openStore(t, dsn), connect(t, dsn)
	createAccounts(t, s, 2)
	f := &fences{}
	for _, until := range []string{"-infinity", "2020-01-01"} {
		execute(t, conn, "update cache_control set in_use_until = $1::timestamptz", until)
		if until != "-infinity" { // the clock may have been set forward
			stop := watch(t, dsn, "first")
			commitOne(t, s, "first")
			stop()
			wantTrue(t, conn, "it is forgotten", "select in_use_until = '-infinity' and off_until > clock_timestamp() from cache_control")
		}
		row := controlRow(t, conn)
		results, err := s.CommitFenced(t.Context(), []*rbcs.Transaction{transfer(until)}, f.fence)
		if err != nil || results[0].Status != rbcs.Posted || len(f.told) > 0 {
			t.Errorf("%+v, %v; told %v", results, err, f.told)
		}
		if now := controlRow(t, conn); now != row {
			t.Errorf("%s became %s", row, now)
		}
	}
	// One that is about to end cannot be relied on: it is turned off, without a mark.
	execute(t, conn, "update cache_control set in_use_until = clock_timestamp() + interval '60 seconds'")
	if _, err := s.CommitFenced(t.Context(), []*rbcs.Transaction{transfer("z")}, f.fence); err != nil || len(f.told) > 0 {
		t.Errorf("%v; told %v", err, f.told)
	}
	wantTrue(t, conn, "off", "select off_until > clock_timestamp() from cache_control")
}

// TestWritersTurnTheCacheOffTogether has more commits wait than there are
// connections, on two instances.
func TestWritersTurnTheCacheOffTogether(t *testing.T) {
	dsn := migrated(t)
	one, two := openAs(t, dsn, Options{Logger: quiet, MaxConns: 3}), openAs(t, dsn, Options{Logger: quiet, MaxConns: 3})
	const writers = 8
	createAccounts(t, one, 2*writers)
	declared(t, one)
	var ids []string
	for i := range writers {
		ids = append(ids, fmt.Sprint("w", i))
	}
	stop := watch(t, dsn, ids...)
	var group sync.WaitGroup
	for i, id := range ids {
		group.Go(func() {
			tx := transfer(id)
			tx.Source, tx.Destination = fmt.Sprintf("a:%d", 2*i), fmt.Sprintf("a:%d", 2*i+1)
			if _, err := []*Store{one, two}[i%2].CommitFenced(t.Context(), []*rbcs.Transaction{tx}, new(fences).fence); err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	stop()
}

// TestCacheStaysOff commits while the cache is off, but not for long enough.
func TestCacheStaysOff(t *testing.T) {
	dsn := migrated(t)
	s, conn := openStore(t, dsn), connect(t, dsn)
	createAccounts(t, s, 2)
	declared(t, s)
	execute(t, conn, "update cache_control set off_since = '2020-01-01', off_until = clock_timestamp() + interval '10 seconds'")
	commitOne(t, s, "x")
	wantTrue(t, conn, "it was extended, and is off since then",
		"select off_since = '2020-01-01' and off_until > clock_timestamp() + interval '15 seconds' from cache_control")
	execute(t, conn, "update cache_control set off_until = clock_timestamp() - interval '1 second'")
	stop := watch(t, dsn, "y")
	commitOne(t, s, "y")
	stop()
	wantTrue(t, conn, "it was turned off anew", "select off_since > '2020-01-01' from cache_control")
}

// TestClockSetBack commits after the server's clock was an hour ahead.
func TestClockSetBack(t *testing.T) {
	dsn := migrated(t)
	s, conn := openStore(t, dsn), connect(t, dsn)
	createAccounts(t, s, 2)
	declared(t, s)
	execute(t, conn, "update cache_control set off_since = clock_timestamp() + interval '1 hour', off_until = clock_timestamp() + interval '1 hour 20 seconds'")
	stop := watch(t, dsn, "x")
	commitOne(t, s, "x")
	stop()
	wantTrue(t, conn, "it does not stay off for an hour", "select off_until < clock_timestamp() + interval '1 minute' from cache_control")
}

// TestCommitFailsWhereTheCacheStaysOn lets no time for turning it off, or the row be held.
func TestCommitFailsWhereTheCacheStaysOn(t *testing.T) {
	dsn := migrated(t)
	s, conn := openStore(t, dsn), connect(t, dsn)
	createAccounts(t, s, 2)
	declared(t, s)
	try := func(limit time.Duration) {
		t.Helper()
		ctx, cancel := context.WithTimeout(t.Context(), limit)
		defer cancel()
		_, err := s.Commit(ctx, []*rbcs.Transaction{transfer("x")})
		wantCode(t, err, rbcs.Unavailable)
	}
	execute(t, conn, "begin")
	execute(t, conn, "select from cache_control for update")
	try(400 * time.Millisecond)
	execute(t, conn, "rollback")
	try(900 * time.Millisecond)
	wantTrue(t, conn, "nothing was recorded", "select not exists (select from transactions)")

	// The caller leaves while it waits, which is for a second.
	for n := 0; ; n++ {
		execute(t, conn, "update cache_control set off_since = null, off_until = '-infinity'")
		ctx, cancel := context.WithCancel(t.Context())
		failed := make(chan error, 1)
		go func() {
			_, err := s.Commit(ctx, []*rbcs.Transaction{transfer(fmt.Sprint("left", n))})
			failed <- err
		}()
		eventually(t, conn, "select off_since is not null from cache_control")
		cancel()
		if err := <-failed; err != nil { // else this test was slower than the wait
			wantCode(t, err, rbcs.Unavailable)
			break
		}
	}
	wantTrue(t, conn, "nothing was recorded", "select not exists (select from transactions where id = 'x')")

	// The row is of another timeline than the commit's, which no server has.
	_, err := s.turnOff(t.Context(), 12345)
	wantCode(t, err, rbcs.Unavailable)
}

// TestOvertakenBatchIsFencedAgain runs a batch twice, as [TestSameIDOnOtherAccounts].
func TestOvertakenBatchIsFencedAgain(t *testing.T) {
	dsn := migrated(t)
	s, other, watcher := openStore(t, dsn), connect(t, dsn), connect(t, dsn)
	createAccounts(t, s, 2)
	declared(t, s)
	execute(t, other, "begin")
	execute(t, other, `insert into transactions (sequence, id, decimals, type, status, code, source_number, destination_number, amount, occurred_at, committed_at, instance)
		values (nextval('transactions_sequence'), 'x', 2, 'transfer', 'rejected', 'account_not_found', 'nobody', 'a:1', 1, '2026-01-01Z', now(), 'other')`)
	f := &fences{confirm: true}
	failed := make(chan error, 1)
	go func() {
		results, err := s.CommitFenced(t.Context(), []*rbcs.Transaction{transfer("x"), transfer("y")}, f.fence)
		if err == nil && (results[0].Err == nil || results[1].Status != rbcs.Posted) {
			err = fmt.Errorf("results %+v", results)
		}
		failed <- err
	}()
	eventually(t, watcher, "select count(*) = 1 "+lockWaiting)
	execute(t, other, "commit")
	if err := <-failed; err != nil || len(f.told) != 2 {
		t.Errorf("error %v, told %+v", err, f.told)
	}
}

// TestCacheControl declares, renews, and finds the database promoted.
func TestCacheControl(t *testing.T) {
	dsn := migrated(t)
	one, two, conn := openStore(t, dsn), openStore(t, dsn), connect(t, dsn)
	first := declared(t, one)
	row := controlRow(t, conn)
	second := declared(t, two)
	if !second.Now.After(first.Now) {
		t.Errorf("a look at %v, and then one at %v", first.Now, second.Now)
	}
	if second.Now = first.Now; second != first {
		t.Errorf("%+v and %+v", first, second)
	}
	if now := controlRow(t, conn); now != row {
		t.Errorf("a look has written: %s became %s", row, now)
	}
	if elsewhere := declared(t, openStore(t, migrated(t))); elsewhere.Database == first.Database {
		t.Errorf("two databases are %s", first.Database)
	}
	execute(t, conn, "update cache_control set in_use_until = clock_timestamp() + interval '100 seconds'")
	declared(t, one)
	wantTrue(t, conn, "it was renewed", "select in_use_until > clock_timestamp() + interval '200 seconds' from cache_control")

	execute(t, conn, "update cache_control set off_until = clock_timestamp() + interval '1 hour'")
	if state, err := two.Cache(t.Context()); err != nil || state.Serve || state.Timeline != first.Timeline {
		t.Errorf("off: %+v, %v", state, err)
	}
	execute(t, conn, "update cache_control set off_until = '-infinity', timeline = timeline + 1")
	if state, err := two.Cache(t.Context()); err != nil || state.Serve || state.Timeline != first.Timeline {
		t.Errorf("promoted: %+v, %v", state, err)
	}
	wantTrue(t, conn, "it was turned off", "select off_until > clock_timestamp() and timeline = $1 from cache_control", first.Timeline)

	execute(t, conn, "update cache_control set off_until = '-infinity', timeline = timeline + 1, in_use_until = '2020-01-01'")
	declared(t, one) // nothing is left of what was cached elsewhere
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := one.Cache(ended)
	var known *rbcs.Error
	if !errors.As(err, &known) || known.Code != rbcs.Unavailable {
		t.Errorf("error %v", err)
	}
}

// TestPromotedServer has a standby become the primary while a cache is in use: it
// answers no balance before, and its first commit waits although it is confirmed.
func TestPromotedServer(t *testing.T) {
	primary := migratedServer(t)
	s := openStore(t, primary.URL)
	createAccounts(t, s, 2)
	was := declared(t, s)
	commitOne(t, s, "before")
	standby := primary.Standby(t)
	anyServer := openStore(t, standby.URL+"&target_session_attrs=any")
	for _, number := range []string{"a:0", "nobody"} {
		_, err := anyServer.Balances(t.Context(), []string{number})
		wantCode(t, err, rbcs.Unavailable)
	}
	_, err := anyServer.Cache(t.Context())
	wantCode(t, err, rbcs.Unavailable)
	if err := primary.Crash(); err != nil {
		t.Fatal(err)
	}
	if err := standby.Promote(t.Context()); err != nil {
		t.Fatal(err)
	}
	promoted, conn := openStore(t, standby.URL), connect(t, standby.URL)
	stop := watch(t, standby.URL, "after")
	f := &fences{confirm: true}
	if _, err := promoted.CommitFenced(t.Context(), []*rbcs.Transaction{transfer("after")}, f.fence); err != nil {
		t.Fatal(err)
	}
	stop()
	now := f.told[0].Timeline
	wantTrue(t, conn, "the cache is off on the new timeline", "select timeline = $1 and off_until > clock_timestamp() from cache_control", now)
	state, err := promoted.Cache(t.Context())
	if state.Now.IsZero() {
		t.Error("a look does not say when it was")
	}
	state.Now = time.Time{}
	if err != nil || now == was.Timeline || state != (rbcs.CacheState{Timeline: now, Database: was.Database}) {
		t.Errorf("timeline %d, then %d; state %+v, %v", was.Timeline, now, state, err)
	}
	if r := reading(t, promoted, "a:0"); !r.Fillable || r.Timeline != now || r.Version != 2 {
		t.Errorf("%+v", r)
	}
}
