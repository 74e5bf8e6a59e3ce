package engine

import (
	"fmt"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"rbcs"
)

// batchOf returns the numbers of what is taken; see numbered.
func batchOf(entries []entry) []int32 {
	var numbers []int32
	for i := range entries {
		numbers = append(numbers, entries[i].index)
	}
	return numbers
}

// numbered makes an entry that is known by its number, with the given keys.
func numbered(number, size int32, source, destination uint32) entry {
	return entry{index: number, size: size, keys: [keyCount]uint32{source, destination, 1000 + uint32(number)}, held: 3}
}

func scheduleOf(maxBatch, maxBytes, inFlight int) *schedule {
	s := newSchedule(&Config{MaxBatch: maxBatch, MaxBatchBytes: maxBytes, InFlight: inFlight})
	if s.marks != nil {
		s.marks = make([]mark, 1<<16)
	}
	return s
}

// naive says the same as schedule in the plainest way: every walk begins at the
// head of the queue, with sets.
type naive struct {
	maxBatch, maxBytes int
	queue              []entry
	flying             [][]entry
}

func (m *naive) take() []entry {
	taken := map[uint32]bool{} // busy or passed over
	for _, batch := range m.flying {
		for _, e := range batch {
			for _, k := range e.holds() {
				taken[k] = true
			}
		}
	}
	var batch, rest []entry
	bytes, full := 0, false
	for i := 0; i < len(m.queue); {
		unit := m.queue[i : i+max(1, int(m.queue[i].unit))]
		if len(rest) >= walkBound*m.maxBatch {
			rest = append(rest, m.queue[i:]...)
			break
		}
		size, conflict := 0, false
		for _, e := range unit {
			size += int(e.size)
			conflict = conflict || slices.ContainsFunc(e.holds(), func(k uint32) bool { return taken[k] })
		}
		i += len(unit)
		if conflict {
			for _, e := range unit {
				for _, k := range e.holds() {
					taken[k] = true
				}
			}
			rest = append(rest, unit...)
			continue
		}
		room := 1
		if m.joins(batch, unit) {
			room = hotFactor
		}
		if len(batch) > 0 && (len(batch)+len(unit) > room*m.maxBatch || bytes+size > room*m.maxBytes) {
			full = true
			rest = append(rest, m.queue[i-len(unit):]...)
			break
		}
		batch = append(batch, unit...)
		bytes += size
	}
	if len(m.flying) > 0 && !full && len(batch)*besideShare < min(len(m.queue), m.maxBatch) || len(batch) == 0 {
		return nil
	}
	m.queue = rest
	m.flying = append(m.flying, batch)
	return batch
}

// joins reports whether a unit has an account of the batch's first transaction,
// and more than half of a full batch has it too.
func (m *naive) joins(batch, unit []entry) bool {
	has := func(entries []entry, account uint32) (n int) {
		for _, e := range entries {
			if slices.Contains(e.keys[:2], account) {
				n++
			}
		}
		return n
	}
	return len(batch) > 0 && slices.ContainsFunc(batch[0].keys[:2], func(account uint32) bool {
		return 2*has(batch, account) > m.maxBatch && has(unit, account) > 0
	})
}

func TestScheduleAgreesWithNaiveWalk(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		maxBatch := rapid.IntRange(1, 8).Draw(t, "batch")
		maxBytes := rapid.IntRange(1, 40).Draw(t, "bytes")
		s, m := scheduleOf(maxBatch, maxBytes, 100), &naive{maxBatch: maxBatch, maxBytes: maxBytes}
		accounts := rapid.Uint32Range(1, 20).Draw(t, "accounts")
		account := rapid.Uint32Range(0, accounts)
		number := int32(0)
		t.Repeat(map[string]func(*rapid.T){
			"push": func(t *rapid.T) {
				var entries []entry
				for range rapid.IntRange(1, 6).Draw(t, "n") {
					unit := uint16(max(1, rapid.IntRange(-6, 10).Draw(t, "unit")))
					for range unit {
						e := numbered(number, rapid.Int32Range(1, 10).Draw(t, "size"), account.Draw(t, "s"), account.Draw(t, "d"))
						e.unit, e.held = unit, uint8(rapid.IntRange(3, 4).Draw(t, "keys"))
						e.keys[3] = 1000 + rapid.Uint32Range(0, uint32(number)).Draw(t, "original")
						entries = append(entries, e)
						number++
					}
				}
				s.push(entries)
				m.queue = append(m.queue, entries...)
				if rapid.Bool().Draw(t, "look") {
					s.startable()
				}
			},
			"take": func(t *rapid.T) {
				startable := s.startable()
				got, want := batchOf(s.take(nil)), batchOf(m.take())
				if !slices.Equal(got, want) || startable != (want != nil) {
					t.Fatalf("took %v (startable %v), want %v", got, startable, want)
				}
			},
			"finish": func(t *rapid.T) {
				if len(m.flying) == 0 {
					t.Skip("nothing is in flight")
				}
				i := rapid.IntRange(0, len(m.flying)-1).Draw(t, "which")
				s.finish(m.flying[i])
				m.flying = slices.Delete(m.flying, i, i+1)
			},
			"": func(t *rapid.T) {
				if s.pending() != len(m.queue) || s.flying != len(m.flying) {
					t.Fatalf("%d pending and %d in flight, want %d and %d", s.pending(), s.flying, len(m.queue), len(m.flying))
				}
			},
		})
		if got, want := batchOf(s.drain()), batchOf(m.queue); !slices.Equal(got, want) || s.pending() != 0 || s.startable() {
			t.Fatalf("drained %v, want %v", got, want)
		}
	})
}

// With everything waiting for one hot account, an arrival and a walk cost what
// a batch costs, however much is pending.
func TestHotAccountCostsNoLongWalks(t *testing.T) {
	const maxBatch, hot = 10, 1
	s := scheduleOf(maxBatch, 1<<20, 2)
	s.push([]entry{numbered(0, 1, 0, hot)})
	first := s.take(nil)
	for i := range int32(10_000) {
		s.push([]entry{numbered(i+1, 1, uint32(i+2), hot)})
		before := s.cursor
		if s.startable() {
			t.Fatal("started beside the commit that has the hot account")
		}
		if s.cursor-before > 1 || s.cursor > walkBound*maxBatch {
			t.Fatalf("arrival %d walked from %d to %d", i, before, s.cursor)
		}
	}
	s.finish(first)
	for want := int32(1); s.pending() > 0; want += hotFactor * maxBatch {
		batch := s.take(nil)
		if len(batch) != hotFactor*maxBatch || batch[0].index != want || s.cursor-s.head > walkBound*maxBatch {
			t.Fatalf("took %v, want %d from %d on; %d walked", batchOf(batch), hotFactor*maxBatch, want, s.cursor-s.head)
		}
		s.finish(batch)
	}
}

// What was passed over is never passed over for good by what came later.
func TestNothingStarves(t *testing.T) {
	s := scheduleOf(100, 1<<20, 2)
	s.push([]entry{numbered(0, 1, 1, 2)})
	flying := s.take(nil)
	s.push([]entry{numbered(1, 1, 2, 3)}) // waits for the first
	for i := range int32(10) {
		s.push([]entry{numbered(10+i, 1, 3, uint32(20+i)), numbered(30+i, 1, uint32(40+i), uint32(60+i))})
		beside := s.take(nil)
		for _, number := range batchOf(beside) {
			if number < 30 {
				t.Fatalf("%d overtook", number)
			}
		}
		if beside != nil {
			s.finish(beside)
		}
	}
	s.finish(flying)
	if got := batchOf(s.take(nil)); !slices.Equal(got[:2], []int32{1, 10}) {
		t.Errorf("took %v", got)
	}
}

// The queue's memory is that of what was pending at once, not of all that passed.
func TestQueueDoesNotGrow(t *testing.T) {
	s := scheduleOf(10, 1<<20, 1)
	for i := range int32(100_000) {
		s.push([]entry{numbered(i, 1, 1, 2)})
		if i%10 == 0 && s.pending() > 15 { // it never empties
			s.finish(s.take(nil))
		}
	}
	if s.pending() > 30 || cap(s.queue) > 120 {
		t.Errorf("room for %d entries, and %d are pending", cap(s.queue), s.pending())
	}
}

func TestMarksAreBounded(t *testing.T) {
	for _, test := range []struct{ maxBatch, inFlight, want int }{
		{2000, 1, 0}, {1, 2, 128}, {2000, 2, 1 << 18}, {1 << 40, 1 << 40, maxMarks},
	} {
		s := newSchedule(&Config{MaxBatch: test.maxBatch, InFlight: test.inFlight})
		if len(s.marks) != test.want {
			t.Errorf("batch %d, in flight %d: %d marks, want %d", test.maxBatch, test.inFlight, len(s.marks), test.want)
		}
	}
}

// An account has one key whichever side it is on, and an ID has another.
func TestKeys(t *testing.T) {
	s := newSchedule(&Config{MaxBatch: 100_000, InFlight: 10})
	a := s.newEntry(&rbcs.Transaction{ID: "1", Source: "x", Destination: "y"}, nil, 0)
	b := s.newEntry(&rbcs.Transaction{ID: "1", Source: "y", Destination: "x"}, nil, 7)
	if !slices.Equal(a.holds(), []uint32{b.keys[1], b.keys[0], b.keys[2]}) || a.keys[2] == a.keys[0] || b.index != 7 {
		t.Errorf("keys %v and %v", a.keys, b.keys)
	}
	// What refers to a transaction has the key of its ID; what it does not have is no key.
	c := s.newEntry(&rbcs.Transaction{ID: "2", Original: "1", Source: "x"}, nil, 0)
	if !slices.Equal(c.holds(), []uint32{a.keys[0], c.keys[1], a.keys[2]}) {
		t.Errorf("keys %v of what refers to %v", c.keys, a.keys)
	}
	seen := map[uint32]bool{}
	for i := range 1000 {
		seen[s.newEntry(&rbcs.Transaction{ID: fmt.Sprint(i)}, nil, 0).keys[0]] = true
	}
	if len(seen) < 990 {
		t.Errorf("1,000 IDs have %d keys", len(seen))
	}
}
