package events_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"slices"
	"sync"
	"testing"
	"time"

	"rbcs"
	"rbcs/internal/events"
)

// fakeLog is a log as the contract describes it: sequences are given out in
// order, commit in any, and are seen only when nothing before them is open.
type fakeLog struct {
	mu       sync.Mutex
	timeline int64
	given    int64
	open     map[int64]bool
	results  []rbcs.Result // committed, by sequence
	reads    int
	err      error
	hang     bool // until the context ends
}

func newLog() *fakeLog { return &fakeLog{timeline: 1, open: map[int64]bool{}} }

func (l *fakeLog) Log(ctx context.Context, after int64, limit int) (rbcs.LogPage, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.reads++
	if l.hang {
		l.mu.Unlock()
		<-ctx.Done()
		l.mu.Lock()
		return rbcs.LogPage{}, &rbcs.Error{Code: rbcs.Unavailable, Message: "interrupted", Err: ctx.Err()}
	}
	if l.err != nil {
		return rbcs.LogPage{}, l.err
	}
	settled := l.settled()
	page := rbcs.LogPage{Timeline: l.timeline, End: settled}
	for _, r := range l.results {
		if r.Sequence > after && r.Sequence <= settled {
			if page.Results = append(page.Results, r); len(page.Results) == limit {
				page.End = r.Sequence
				break
			}
		}
	}
	return page, nil
}

func (l *fakeLog) settled() int64 {
	settled := l.given
	for s := range l.open {
		settled = min(settled, s-1)
	}
	return settled
}

func (l *fakeLog) begin() int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.given++
	l.open[l.given] = true
	return l.given
}

func (l *fakeLog) commit(sequence int64, source, destination string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.open, sequence)
	l.results = append(l.results, rbcs.Result{
		Transaction: rbcs.Transaction{ID: fmt.Sprintf("t%d-%d", l.timeline, sequence), Source: source, Destination: destination},
		Status:      rbcs.Posted, Sequence: sequence, Attempt: 1, CommittedAt: time.Now(),
	})
	slices.SortFunc(l.results, func(a, b rbcs.Result) int { return int(a.Sequence - b.Sequence) })
}

func (l *fakeLog) abort(sequence int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.open, sequence)
}

// post commits n decisions at once.
func (l *fakeLog) post(n int) int64 {
	var s int64
	for range n {
		s = l.begin()
		l.commit(s, "a", "b")
	}
	return s
}

// promote loses everything behind a sequence.
func (l *fakeLog) promote(kept int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.timeline++
	l.given = kept
	clear(l.open)
	l.results = slices.DeleteFunc(l.results, func(r rbcs.Result) bool { return r.Sequence > kept })
}

func (l *fakeLog) fail(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.err = err
}

func (l *fakeLog) readCount() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.reads
}

// ids returns the IDs of the transactions that are settled behind a sequence.
func (l *fakeLog) ids(after int64, match func(*rbcs.Result) bool) []string {
	page, _ := l.Log(context.Background(), after, math.MaxInt)
	var ids []string
	for i := range page.Results {
		if match == nil || match(&page.Results[i]) {
			ids = append(ids, page.Results[i].Transaction.ID)
		}
	}
	return ids
}

// tester is what testing.T and rapid.T have in common here.
type tester interface {
	Helper()
	Error(args ...any)
	Fatalf(format string, args ...any)
}

// start returns a feed that the test stops at its end.
func start(t *testing.T, log events.Log, cfg events.Config) *events.Feed {
	t.Helper()
	cfg.Logger = slog.New(slog.DiscardHandler)
	f := events.New(log, cfg)
	f.Start()
	t.Cleanup(func() { stop(t, f) })
	return f
}

func stop(t tester, f *events.Feed) {
	t.Helper()
	if err := f.Stop(context.Background()); err != nil {
		t.Error(err)
	}
}

func subscribe(t tester, f *events.Feed, after events.Position, filter events.Filter) *events.Reader {
	t.Helper()
	r, err := f.Subscribe(context.Background(), after, filter)
	if err != nil {
		t.Fatalf("subscribe after %v: %v", after, err)
	}
	return r
}

// read reads until n events are there.
func read(t tester, r *events.Reader, n int) []string {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	var ids []string
	for len(ids) < n {
		got, err := r.Next(ctx)
		if err != nil {
			t.Fatalf("after %d of %d events: %v", len(ids), n, err)
		}
		for _, e := range got {
			if e.ID.Sequence != e.Result.Sequence {
				t.Fatalf("the event of %d has the ID %v", e.Result.Sequence, e.ID)
			}
			ids = append(ids, e.Result.Transaction.ID)
		}
	}
	return ids
}

// quiet checks that there is nothing to read.
func quiet(t tester, r *events.Reader) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if got, err := r.Next(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("there is more: %v, %v", got, err)
	}
}

// ends returns why a reader ended.
func ends(t tester, r *events.Reader) *rbcs.Error {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	for {
		_, err := r.Next(ctx)
		if e, ok := errors.AsType[*rbcs.Error](err); ok {
			return e
		}
		if err != nil {
			t.Fatalf("the reader did not end: %v", err)
		}
	}
}

func equal(t tester, got, want []string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Fatalf("got  %q\nwant %q", got, want)
	}
}
