package resilience

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	"rbcs"
)

// resolveTimeout bounds how long a healthy service may take to decide what was left undecided.
const resolveTimeout = 60 * time.Second

// resolve asks for all outcomes that are not known yet.
func (b *books) resolve(workers int) {
	for deadline := time.Now().Add(resolveTimeout); ; {
		list := b.undecided()
		if len(list) == 0 {
			return
		}
		if time.Now().After(deadline) {
			b.anomaly("%d transactions have no outcome after %s of a healthy service", len(list), resolveTimeout)
			return
		}
		jobs := make(chan submit)
		var group sync.WaitGroup
		for range workers {
			group.Go(func() {
				for ask := range jobs {
					ask()
				}
			})
		}
		for _, ask := range list {
			jobs <- ask
		}
		close(jobs)
		group.Wait()
	}
}

// position is an account as the log makes it.
type position struct {
	balance, held int64
	version       int64
}

// replay is a reading of the whole log beside what was sent and told.
type replay struct {
	books     *books
	positions []position
	holds     map[string]int64 // what each open hold reserves
	logged    map[string]bool
	entries   int
	lost      int
}

// check compares the books with a store, once everything is decided. It returns
// how many transactions the log has, and how many acknowledged ones were lost
// where that was to be expected.
func (b *books) check(ctx context.Context, store dumper) (entries, lost int, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	r := &replay{books: b, positions: make([]position, len(b.seen)), holds: map[string]int64{}, logged: make(map[string]bool, len(b.sent))}
	stored := 0
	sum := rbcs.Amount{}
	err = store.Dump(ctx,
		func(d *rbcs.Result) error {
			r.decision(d)
			return nil
		},
		func(a *rbcs.Account) error {
			i := b.index(a.Number)
			if i < 0 {
				return nil
			}
			stored++
			sum, _ = sum.Add(a.Balance)
			want := r.positions[i]
			if got := (position{cents(a.Balance), cents(a.Held), a.Version}); got != want {
				b.anomalyLocked("account %s has %+v, and what was sent makes %+v", a.Number, got, want)
			}
			return nil
		})
	if err != nil {
		return 0, 0, fmt.Errorf("reading the store: %w", err)
	}
	if stored != len(b.seen) {
		b.anomalyLocked("%d of %d accounts are stored", stored, len(b.seen))
	}
	if !sum.IsZero() {
		b.anomalyLocked("the balances sum to %s", sum.Format(2))
	}
	r.missing()
	return r.entries, b.lost + r.lost, nil
}

func cents(a rbcs.Amount) int64 {
	n, _ := a.Int64()
	return n
}

// decision compares one entry of the log with what was sent and told.
func (r *replay) decision(d *rbcs.Result) {
	b, id := r.books, d.Transaction.ID
	if !strings.HasPrefix(id, b.run+"-") && b.index(d.Transaction.Source) < 0 {
		return // an earlier scenario's, on the same database
	}
	r.entries++
	s, ok := b.sent[id]
	switch {
	case !ok:
		b.anomalyLocked("%s stands in the log, and nobody sent it", id)
		return
	case r.logged[id]:
		b.anomalyLocked("%s stands in the log twice", id)
		return
	}
	r.logged[id] = true
	tx := &d.Transaction
	if tx.Type != s.kind || tx.Original != s.original || s.kind != rbcs.Release && cents(tx.Amount.Units) != s.cents ||
		d.Code != rbcs.HoldNotFound && (b.index(tx.Source) != s.source || b.index(tx.Destination) != s.destination) {
		b.anomalyLocked("%s is recorded as %+v, and was sent as %+v", id, *tx, s)
	}
	if b.refused[id] {
		b.anomalyLocked("%s is in the log, though its submission was refused", id)
	}
	if t, acknowledged := b.told[id]; acknowledged {
		is := told{
			status: d.Status, code: d.Code, sequence: d.Sequence, committedAt: d.CommittedAt.UnixMicro(),
			sourceVersion: d.Source.Version, destVersion: d.Destination.Version,
			sourceBalance: d.Source.Balance, destBalance: d.Destination.Balance, held: t.held,
		}
		if s.kind == rbcs.Hold || s.kind == rbcs.Capture || s.kind == rbcs.Release {
			is.held = d.Source.Held
		}
		if d.Source.Version == 0 {
			is.sourceBalance, is.held = rbcs.Amount{}, rbcs.Amount{}
		}
		if d.Destination.Version == 0 {
			is.destBalance = rbcs.Amount{}
		}
		switch {
		case t == is:
		case r.books.mayBeLost(&t):
			r.lost++ // it was lost with the old primary, and decided again by a resubmission
		default:
			b.anomalyLocked("%s is recorded as %+v, and a client was told %+v", id, is, t)
		}
	}
	if d.Status != rbcs.Rejected {
		r.apply(id, s)
	}
}

// apply moves what was sent.
func (r *replay) apply(id string, s sent) {
	source, destination := &r.positions[s.source], &r.positions[s.destination]
	source.version++
	switch s.kind {
	case rbcs.Hold:
		source.held += s.cents
		r.holds[id] = s.cents
		return
	case rbcs.Capture, rbcs.Release:
		source.held -= r.holds[s.original]
		r.holds[s.original] = 0
	}
	if s.kind == rbcs.Release {
		return
	}
	destination.version++
	source.balance -= s.cents
	destination.balance += s.cents
}

// missing looks for what was told, or accepted, and does not stand in the log.
func (r *replay) missing() {
	for id := range r.books.due {
		if !r.logged[id] {
			r.books.anomalyLocked("%s was accepted by the durable queue and is not in the log", id)
		}
	}
	for id, t := range r.books.told {
		switch {
		case r.logged[id]:
		case r.books.mayBeLost(&t):
			r.lost++
		default:
			r.books.anomalyLocked("%s was acknowledged (%+v) and is not in the log", id, t)
		}
	}
}
