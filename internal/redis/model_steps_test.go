package redis

import "fmt"

// step is what leads from one state to the next, for the trace.
type step struct {
	what string // a format with the process's number
	who  int
}

func (s step) String() string {
	if s.who < 0 {
		return s.what
	}
	return fmt.Sprintf(s.what, s.who+1)
}

// next calls emit with each state that can follow.
func (r *rules) next(s state, emit func(step, state)) {
	for w := range s.writers {
		r.writerSteps(s, w, emit)
	}
	for i := range s.readers {
		r.readerSteps(s, i, emit)
	}
	r.networkSteps(s, emit)
	if s.key.kind != nothing {
		t := s
		t.key = entry{}
		emit(step{"what the key holds vanishes", -1}, t)
	}
	if s.off && (!s.key.old || r.onWhileOld) {
		t := s
		t.off, t.key.old = false, false
		t.readers[0].looked, t.readers[1].looked = true, true
		emit(step{"the switch is on again", -1}, t)
	}
}

func (r *rules) writerSteps(s state, w int, emit func(step, state)) {
	me := uint8(w + 1)
	t := s
	at := &t.writers[w]
	switch at.phase {
	case idle:
		if s.committed == lastVersion {
			return
		}
		if r.markBeforeLock {
			at.phase = marking
			if at.token = s.fresh(); t.send(command{kind: setMark, token: at.token}) {
				emit(step{"writer %d marks, before it has the lock", w}, t)
			}
			return
		}
		if s.lock != 0 {
			return
		}
		at.phase, t.lock = locked, me
		emit(step{"writer %d locks the account", w}, t)
		return
	case locked:
		at.phase, at.token = marking, s.fresh()
		if r.sameToken {
			at.token = maxTokens - me
		}
		if r.commitUnconfirmed {
			at.phase, at.confirmed = ready, true
		}
		if t.send(command{kind: setMark, token: at.token}) {
			emit(step{"writer %d sends its mark", w}, t)
		}
	case marking: // the answer comes with the command, in networkSteps
		at.phase = doubtful
		emit(step{"writer %d gives its mark up", w}, t)
	case doubtful:
		at.phase, t.off, t.key.old = turningOff, true, s.key.kind != nothing
		emit(step{"writer %d turns the switch off", w}, t)
	case turningOff:
		if r.waitForNobody || !s.off || !s.readers[0].looked && !s.readers[1].looked {
			at.phase = ready
			emit(step{"writer %d has waited until no look is trusted", w}, t)
		}
	case ready:
		r.commit(s, w, emit)
	}
	t = s
	t.writers[w] = writer{}
	if s.lock == me {
		t.lock = 0
	}
	emit(step{"writer %d crashes, or its transaction is aborted", w}, t)
	if s.lock == me {
		t = s
		t.lock = 0
		emit(step{"the database aborts the transaction of writer %d, which does not know", w}, t)
	}
}

// commit is one step of the database's, its answer, and what the writer does
// then; a late answer is a refresh that arrives late.
func (r *rules) commit(s state, w int, emit func(step, state)) {
	me, at := uint8(w+1), s.writers[w]
	if r.markBeforeLock && at.confirmed && s.lock == 0 {
		t := s
		t.lock, t.writers[w].confirmed = me, false
		emit(step{"writer %d locks the account", w}, t)
		return
	}
	if s.lock != me {
		return // it can only learn that it was aborted
	}
	t := s
	t.committed++
	t.lock, t.writers[w] = 0, writer{}
	refreshes := at.confirmed || r.refreshDoubtful || r.markBeforeLock
	if refreshes && !t.send(command{refresh, at.token, t.committed}) {
		return
	}
	emit(step{fmt.Sprintf("writer %%d commits version %d, which is acknowledged", t.committed), w}, t)
}

func (r *rules) readerSteps(s state, i int, emit func(step, state)) {
	t := s
	me := &t.readers[i]
	if s.off && me.looked {
		me.looked = false
		emit(step{"reader %d trusts its look no longer", i}, t)
		t = s
	}
	rest := func(what string) {
		t.readers[i] = reader{looked: s.readers[i].looked}
		emit(step{what, i}, t)
	}
	switch me.phase {
	case resting:
		me.phase = began
		if me.trusted = me.looked; me.trusted {
			me.floor = s.committed
		}
		if r.readBeforeLease {
			me.version = s.committed
		}
		emit(step{"reader %d begins to read", i}, t)
	case began:
		r.get(s, i, emit)
	case leasing: // the answer comes with the command, in networkSteps
		rest("reader %d gives its lease up and reads the store")
	case leased:
		version := s.committed
		if r.readBeforeLease {
			version = me.version
		} else if r.readReplica && version > 0 {
			version--
		}
		if s.lock != 0 && !r.fillWhileLocked && !r.readBeforeLease {
			rest("reader %d reads the store, which says that the account is held")
		} else if t.send(command{fill, me.token, version}) {
			rest(fmt.Sprintf("reader %%d has version %d from the store, and sends its fill", version))
		}
	}
}

// get is what a reader does with what the key holds.
func (r *rules) get(s state, i int, emit func(step, state)) {
	t := s
	me := &t.readers[i]
	floor, rest := me.floor, reader{looked: me.looked}
	switch {
	case s.key.kind == nothing:
		*me = reader{phase: leasing, looked: me.looked, token: s.fresh(), version: me.version}
		if t.send(command{kind: setLease, token: me.token}) {
			emit(step{"reader %d finds nothing and sends its lease", i}, t)
		}
	case s.key.kind == aValue && me.trusted:
		if r.readExtends {
			t.key.old = false
		}
		t.stale = s.key.arg < floor
		t.readers[i] = rest
		emit(step{fmt.Sprintf("reader %%d is served version %d, and had to be served %d at least", s.key.arg, floor), i}, t)
	default:
		if r.readExtends && s.key.kind == aValue {
			t.key.old = false
		}
		t.readers[i] = rest
		emit(step{"reader %d reads the store", i}, t)
		if r.fillWithoutLease && s.lock == 0 && t.send(command{plainFill, 0, s.committed}) {
			emit(step{fmt.Sprintf("reader %%d met an entry, has version %d from the store, and sends a fill", s.committed), i}, t)
		}
	}
}

// networkSteps carries commands out. That one is lost needs no step: it is never carried out.
func (r *rules) networkSteps(s state, emit func(step, state)) {
	for n, c := range s.network {
		if c.kind == none {
			continue
		}
		t := s
		t.network[n] = command{}
		emit(step{"a command is lost", -1}, t)
		if r.twice {
			t = s // it may be carried out again
		}
		switch c.kind {
		case setMark:
			if t.key.kind != nothing || r.alwaysMark {
				t.key = entry{kind: aMark, arg: c.token}
			}
			answered := -1
			for w := range t.writers {
				if at := &t.writers[w]; at.phase == marking && at.token == c.token && c.token != 0 {
					at.phase, at.confirmed, answered = ready, true, w
				}
			}
			if answered >= 0 {
				emit(step{"the mark of writer %d is answered", answered}, t)
			} else {
				emit(step{"a late mark arrives", -1}, t)
			}
		case setLease:
			r.leaseArrives(t, c, emit)
		case fill, plainFill:
			if r.fills(s.key, c) {
				t.key = entry{aValue, c.version, s.key.old}
			}
			emit(step{fmt.Sprintf("a fill with version %d arrives", c.version), -1}, t)
		case refresh:
			if r.refreshes(s.key, c) {
				t.key = entry{aValue, c.version, s.key.old}
			}
			emit(step{fmt.Sprintf("a refresh with version %d arrives", c.version), -1}, t)
		}
	}
}

func (r *rules) leaseArrives(t state, c command, emit func(step, state)) {
	set := t.key.kind == nothing
	if set {
		t.key = entry{kind: aLease, arg: c.token}
	}
	for i := range t.readers {
		if me := &t.readers[i]; me.phase == leasing && me.token == c.token && c.token != 0 {
			if me.phase = leased; !set {
				*me = reader{looked: me.looked}
			}
			emit(step{"the lease of reader %d is answered", i}, t)
			return
		}
	}
	emit(step{"a late lease arrives", -1}, t)
}

func (r *rules) fills(key entry, c command) bool {
	switch {
	case r.fillIfNewer:
		return key.kind == nothing || key.kind == aValue && key.arg < c.version
	case r.fillIfAbsent, c.kind == plainFill:
		return key.kind == nothing
	}
	return key.kind == aLease && key.arg == c.token && c.token != 0
}

func (r *rules) refreshes(key entry, c command) bool {
	switch {
	case r.refreshAlways:
		return true
	case r.refreshIfNewer:
		return key.kind != aValue || key.arg < c.version
	}
	return key.kind == aMark && key.arg == c.token && c.token != 0
}
