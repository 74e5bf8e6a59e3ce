package rest

import (
	"errors"
	"fmt"
	"net/http"

	"rbcs"
)

// The members of a new account, and their places in the list.
const (
	acNumber = iota
	acCurrency
	acOverdraft
	acMetadata
)

var accountMembers = []string{"number", "currency", "overdraft", "metadata"}

// newAccount reads and checks one account. The error of its faults, from the
// given one on, is the second result; the third is broken JSON.
func (d *decoder) newAccount(known *rbcs.Currencies) (rbcs.NewAccount, *rbcs.Error, error) {
	var a rbcs.NewAccount
	var code string
	var overdraft rbcs.OverdraftChange
	from := len(d.faults)
	seen, err := d.object("an account", accountMembers, func(name int) (err error) {
		switch name {
		case acNumber:
			a.Number, err = d.str("/number")
		case acCurrency:
			code, err = d.word("/currency")
		case acOverdraft:
			overdraft, err = d.overdraft()
		case acMetadata:
			a.Metadata, err = d.metadata()
		}
		return err
	})
	if err != nil {
		return a, nil, err
	}
	if len(d.faults) > from {
		return a, d.invalid(from, "the account is invalid"), nil
	}
	currency, ok := known.Lookup(code)
	switch {
	case !seen.has(acCurrency):
		d.fault("/currency", "the currency is missing")
	case !ok:
		d.fault("/currency", fmt.Sprintf("the currency %q is not known: it is neither in ISO 4217 nor declared", code))
	default:
		a.Currency = currency
		a.Overdraft.Unlimited = overdraft.Unlimited
		var fault error
		if a.Overdraft.Limit, fault = overdraft.Limit.In(currency.Decimals); fault != nil {
			d.fault("/overdraft", rbcs.AmountFault(fault, currency).Error())
		}
	}
	var e *rbcs.Error
	if errors.As(a.Prepare(), &e) {
		d.faults = append(d.faults, e.Fields...)
	}
	return a, d.invalid(from, "the account is invalid"), nil
}

const unlimited = "unlimited"

// overdraft reads "unlimited" or an amount.
func (d *decoder) overdraft() (rbcs.OverdraftChange, error) {
	before := len(d.faults)
	s, err := d.str("/overdraft")
	switch {
	case err != nil || len(d.faults) > before:
		return rbcs.OverdraftChange{}, err
	case s == unlimited:
		return rbcs.OverdraftChange{Unlimited: true}, nil
	}
	limit, fault := rbcs.ParseDecimal(s)
	if fault != nil {
		d.fault("/overdraft", `an overdraft is "unlimited" or an amount: `+fault.Error())
	}
	return rbcs.OverdraftChange{Limit: limit}, nil
}

// accounts reads an array of new accounts. Those without an error are the second result.
func (d *decoder) accounts(known *rbcs.Currencies) ([]batchItem, []rbcs.NewAccount, error) {
	var items []batchItem
	var valid []rbcs.NewAccount
	err := d.document(d.body, func() error {
		return d.array("", func(i int) error {
			if i == MaxBatch {
				return refusal(http.StatusRequestEntityTooLarge,
					fmt.Sprintf("a batch has at most %d accounts; send several batches", MaxBatch))
			}
			a, fault, err := d.newAccount(known)
			items = append(items, batchItem{key: a.Number, err: fault})
			if fault == nil {
				valid = append(valid, a)
			}
			return err
		})
	})
	if err != nil {
		return nil, nil, err
	}
	if err := d.invalid(0, "the batch is invalid"); err != nil {
		return nil, nil, err
	}
	return items, valid, nil
}

var changeMembers = []string{"status", "overdraft", "metadata"}

// accountChange reads the body of a PATCH.
func (d *decoder) accountChange() (rbcs.AccountChange, error) {
	var change rbcs.AccountChange
	err := d.change(changeMembers, func(name int) error {
		switch changeMembers[name] {
		case "status":
			s, err := d.word("/status")
			switch status := rbcs.AccountStatus(s); status {
			case rbcs.Open, rbcs.Frozen, rbcs.FrozenOutgoing, rbcs.Closed:
				change.Status = &status
			default:
				d.fault("/status", "a status is open, frozen, frozen_outgoing or closed")
			}
			return err
		case "overdraft":
			overdraft, err := d.overdraft()
			change.Overdraft = &overdraft
			return err
		}
		metadata, err := d.metadata()
		change.Metadata = &metadata
		return err
	})
	return change, err
}
