package posting

import (
	"testing"

	"rbcs"
)

// TestRetry decides an ID again, as the attempt that is asked for, only after a rejection and not for ever.
func TestRetry(t *testing.T) {
	one := rbcs.Decimal{Units: rbcs.AmountOf(1)}
	for name, c := range map[string]struct {
		recorded rbcs.Status
		attempts int
		retry    int
		want     rbcs.Code // of an error
		attempt  int       // of the answer
		replayed bool
	}{
		"of nothing":                     {retry: 2, want: rbcs.NotFound},
		"the next":                       {rbcs.Rejected, 1, 2, "", 2, false},
		"one that was made":              {rbcs.Rejected, 3, 3, "", 3, true},
		"one before":                     {rbcs.Rejected, 3, 2, "", 3, true},
		"one that is further":            {rbcs.Rejected, 3, 9, "", 4, false},
		"of what is posted":              {rbcs.Posted, 1, 2, rbcs.NotRejected, 0, false},
		"of what a retry posted":         {rbcs.Posted, 2, 2, "", 2, true},
		"the last":                       {rbcs.Rejected, rbcs.MaxAttempts - 1, rbcs.MaxAttempts, "", rbcs.MaxAttempts, false},
		"one more than the last":         {rbcs.Rejected, rbcs.MaxAttempts, rbcs.MaxAttempts + 1, rbcs.InvalidRequest, 0, false},
		"the last, again":                {rbcs.Rejected, rbcs.MaxAttempts, rbcs.MaxAttempts, "", rbcs.MaxAttempts, true},
		"of what was made far too often": {rbcs.Rejected, 32767, 32768, rbcs.InvalidRequest, 0, false},
	} {
		tx := rbcs.Transaction{ID: "x", Type: rbcs.Transfer, Source: "a", Destination: "b", Amount: one}
		recorded := map[string]*rbcs.Result{}
		if c.recorded != "" {
			recorded["x"] = &rbcs.Result{Transaction: tx, Status: c.recorded, Code: rbcs.InsufficientFunds, Attempt: c.attempts, Sequence: 7}
		}
		was := recorded["x"]
		tx.Retry = c.retry
		a, b := &Account{Account: rbcs.Account{Number: "a", Status: rbcs.Open}}, &Account{Account: rbcs.Account{Number: "b", Status: rbcs.Open}}
		a.Overdraft.Unlimited = true
		batch := Batch{Recorded: recorded, Accounts: map[string]*Account{"a": a, "b": b}, Transactions: []*rbcs.Transaction{&tx}}
		d := batch.Decide()[0]
		var code rbcs.Code
		if d.Err != nil {
			code = d.Err.Code
		}
		if code != c.want || d.Attempt != c.attempt || d.Replayed != c.replayed {
			t.Errorf("%s: attempt %d, replayed %v, error %v", name, d.Attempt, d.Replayed, d.Err)
		}
		moved := d.Err == nil && !d.Replayed
		if a.Changed != moved || b.Changed != moved || moved != (recorded["x"] != was) || moved && recorded["x"].Transaction.Retry != 0 {
			t.Errorf("%s: changed %v, recorded %+v", name, a.Changed, recorded["x"])
		}
	}
}

// TestReplayToTheQueue: a rejection that was recorded without a currency, since
// nobody knew it, is the queue's own transaction with one; not that of a client.
func TestReplayToTheQueue(t *testing.T) {
	recorded := func(currency string) map[string]*rbcs.Result {
		return map[string]*rbcs.Result{"x": {
			Transaction: rbcs.Transaction{ID: "x", Type: rbcs.Transfer, Source: "a", Destination: "b", Amount: rbcs.Decimal{Units: rbcs.AmountOf(5)}, Currency: currency},
			Status:      rbcs.Rejected, Code: rbcs.AccountNotFound, Attempt: 1,
		}}
	}
	for name, c := range map[string]struct {
		turn            rbcs.Turn
		recorded, asked string // currencies
		same            bool
	}{
		"by the queue":                        {rbcs.FromQueue, "", "EUR", true},
		"tentatively":                         {rbcs.Tentative, "", "EUR", true},
		"by a client":                         {rbcs.Direct, "", "EUR", false},
		"by the queue, in another currency":   {rbcs.FromQueue, "USD", "EUR", false},
		"by the queue, without one":           {rbcs.FromQueue, "USD", "", true},
		"by the queue, in the same currency":  {rbcs.FromQueue, "EUR", "EUR", true},
		"by the queue, of an unknown account": {rbcs.FromQueue, "", "", true},
	} {
		asked := recorded(c.asked)["x"].Transaction
		asked.Turn = c.turn
		before := asked
		batch := Batch{Recorded: recorded(c.recorded), Transactions: []*rbcs.Transaction{&asked}}
		d := batch.Decide()[0]
		if d.Replayed != c.same || (d.Err == nil) != c.same || d.Err != nil && d.Err.Code != rbcs.IDConflict {
			t.Errorf("%s: replayed %v, error %v", name, d.Replayed, d.Err)
		}
		if asked != before {
			t.Errorf("%s: what was submitted has changed: %+v", name, asked)
		}
	}
}

// TestRetryKeepsItsCurrency: a retry that names no currency means the recorded
// one, whatever the account has now; one of a settlement follows its original.
func TestRetryKeepsItsCurrency(t *testing.T) {
	euro := rbcs.Currency{Code: "EUR", Decimals: 2}
	for name, c := range map[string]struct{ recorded, asked, want string }{
		"neither":      {"", "", "EUR"},
		"recorded":     {"JPY", "", "JPY"},
		"both":         {"JPY", "JPY", "JPY"},
		"the accounts": {"EUR", "", "EUR"},
	} {
		tx := rbcs.Transaction{ID: "x", Type: rbcs.Transfer, Source: "a", Destination: "b", Amount: rbcs.Decimal{Units: rbcs.AmountOf(5)}, Currency: c.recorded}
		recorded := map[string]*rbcs.Result{"x": {Transaction: tx, Status: rbcs.Rejected, Code: rbcs.CurrencyMismatch, Attempt: 1}}
		tx.Currency, tx.Retry = c.asked, 2
		before := tx
		batch := Batch{Recorded: recorded, Transactions: []*rbcs.Transaction{&tx}, Accounts: map[string]*Account{}}
		for _, number := range []string{"a", "b"} {
			batch.Accounts[number] = &Account{Account: rbcs.Account{Number: number, Status: rbcs.Open, Currency: euro, Overdraft: rbcs.Overdraft{Unlimited: true}}}
		}
		d := batch.Decide()[0]
		if d.Err != nil || d.Transaction.Currency != c.want || (d.Status == rbcs.Posted) != (c.want == "EUR") || tx != before {
			t.Errorf("%s: %+v, error %v, submitted %+v", name, d.Result, d.Err, tx)
		}
	}
}
