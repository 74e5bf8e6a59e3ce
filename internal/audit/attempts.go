package audit

import (
	"strconv"
	"strings"

	"rbcs"
)

// retried is what the later attempts of one ID say of it: its first attempt is
// looked up in the second reading of the log.
type retried struct {
	words  rbcs.Transaction // of the second attempt
	first  int64            // the sequence of the second attempt
	last   int              // the latest attempt
	status rbcs.Status      // its outcome
	found  bool
}

// attempt checks that a decision is the only one of its ID, or one of attempts
// that follow each other, each after a rejection. What was told of an ID before it was
// retried was told of a transaction that had moved nothing: it is checked and done with.
func (l *ledger) attempt(d *rbcs.Result) {
	id := d.Transaction.ID
	if d.Attempt < 1 {
		l.fault(Fault{Transaction: id, What: "attempt", Expected: "at least 1", Found: strconv.Itoa(d.Attempt)})
	}
	if d.Attempt < 2 {
		return
	}
	r := l.retried[id]
	if r == nil {
		r = &retried{words: d.Transaction, first: d.Sequence, last: 1, status: rbcs.Rejected}
		r.words.ID = strings.Clone(id)
		l.retried[r.words.ID] = r
	}
	check(l, "", id, "attempt", r.last+1, d.Attempt)
	check(l, "", id, "outcome before attempt "+strconv.Itoa(d.Attempt), rbcs.Rejected, r.status)
	l.sameWords(r, d)
	r.last, r.status = d.Attempt, d.Status
	if o := l.originals[id]; o != nil {
		check(l, "", id, "amount that was reversible before it was retried", written(&d.Transaction, rbcs.Amount{}), written(&d.Transaction, o.total))
		delete(l.originals, id)
	}
	if v := l.verdicts[id]; v != nil {
		check(l, "", id, "settled by before it was retried", "", v.settledBy)
		delete(l.verdicts, id)
	}
}

// sameWords checks that an attempt has the content of the others.
func (l *ledger) sameWords(r *retried, d *rbcs.Result) {
	again := r.words
	if again.Settles() { // these follow from the original, and are known only since there is one
		again.Timestamp, again.Currency, again.Amount = d.Transaction.Timestamp, "", d.Transaction.Amount
	}
	if d.Transaction.Currency == "" { // it was not known yet
		again.Currency = ""
	}
	for _, f := range again.Conflicts(d) {
		l.fault(Fault{Transaction: again.ID, What: f.Pointer + " of attempt " + strconv.Itoa(d.Attempt), Expected: "as in the other attempts", Found: f.Message})
	}
}

// superseded looks at a decision of an ID that was retried in the second reading,
// and reports whether a later one stands in its place.
func (l *ledger) superseded(d *rbcs.Result) bool {
	r := l.retried[d.Transaction.ID]
	if r == nil {
		return false
	}
	if d.Attempt == 1 {
		r.found = true
		check(l, "", d.Transaction.ID, "outcome before attempt 2", rbcs.Rejected, d.Status)
		l.sameWords(r, d)
		if d.Sequence >= r.first {
			l.fault(Fault{Transaction: d.Transaction.ID, What: "sequence of attempt 1", Expected: "less than attempt 2's " + strconv.FormatInt(r.first, 10), Found: strconv.FormatInt(d.Sequence, 10)})
		}
	}
	return d.Attempt < r.last
}
