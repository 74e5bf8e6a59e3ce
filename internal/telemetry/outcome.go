package telemetry

import "rbcs"

// outcome is the two labels of an answer to a transaction.
type outcome struct{ outcome, code string }

func outcomeOf(r *rbcs.Result) outcome {
	switch {
	case r.Err != nil:
		return failure(r.Err.Code)
	case r.Replayed:
		return outcome{"replayed", string(r.Code)}
	}
	return outcome{string(r.Status), string(r.Code)}
}

func failure(code rbcs.Code) outcome { return outcome{"error", string(code)} }

// Result counts the answer to one transaction.
func (m *Metrics) Result(r *rbcs.Result) { m.count(outcomeOf(r), 1) }

// Previewed counts the answer to one transaction that was only previewed.
func (m *Metrics) Previewed(r *rbcs.Result) { m.count(preview(r), 1) }

func preview(r *rbcs.Result) outcome {
	if r.Err != nil {
		return failure(r.Err.Code)
	}
	return outcome{"previewed", string(r.Code)}
}

// Failed counts n transactions that one error befell.
func (m *Metrics) Failed(code rbcs.Code, n int) { m.count(failure(code), n) }

func (m *Metrics) count(o outcome, n int) {
	switch {
	case m == nil || n == 0:
	case o.outcome == string(rbcs.Posted):
		m.posted.Add(float64(n))
	default:
		m.transactions.WithLabelValues(o.outcome, o.code).Add(float64(n))
	}
}

// Tally counts the answers to many transactions and adds them up at its end, so
// that a batch of thousands touches the metrics a few times.
type Tally struct {
	metrics *Metrics
	posted  int
	others  map[outcome]int
}

// Tally begins one. Done must be called at its end.
func (m *Metrics) Tally() Tally { return Tally{metrics: m} }

// Result counts the answer to one transaction.
func (t *Tally) Result(r *rbcs.Result) {
	if r.Err == nil && !r.Replayed && r.Status == rbcs.Posted {
		t.posted++
		return
	}
	t.add(outcomeOf(r))
}

// Previewed counts the answer to one transaction that was only previewed.
func (t *Tally) Previewed(r *rbcs.Result) { t.add(preview(r)) }

// Failed counts a transaction that an error befell.
func (t *Tally) Failed(code rbcs.Code) { t.add(failure(code)) }

func (t *Tally) add(o outcome) {
	if t.others == nil {
		t.others = make(map[outcome]int)
	}
	t.others[o]++
}

// Done adds what was counted to the metrics.
func (t *Tally) Done() {
	t.metrics.count(outcome{outcome: string(rbcs.Posted)}, t.posted)
	for o, n := range t.others {
		t.metrics.count(o, n)
	}
}
