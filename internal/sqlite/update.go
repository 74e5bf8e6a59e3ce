package sqlite

import (
	"context"
	"fmt"
	"time"

	"rbcs"
)

const (
	insertChange = `INSERT INTO account_changes (account_key, at, actor, instance, field, old_value, new_value)
		VALUES (?, ?, ?, ?, ?, ?, ?)`
	changeAccount = "UPDATE accounts SET status = ?, overdraft = ?, metadata = ?, updated_at = ? WHERE key = ?"
)

// UpdateAccount implements [rbcs.Store].
func (s *Store) UpdateAccount(ctx context.Context, number string, change rbcs.AccountChange) (rbcs.Account, error) {
	var updated rbcs.Account
	err := s.withWrite(ctx, func(w *writer, now time.Time) error {
		a, err := w.account(number)
		if err != nil {
			return err
		}
		changes := accountChanges{writer: w, key: a.key, at: now, actor: change.Actor}
		if !now.After(a.CreatedAt) { // the clock was set back; see createConflicts
			changes.at = a.CreatedAt.Add(time.Microsecond)
		}
		if err := changes.apply(&a.Account, &change); err != nil {
			return err
		}
		if changes.count > 0 {
			a.UpdatedAt = now
			update, err := w.stmt(changeAccount)
			if err != nil {
				return err
			}
			update.bind(string(a.Status), overdraftValue(a.Overdraft), textValue(a.Metadata), micros(now), a.key)
			if err := update.run(); err != nil {
				return err
			}
		}
		updated = a.Account
		return changes.err
	})
	return updated, err
}

// accountChanges records who changed what about one account in one commit.
type accountChanges struct {
	*writer
	key   int64
	at    time.Time
	actor string
	count int
	err   error
}

// apply makes the change, or says with [rbcs.InvalidRequest] what is wrong with it.
func (c *accountChanges) apply(a *rbcs.Account, change *rbcs.AccountChange) error {
	var faults []rbcs.FieldError
	fault := func(pointer, message string) {
		faults = append(faults, rbcs.FieldError{Pointer: pointer, Message: message})
	}
	if status := change.Status; status != nil {
		switch {
		case *status != rbcs.Open && *status != rbcs.Frozen && *status != rbcs.FrozenOutgoing && *status != rbcs.Closed:
			fault("/status", fmt.Sprintf("the status %q is not known; write open, frozen, frozen_outgoing or closed", *status))
		case *status == rbcs.Closed && !(a.Balance.IsZero() && a.Held.IsZero()):
			fault("/status", fmt.Sprintf("an account is closed with nothing on it; it has a balance of %s and %s held",
				a.Balance.Format(a.Currency.Decimals), a.Held.Format(a.Currency.Decimals)))
		default:
			c.record("status", string(a.Status), string(*status))
			a.Status = *status
		}
	}
	if asked := change.Overdraft; asked != nil {
		rule := rbcs.Overdraft{Unlimited: asked.Unlimited}
		var err error
		if !asked.Unlimited {
			rule.Limit, err = asked.Limit.In(a.Currency.Decimals)
		}
		switch {
		case err != nil:
			fault("/overdraft", rbcs.AmountFault(err, a.Currency).Error())
		case rule.Limit.Sign() < 0:
			fault("/overdraft", `an overdraft is "unlimited" or an amount of at least zero`)
		default:
			c.record("overdraft", formatOverdraft(a.Overdraft, a.Currency), formatOverdraft(rule, a.Currency))
			a.Overdraft = rule
		}
	}
	if change.Metadata != nil {
		c.record("metadata", a.Metadata, *change.Metadata)
		a.Metadata = *change.Metadata
	}
	if faults != nil {
		return &rbcs.Error{Code: rbcs.InvalidRequest, Message: "the change of account " + a.Number + " is invalid", Fields: faults}
	}
	return nil
}

// record writes a row about one field, unless it stays what it was.
func (c *accountChanges) record(field, was, is string) {
	if was == is || c.err != nil {
		return
	}
	c.count++
	s, err := c.stmt(insertChange)
	if err == nil {
		err = s.bind(c.key, micros(c.at), textValue(c.actor), c.instance, field, textValue(was), textValue(is)).run()
	}
	c.err = err
}
