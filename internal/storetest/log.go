package storetest

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	"rbcs"
)

var logTests = []test{
	{"pages", testLogPages},
	{"committed-together", testLogCommittedTogether},
}

// testLogPages reads the log in pages of several sizes, from several places, as
// it was answered; behind its end there is nothing.
func testLogPages(e *env) {
	m, a, b := e.pair()
	var want []rbcs.Result
	for i := range 6 {
		h := e.hold(fmt.Sprint(i, "h"), a, b, "3")
		t := e.transfer(fmt.Sprint(i), a, b, "2")
		t.Description, t.Metadata = "d", `{"i":1}`
		batch := slices.Concat([]*rbcs.Transaction{t, h, e.settle(rbcs.Capture, fmt.Sprint(i, "c"), h, "1"), e.transfer(fmt.Sprint(i, "x"), a, b, "999"), t, e.transfer(fmt.Sprint(i, "f"), a, b, "0.001")},
			grouped(e.settle(rbcs.Reversal, fmt.Sprint(i, "v"), t, ""), e.transfer(fmt.Sprint(i, "g"), b, a, "0.50")))
		for _, r := range e.judged(m, batch...) {
			if r.Err == nil && !r.Replayed {
				want = append(want, r)
			}
		}
	}
	last := want[len(want)-1].Sequence
	for _, limit := range []int{1, 4, 1000} {
		for _, from := range []int{0, 1, 17, len(want) - 1} {
			after := want[from].Sequence - 1
			got, err := readLog(e.ctx, e.store, after, last, limit)
			e.must(err)
			if len(got) != len(want)-from {
				e.t.Errorf("%d decisions in pages of %d, want %d", len(got), limit, len(want)-from)
				continue
			}
			for i := range got {
				e.same(got[i], want[from+i])
			}
		}
	}
	_, err := readLog(e.ctx, e.store, 0, last, 7) // from the beginning, also of other tests
	e.must(err)
	page, err := e.store.Log(e.ctx, last, 10)
	if err != nil || len(page.Results) != 0 || page.End < last {
		e.t.Errorf("behind the end: %+v, %v", page, err)
	}
	again, err := e.store.Log(e.ctx, 0, 1)
	if err != nil || again.Timeline != page.Timeline {
		e.t.Errorf("the timeline was %d, and is %d (%v)", page.Timeline, again.Timeline, err)
	}
}

// testLogCommittedTogether follows the log by several readers while committers
// that share no account commit at once: each reader sees what everybody was
// told, in the order of sequence, without a gap that is filled later.
func testLogCommittedTogether(e *env) {
	const readers, committers, rounds = 3, 6, 25
	from := e.transfer("first", e.account("bank", "USD", "unlimited"), e.account("a", "USD", "0"), "1")
	start := e.post(from).Sequence
	var pairs [committers][2]string
	for i := range pairs {
		pairs[i] = [2]string{e.account(fmt.Sprint("from", i), "USD", "unlimited"), e.account(fmt.Sprint("to", i), "USD", "0")}
	}
	var told [committers][]rbcs.Result
	var followed [readers][]rbcs.Result
	written := make(chan struct{})
	var left atomic.Int64
	var last atomic.Int64
	left.Store(committers)
	err := together(committers+readers, func(i int) error {
		if i >= committers {
			return e.followUntil(start, written, &last, 1+2*(i-committers), &followed[i-committers])
		}
		defer func() {
			if left.Add(-1) == 0 {
				close(written)
			}
		}()
		for round := range rounds {
			batch := make([]*rbcs.Transaction, 1+(round+i)%4)
			for k := range batch {
				batch[k] = e.transfer(fmt.Sprintf("%d-%d-%d", i, round, k), pairs[i][0], pairs[i][1], "1")
			}
			results, _, err := submit(e.ctx, e.store, batch)
			if err != nil {
				return err
			}
			told[i] = append(told[i], results...)
			for end := results[len(results)-1].Sequence; ; {
				if was := last.Load(); was >= end || last.CompareAndSwap(was, end) {
					break
				}
			}
		}
		return nil
	})
	e.must(err)
	want := slices.Concat(told[:]...)
	slices.SortFunc(want, func(a, b rbcs.Result) int { return cmp.Compare(a.Sequence, b.Sequence) })
	for i, got := range followed {
		if len(got) != len(want) {
			e.t.Errorf("reader %d saw %d decisions, want %d", i, len(got), len(want))
			continue
		}
		for k := range got {
			e.same(got[k], want[k])
		}
	}
}

// followUntil reads the log until written is closed and all up to last is read.
func (e *env) followUntil(after int64, written <-chan struct{}, last *atomic.Int64, limit int, to *[]rbcs.Result) error {
	for !isClosed(written) {
		page, err := e.store.Log(e.ctx, after, limit)
		if err != nil {
			return err
		}
		for _, r := range page.Results {
			if r.Sequence <= after {
				return fmt.Errorf("sequence %d follows %d in the log", r.Sequence, after)
			}
			after = r.Sequence
		}
		*to = append(*to, page.Results...)
		after = max(after, page.End)
	}
	rest, err := readLog(e.ctx, e.store, after, last.Load(), 100)
	*to = append(*to, rest...)
	return err
}

// logPatience is how long decisions that were acknowledged may take to be settled:
// an open transaction anywhere on a database server can hold its log up.
const logPatience = 30 * time.Second

// readLog reads the log behind a sequence up to another one, in pages, and
// checks their order.
func readLog(ctx context.Context, store rbcs.Store, after, last int64, limit int) (results []rbcs.Result, err error) {
	ctx, cancel := context.WithTimeout(ctx, logPatience)
	defer cancel()
	for after < last {
		page, err := store.Log(ctx, after, limit)
		switch {
		case err != nil:
			return nil, err
		case len(page.Results) > limit:
			return nil, fmt.Errorf("a page of %d decisions, with a limit of %d", len(page.Results), limit)
		}
		before := after
		for _, r := range page.Results {
			if r.Sequence <= after {
				return nil, fmt.Errorf("sequence %d follows %d in the log", r.Sequence, after)
			}
			if after = r.Sequence; after <= last {
				results = append(results, r)
			}
		}
		if page.End < after || len(page.Results) == limit && page.End != after {
			return nil, fmt.Errorf("the page ends at %d, its last decision is %d", page.End, after)
		}
		if after = page.End; after <= before {
			after = before // nothing more is settled yet
			select {
			case <-time.After(time.Millisecond):
			case <-ctx.Done():
				return nil, fmt.Errorf("the log is settled up to %d only: %w", after, ctx.Err())
			}
		}
	}
	return results, nil
}
