package redis

import (
	"strings"
	"testing"
)

// search visits every state that can be reached. It returns how many those are,
// and the shortest way to one where a read was stale, nil where there is none.
func (r *rules) search(symmetric bool) (visited int, trace []string) {
	states := []state{{readers: [2]reader{{looked: true}, {looked: true}}}}
	parents := []int32{-1}
	seen := map[state]struct{}{states[0]: {}}
	for at := 0; at < len(states); at++ {
		stale := false
		r.next(states[at], func(_ step, s state) {
			r.settle(&s)
			if symmetric {
				s.sortProcesses()
			}
			if _, known := seen[s]; known || stale {
				return
			}
			seen[s] = struct{}{}
			states, parents = append(states, s), append(parents, int32(at))
			stale = s.stale
		})
		if stale {
			return len(states), r.trace(states, parents)
		}
	}
	return len(states), nil
}

// trace tells how the last state was reached.
func (r *rules) trace(states []state, parents []int32) []string {
	var steps []string
	for at := int32(len(states) - 1); parents[at] >= 0; at = parents[at] {
		what := "?"
		r.next(states[parents[at]], func(by step, s state) {
			if r.settle(&s); s == states[at] && what == "?" {
				what = by.String()
			}
		})
		steps = append([]string{what}, steps...)
	}
	return steps
}

// sortProcesses makes states equal that differ only in who is called 1 and who 2.
func (s *state) sortProcesses() {
	if a, b := s.readers[0], s.readers[1]; a.number() > b.number() {
		s.readers[0], s.readers[1] = b, a
	}
	if a, b := s.writers[0], s.writers[1]; a.number() > b.number() {
		s.writers[0], s.writers[1] = b, a
		if s.lock != 0 {
			s.lock = 3 - s.lock
		}
	}
}

func (r reader) number() (n uint32) {
	n = uint32(r.phase)<<24 | uint32(r.token)<<16 | uint32(r.version)<<8 | uint32(r.floor)<<2
	if r.trusted {
		n |= 2
	}
	if r.looked {
		n |= 1
	}
	return n
}

func (w writer) number() (n uint32) {
	n = uint32(w.phase)<<8 | uint32(w.token)<<1
	if w.confirmed {
		n |= 1
	}
	return n
}

func TestModelHolds(t *testing.T) {
	for name, r := range map[string]rules{
		"marks only what is there": {},
		"marks always":             {alwaysMark: true},
	} {
		t.Run(name, func(t *testing.T) {
			visited, trace := r.search(true)
			t.Logf("%d states", visited)
			if trace != nil {
				t.Errorf("a read is stale:\n%s", numbered(trace))
			}
			if visited < 10_000 {
				t.Errorf("only %d states were visited: the model does not move", visited)
			}
		})
	}
}

// TestModelNeedsEveryRule takes each rule away and demands that a stale read is found.
func TestModelNeedsEveryRule(t *testing.T) {
	for _, c := range []struct {
		name string
		rules
	}{
		{"1 without it: who has no lease fills too", rules{fillWithoutLease: true}},
		{"2 without it: fill if absent", rules{fillIfAbsent: true}},
		{"2 without it: fill if newer", rules{fillIfNewer: true}},
		{"3 without it: fill what was read under a lock", rules{fillWhileLocked: true}},
		{"3 without it, marking always", rules{fillWhileLocked: true, alwaysMark: true}},
		{"3 without a part: join a store read that is under way", rules{readBeforeLease: true}},
		{"3 without a part: read a standby that lags", rules{readReplica: true}},
		{"4 without a part: mark before the lock", rules{markBeforeLock: true}},
		{"4 without a part: do not wait for the mark", rules{commitUnconfirmed: true}},
		{"4 without a part: the same token in every attempt", rules{sameToken: true}},
		{"5 without it: refresh whatever is there", rules{refreshAlways: true}},
		{"5 without it: refresh if newer", rules{refreshIfNewer: true}},
		{"6 without a part: refresh what was not confirmed", rules{refreshDoubtful: true}},
		{"6 without a part: do not wait for the trust to end", rules{waitForNobody: true}},
		{"6 without a part: on again while old entries live", rules{onWhileOld: true}},
		{"7 without it: reads make values live longer", rules{readExtends: true}},
		{"a client that sends commands again", rules{twice: true}},
	} {
		t.Run(c.name, func(t *testing.T) {
			visited, trace := c.search(false)
			if trace == nil {
				t.Fatalf("no read is stale in %d states: the model does not need this rule", visited)
			}
			t.Logf("%d states, then:\n%s", visited, numbered(trace))
		})
	}
}

func numbered(steps []string) string {
	var b strings.Builder
	for i, s := range steps {
		if i > 0 {
			b.WriteByte('\n')
		}
		b.WriteString("  ")
		b.WriteString(string(rune('a' + i)))
		b.WriteString(". ")
		b.WriteString(s)
	}
	return b.String()
}
