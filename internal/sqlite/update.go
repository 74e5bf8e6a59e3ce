package sqlite

import (
	"context"
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
		if !now.After(a.CreatedAt) { // the clock was set back; see creation
			changes.at = a.CreatedAt.Add(time.Microsecond)
		}
		is, err := a.Changed(&change)
		if err != nil {
			return err
		}
		changes.differ(&a.Account, &is)
		if changes.count > 0 {
			is.UpdatedAt = now
			update, err := w.stmt(changeAccount)
			if err != nil {
				return err
			}
			update.bind(string(is.Status), overdraftValue(is.Overdraft), textValue(is.Metadata), micros(now), a.key)
			if err := update.run(); err != nil {
				return err
			}
		}
		updated = is
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

// differ records what a change made of an account.
func (c *accountChanges) differ(was, is *rbcs.Account) {
	c.record("status", string(was.Status), string(is.Status))
	c.record("overdraft", formatOverdraft(was.Overdraft, was.Currency), formatOverdraft(is.Overdraft, is.Currency))
	c.record("metadata", was.Metadata, is.Metadata)
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
