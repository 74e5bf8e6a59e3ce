package sqlite

import (
	"rbcs"
	"rbcs/internal/posting"
)

// loader reads what a batch names into it.
type loader struct {
	*commit
	account, recorded *stmt
	looked            map[string]struct{} // numbers of accounts that do not exist
}

// load reads the accounts and the recorded decisions that the batch names.
func (c *commit) load() (err error) {
	l := loader{commit: c, looked: map[string]struct{}{}}
	if l.account, err = c.stmt(selectAccount); err != nil {
		return err
	}
	if l.recorded, err = c.stmt(selectRecorded); err != nil {
		return err
	}
	for _, t := range c.batch.Transactions {
		if err := l.loadAccounts(t); err != nil {
			return err
		}
		if err := l.loadRecorded(t.ID); err != nil {
			return err
		}
		if t.Settles() {
			if err := l.loadOriginal(t.Original); err != nil {
				return err
			}
		}
	}
	return c.lookQueued()
}

// loadAccounts reads the accounts of a transaction, unless they were looked for.
func (l *loader) loadAccounts(t *rbcs.Transaction) error {
	s := l.account
	for _, number := range [2]string{t.Source, t.Destination} {
		if _, ok := l.batch.Accounts[number]; ok {
			continue
		}
		if _, ok := l.looked[number]; ok { // it does not exist
			continue
		}
		s.text(1, number)
		if s.next() {
			a := &posting.Account{Key: s.intAt(accountWidth)}
			scanAccount(s, &a.Account)
			l.batch.Accounts[a.Number] = a
			l.last[a.Key] = s.intAt(accountWidth + 1)
		} else {
			l.looked[number] = struct{}{}
		}
		if err := s.done(); err != nil {
			return err
		}
	}
	return nil
}

func (l *loader) loadRecorded(id string) error {
	s := l.recorded
	s.text(1, id)
	if s.next() {
		r := new(rbcs.Result)
		scanResult(s, r)
		l.batch.Recorded[id] = r
	}
	return s.done()
}

// loadOriginal reads what a transaction refers to, what refers to it, and its accounts.
func (l *loader) loadOriginal(id string) error {
	if _, ok := l.batch.References[id]; ok {
		return nil
	}
	original, err := l.record(selectOriginal, id)
	if err != nil || original == nil {
		return err
	}
	l.batch.Recorded[id] = &original.Result
	l.batch.References[id] = posting.Reference{SettledBy: original.ClosedBy, Reversed: original.TakenBack}
	return l.loadAccounts(&original.Transaction)
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
