package rbcs

import "time"

// Again returns what decides a rejected transaction once more, explicitly, as
// the attempt after r. What follows from what it refers to is left out: the
// accounts and the currency of a settlement, and when it happens. A settlement
// of all that was left asks for that amount.
func (r *Result) Again() Transaction {
	t := r.Transaction
	t.Retry = r.Attempt + 1
	if t.Settles() {
		t.Source, t.Destination, t.Currency = "", "", ""
		t.Timestamp = time.Time{}
	}
	return t
}

// NotRetried refuses to retry what was not rejected.
func NotRetried(id string) *Error {
	return Errorf(NotRejected, "the transaction %s was not rejected: only what was rejected can be retried", id)
}
