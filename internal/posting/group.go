package posting

import "rbcs"

// decideGroup decides an atomic group: all of its members are posted (or held),
// or none. Later members see earlier ones. Where one is rejected, it says why,
// the others are rejected with [rbcs.GroupFailed], and all of that is recorded:
// the group is one outcome. Where one is malformed or its ID is taken, nothing is.
func (b *Batch) decideGroup(members []*rbcs.Transaction, decisions []Decision) {
	taken := 0
	for i, t := range members {
		if recorded, ok := b.Recorded[t.ID]; ok {
			taken++
			decisions[i].Result = replay(t, recorded)
		}
	}
	if taken == len(members) {
		return // a replay, or conflicts
	}
	if taken > 0 {
		for i, t := range members {
			if _, ok := b.Recorded[t.ID]; !ok || decisions[i].Err == nil {
				decisions[i].Result = failed(t)
			}
		}
		return
	}

	before := map[*Account]Account{}
	for i, t := range members {
		for _, a := range [2]*Account{b.Accounts[t.Source], b.Accounts[t.Destination]} {
			if _, kept := before[a]; a != nil && !kept {
				before[a] = *a
			}
		}
		d := &decisions[i]
		b.decide(t, d)
		if d.Err == nil && d.Status != rbcs.Rejected {
			continue
		}
		for a, state := range before {
			*a = state
		}
		b.failGroup(members, decisions, i)
		break
	}
	for i := range decisions {
		if d := &decisions[i]; d.Err == nil {
			b.Recorded[d.Transaction.ID] = &d.Result
		}
	}
}

// failGroup gives every member but the i-th, whose decision stands, the outcome of a
// failed group.
func (b *Batch) failGroup(members []*rbcs.Transaction, decisions []Decision, i int) {
	for j, t := range members {
		d := &decisions[j]
		switch {
		case j == i:
		case decisions[i].Err != nil:
			*d = Decision{Result: failed(t)}
		default:
			*d = Decision{}
			d.Transaction = *t
			d.Attempt = 1
			if _, ok := b.load(d); !ok { // this one is malformed too: then nothing is recorded
				b.failGroup(members, decisions, j)
				return
			}
			d.CommittedAt = b.Now
			d.Status, d.Code = rbcs.Rejected, rbcs.GroupFailed
		}
	}
}

// failed is what a member gets when nothing of its group is recorded.
func failed(t *rbcs.Transaction) rbcs.Result {
	return rbcs.Result{Transaction: *t, Err: &rbcs.Error{
		Code:    rbcs.GroupFailed,
		Message: "nothing of the atomic group was recorded, because another member is malformed or its ID is taken",
	}}
}
