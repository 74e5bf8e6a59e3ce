package sqlite

import (
	"cmp"
	"context"
	"slices"
	"time"

	"rbcs"
	"rbcs/internal/posting"
)

// The statements of a commit. Each runs once for each account or transaction.
// Multi-row VALUES, UPDATE FROM and json_each were measured through database/sql:
// inserts and updates gained nothing, and one account at a time straight on
// SQLite loads faster than json_each did.
const (
	selectAccount  = "SELECT " + accountColumns + ", key, last_sequence FROM accounts WHERE number = ?"
	selectRecorded = "SELECT " + resultColumns + " FROM transactions t WHERE t.id = ? ORDER BY t.attempt DESC LIMIT 1"
	selectSequence = "SELECT max(sequence) FROM transactions"

	insertTransaction = `INSERT INTO transactions (
		sequence, id, attempt, type, status, code,
		source_key, source_number, destination_key, destination_number,
		amount, decimals, currency, occurred_at, expires_at, original_id, description, metadata,
		actor, instance, committed_at,
		source_balance, source_held, source_version, source_previous,
		destination_balance, destination_held, destination_version, destination_previous,
		available, overdraft, needed)
	VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`

	updateAccount = `UPDATE accounts
		SET balance = ?, held = ?, received = ?, sent = ?, version = ?, last_sequence = ?, updated_at = ? WHERE key = ?`
)

// Commit implements [rbcs.Committer].
func (s *Store) Commit(ctx context.Context, transactions []*rbcs.Transaction) ([]rbcs.Result, error) {
	var results []rbcs.Result
	err := s.withWrite(ctx, func(w *writer, now time.Time) error {
		c := &commit{writer: w, last: make(map[int64]int64, 2*len(transactions))}
		c.batch = posting.Batch{
			Now:          now,
			Accounts:     make(map[string]*posting.Account, 2*len(transactions)),
			Recorded:     make(map[string]*rbcs.Result, len(transactions)),
			Transactions: transactions,
		}
		var err error
		results, err = c.run()
		return err
	})
	if err != nil {
		return nil, err
	}
	return results, nil
}

// commit is one batch on its way.
type commit struct {
	*writer
	batch posting.Batch
	last  map[int64]int64 // by account key: the sequence that made its current version; 0 before the first
}

func (c *commit) run() ([]rbcs.Result, error) {
	if err := c.load(); err != nil {
		return nil, err
	}
	decisions := c.batch.Decide()
	if err := c.insert(decisions); err != nil {
		return nil, err
	}
	if err := c.update(); err != nil {
		return nil, err
	}
	results := make([]rbcs.Result, len(decisions))
	for i := range decisions {
		d := &decisions[i]
		if d.Replayed { // of an ID that stands twice in the batch: numbered only now
			first := c.batch.Recorded[d.Transaction.ID]
			d.Sequence, d.Instance = first.Sequence, first.Instance
		}
		results[i] = d.Result
	}
	return results, nil
}

// load reads the accounts and the recorded decisions that the batch names.
func (c *commit) load() error {
	account, err := c.stmt(selectAccount)
	if err != nil {
		return err
	}
	recorded, err := c.stmt(selectRecorded)
	if err != nil {
		return err
	}
	looked := make(map[string]struct{})
	for _, t := range c.batch.Transactions {
		for _, number := range [2]string{t.Source, t.Destination} {
			if _, ok := c.batch.Accounts[number]; ok {
				continue
			}
			if _, ok := looked[number]; ok { // it does not exist
				continue
			}
			found, err := c.loadAccount(account, number)
			if err != nil {
				return err
			}
			if !found {
				looked[number] = struct{}{}
			}
		}
		if err := c.loadRecorded(recorded, t.ID); err != nil {
			return err
		}
	}
	return nil
}

func (c *commit) loadAccount(s *stmt, number string) (found bool, err error) {
	s.text(1, number)
	if found = s.next(); found {
		a := &posting.Account{Key: s.intAt(accountWidth)}
		scanAccount(s, &a.Account)
		c.batch.Accounts[a.Number] = a
		c.last[a.Key] = s.intAt(accountWidth + 1)
	}
	return found, s.done()
}

func (c *commit) loadRecorded(s *stmt, id string) error {
	s.text(1, id)
	if s.next() {
		r := new(rbcs.Result)
		scanResult(s, r)
		c.batch.Recorded[id] = r
	}
	return s.done()
}

// insert records the new decisions, in their order.
func (c *commit) insert(decisions []posting.Decision) error {
	sequence, err := c.maxSequence()
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
		d.Sequence, d.Instance = sequence, c.instanceName
		c.bindDecision(s, d)
		if err := s.run(); err != nil {
			return err
		}
	}
	return nil
}

func (c *conn) maxSequence() (sequence int64, err error) {
	s, err := c.stmt(selectSequence)
	if err != nil {
		return 0, err
	}
	if s.next() {
		sequence = s.intAt(0)
	}
	return sequence, s.done()
}

// bindDecision sets the parameters of insertTransaction.
func (c *commit) bindDecision(s *stmt, d *posting.Decision) {
	t := &d.Transaction
	s.int(1, d.Sequence)
	s.text(2, t.ID)
	s.int(3, int64(d.Attempt))
	s.text(4, string(t.Type))
	s.text(5, string(d.Status))
	s.textOrNull(6, string(d.Code))
	if d.Status == rbcs.Rejected { // the accounts may not exist
		s.null(7)
		s.text(8, t.Source)
		s.null(9)
		s.text(10, t.Destination)
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
	s.int(20, c.instance)
	s.int(21, micros(d.CommittedAt))
	c.bindState(s, 22, d.SourceAccount, &d.Source, d.Sequence)
	c.bindState(s, 26, d.DestinationAccount, &d.Destination, d.Sequence)
	if d.Code == rbcs.InsufficientFunds {
		s.amountOrNull(30, d.Shortfall.Available)
		s.amountOrNull(31, d.Shortfall.Overdraft)
		s.amountOrNull(32, d.Shortfall.Needed)
		return
	}
	s.null(30)
	s.null(31)
	s.null(32)
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
