package engine

import (
	"hash/maphash"
	"math/bits"
	"slices"

	"rbcs"
)

const (
	// besideShare is the part of the pending transactions, one in besideShare,
	// that must be able to go before a commit is started beside others: every
	// commit has its fixed cost, and what stays behind needs one of its own anyway.
	besideShare = 2

	// walkBound is how many transactions, in batches, a walk passes over before
	// it ends. It bounds the work of forming a batch while everything waits for
	// one hot account. What stands behind can be missed only for as long as the
	// commits in flight last.
	walkBound = 1

	// marksPerKey is how many marks there are for each key that can be in flight.
	// A transfer has three keys: beside full batches of them, at most 3/16 of those
	// that could go wait one commit longer than they must.
	marksPerKey = 16

	// maxMarks bounds the marks' memory to 8 MiB, whatever the configuration.
	maxMarks = 1 << 20

	// hotFactor is how many times MaxBatch a batch may hold of which most have one
	// account in common: what shares a hot account with it could not go beside it
	// anyway, and each commit has its fixed cost. More gains little.
	hotFactor = 2
)

// keyCount is what a transaction must have for itself: source, destination, ID,
// and the ID of what it refers to. The ID too, though the store serializes it: of
// two submissions of one ID on different accounts, the earlier must be the one
// that is decided, and the store would roll one batch back. The original too: a
// capture stays behind its hold, also where it does not know the hold's accounts.
const keyCount = 4

// entry is an admitted transaction.
type entry struct {
	tx    *rbcs.Transaction
	req   *request
	index int32            // in its request
	size  int32            // in bytes
	keys  [keyCount]uint32 // hashes; see holds
	held  uint8            // how many of them there are
	unit  uint16           // the size of its group; 0 for none
	goes  bool             // what the current walk decided
}

// mark says what holds a key: nothing, a batch in flight, or, where it equals
// the current walk's number, a transaction that this walk passed over.
type mark uint64

const (
	free      mark = 0
	busy      mark = 1
	firstWalk mark = 2
)

// schedule is the queue of admitted transactions and the choice of those that
// are committed next. It is a plain data structure: no lock, no time, no store.
//
// Keys are known by their hash only. Two keys with one hash are treated as one:
// a transaction may wait for another without need, never the other way round.
//
// A unit is a transaction, or the members of an atomic group: they stand side by
// side in the queue, have all of their keys together, and go in one batch.
//
// A walk goes through the queue from its head and decides for each unit whether
// it goes with the next batch. It is kept between calls, so that an
// arrival only costs the walk over what arrived. It starts anew when a batch
// ends, since only then can something that was passed over have become free.
type schedule struct {
	maxBatch, maxBytes int

	queue  []entry // pending from head on, in the order of admission
	head   int
	flying int // batches in flight

	// The walk: queue[head:cursor] is decided.
	cursor       int
	going, bytes int       // of those that go
	full         bool      // the next that could go would be too much for one batch
	hot          [2]hotKey // the source and the destination of the first that goes

	walk  mark
	marks []mark // by hash; nil where only one batch may be in flight: nothing can conflict then
	seed  maphash.Seed
}

func newSchedule(cfg *Config) *schedule {
	s := &schedule{maxBatch: cfg.MaxBatch, maxBytes: cfg.MaxBatchBytes, walk: firstWalk, seed: maphash.MakeSeed()}
	if cfg.InFlight > 1 {
		wanted := keyCount * marksPerKey * min(cfg.MaxBatch, maxMarks) * min(cfg.InFlight, maxMarks)
		s.marks = make([]mark, min(maxMarks, 1<<bits.Len(uint(wanted-1))))
	}
	return s
}

// newEntry measures and hashes a transaction. It is safe for concurrent use.
func (s *schedule) newEntry(tx *rbcs.Transaction, req *request, index int) entry {
	e := entry{tx: tx, req: req, index: int32(index), size: int32(sizeOf(tx))}
	if tx.Group.ID != "" {
		e.unit = uint16(tx.Group.Size)
	}
	if s.marks != nil {
		mask := uint32(len(s.marks) - 1)
		for _, key := range [keyCount]string{tx.Source, tx.Destination, tx.ID, tx.Original} {
			if key != "" {
				e.keys[e.held] = uint32(maphash.String(s.seed, key)) & mask
				e.held++
			}
		}
	}
	return e
}

// holds returns the keys that the entry must have for itself.
func (e *entry) holds() []uint32 { return e.keys[:e.held] }

// fixedSize is what a transaction takes in memory and on the wire, roughly,
// besides its texts.
const fixedSize = 256

func sizeOf(tx *rbcs.Transaction) int {
	return fixedSize + len(tx.ID) + len(tx.Source) + len(tx.Destination) + len(tx.Original) +
		len(tx.Description) + len(tx.Metadata) + len(tx.Actor)
}

func (s *schedule) pending() int { return len(s.queue) - s.head }

// push puts transactions at the end of the queue.
func (s *schedule) push(entries []entry) {
	if len(s.queue)+len(entries) > cap(s.queue) && s.head >= s.pending() {
		// Half of the room is spent: moving the rest down is paid for by what was taken since.
		s.cursor -= s.head
		n := copy(s.queue, s.queue[s.head:])
		clear(s.queue[n:])
		s.queue, s.head = s.queue[:n], 0
	}
	s.queue = append(s.queue, entries...)
}

// startable goes on with the walk and reports whether a batch should start.
func (s *schedule) startable() bool {
	for s.cursor < len(s.queue) && !s.full && s.cursor-s.head-s.going < walkBound*s.maxBatch {
		size := max(1, int(s.queue[s.cursor].unit))
		unit := s.queue[s.cursor : s.cursor+size]
		goes := s.marks == nil || !s.conflicts(unit)
		if goes {
			bytes := 0
			for i := range unit {
				bytes += int(unit[i].size)
			}
			if s.full = !s.fits(unit, bytes); s.full {
				break
			}
			s.going += size
			s.bytes += bytes
			s.countHot(unit)
		}
		for i := range unit {
			unit[i].goes = goes
		}
		s.cursor += size
	}
	if s.flying == 0 || s.full {
		return s.going > 0
	}
	return s.going > 0 && s.going*besideShare >= min(s.pending(), s.maxBatch)
}

// fits reports whether a unit still goes with the batch.
func (s *schedule) fits(unit []entry, bytes int) bool {
	within := func(times int) bool {
		return s.going+len(unit) <= times*s.maxBatch && s.bytes+bytes <= times*s.maxBytes
	}
	if s.going == 0 || within(1) {
		return true
	}
	if s.marks == nil || !within(hotFactor) {
		return false
	}
	for _, hot := range s.hot {
		// A full batch of which more than half has the key would keep this unit out until it ends.
		if 2*hot.shared > s.maxBatch && slices.ContainsFunc(unit, func(e entry) bool { return e.accounts(hot.key) }) {
			return true
		}
	}
	return false
}

// hotKey is an account, and how many of those that go have it.
type hotKey struct {
	key    uint32
	shared int
}

// countHot counts how many transactions share an account with the first that goes.
func (s *schedule) countHot(unit []entry) {
	if s.going == len(unit) {
		s.hot = [2]hotKey{{key: unit[0].keys[0]}, {key: unit[0].keys[1]}}
	}
	for i := range unit {
		for k := range s.hot {
			if unit[i].accounts(s.hot[k].key) {
				s.hot[k].shared++
			}
		}
	}
}

// accounts reports whether a key is one of the entry's two accounts.
func (e *entry) accounts(key uint32) bool { return e.keys[0] == key || e.keys[1] == key }

// conflicts reports whether the walk must pass over a unit, and then keeps all of
// its keys from those that come behind it.
func (s *schedule) conflicts(unit []entry) bool {
	conflict := false
	for i := range unit {
		for _, k := range unit[i].holds() {
			conflict = conflict || s.marks[k] == busy || s.marks[k] == s.walk
		}
	}
	if conflict {
		for i := range unit {
			for _, k := range unit[i].holds() {
				if s.marks[k] != busy {
					s.marks[k] = s.walk
				}
			}
		}
	}
	return conflict
}

// take moves what goes with the next batch out of the queue and appends it to
// the given slice. It appends nothing if no batch should start.
func (s *schedule) take(batch []entry) []entry {
	if !s.startable() {
		return batch
	}
	s.flying++
	for i := s.head; i < s.cursor; i++ {
		e := &s.queue[i]
		if !e.goes {
			continue
		}
		batch = append(batch, *e)
		if s.marks != nil {
			for _, k := range e.holds() {
				s.marks[k] = busy
			}
		}
	}
	// Those that were passed over move up behind the cursor; the walk over them stays valid.
	kept := s.cursor
	for i := s.cursor - 1; i >= s.head && kept-s.head > s.going; i-- {
		if !s.queue[i].goes {
			kept--
			s.queue[kept] = s.queue[i]
		}
	}
	clear(s.queue[s.head:kept])
	s.head = kept
	if s.head == len(s.queue) {
		s.queue, s.head, s.cursor = s.queue[:0], 0, 0
	}
	s.restart()
	return batch
}

// finish gives the keys of a batch that was taken free, and begins a new walk.
func (s *schedule) finish(batch []entry) {
	s.flying--
	if s.marks != nil {
		for i := range batch {
			for _, k := range batch[i].holds() {
				s.marks[k] = free
			}
		}
	}
	s.walk++ // what the last walk marked is unmarked now
	s.cursor = s.head
	s.restart()
}

// restart begins a new choice of what goes.
func (s *schedule) restart() { s.going, s.bytes, s.full = 0, 0, false }

// drain empties the queue and returns what was in it.
func (s *schedule) drain() []entry {
	rest := s.queue[s.head:]
	s.queue, s.head, s.cursor = nil, 0, 0
	s.restart()
	return rest
}
