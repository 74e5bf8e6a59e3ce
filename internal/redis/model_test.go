package redis

import "slices"

// The protocol as a model in explicit states: two writers, two readers and one
// account, all of whose interleavings are searched breadth-first.
//
// # What may happen in it
//
//   - A process stops between any two of its steps, for as long as it likes: it
//     is not its turn. It crashes. The database aborts its transaction.
//   - What the key holds vanishes at any time: it died, was evicted or flushed,
//     or was dropped after an abort, which is why drops need no steps of their own.
//   - A command to Redis is in the network. It is carried out at any later time,
//     once, or never, whether or not its sender still waits. A Redis that cannot
//     be reached is one whose commands wait or are lost.
//   - Time passes only where a rule depends on it. A look at the switch is trusted
//     until its trust ends, which it does before a writer's wait ends. The switch
//     is on again only once everything has died that the key held when it was
//     turned off, under the row's lock, or what came of it.
//
// # What must hold
//
// Once anybody was told of version v, no read that begins later returns less.
// Whoever reads the store is told of what is committed, at once. So the claim is
// that no read returns less than what was committed when it began. Reads of the
// store keep that by themselves, and end in the model as they begin.

// The bounds of the search.
const (
	lastVersion = 2 // the account begins with version 0
	inNetwork   = 3 // commands at a time, beyond which senders wait
)

// state is everything at one moment. It is the key of the visited set.
type state struct {
	key       entry
	committed uint8 // the version in the database
	lock      uint8 // who holds the row: 1 + the writer's index, 0 for nobody
	off       bool  // the switch
	stale     bool  // a read has returned less than it had to
	writers   [2]writer
	readers   [2]reader
	network   [inNetwork]command // sorted; the empty ones first
}

// entry is what the key holds.
type entry struct {
	kind entryKind
	arg  uint8 // a token, or the version of a value
	old  bool  // it, or the token it replaced, was there when the switch was turned off
}

type entryKind uint8

const (
	nothing entryKind = iota
	aMark
	aLease
	aValue
)

// writer is a process that commits.
type writer struct {
	phase     writerPhase
	token     uint8
	confirmed bool
}

type writerPhase uint8

const (
	idle       writerPhase = iota
	locked                 // it has the row's lock, as far as it knows
	marking                // its mark is under way
	ready                  // nothing is missing for COMMIT
	doubtful               // its mark was given up
	turningOff             // it has turned the switch, and waits until no look is trusted any more
)

// reader is an instance that reads, one balance at a time.
type reader struct {
	phase   readerPhase
	floor   uint8 // what was committed when the read began
	trusted bool  // whether a hit may be served to this read
	looked  bool  // whether the instance trusts a look that found the switch on; while it is on, any instance may
	token   uint8
	version uint8 // what was read from the store, where that came first
}

type readerPhase uint8

const (
	resting readerPhase = iota
	began
	leasing // its lease is under way
	leased  // and certain
)

// command is one that is under way to Redis.
type command struct {
	kind    commandKind
	token   uint8
	version uint8
}

type commandKind uint8

const (
	none commandKind = iota
	setMark
	setLease
	fill
	plainFill // by who has no lease
	refresh
)

// rules are the rules of the package. The zero value has all of them; a field
// takes one of them away, or a part of it.
type rules struct {
	alwaysMark bool // also where the key does not exist: no rule depends on it

	fillWithoutLease  bool // 1: who meets an entry fills where nothing is by then
	fillIfAbsent      bool // 2: instead of comparing with the lease
	fillIfNewer       bool // 2
	fillWhileLocked   bool // 3: what was read while a transaction holds the row
	readBeforeLease   bool // 3: what was read before the lease was set
	readReplica       bool // 3: from a standby that lags
	markBeforeLock    bool // 4
	commitUnconfirmed bool // 4 and 6: do not wait for the mark, and leave the switch alone
	sameToken         bool // 4: in every attempt
	refreshAlways     bool // 5: without comparing
	refreshIfNewer    bool // 5: than the value that is there; where none is, always
	refreshDoubtful   bool // 6: also where the mark was not certain
	waitForNobody     bool // 6: while looks are still trusted
	onWhileOld        bool // 6: the switch, while old entries live
	readExtends       bool // 7: a value's life, by who reads it

	twice bool // no rule, but what the client must not do: send a command again
}

// send puts a command into the network, if there is room.
func (s *state) send(c command) bool {
	if s.network[0].kind != none {
		return false
	}
	s.network[0] = c
	return true
}

// fresh returns a token that nothing refers to.
func (s *state) fresh() uint8 {
	var used [maxTokens]bool
	s.eachToken(func(t *uint8) { used[*t] = true })
	used[0] = true
	for token := range used {
		if !used[token] {
			return uint8(token)
		}
	}
	panic("there are more tokens than places for them")
}

// maxTokens are more than places that hold one.
const maxTokens = 12

// eachToken visits the places that hold a token.
func (s *state) eachToken(visit func(*uint8)) {
	if s.key.kind == aMark || s.key.kind == aLease {
		visit(&s.key.arg)
	}
	for n := range s.network {
		visit(&s.network[n].token)
	}
	for i := range s.writers {
		visit(&s.writers[i].token)
	}
	for i := range s.readers {
		visit(&s.readers[i].token)
	}
}

// settle brings a state into one form of many that behave alike. A token that
// stands in one place only will never be found equal to another, and becomes 0.
// Then a command that compares with it can do nothing any more, and is forgotten.
// The other tokens are numbered anew, since only their being equal matters.
//
// A writer that has lost its lock and has nothing left to send is done.
func (r *rules) settle(s *state) {
	for w, at := range s.writers {
		if s.lock != uint8(w+1) && (at.phase == ready || at.phase == turningOff) && !r.markBeforeLock {
			s.writers[w] = writer{}
		}
	}
	if !r.sameToken {
		var places, names [maxTokens]uint8
		s.eachToken(func(t *uint8) { places[*t]++ })
		next := uint8(1)
		s.eachToken(func(t *uint8) {
			switch {
			case *t == 0 || places[*t] == 1:
				*t = 0
				return
			case names[*t] == 0:
				names[*t] = next
				next++
			}
			*t = names[*t]
		})
		for n, c := range s.network {
			compares := c.kind == fill && !r.fillIfAbsent && !r.fillIfNewer || c.kind == refresh && !r.refreshAlways && !r.refreshIfNewer
			if compares && c.token == 0 {
				s.network[n] = command{}
			}
		}
	}
	slices.SortFunc(s.network[:], func(a, b command) int { return a.number() - b.number() })
}

func (c command) number() int { return int(c.kind)<<16 | int(c.version)<<8 | int(c.token) }
