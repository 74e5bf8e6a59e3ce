package rest

import (
	"errors"
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
	txExpiresAt
	txExecuteAt
	txRetryUntil
)

var transactionMembers = []string{
	"id", "type", "source", "destination", "amount", "currency", "timestamp", "description", "metadata", "expires_at",
	"execute_at", "retry_until",
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
			t.Timestamp, err = d.time("/timestamp")
		case txDescription:
			t.Description, err = d.str("/description")
		case txMetadata:
			t.Metadata, err = d.metadata()
		case txExpiresAt:
			t.ExpiresAt, err = d.time("/expires_at")
		case txExecuteAt:
			t.ExecuteAt, err = d.time("/execute_at")
		case txRetryUntil:
			t.RetryUntil, err = d.time("/retry_until")
		}
		return err
	})
	if err == nil && !seen.has(txAmount) {
		d.fault("/amount", "the amount is missing")
	}
	return err
}

func (d *decoder) time(pointer string) (time.Time, error) {
	before := len(d.faults)
	s, err := d.str(pointer)
	if err != nil || len(d.faults) > before {
		return time.Time{}, err
	}
	t, fault := rbcs.ParseTime(s)
	if fault != nil {
		d.fault(pointer, fault.Error())
	}
	return t, nil
}

// prepare checks a transaction that was read, and returns all that is wrong with
// it, or nil: the faults from the given one on, and what [rbcs.Transaction.Prepare]
// finds in members that had none.
func (d *decoder) prepare(t *rbcs.Transaction, known *rbcs.Currencies, from int) *rbcs.Error {
	return d.complete(t.Prepare(known), from)
}

// complete adds what a check found to the faults from the given one on.
func (d *decoder) complete(err error, from int) *rbcs.Error {
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

// settlementMembers are those of a capture or reversal; a release has no amount.
var (
	settlementMembers = []string{"id", "description", "metadata", "amount"}
	releaseMembers    = settlementMembers[:3]
)

// settlement reads a capture, release or reversal into t, which says which of
// them it is and what it refers to.
func (d *decoder) settlement(t *rbcs.Transaction) error {
	members := settlementMembers
	if t.Type == rbcs.Release {
		members = releaseMembers
	}
	err := d.document(d.body, func() error {
		_, err := d.object("a "+string(t.Type), members, func(name int) (err error) {
			switch members[name] {
			case "id":
				t.ID, err = d.str("/id")
			case "description":
				t.Description, err = d.str("/description")
			case "metadata":
				t.Metadata, err = d.metadata()
			case "amount":
				before := len(d.faults)
				t.Amount, err = d.decimal("/amount")
				if err == nil && len(d.faults) == before && t.Amount.Units.IsZero() {
					d.fault("/amount", "the amount must be greater than zero; leave it out for all that is left")
				}
			}
			return err
		})
		return err
	})
	if err != nil {
		return err
	}
	if err := d.complete(t.PrepareSettlement(), 0); err != nil {
		return err
	}
	return nil
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
