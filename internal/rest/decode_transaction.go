package rest

import (
	"bytes"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"

	"rbcs"
)

// The members of a transaction, and their places in the list.
const (
	txID = iota
	txType
	txSource
	txDestination
	txAmount
	txCurrency
	txTimestamp
	txDescription
	txMetadata
)

var transactionMembers = []string{
	"id", "type", "source", "destination", "amount", "currency", "timestamp", "description", "metadata",
}

// transaction reads one transaction into t, which must be zero.
func (d *decoder) transaction(t *rbcs.Transaction) error {
	seen, err := d.object("a transaction", transactionMembers, func(name int) (err error) {
		switch name {
		case txID:
			t.ID, err = d.str("/id")
		case txType:
			var s string
			s, err = d.word("/type")
			t.Type = rbcs.Type(s)
		case txSource:
			t.Source, err = d.str("/source")
		case txDestination:
			t.Destination, err = d.str("/destination")
		case txAmount:
			t.Amount, err = d.decimal("/amount")
		case txCurrency:
			t.Currency, err = d.word("/currency")
		case txTimestamp:
			t.Timestamp, err = d.timestamp()
		case txDescription:
			t.Description, err = d.str("/description")
		case txMetadata:
			t.Metadata, err = d.metadata()
		}
		return err
	})
	if err == nil && !seen.has(txAmount) {
		d.fault("/amount", "the amount is missing")
	}
	return err
}

func (d *decoder) timestamp() (time.Time, error) {
	before := len(d.faults)
	s, err := d.str("/timestamp")
	if err != nil || len(d.faults) > before {
		return time.Time{}, err
	}
	t, fault := parseTime(s)
	if fault != nil {
		d.fault("/timestamp", fault.Error())
	}
	return t, nil
}

// prepare checks a transaction that was read, and returns all that is wrong with
// it: the faults from the given one on, and what [rbcs.Transaction.Prepare]
// finds in members that had none.
func (d *decoder) prepare(t *rbcs.Transaction, known *rbcs.Currencies, from int) *rbcs.Error {
	err := t.Prepare(known)
	if err == nil && len(d.faults) == from {
		return nil
	}
	if slices.ContainsFunc(d.faults[from:], func(f rbcs.FieldError) bool { return f.Pointer == "" }) {
		err = nil // it was not even an object
	}
	var e *rbcs.Error
	if errors.As(err, &e) {
		for _, f := range e.Fields {
			same := func(other rbcs.FieldError) bool { return other.Pointer == f.Pointer }
			if !slices.ContainsFunc(d.faults[from:], same) {
				d.faults = append(d.faults, f)
			}
		}
	}
	return d.invalid(from, "the transaction is invalid")
}

// batch is the transactions of one request, in their order.
type batch struct {
	ndjson bool // each is a document of its own
	items  []batchItem
	valid  []*rbcs.Transaction // those without an error
	slab   []rbcs.Transaction  // where the next ones go
}

// batchItem is one item of a batch: what names it, and what is wrong with it.
type batchItem struct {
	key string // the ID or the number, "" where it could not be read
	err *rbcs.Error
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
	b.items = append(b.items, batchItem{t.ID, err})
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
			atomic, err := d.boolean("/atomic")
			if atomic {
				d.fault("/atomic", "an atomic batch is not supported; leave it out or write false")
			}
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

// single reads the one transaction that the body is.
func (d *decoder) single(t *rbcs.Transaction, known *rbcs.Currencies) error {
	if err := d.document(d.body, func() error { return d.transaction(t) }); err != nil {
		return err
	}
	if err := d.prepare(t, known, 0); err != nil {
		return err
	}
	return nil
}
