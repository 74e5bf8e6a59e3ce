package postgres

import (
	"context"
	"strconv"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"

	"rbcs"
)

// Sequences are given out in their order, but commit in any order, or never. Up
// to where the log is settled follows from these:
//
//   - A transaction takes its sequences after it was given its number (xid) and
//     before it commits; placeSQL makes sure of the first.
//   - A reader notes the last sequence L that it sees in the log, and in a later
//     statement the number N that the next transaction will get. Every sequence
//     up to L is then of a transaction with a number below N.
//   - Once the oldest running transaction has a number of at least N, all of
//     those have ended. What a later statement does not see up to L, it never will.
//
// N is not the snapshot's xmax: that is one more than the latest number that has
// ended, and transactions that still run may have it or more. L is not what the
// sequence says: a crash of the server loses the sequences that were given out and
// not committed, and they are given out again, on the same timeline. What is seen in
// the log is on disk, and every sequence before it.

// mark is such a pair of L and N.
type mark struct {
	sequence int64
	next     int64
	at       time.Time // when it was noted, on this process's clock
}

// maxMarks bounds the marks that wait for old transactions to end. Beyond it the
// newest one is moved on instead, so that a stalled log costs no memory.
const maxMarks = 1000

// frontier is up to where the log is known to be settled. It outlives the single
// read, since between two reads there is hardly a moment without a running transaction.
type frontier struct {
	mu       sync.Mutex
	timeline int64
	known    bool // something was found to be settled since the start, or the promotion
	settled  int64
	marks    []mark // by sequence and by next, ascending
}

// advance takes in what one look at the database has shown (oldest is the number
// of the oldest running transaction), and returns up to where the log is settled,
// if that is known yet.
func (f *frontier) advance(timeline int64, m mark, oldest int64) (settled int64, known bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if timeline != f.timeline { // promoted: nothing that was known need be true there
		f.timeline, f.known, f.settled, f.marks = timeline, false, 0, nil
	}
	if m.sequence == 0 { // nothing is in the log
		f.known = true
	}
	// A mark that reaches further and waits for less replaces another. Above all, numbers
	// that a crash of the server has lost are given out again, and need not be waited for.
	for n := len(f.marks); n > 0 && f.marks[n-1].next > m.next && f.marks[n-1].sequence <= m.sequence; n-- {
		f.marks = f.marks[:n-1]
	}
	last := mark{sequence: f.settled}
	if n := len(f.marks); n > 0 {
		last = f.marks[n-1]
	}
	if m.sequence > last.sequence && m.next >= last.next {
		if len(f.marks) == maxMarks {
			m.at = last.at
			f.marks = f.marks[:maxMarks-1]
		}
		f.marks = append(f.marks, m)
	}
	n := 0
	for n < len(f.marks) && f.marks[n].next <= oldest {
		f.settled, f.known = f.marks[n].sequence, true
		n++
	}
	f.marks = f.marks[n:]
	return f.settled, f.known
}

// The two are statements of their own, one after the other. The age of a number
// counts from the next one to be given out.
const (
	lastSequenceSQL = "select coalesce((select t.sequence from transactions t order by t.sequence desc limit 1), 0)"
	runningSQL      = `
select oldest::text::bigint, oldest::text::bigint + age(oldest::xid), ` + timelineSQL + `
from (select pg_snapshot_xmin(pg_current_snapshot()) as oldest) as running`
	// The first 8 digits of a WAL file's name are its timeline. A standby writes none.
	timelineSQL = "case when pg_is_in_recovery() then '' else substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8) end"
	logSQL      = "select " + resultColumns + " from transactions t where t.sequence > $1 and t.sequence <= $2 order by t.sequence limit $3"
)

// logAttempts bounds how often a page is read again because the database was
// promoted in the middle. Each further one needs another promotion.
const logAttempts = 3

// Log implements [rbcs.Store]. It returns at once what is settled now; a call
// soon after may return more. Only the first calls after the start, and after a
// promotion, wait until the transactions that were running then have ended: the
// end of the log is not known before. After a second they are [rbcs.Unavailable].
// A transaction that was left open anywhere on the server holds the log up: see
// [Store.LogLag].
func (s *Store) Log(ctx context.Context, after int64, limit int) (rbcs.LogPage, error) {
	for range logAttempts {
		settled, timeline, err := s.settled(ctx)
		if err != nil {
			return rbcs.LogPage{}, err
		}
		page := rbcs.LogPage{End: settled, Timeline: timeline}
		if after >= settled {
			return page, nil
		}
		var now string
		page.Results, now, err = s.logPage(ctx, after, settled, limit)
		if err != nil {
			return rbcs.LogPage{}, err
		}
		if n := len(page.Results); n == limit {
			page.End = page.Results[n-1].Sequence
		}
		if same, err := parseTimeline(now); err != nil || same == timeline {
			return page, err
		}
	}
	return rbcs.LogPage{}, rbcs.Errorf(rbcs.Unavailable, "the database was promoted %d times in a moment", logAttempts)
}

// The wait for something to be known as settled.
const (
	firstWait = time.Second
	firstLook = 10 * time.Millisecond // between two looks
)

// settled returns up to where the log is settled, once something is known to be.
func (s *Store) settled(ctx context.Context) (sequence, timeline int64, err error) {
	for start := time.Now(); ; {
		sequence, timeline, known, err := s.look(ctx)
		switch {
		case err != nil || known:
			return sequence, timeline, err
		case time.Since(start) >= firstWait:
			return 0, 0, rbcs.Errorf(rbcs.Unavailable, "the log is not settled yet: transactions that ran when it was first read, or were left open, have not ended; try again shortly")
		}
		select {
		case <-ctx.Done():
			return 0, 0, failure(ctx.Err())
		case <-time.After(firstLook):
		}
	}
}

// look looks once up to where the log is settled, and whether that is known yet.
func (s *Store) look(ctx context.Context) (sequence, timeline int64, known bool, err error) {
	var oldest int64
	var name string
	m := mark{at: time.Now()}
	b := &pgx.Batch{}
	b.Queue(readSettings, limit(ctx), idleLimit)
	b.Queue(lastSequenceSQL).Query(one(&m.sequence))
	b.Queue(runningSQL).Query(one(&oldest, &m.next, &name))
	if err := s.sendRead(ctx, b); err != nil {
		return 0, 0, false, err
	}
	if timeline, err = parseTimeline(name); err != nil {
		return 0, 0, false, err
	}
	sequence, known = s.frontier.advance(timeline, m, oldest)
	return sequence, timeline, known, nil
}

// logPage reads what is in the log, and on which timeline.
func (s *Store) logPage(ctx context.Context, after, upTo int64, most int) (results []rbcs.Result, timeline string, err error) {
	b := &pgx.Batch{}
	b.Queue(readSettings, limit(ctx), idleLimit)
	b.Queue(logSQL, after, upTo, most).Query(func(rows pgx.Rows) error {
		return scanResults(rows, func(r *rbcs.Result) error {
			results = append(results, *r)
			return nil
		})
	})
	b.Queue("select " + timelineSQL).Query(one(&timeline))
	if err := s.sendRead(ctx, b); err != nil {
		return nil, "", err
	}
	return results, timeline, nil
}

// parseTimeline reads a timeline as WAL files have it in their names.
func parseTimeline(name string) (int64, error) {
	if name == "" {
		return 0, rbcs.Errorf(rbcs.Unavailable, "the server is a standby; the log is read where it is written")
	}
	timeline, err := strconv.ParseInt(name, 16, 64)
	if err != nil {
		return 0, rbcs.Errorf(rbcs.Internal, "a WAL file's name begins with %q", name)
	}
	return timeline, nil
}

// LogLag returns for how long, as far as the calls of [Store.Log] have shown, the
// log has had decisions that are not settled yet; 0 where it has none. It grows
// while a transaction is left open anywhere on the server, once one was committed
// behind that.
func (s *Store) LogLag() time.Duration {
	s.frontier.mu.Lock()
	defer s.frontier.mu.Unlock()
	if len(s.frontier.marks) == 0 {
		return 0
	}
	return time.Since(s.frontier.marks[0].at)
}
