package posting

import "rbcs"

// decideGroup decides an atomic group: all of its members are posted (or held),
// or none. Later members see earlier ones. Where one is rejected, it says why,
// the others are rejected with [rbcs.GroupFailed], and all of that is recorded:
// the group is one outcome. Where one cannot be decided or its
// ID is taken, nothing is.
func (b *Batch) decideGroup(members []*rbcs.Transaction, decisions []Decision) {
	taken := 0
	for i, t := range members {
		if recorded, ok := b.Recorded[t.ID]; ok {
			taken++
			decisions[i].replay(t, recorded)
		} else if _, err := b.queued(t); err != nil {
			taken++
			decisions[i].Result = rbcs.Result{Transaction: *t, Err: err}
		}
	}
	if taken == len(members) {
		return // a replay, or conflicts
	}
	if taken > 0 {
		for i, t := range members {
			if decisions[i].Err == nil {
				decisions[i].Result = failed(t)
			}
		}
		return
	}

	b.before = &snapshot{accounts: map[*Account]Account{}, references: map[string]Reference{}}
	defer func() { b.before = nil }()
	for i, t := range members {
		d := &decisions[i]
		b.decide(t, d)
		if d.Err == nil && d.Status != rbcs.Rejected {
			b.Recorded[t.ID] = &d.Result // later members may refer to it
			continue
		}
		b.restore(members)
		b.failGroup(members, decisions, i)
		break
	}
	for i := range decisions {
		if d := &decisions[i]; d.Err == nil {
			b.Recorded[d.Transaction.ID] = &d.Result
		}
	}
}

// snapshot is how accounts and references were before a group changed them.
// Its methods do nothing for a nil one.
type snapshot struct {
	accounts   map[*Account]Account
	references map[string]Reference
}

// account keeps an account that is about to change.
func (s *snapshot) account(a *Account) {
	if s == nil {
		return
	}
	if _, kept := s.accounts[a]; !kept {
		s.accounts[a] = *a
	}
}

// reference keeps what refers to an original and is about to change.
func (s *snapshot) reference(original string, r Reference) {
	if s == nil {
		return
	}
	if _, kept := s.references[original]; !kept {
		s.references[original] = r
	}
}

// restore takes back all that the members did.
func (b *Batch) restore(members []*rbcs.Transaction) {
	for a, was := range b.before.accounts {
		*a = was
	}
	for original, was := range b.before.references {
		b.References[original] = was
	}
	for _, t := range members {
		delete(b.Recorded, t.ID)
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
			b.begin(t, d)
			if _, ok := b.load(d); !ok { // this one is malformed too: then nothing is recorded
				b.failGroup(members, decisions, j)
				return
			}
			d.Status, d.Code = rbcs.Rejected, rbcs.GroupFailed
			d.stamp()
		}
	}
}

// failed is what a member gets when nothing of its group is recorded.
func failed(t *rbcs.Transaction) rbcs.Result {
	return rbcs.Result{Transaction: *t, Err: &rbcs.Error{
		Code:    rbcs.GroupFailed,
		Message: "nothing of the atomic group was recorded, because another member cannot be decided or its ID is taken",
	}}
}
