package sqlite

import (
	"rbcs"
	"rbcs/internal/posting"
)

// load reads the accounts and the recorded decisions that the batch names.
func (c *commit) load() error {
	looked := map[string]struct{}{}
	for _, t := range c.batch.Transactions {
		if err := c.loadAccounts(t, looked); err != nil {
			return err
		}
		if err := c.loadRecorded(t.ID); err != nil {
			return err
		}
		if t.Settles() {
			if err := c.loadOriginal(t.Original, looked); err != nil {
				return err
			}
		}
	}
	return nil
}

// loadAccounts reads the accounts of a transaction, unless they were looked for.
func (c *commit) loadAccounts(t *rbcs.Transaction, looked map[string]struct{}) error {
	s, err := c.stmt(selectAccount)
	if err != nil {
		return err
	}
	for _, number := range [2]string{t.Source, t.Destination} {
		if _, ok := c.batch.Accounts[number]; ok {
			continue
		}
		if _, ok := looked[number]; ok { // it does not exist
			continue
		}
		s.text(1, number)
		if s.next() {
			a := &posting.Account{Key: s.intAt(accountWidth)}
			scanAccount(s, &a.Account)
			c.batch.Accounts[a.Number] = a
			c.last[a.Key] = s.intAt(accountWidth + 1)
		} else {
			looked[number] = struct{}{}
		}
		if err := s.done(); err != nil {
			return err
		}
	}
	return nil
}

func (c *commit) loadRecorded(id string) error {
	s, err := c.stmt(selectRecorded)
	if err != nil {
		return err
	}
	s.text(1, id)
	if s.next() {
		r := new(rbcs.Result)
		scanResult(s, r)
		c.batch.Recorded[id] = r
	}
	return s.done()
}

// loadOriginal reads what a transaction refers to, what refers to it, and its accounts.
func (c *commit) loadOriginal(id string, looked map[string]struct{}) error {
	if _, ok := c.batch.References[id]; ok {
		return nil
	}
	original, err := c.record(selectOriginal, id)
	if err != nil || original == nil {
		return err
	}
	c.batch.Recorded[id] = &original.Result
	c.batch.References[id] = posting.Reference{SettledBy: original.ClosedBy, Reversed: original.TakenBack}
	return c.loadAccounts(&original.Transaction, looked)
}

// record returns the decision that a query selects, as it stands now; nil for none.
func (c *conn) record(sql string, arg any) (r *rbcs.Record, err error) {
	s, err := c.stmt(sql)
	if err != nil {
		return nil, err
	}
	if s.bind(arg).next() {
		r = new(rbcs.Record)
		scanRecord(s, r)
	}
	return r, s.done()
}
