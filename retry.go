package rbcs

import "time"

// MaxAttempts is how many decisions an ID may have: the first and its explicit
// retries. They are told together, and PostgreSQL numbers them in 16 bits.
const MaxAttempts = 1000

// TriedTooOften refuses one more retry of an ID.
func TriedTooOften(id string) *Error {
	return Errorf(InvalidRequest, "the transaction %s was decided %d times, which is the most; submit it under another ID", id, MaxAttempts)
}

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
