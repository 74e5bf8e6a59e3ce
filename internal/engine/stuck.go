package engine

import (
	"errors"
	"maps"

	"rbcs"
)

// stuck are the source accounts that had a transaction of the durable queue
// which was left without a decision. What stands behind it in the same Submit, in
// the same batch or a later one, is not attempted any more: the queue keeps the
// order of a source in failure, too, and submits all of it again. A client's
// transactions are not concerned: nobody waits for them to be submitted again.
type stuck map[string]struct{}

// add notes a transaction that was left without a decision.
func (s *stuck) add(t *rbcs.Transaction) {
	if t.Turn == rbcs.Direct {
		return
	}
	if *s == nil {
		*s = stuck{}
	}
	(*s)[t.Source] = struct{}{}
}

// has reports whether a transaction stands behind one that is stuck.
func (s stuck) has(t *rbcs.Transaction) bool {
	_, found := s[t.Source]
	return found && t.Turn != rbcs.Direct
}

// others returns the transactions that stand behind none; txs itself where all do.
func (s stuck) others(txs []*rbcs.Transaction) []*rbcs.Transaction {
	if s == nil {
		return txs
	}
	going := make([]*rbcs.Transaction, 0, len(txs))
	for _, t := range txs {
		if !s.has(t) {
			going = append(going, t)
		}
	}
	return going
}

// join adds those of another.
func (s *stuck) join(other stuck) {
	switch {
	case len(other) == 0:
	case *s == nil:
		*s = maps.Clone(other)
	default:
		maps.Copy(*s, other)
	}
}

// tell lets the requests of a batch's entries know what is stuck, before the next
// batch is taken. REQUIRES: Engine.mu is held.
func (s stuck) tell(entries []entry) {
	if s == nil {
		return
	}
	for i := range entries {
		if s.has(entries[i].tx) {
			entries[i].req.stuck.add(entries[i].tx)
		}
	}
}

// errBehind is why such a transaction was not attempted.
var errBehind = errors.New("an earlier one of the same source account is without a decision")

func behind() *rbcs.Error {
	return &rbcs.Error{
		Code:       rbcs.Unavailable,
		Message:    "the transaction waits for an earlier one of its source account; nothing was recorded",
		RetryAfter: retryAfter,
		Err:        errBehind,
	}
}
