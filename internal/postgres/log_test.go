package postgres

import (
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"rbcs"
)

// pageOf reads the log and wants these IDs.
func pageOf(t *testing.T, s *Store, after int64, want ...string) rbcs.LogPage {
	t.Helper()
	page, err := s.Log(t.Context(), after, 1000)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for i := range page.Results {
		got = append(got, page.Results[i].Transaction.ID)
	}
	if !reflect.DeepEqual(got, want) {
		t.Fatalf("behind %d the log has %v, want %v; it ends at %d", after, got, want, page.End)
	}
	if want == nil && page.End > after {
		t.Fatalf("behind %d the log has nothing yet, but goes on at %d", after, page.End)
	}
	return page
}

// written is a decision that a test writes by itself, under the sequence that it took.
const written = `insert into transactions (sequence, id, decimals, type, status, code, source_number, destination_number, amount, occurred_at, committed_at, instance)
values (currval('transactions_sequence'), $1, 2, 'transfer', 'rejected', 'account_not_found', 'nobody', 'nobody', 1, '2026-01-01Z', now(), 'other')`

// TestLogWaitsForTheLate has transactions that took a sequence early and commit late.
func TestLogWaitsForTheLate(t *testing.T) {
	dsn := migrated(t)
	s := openStore(t, dsn)
	createAccounts(t, s, 2)
	late, later, idle := connect(t, dsn), connect(t, dsn), connect(t, dsn)
	take := func(conn *pgx.Conn) {
		execute(t, conn, "begin")
		execute(t, conn, placeSQL, 1)
	}
	if page := pageOf(t, s, 0); page.End != 0 {
		t.Errorf("an empty log ends at %d", page.End)
	}
	commitOne(t, s, "1")
	first := pageOf(t, s, 0, "1")

	execute(t, idle, "begin") // a number below that of an earlier sequence: first the number, long before the sequence
	execute(t, idle, "select pg_current_xact_id()")
	commitOne(t, s, "2")
	pageOf(t, s, first.End)
	if s.LogLag() <= 0 {
		t.Error("there is no lag")
	}
	take(idle) // a warning: it is in a transaction
	execute(t, idle, written, "3")
	commitOne(t, s, "4")
	pageOf(t, s, first.End)
	execute(t, idle, "commit")
	settled := pageOf(t, s, first.End, "2", "3", "4")

	take(late) // the latest number there is, and no other transaction beside it
	pageOf(t, s, settled.End)
	take(later)
	execute(t, later, written, "6")
	execute(t, later, "commit")
	pageOf(t, s, settled.End)
	execute(t, late, written, "5")
	pageOf(t, s, settled.End)
	execute(t, late, "commit")
	settled = pageOf(t, s, settled.End, "5", "6")

	take(late) // one that never commits
	commitOne(t, s, "8")
	pageOf(t, s, settled.End)
	execute(t, late, "rollback")
	settled = pageOf(t, s, settled.End, "8")
	if again := pageOf(t, s, settled.End); again.End != settled.End || s.LogLag() != 0 {
		t.Errorf("the log ends at %d and then at %d, with a lag of %v", settled.End, again.End, s.LogLag())
	}
	if ahead, err := s.Log(t.Context(), 1<<60, 1); err != nil || ahead.End != settled.End || ahead.Results != nil {
		t.Errorf("ahead of the log is %+v, error %v", ahead, err)
	}
	if one, err := s.Log(t.Context(), 0, 1); err != nil || one.End != first.End || len(one.Results) != 1 {
		t.Errorf("the first of the log is %+v, error %v", one, err)
	}
}

// TestEverySequenceHasANumber commits a batch that locks nothing: its
// transaction has a number all the same when it takes its sequences.
func TestEverySequenceHasANumber(t *testing.T) {
	dsn := migrated(t)
	s := openStore(t, dsn)
	conn := connect(t, dsn)
	pageOf(t, s, 0)
	execute(t, conn, "begin")
	execute(t, conn, "select nextval('transactions_sequence')") // PostgreSQL logs, and numbers, one in 32 of these
	execute(t, conn, "commit")
	execute(t, conn, "begin")
	if _, err := conn.Exec(t.Context(), placeSQL, 1); err != nil {
		t.Fatal(err)
	}
	var number *string
	if err := conn.QueryRow(t.Context(), "select pg_current_xact_id_if_assigned()::text").Scan(&number); err != nil || number == nil {
		t.Errorf("a transaction without a number took a sequence, error %v", err)
	}
	pageOf(t, s, 0)
	execute(t, conn, "rollback")
}

// TestLogUnderCommitters reads the log from several goroutines of two instances,
// while others commit, roll back and dawdle: everybody gets every sequence once,
// in order.
func TestLogUnderCommitters(t *testing.T) {
	dsn := migrated(t)
	stores := []*Store{openStore(t, dsn), openStore(t, dsn)}
	const accounts, committers, batches = 40, 4, 40
	createAccounts(t, stores[0], accounts)
	var committing sync.WaitGroup
	var mu sync.Mutex
	last := int64(0) // the highest sequence that was acknowledged
	for c := range committers {
		g := generator{prefix: fmt.Sprintf("c%d", c), accounts: accounts, random: newRandom(uint64(c + 1))}
		committing.Go(func() {
			for i := range batches {
				batch := g.batch(1 + i%7)
				if i%5 == 0 {
					batch[0].Source = "nobody"
				}
				results, err := stores[c%2].Commit(t.Context(), batch)
				if err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				last = max(last, results[len(results)-1].Sequence)
				mu.Unlock()
			}
		})
	}
	stop := make(chan struct{})
	var dawdling sync.WaitGroup
	for _, end := range []string{"commit", "rollback"} {
		conn := connect(t, dsn)
		dawdling.Go(func() {
			for i := 0; ; i++ {
				select {
				case <-stop:
					return
				default:
				}
				for _, sql := range []string{"begin", "select pg_current_xact_id()", "select pg_sleep(0.002)", "select nextval('transactions_sequence')", "select pg_sleep(0.003)"} {
					if _, err := conn.Exec(context.Background(), sql); err != nil {
						t.Error(err)
					}
				}
				if _, err := conn.Exec(context.Background(), written, fmt.Sprintf("%s-%d", end, i)); err != nil {
					t.Error(err)
				}
				if _, err := conn.Exec(context.Background(), end); err != nil {
					t.Error(err)
				}
			}
		})
	}
	done := make(chan struct{})
	go func() {
		committing.Wait()
		close(stop)
		dawdling.Wait()
		close(done)
	}()
	read := make([][]int64, 4)
	var reading sync.WaitGroup
	for i := range read {
		reading.Go(func() { read[i] = follow(t, stores[i%2], done, 1+50*i) })
	}
	reading.Wait()

	rows, err := connect(t, dsn).Query(t.Context(), "select sequence from transactions order by sequence")
	if err != nil {
		t.Fatal(err)
	}
	all, err := pgx.CollectRows(rows, pgx.RowTo[int64])
	if err != nil {
		t.Fatal(err)
	}
	for i, got := range read {
		if !reflect.DeepEqual(got, all) {
			t.Errorf("reader %d got %d decisions, the log has %d", i, len(got), len(all))
		}
	}
	if len(all) < committers*batches || all[len(all)-1] < last {
		t.Errorf("the log has only %d decisions", len(all))
	}
}

// follow reads the log until everything is done and read.
func follow(t *testing.T, s *Store, done <-chan struct{}, limit int) (sequences []int64) {
	at := int64(0)
	for finished := false; ; {
		page, err := s.Log(context.Background(), at, limit)
		if err != nil {
			t.Error(err)
			return sequences
		}
		for i := range page.Results {
			sequences = append(sequences, page.Results[i].Sequence)
		}
		if page.End < at {
			t.Errorf("the log ended at %d and then at %d", at, page.End)
		}
		at = page.End
		if len(page.Results) > 0 {
			continue
		}
		if finished {
			return sequences
		}
		select {
		case <-done:
			finished = s.LogLag() == 0
		default:
		}
	}
}

// TestFrontier drives the bookkeeping without a database.
func TestFrontier(t *testing.T) {
	var f frontier
	start := time.Now()
	want := func(settled int64, timeline, sequence, next, oldest int64) {
		t.Helper()
		got, known := f.advance(timeline, mark{sequence, next, start}, oldest)
		if got != settled || known != (settled > 0) {
			t.Errorf("settled up to %d (known: %v), want %d", got, known, settled)
		}
	}
	want(0, 1, 10, 100, 90)
	want(0, 1, 12, 103, 99)
	want(10, 1, 12, 104, 100)
	want(10, 1, 11, 102, 100) // an answer that came late
	want(12, 1, 20, 110, 103)
	want(12, 1, 21, 109, 103) // of two looks at once the later sequence, but the earlier number
	want(21, 1, 20, 111, 110)
	for i := range int64(3 * maxMarks) {
		want(21, 1, 100+i, 200+i, 150)
	}
	if n := len(f.marks); n != maxMarks {
		t.Errorf("%d marks", n)
	}
	want(100+maxMarks-2, 1, 100, 200, 200+3*maxMarks-2)
	want(100+3*maxMarks-1, 1, 100, 200, 200+3*maxMarks-1)
	want(100+3*maxMarks-1, 1, 20000, 20000, 10000)
	want(20010, 1, 20010, 9990, 9990) // after a crash numbers are given out again
	want(0, 2, 50, 100, 90)           // promoted: everything begins again, even what was settled
	want(50, 2, 50, 100, 100)
}

// TestLogIsNotKnownAtFirst opens a store beside a transaction that is open: where
// the log ends is not known before that has ended, and is never said to be 0.
func TestLogIsNotKnownAtFirst(t *testing.T) {
	dsn := migrated(t)
	old := openStore(t, dsn)
	createAccounts(t, old, 2)
	commitOne(t, old, "1")
	busy := connect(t, dsn)
	execute(t, busy, "begin")
	execute(t, busy, "select pg_current_xact_id()")
	fresh := openStore(t, dsn)
	short, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	for _, ctx := range []context.Context{t.Context(), short} {
		_, err := fresh.Log(ctx, math.MaxInt64, 1)
		wantCode(t, err, rbcs.Unavailable)
	}
	if fresh.LogLag() <= 0 {
		t.Error("there is no lag")
	}
	execute(t, busy, "commit")
	end := pageOf(t, fresh, 0, "1").End
	if page, err := fresh.Log(t.Context(), math.MaxInt64, 1); err != nil || page.End != end {
		t.Errorf("the log ends at %d, want %d, error %v", page.End, end, err)
	}

	empty := migrated(t)
	execute(t, busy, "begin")
	execute(t, busy, "select pg_current_xact_id()")
	if page := pageOf(t, openStore(t, empty), 0); page.End != 0 { // nothing was given out: this is known
		t.Errorf("an empty log ends at %d", page.End)
	}
}

// TestTimelines makes a server a standby, whose log is refused, and promotes it.
func TestTimelines(t *testing.T) {
	server := migratedServer(t)
	s := openStore(t, server.URL)
	createAccounts(t, s, 2)
	commitOne(t, s, "x")
	if page := pageOf(t, s, 0, "x"); page.Timeline != 1 {
		t.Errorf("timeline %d", page.Timeline)
	}
	var data string
	if err := connect(t, server.URL).QueryRow(t.Context(), "select current_setting('data_directory')").Scan(&data); err != nil {
		t.Fatal(err)
	}
	if err := server.Stop(); err != nil {
		t.Fatal(err)
	}
	signal := filepath.Join(data, "standby.signal")
	if err := errors.Join(os.WriteFile(signal, nil, 0o600), os.Chmod(signal, 0o666), server.Start(t.Context())); err != nil { // the server's user must be able to open it
		t.Fatal(err)
	}
	standby := openStore(t, server.URL+"&target_session_attrs=any")
	_, err := standby.Log(t.Context(), 0, 1)
	wantCode(t, err, rbcs.Unavailable)
	if _, err := s.Log(t.Context(), 0, 1); err == nil {
		t.Error("a standby's log was read")
	}
	execute(t, connect(t, server.URL), "select pg_promote()")
	for _, promoted := range []*Store{standby, s} {
		if page := pageOf(t, promoted, 0, "x"); page.Timeline != 2 {
			t.Errorf("timeline %d", page.Timeline)
		}
	}
	if y := commitOne(t, s, "y"); pageOf(t, s, 0, "x", "y").End != y.Sequence {
		t.Errorf("the log does not end at %d", y.Sequence)
	}
}

func TestTimelineNames(t *testing.T) {
	if timeline, err := parseTimeline("0000001F"); timeline != 31 || err != nil {
		t.Errorf("timeline %d, error %v", timeline, err)
	}
	_, err := parseTimeline("0000000G")
	wantCode(t, err, rbcs.Internal)
}
