package events

import (
	"slices"
	"sort"

	"rbcs"
)

// ring is the end of the log in memory: every settled decision in (start, end],
// in the pages in which it was read. Pages are never changed and never empty:
// readers keep what they get, and a slow one keeps no more than that alive.
type ring struct {
	size       int // of decisions that it should hold; it holds up to a page more
	pages      [][]rbcs.Result
	held       int
	start, end int64
}

// reset empties the ring and puts it at a sequence.
func (r *ring) reset(at int64) { *r = ring{size: r.size, start: at, end: at} }

// append adds what was read behind end, and forgets the oldest beyond size.
func (r *ring) append(page []rbcs.Result, end int64) {
	r.end = end
	if len(page) == 0 {
		return
	}
	r.pages = append(r.pages, page)
	r.held += len(page)
	for r.held-len(r.pages[0]) >= r.size {
		r.start = last(r.pages[0])
		r.held -= len(r.pages[0])
		r.pages[0] = nil // the list's array stays for a while
		r.pages = r.pages[1:]
	}
}

func last(page []rbcs.Result) int64 { return page[len(page)-1].Sequence }

// truncate keeps the first n decisions, up to a sequence.
func (r *ring) truncate(n int, end int64) {
	kept := ring{size: r.size, start: r.start, end: end}
	for _, page := range r.pages {
		if page = page[:min(len(page), n-kept.held)]; len(page) > 0 {
			kept.pages = append(kept.pages, page)
			kept.held += len(page)
		}
	}
	*r = kept
}

// after returns pages behind a sequence, of about limit decisions, and up to
// where they reach; false where the ring does not begin early enough.
func (r *ring) after(sequence int64, limit int) (pages [][]rbcs.Result, end int64, ok bool) {
	if sequence < r.start {
		return nil, 0, false
	}
	first := sort.Search(len(r.pages), func(i int) bool { return last(r.pages[i]) > sequence })
	for _, page := range r.pages[first:] {
		if limit <= 0 {
			return pages, end, true
		}
		if len(pages) == 0 { // it may begin within the first one
			page = page[sort.Search(len(page), func(i int) bool { return page[i].Sequence > sequence }):]
		}
		pages, end = append(pages, page), last(page)
		limit -= len(page)
	}
	return pages, max(sequence, r.end), true
}

// all returns everything in one piece.
func (r *ring) all() []rbcs.Result { return slices.Concat(r.pages...) }

// common returns how many decisions two logs have in common at their beginning.
func common(a, b []rbcs.Result) int {
	n := 0
	for n < min(len(a), len(b)) && same(&a[n], &b[n]) {
		n++
	}
	return n
}

// same reports whether two decisions that were read in two timelines are one.
func same(a, b *rbcs.Result) bool {
	return a.Sequence == b.Sequence && a.Transaction.ID == b.Transaction.ID && a.Attempt == b.Attempt &&
		a.Status == b.Status && a.Instance == b.Instance && a.CommittedAt.Equal(b.CommittedAt)
}
