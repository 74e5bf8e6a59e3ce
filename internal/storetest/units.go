package storetest

import (
	"slices"

	"rbcs"
)

// unit returns the answers that a transaction or a whole atomic group must get,
// and takes them over.
func (m *model) unit(txs []*rbcs.Transaction, got []rbcs.Result) []rbcs.Result {
	if t := txs[0]; t.Retry > 0 && t.Group.ID == "" {
		return []rbcs.Result{m.retry(t, &got[0])}
	}
	want, known := make([]rbcs.Result, len(txs)), 0
	for i, t := range txs {
		if first := m.decided[t.ID]; first != nil {
			known++
			want[i] = again(t, &first.Result)
		} else {
			want[i] = *failure(t, rbcs.GroupFailed) // unless something better is found below
		}
	}
	if known > 0 {
		return want
	}
	restore := func() {}
	if len(txs) > 1 {
		restore = m.keepFor(txs)
	}
	for i, t := range txs {
		want[i] = *m.decide(t, &got[i])
		if want[i].Err == nil && want[i].Status != rbcs.Rejected {
			m.record(&want[i])
			continue
		}
		restore()
		m.fail(txs, got, want, i)
		break
	}
	return want
}

// again is the answer to an ID that is recorded.
func again(t *rbcs.Transaction, first *rbcs.Result) rbcs.Result {
	if fields := modelConflicts(t, first); fields != nil {
		return *failure(t, rbcs.IDConflict, fields...)
	}
	r := *first
	r.Replayed = true
	return r
}

// retry is the answer to an explicit retry.
func (m *model) retry(t *rbcs.Transaction, got *rbcs.Result) rbcs.Result {
	latest := m.decided[t.ID]
	if latest == nil {
		return *failure(t, rbcs.NotFound)
	}
	replay := again(t, &latest.Result)
	if replay.Err != nil || latest.Attempt >= t.Retry {
		return replay
	}
	if latest.Status != rbcs.Rejected {
		return *failure(t, rbcs.NotRejected)
	}
	if latest.Attempt >= rbcs.MaxAttempts {
		return *failure(t, rbcs.InvalidRequest)
	}
	words := *t
	if !t.Settles() && t.Currency == "" && latest.Transaction.Currency != "" { // its currency stays what it was
		words.Currency, words.Amount = latest.Transaction.Currency, latest.Transaction.Amount
	}
	want := *m.decide(&words, got)
	if want.Err == nil {
		want.Attempt = latest.Attempt + 1
		m.record(&want)
		m.earlier = append(m.earlier, latest)
	}
	return want
}

// keepFor returns a function that takes back what a group does. (To keep the
// whole model would do, but not for a log of a hundred thousand.)
func (m *model) keepFor(txs []*rbcs.Transaction) (restore func()) {
	accounts, decided, faults := map[string]modelAccount{}, map[string]modelDecision{}, slices.Clip(m.faults)
	for _, t := range txs {
		numbers := []string{t.Source, t.Destination}
		if d := m.decided[t.Original]; d != nil {
			decided[t.Original] = *d
			numbers = append(numbers, d.Transaction.Source, d.Transaction.Destination)
		}
		for _, number := range numbers {
			if a := m.accounts[number]; a != nil {
				accounts[number] = *a
			}
		}
	}
	return func() {
		m.faults = faults
		for number, a := range accounts {
			*m.accounts[number] = a
		}
		for id, d := range decided {
			*m.decided[id] = d
		}
		for _, t := range txs {
			delete(m.decided, t.ID)
		}
	}
}

// fail writes the answers of a group, of one or more, whose member i was
// refused: a rejection is recorded for all, and anything else for none. It is
// none too where a member's amount does not fit its account.
func (m *model) fail(txs []*rbcs.Transaction, got, want []rbcs.Result, i int) {
	if want[i].Err == nil {
		for j, t := range txs {
			if j != i && !t.Settles() && m.expressed(t) == nil {
				want[j] = *failure(t, rbcs.InvalidRequest, "/amount")
				i = j
				break
			}
		}
	}
	for j, t := range txs {
		switch {
		case j == i:
		case want[i].Err != nil:
			want[j] = *failure(t, rbcs.GroupFailed)
		default:
			want[j] = *draft(t, &got[j])
			want[j].Code = rbcs.GroupFailed
			if !t.Settles() {
				want[j].Transaction = *m.expressed(t)
			}
		}
	}
	for j := range want {
		if want[j].Err == nil {
			m.record(&want[j])
		}
	}
}
