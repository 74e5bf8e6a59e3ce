package sqlite

import (
	"cmp"
	"slices"

	"rbcs"
	"rbcs/internal/posting"
)

// insert records the new decisions, in their order.
func (c *commit) insert(decisions []posting.Decision, instance int64) error {
	sequence, posted, err := c.logEnd()
	if err != nil {
		return err
	}
	s, err := c.stmt(insertTransaction)
	if err != nil {
		return err
	}
	for i := range decisions {
		d := &decisions[i]
		if !d.New() {
			continue
		}
		sequence++
		d.Sequence = sequence
		c.bindDecision(s, d, instance)
		rare := c.bindRare(s, d, posted)
		err := s.run()
		if rare { // also after a failure: the statement is used again
			for i := firstRare; i <= lastRare; i++ {
				s.null(i)
			}
		}
		if err != nil {
			return err
		}
		if d.Status == rbcs.Posted {
			posted = sequence
		}
		if err := c.stand(d); err != nil {
			return err
		}
	}
	return nil
}

// logEnd returns the last sequence, and the last of what is posted; 0 for none.
func (c *conn) logEnd() (last, posted int64, err error) {
	s, err := c.stmt(selectLast)
	if err != nil {
		return 0, 0, err
	}
	if s.next() {
		last, posted = s.intAt(0), s.intAt(1)
	}
	return last, posted, s.done()
}

// bindDecision sets the parameters of insertTransaction but the rare ones.
func (c *commit) bindDecision(s *stmt, d *posting.Decision, instance int64) {
	t := &d.Transaction
	s.int(1, d.Sequence)
	s.text(2, t.ID)
	s.int(3, int64(d.Attempt))
	s.text(4, string(t.Type))
	s.text(5, string(d.Status))
	s.textOrNull(6, string(d.Code))
	if d.Status == rbcs.Rejected { // the accounts may not exist
		s.null(7)
		s.textOrNull(8, t.Source) // "" of a settlement of nothing
		s.null(9)
		s.textOrNull(10, t.Destination)
	} else {
		s.int(7, d.SourceAccount.Key)
		s.null(8)
		s.int(9, d.DestinationAccount.Key)
		s.null(10)
	}
	s.amount(11, t.Amount.Units)
	s.int(12, int64(t.Amount.Scale))
	s.textOrNull(13, t.Currency)
	s.int(14, micros(t.Timestamp))
	nullTime(s, 15, t.ExpiresAt)
	s.textOrNull(16, t.Original)
	s.textOrNull(17, t.Description)
	s.textOrNull(18, t.Metadata)
	s.textOrNull(19, t.Actor)
	s.int(20, instance)
	s.int(21, micros(d.CommittedAt))
	c.bindState(s, 22, d.SourceAccount, &d.Source, d.Sequence)
	c.bindState(s, 26, d.DestinationAccount, &d.Destination, d.Sequence)
}

// The parameters of insertTransaction that a posted transfer does not have: they
// are NULL, unless bindRare sets them.
const firstRare, lastRare = 30, 40

// bindRare sets those parameters where there are any; posted is the last sequence
// that is posted.
func (c *commit) bindRare(s *stmt, d *posting.Decision, posted int64) bool {
	t := &d.Transaction
	if d.Status == rbcs.Posted && t.Type == rbcs.Transfer && t.Group.ID == "" && !t.Scheduled() {
		return false
	}
	s.amountOrNull(30, d.Shortfall.Available)
	s.amountOrNull(31, d.Shortfall.Overdraft)
	s.amountOrNull(32, d.Shortfall.Needed)
	s.amountOrNull(33, d.Remainder)
	s.textOrNull(34, d.SettledBy)
	if t.Group.ID != "" {
		s.text(35, t.Group.ID)
		s.int(36, int64(t.Group.Position))
		s.int(37, int64(t.Group.Size))
	}
	if d.Status != rbcs.Posted {
		s.int(38, posted)
	}
	nullTime(s, 39, t.ExecuteAt)
	nullTime(s, 40, t.RetryUntil)
	return true
}

// bindState sets the state of one side, if the decision changed it, and links it
// to the account's version before.
func (c *commit) bindState(s *stmt, i int, a *posting.Account, state *rbcs.State, sequence int64) {
	if state.Version == 0 {
		for column := range 4 {
			s.null(i + column)
		}
		return
	}
	s.amount(i, state.Balance)
	s.amountOrNull(i+1, state.Held)
	s.int(i+2, state.Version)
	s.intOrNull(i+3, c.last[a.Key])
	c.last[a.Key] = sequence
}

// stand writes what a new hold is, or what a settlement or reversal makes of its original.
func (c *commit) stand(d *posting.Decision) error {
	t := &d.Transaction
	if d.Status == rbcs.Rejected || t.Type == rbcs.Transfer {
		return nil
	}
	s, err := c.stmt(putStanding)
	if err != nil {
		return err
	}
	source, destination := d.SourceAccount.Key, d.DestinationAccount.Key
	if t.Type == rbcs.Hold {
		s.int(1, d.Sequence)
		s.null(3)
	} else {
		s.int(1, c.batch.Recorded[t.Original].Sequence)
		s.int(3, d.Sequence)
	}
	if t.Type == rbcs.Reversal {
		source, destination = destination, source
	}
	s.text(2, string(makes(d)))
	s.int(4, source)
	s.int(5, destination)
	nullTime(s, 6, t.ExpiresAt)
	return s.run()
}

// makes returns what a posted decision makes of the hold or the original.
func makes(d *posting.Decision) rbcs.Status {
	switch t := d.Transaction.Type; {
	case t == rbcs.Capture:
		return rbcs.Captured
	case t == rbcs.Release:
		return rbcs.Released
	case t == rbcs.Expiry:
		return rbcs.Expired
	case t == rbcs.Reversal && d.Remainder.IsZero():
		return rbcs.Reversed
	}
	return d.Status // a hold is held; what is reversed in part is still posted
}

// update writes the accounts that changed, in the order in which they are stored.
func (c *commit) update() error {
	s, err := c.stmt(updateAccount)
	if err != nil {
		return err
	}
	changed := make([]*posting.Account, 0, len(c.batch.Accounts))
	for _, a := range c.batch.Accounts {
		if a.Changed {
			changed = append(changed, a)
		}
	}
	slices.SortFunc(changed, func(a, b *posting.Account) int { return cmp.Compare(a.Key, b.Key) })
	for _, a := range changed {
		s.amount(1, a.Balance)
		s.amountOrNull(2, a.Held)
		s.amount(3, a.Received)
		s.amount(4, a.Sent)
		s.int(5, a.Version)
		s.int(6, c.last[a.Key])
		s.int(7, micros(a.UpdatedAt))
		s.int(8, a.Key)
		if err := s.run(); err != nil {
			return err
		}
	}
	return nil
}
