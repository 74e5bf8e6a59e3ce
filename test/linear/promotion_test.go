package linear

import (
	"context"
	"net/url"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"rbcs"
	"rbcs/internal/postgres"
	"rbcs/internal/testenv"
)

// The promise after an asynchronous standby was promoted. What the standby had
// not received is lost, though it was acknowledged: that is what asynchronous
// means, and no cache can mend it. Redis may then be ahead of the database. Of
// the cache it is promised:
//
//   - Until the primary has died reads are linearizable, by its log.
//   - Everything that begins later than [rbcs.Trust] after that is linearizable by
//     the log of the promoted server alone: no balance that was lost is read any
//     more, and none that is older than what anybody was told.
//   - No posting is acknowledged by the promoted server in between, when reads may
//     still show what was lost.

// takeover is what a promotion did.
type takeover struct {
	before, after int64 // of the primary's end: moments of the history
	old           *testenv.Server
	dsn           string // of the promoted server's database
}

// later is the moment from which only the promoted server counts.
func (o *takeover) later() int64 { return o.after + rbcs.Trust.Nanoseconds() }

// promote stops the replication to a standby, lets clients work on, kills the
// primary and promotes the standby.
func (w *world) promote(old, standby *testenv.Server) (*takeover, error) {
	ctx := context.Background()
	if err := stopStreaming(ctx, standby.URL); err != nil {
		return nil, err
	}
	w.hold(w.between(500*time.Millisecond, 2*time.Second))
	o := &takeover{old: old, before: w.history.now()}
	if err := old.Signal(syscall.SIGKILL); err != nil {
		return nil, err
	}
	for _, in := range w.live() { // a backend of a dead postmaster may still answer
		in.backing.Lead(nowhere)
		in.backing.Cut()
	}
	o.after = w.history.now()
	if err := old.Stop(); err != nil {
		return nil, err
	}
	if err := standby.Promote(ctx); err != nil {
		return nil, err
	}
	for _, in := range w.live() {
		in.backing.Lead(testenv.HostOf(standby.URL))
	}
	u, err := url.Parse(w.config.dsn)
	if err != nil {
		return nil, err
	}
	u.Host = testenv.HostOf(standby.URL)
	o.dsn, w.config.dsn = u.String(), u.String()
	return o, nil
}

// stopStreaming has a standby receive nothing any more.
func stopStreaming(ctx context.Context, dsn string) error {
	conn, err := pgx.Connect(ctx, dsn)
	if err != nil {
		return err
	}
	defer conn.Close(ctx)
	for _, sql := range []string{"alter system set primary_conninfo = ''", "select pg_reload_conf()"} {
		if _, err := conn.Exec(ctx, sql); err != nil {
			return err
		}
	}
	for streams := true; streams; {
		if err := conn.QueryRow(ctx, "select exists (select from pg_stat_wal_receiver)").Scan(&streams); err != nil {
			return err
		}
	}
	return nil
}

// logs returns what the killed primary had, and what the promoted server has.
func (o *takeover) logs(t *testing.T, killed string) (old, promoted map[string][]entry) {
	t.Helper()
	if err := o.old.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	read := func(dsn string) map[string][]entry {
		store, err := postgres.Open(t.Context(), dsn, postgres.Options{Instance: "judge", MaxConns: 2})
		if err != nil {
			t.Fatal(err)
		}
		log, err := readLog(t.Context(), store)
		if err := store.Close(); err != nil {
			t.Error(err)
		}
		if err != nil {
			t.Fatal(err)
		}
		return log
	}
	return read(killed), read(o.dsn)
}

// split makes two histories of one, each to be judged by the log of one server,
// and returns the reads to which neither promise applies.
func (h *history) split(o *takeover, old map[string][]entry) (first, second *history, between map[string][]op) {
	first, second, between = newHistory(), newHistory(), map[string][]op{}
	for number, reads := range h.reads {
		for _, r := range reads {
			switch {
			case r.ret < o.before:
				first.reads[number] = append(first.reads[number], r)
			case r.call > o.later():
				second.reads[number] = append(second.reads[number], r)
			default:
				between[number] = append(between[number], r)
			}
		}
	}
	for id, s := range h.submissions {
		unanswered := *s
		unanswered.ret, unanswered.told = never, nil
		silent := *s
		silent.told = nil
		if s.ret < o.later() || s.call < o.after && s.agrees(id, old) { // the killed primary's answer, perhaps late
			first.submissions[id], second.submissions[id] = s, &silent
		} else {
			first.submissions[id], second.submissions[id] = &unanswered, s
		}
	}
	return first, second, between
}

// agrees reports whether a log says what was told.
func (s *submission) agrees(id string, log map[string][]entry) bool {
	for _, told := range s.told {
		if entries := log[told.number]; told.version > int64(len(entries)) || entries[told.version-1].id != id {
			return false
		}
	}
	return len(s.told) > 0
}

// judgePromotion judges by both logs, and returns how many versions were lost.
func (w *world) judgePromotion(o *takeover, killed string) (v verdict, lost int) {
	w.t.Helper()
	w.halt()
	w.lastLook()
	old, promoted := o.logs(w.t, killed)
	first, second, between := w.history.split(o, old)
	v = judge(first, old)
	v.add(judge(second, promoted))
	v.failed = w.history.failed
	for number := range old {
		common := 0
		for common < min(len(old[number]), len(promoted[number])) && old[number][common] == promoted[number][common] {
			common++
		}
		lost += len(old[number]) - common
		for i := range between[number] {
			r := &between[number][i]
			v.reads++
			before, ok1 := at(old[number], r.version)
			after, ok2 := at(promoted[number], r.version)
			if (!ok1 || before != r.value) && (!ok2 || after != r.value) {
				v.anomaly("%s: %s was told of version %d with %v, which neither server had", number, r, r.version, r.value)
			}
		}
	}
	return v, lost
}

// playPromotion is the whole scenario, on servers of its own.
func playPromotion(t *testing.T, _ string, seed uint64) (verdict, *world) {
	t.Helper()
	primary := testenv.PostgresServer(t, "max_connections=100", "wal_keep_size=64MB")
	w := newWorld(t, primary.URL, seed, variant{}, false, all...)
	standby := primary.Standby(t)
	killed := w.config.dsn
	w.work()
	w.hits(settled)
	o, err := w.promote(primary, standby)
	w.fatal(err)
	w.count("PostgreSQL: asynchronous standby promoted, without the last commits")
	w.back()
	w.some(soft, 3)
	v, lost := w.judgePromotion(o, killed)
	if lost == 0 {
		t.Error("the promoted server had everything: this proves nothing")
	}
	results.lose(lost)
	t.Logf("the promotion has lost %d versions", lost)
	return v, w
}
