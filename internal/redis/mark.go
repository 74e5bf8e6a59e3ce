package redis

import (
	"context"
	"strconv"
	"sync"
	"time"

	"github.com/redis/rueidis"

	"rbcs"
)

var markLife = strconv.FormatInt(rbcs.MarkLife.Milliseconds(), 10)

// markPatience bounds the wait for marks that nobody asks about.
const markPatience = 2 * time.Second

// marksPerTimeout is how many marks one [Options.MarkTimeout] is for: more of them get more time.
const marksPerTimeout = 1_000

// askFirst is from how many accounts on it pays to ask which ones are there.
const askFirst = 50

// Marks are the marks of one attempt to commit. An attempt ends with
// [Marks.Refresh], with [Marks.Drop], or with neither where its outcome is not
// known: its marks then die by themselves.
type Marks struct {
	cache   *Cache
	space   keySpace
	numbers []string
	mine    string // the entry, the same at each key

	answered chan struct{}
	set      []bool // once answered: where there was something to mark, and it is
	certain  bool   // once answered: whether each account is marked or was not cached

	mu        sync.Mutex
	confirmed bool // and what it returned
	drop      bool // Drop was called before the answers came
}

// Mark begins to mark the accounts of a commit that holds their locks (rule 4),
// and returns at once. REQUIRES: l.Numbers does not change afterwards.
func (c *Cache) Mark(ctx context.Context, l rbcs.Locked) *Marks {
	m := &Marks{cache: c, numbers: l.Numbers, answered: make(chan struct{}), set: make([]bool, len(l.Numbers))}
	k := c.looks.latest()
	switch {
	case len(l.Numbers) == 0:
		m.certain = true
		close(m.answered)
	case k == nil || !c.link.usable():
		close(m.answered)
	default:
		m.mine, m.space = newMark(), spaceOf(k.state.Database, l.Timeline)
		go m.send(ctx)
	}
	return m
}

// send marks. XX: where nothing is, nothing can be stale; a lease that is set
// later is for a store read that meets the row's lock (rule 3).
func (m *Marks) send(ctx context.Context) {
	marked, certain := m.present(ctx)
	if len(marked) > 0 && certain {
		answers, err := m.cache.link.do(ctx, markPatience, func(b rueidis.Builder) rueidis.Commands {
			commands := make(rueidis.Commands, len(marked))
			for i, at := range marked {
				commands[i] = b.Arbitrary("SET").Keys(m.space.key(m.numbers[at])).Args(m.mine, "XX", "PX", markLife).Build() // rule 7
			}
			return commands
		})
		certain = err == nil
		for i, answer := range answers {
			m.set[marked[i]] = answer.Error() == nil
			certain = m.cache.link.ok(answer) && certain
		}
	}
	m.certain = certain
	close(m.answered)
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.drop {
		m.addDrops()
	}
}

// present returns the indexes of the accounts that are to be marked, and whether
// the others are certain: all of them, but for a large batch on a server that
// tells with one command which ones it has. Most accounts of most batches are
// not cached, and one that is not there now, under the row's lock, is as good as marked.
func (m *Marks) present(ctx context.Context) (marked []int, certain bool) {
	ask := len(m.numbers) >= askFirst && !m.cache.link.clustered.Load()
	var entries []found
	if ask {
		keys := make([]string, len(m.numbers))
		for i, number := range m.numbers {
			keys[i] = m.space.key(number)
		}
		var err error
		if entries, err = m.cache.link.getFromPrimary(ctx, markPatience, keys); err != nil {
			return nil, false
		}
	}
	for i := range m.numbers {
		switch {
		case !ask || entries[i].there:
			marked = append(marked, i)
		case entries[i].failed:
			return nil, false
		}
	}
	return marked, true
}

// Confirmed waits for the answers, not for long, and reports whether Redis
// certainly holds no older balance of any of the accounts. REQUIRES: called once
// the commit has nothing else to wait for, by one goroutine.
func (m *Marks) Confirmed() bool {
	ok := m.await() && m.certain
	if ok {
		m.cache.stats.confirmed.Add(1)
	} else {
		m.cache.stats.unconfirmed.Add(1)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.confirmed = ok
	return ok
}

// await reports whether all answers came in time.
func (m *Marks) await() bool {
	select {
	case <-m.answered:
		return true
	default:
	}
	timer := time.NewTimer(m.cache.opts.MarkTimeout * time.Duration(1+len(m.numbers)/marksPerTimeout))
	defer timer.Stop()
	select {
	case <-m.answered:
		return true
	case <-timer.C:
		m.cache.link.slow()
		return false
	}
}

// Refresh replaces the marks by the balances that the commit made, each only
// where it is still there (rule 5). It is for after COMMIT, returns at once, and
// keeps the slice. Marks that were not confirmed stay as they are (rule 6).
func (m *Marks) Refresh(balances []rbcs.Balance) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if !m.confirmed {
		return
	}
	m.cache.work.add(func() []change {
		last := make(map[string]*rbcs.Balance, len(balances))
		for i := range balances {
			b := &balances[i]
			if earlier := last[b.Number]; earlier == nil || earlier.Version < b.Version {
				last[b.Number] = b
			}
		}
		var changes []change
		for i, number := range m.numbers {
			if b := last[number]; m.set[i] && b != nil {
				changes = append(changes, change{key: m.space.key(number), from: m.mine, to: encode(b)})
			}
		}
		return changes
	})
}

// Drop deletes the marks, each only where it is still there (rule 5). It is for
// an attempt that certainly has not committed, and returns at once.
func (m *Marks) Drop() {
	m.mu.Lock()
	defer m.mu.Unlock()
	select {
	case <-m.answered:
		m.addDrops()
	default:
		m.drop = true
	}
}

func (m *Marks) addDrops() {
	m.cache.work.add(func() []change {
		var changes []change
		for i, number := range m.numbers {
			if m.set[i] {
				changes = append(changes, change{key: m.space.key(number), from: m.mine})
			}
		}
		return changes
	})
}
