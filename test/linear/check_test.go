package linear

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/anishathalye/porcupine"
)

// entry is one version of an account in the database's log.
type entry struct {
	id string // the transaction that made it
	value
}

// verdict is what the checkers say about a history.
type verdict struct {
	operations, reads, cached int
	failed                    int      // requests without an answer: nothing is known of them
	unacknowledged            int      // postings that were found in the log only
	anomalies                 int      // what the direct check found
	illegal                   int      // parts of histories that porcupine found not to be linearizable
	undecided                 int      // and those that it could not decide in time
	examples                  []string // of anomalies
}

func (v *verdict) clean() bool { return v.anomalies == 0 && v.illegal == 0 && v.undecided == 0 }

// wrong is how much was found to be wrong, or could not be decided.
func (v *verdict) wrong() int { return max(v.anomalies, v.illegal) + v.undecided }

func (v *verdict) anomaly(format string, args ...any) {
	const most = 10
	if v.anomalies++; len(v.examples) < most {
		v.examples = append(v.examples, fmt.Sprintf(format, args...))
	}
}

func (v *verdict) add(o verdict) {
	v.operations, v.reads, v.cached = v.operations+o.operations, v.reads+o.reads, v.cached+o.cached
	v.failed, v.unacknowledged = v.failed+o.failed, v.unacknowledged+o.unacknowledged
	v.anomalies, v.illegal, v.undecided = v.anomalies+o.anomalies, v.illegal+o.illegal, v.undecided+o.undecided
	v.examples = append(v.examples, o.examples...)
}

// judge checks a history against the log, in which the first entry of an account
// is its version 1. REQUIRES: no client is at work.
func judge(h *history, log map[string][]entry) verdict {
	v := verdict{failed: h.failed}
	h.acknowledged(&v, log)
	for number, entries := range log {
		ops := slices.Clone(h.reads[number])
		v.reads += len(ops)
		for i := range ops {
			o := &ops[i]
			if o.cached {
				v.cached++
			}
			if want, ok := at(entries, o.version); !ok || want != o.value {
				v.anomaly("%s: %s was told of version %d with %v, and the log has %v", number, o, o.version, o.value, want)
			}
		}
		for i, e := range entries {
			w := op{write: true, version: int64(i) + 1, value: e.value, ret: never, by: "somebody else"}
			if s := h.submissions[e.id]; s != nil {
				w.client, w.call, w.ret, w.by = s.client, s.call, s.ret, s.by
			}
			if w.ret == never {
				v.unacknowledged++
			}
			ops = append(ops, w)
		}
		v.operations += len(ops)
		ordered(&v, number, ops)
		linearizable(&v, ops)
	}
	return v
}

// at returns what an account has after a version.
func at(entries []entry, version int64) (value, bool) {
	switch {
	case version == 0:
		return value{}, true
	case version < 0 || version > int64(len(entries)):
		return value{}, false
	}
	return entries[version-1].value, true
}

// acknowledged checks that all that was acknowledged is in the log, as it was told.
func (h *history) acknowledged(v *verdict, log map[string][]entry) {
	for id, s := range h.submissions {
		for _, told := range s.told {
			entries := log[told.number]
			if n := told.version; n > int64(len(entries)) || entries[n-1].id != id || entries[n-1].value != told.value {
				v.anomaly("%s: %s was acknowledged by %s as version %d with %v, which the log does not say", told.number, id, s.by, n, told.value)
			}
		}
	}
}

// ordered is the direct check: what began after another operation had returned
// must not show an older state. Since versions tell the order, this is all that
// linearizability of a register asks for.
func ordered(v *verdict, number string, ops []op) {
	byCall, byReturn := make([]*op, len(ops)), make([]*op, len(ops))
	for i := range ops {
		byCall[i], byReturn[i] = &ops[i], &ops[i]
	}
	slices.SortFunc(byCall, func(a, b *op) int { return cmp.Compare(a.call, b.call) })
	slices.SortFunc(byReturn, func(a, b *op) int { return cmp.Compare(a.ret, b.ret) })
	var newest *op
	returned := 0
	for _, o := range byCall {
		for ; returned < len(byReturn) && byReturn[returned].ret < o.call; returned++ {
			if r := byReturn[returned]; newest == nil || r.place() > newest.place() {
				newest = r
			}
		}
		if newest != nil && newest.place() > o.place() {
			v.anomaly("%s: %s began after %s", number, o, newest)
		}
	}
}

// String tells who did what, when.
func (o *op) String() string {
	what := "a read from the store"
	switch {
	case o.write:
		what = "the posting"
	case o.cached:
		what = "a cached read"
	}
	end := "no answer"
	if o.ret != never {
		end = time.Duration(o.ret).Round(time.Microsecond).String()
	}
	return fmt.Sprintf("%s of version %d by %s (%v to %s)", what, o.version, o.by, time.Duration(o.call).Round(time.Microsecond), end)
}

// Bounds of one question to porcupine.
const (
	atOnce   = 1_000 // operations, about
	patience = 20 * time.Second
)

// register is porcupine's model of an account that has a version at first.
func register(first int64) porcupine.Model {
	return porcupine.Model{
		Init: func() any { return first },
		Step: func(state, input, _ any) (bool, any) {
			version, o := state.(int64), input.(*op)
			if o.write {
				return o.version == version+1, o.version
			}
			return o.version == version, version
		},
	}
}

// linearizable asks porcupine, for one range of versions after the other: each
// must be linearizable by itself. That no range mixes with another one is for
// the direct check to see, and for porcupine where a range ends in the middle of
// what is wrong.
func linearizable(v *verdict, ops []op) {
	slices.SortFunc(ops, func(a, b op) int { return cmp.Compare(a.place(), b.place()) })
	for len(ops) > 0 {
		n := min(atOnce, len(ops))
		for n < len(ops) && ops[n].version == ops[n-1].version {
			n++
		}
		part := ops[:n]
		ops = ops[n:]
		first := part[0].version
		if part[0].write {
			first--
		}
		questions := make([]porcupine.Operation, len(part))
		for i := range part {
			questions[i] = porcupine.Operation{ClientId: part[i].client, Input: &part[i], Call: part[i].call, Return: part[i].ret}
		}
		switch porcupine.CheckOperationsTimeout(register(first), questions, patience) {
		case porcupine.Illegal:
			v.illegal++
		case porcupine.Unknown:
			v.undecided++
		}
	}
}
