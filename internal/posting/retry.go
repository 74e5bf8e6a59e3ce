package posting

import "rbcs"

// retry decides a rejected ID again, as attempt t.Retry or the next one, and
// records that beside what was decided before. Where that attempt has been made
// already, by whomever, its decision is the answer: what was posted is never
// posted again.
func (b *Batch) retry(t *rbcs.Transaction, d *Decision) {
	recorded := b.Recorded[t.ID]
	if recorded == nil {
		d.Result = rbcs.Result{Transaction: *t, Err: rbcs.Errorf(rbcs.NotFound, "no transaction has the ID %s", t.ID)}
		return
	}
	d.replay(t, recorded)
	switch {
	case d.Err != nil, recorded.Attempt >= t.Retry:
		return
	case recorded.Status != rbcs.Rejected:
		d.Result = rbcs.Result{Transaction: *t, Err: rbcs.NotRetried(t.ID)}
		return
	case recorded.Attempt >= rbcs.MaxAttempts:
		d.Result = rbcs.Result{Transaction: *t, Err: rbcs.TriedTooOften(t.ID)}
		return
	}
	again := *t
	if was := &recorded.Transaction; !t.Settles() && t.Currency == "" && was.Currency != "" {
		again.Currency, again.Amount = was.Currency, was.Amount // what the source account has now may be another one
	}
	*d = Decision{}
	b.decide(&again, d)
	if d.Err == nil {
		d.Attempt = recorded.Attempt + 1
		b.Recorded[t.ID] = &d.Result
	}
}
