package rest

import (
	"bytes"
	"errors"
	"fmt"
	"net/http"

	"rbcs"
)

// batch is the transactions of one request, in their order.
type batch struct {
	ndjson bool // each is a document of its own
	atomic bool // its items are one group
	dry    bool // it is only previewed
	items  []batchItem
	valid  []*rbcs.Transaction // those without an error that are submitted at once
	async  []*rbcs.Transaction // those that go into the durable queue
	slab   []rbcs.Transaction  // where the next ones go
}

// batchItem is one item of a batch: what names it, and what is wrong with it.
type batchItem struct {
	key   string // the ID or the number, "" where it could not be read
	err   *rbcs.Error
	async bool // it goes into the durable queue
}

// slabSize is how many transactions are allocated at once. They are not reused:
// one whose caller went away still belongs to the engine.
const slabSize = 128

// add reads and checks the next transaction. REQUIRES: read fails only where JSON is broken.
func (b *batch) add(d *decoder, known *rbcs.Currencies, read func(*rbcs.Transaction) error) error {
	if len(b.items) == MaxBatch {
		return refusal(http.StatusRequestEntityTooLarge,
			fmt.Sprintf("a batch has at most %d transactions; send several batches", MaxBatch))
	}
	if len(b.slab) == 0 {
		b.slab = make([]rbcs.Transaction, slabSize)
	}
	t, from := &b.slab[0], len(d.faults)
	if err := read(t); err != nil {
		return err
	}
	err := d.prepare(t, known, from)
	b.items = append(b.items, batchItem{key: t.ID, err: err})
	if err != nil {
		*t = rbcs.Transaction{}
		return nil
	}
	b.valid = append(b.valid, t)
	b.slab = b.slab[1:]
	return nil
}

var batchMembers = []string{"transactions", "atomic"}

// batch reads {transactions, atomic}.
func (d *decoder) batch(known *rbcs.Currencies) (*batch, error) {
	b := new(batch)
	err := d.document(d.body, func() error {
		seen, err := d.object("a batch", batchMembers, func(name int) error {
			if name == 0 {
				return d.array("/transactions", func(int) error { return b.add(d, known, d.transaction) })
			}
			var err error
			b.atomic, err = d.boolean(atomicPointer)
			return err
		})
		if err == nil && !seen.has(0) && len(d.faults) == 0 {
			d.fault("/transactions", "the transactions are missing")
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	if err := d.invalid(0, "the batch is invalid"); err != nil {
		return nil, err
	}
	return b, nil
}

// ndjson reads one transaction from each line that is not blank. A line whose
// JSON is broken is an item with an error; the lines after it are read.
func (d *decoder) ndjson(known *rbcs.Currencies) (*batch, error) {
	b := &batch{ndjson: true}
	rest := d.body
	for number := 1; len(rest) > 0; number++ {
		var line []byte
		line, rest, _ = bytes.Cut(rest, []byte("\n"))
		if line = bytes.Trim(line, " \t\r"); len(line) == 0 {
			continue
		}
		err := b.add(d, known, func(t *rbcs.Transaction) error {
			return d.document(line, func() error { return d.transaction(t) })
		})
		var broken *rbcs.Error
		switch {
		case errors.As(err, &broken):
			broken.Message = fmt.Sprintf("line %d: %s", number, broken.Message)
			b.items = append(b.items, batchItem{err: broken})
			b.slab[0], d.faults = rbcs.Transaction{}, nil
		case err != nil:
			return nil, err
		}
	}
	return b, nil
}

// atomicPointer points at what makes a batch an atomic group.
const atomicPointer = "/atomic"

// join makes the batch one atomic group. Where a member is malformed or has the
// ID of another, nothing is to be submitted: such members keep their errors, and
// the others get one that says so.
func (b *batch) join() error {
	if len(b.items) > rbcs.MaxGroup {
		return refusal(http.StatusRequestEntityTooLarge,
			fmt.Sprintf("an atomic batch has at most %d transactions; this one has %d", rbcs.MaxGroup, len(b.items)))
	}
	failed := len(b.valid) < len(b.items)
	seen := make(map[string]int, len(b.items))
	for i := range b.items {
		item := &b.items[i]
		first, twice := seen[item.key]
		switch {
		case item.err != nil:
		case twice:
			failed = true
			item.err = invalid("/id", "item %d of this atomic batch, counted from 0, has the same ID", first)
		default:
			seen[item.key] = i
		}
	}
	if !failed {
		group := rbcs.GroupID(b.valid)
		for i, t := range b.valid {
			t.Group = rbcs.Group{ID: group, Position: i, Size: len(b.valid)}
		}
		return nil
	}
	b.valid = nil
	for i := range b.items {
		if item := &b.items[i]; item.err == nil {
			item.err = rbcs.Errorf(rbcs.GroupFailed, "nothing of the atomic batch was submitted, because another member is malformed")
		}
	}
	return nil
}
