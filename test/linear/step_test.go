package linear

import (
	"context"
	"sync/atomic"
	"time"

	"rbcs"
	"rbcs/internal/engine"
)

// step is where a commit, or a read that fills, can be stopped.
type step string

const (
	locked    step = "after the locks, before the marks"
	sent      step = "after the marks were sent, before the writes"
	written   step = "after the writes, before the marks are confirmed"
	confirmed step = "between the confirmed marks and COMMIT"
	committed step = "between COMMIT and refresh"
	looked    step = "between the store read and the fill"
)

// plan says where the next commit of an instance, or its next fill, stops, and how.
type plan struct {
	pause     map[step]time.Duration
	dies      step          // where the instance is killed; "" for nowhere
	when      func() bool   // whether a stop is wanted now; nil for always
	met       chan struct{} // closed at the first stop
	committed chan struct{} // closed once the commit is done
	seen      atomic.Bool
}

func newPlan() *plan {
	return &plan{pause: map[step]time.Duration{}, met: make(chan struct{}), committed: make(chan struct{})}
}

// pauseAt returns a plan to stop once.
func pauseAt(at step, d time.Duration) *plan {
	p := newPlan()
	p.pause[at] = d
	return p
}

// dieAt returns a plan to be killed.
func dieAt(at step) *plan {
	p := newPlan()
	p.dies = at
	return p
}

// reach stops where the plan says so. It may be nil.
func (p *plan) reach(in *instance, at step) {
	if p == nil || p.when != nil && !p.when() {
		return
	}
	if d := p.pause[at]; d > 0 {
		p.meet()
		select {
		case <-time.After(d):
		case <-in.release:
		}
	}
	if p.dies == at {
		in.kill()
		p.meet()
		<-in.release
	}
}

func (p *plan) meet() {
	if !p.seen.Swap(true) {
		close(p.met)
	}
}

// stops are an instance's cache as its engine knows it, with the plan of one commit.
type stops struct {
	engine.Cache
	in *instance
}

// Mark takes the instance's plan, for all steps of this attempt.
func (s stops) Mark(ctx context.Context, l rbcs.Locked) engine.Marks {
	p := s.in.commits.Swap(nil)
	p.reach(s.in, locked)
	m := stopped{s.Cache.Mark(ctx, l), s.in, p}
	p.reach(s.in, sent)
	return m
}

type stopped struct {
	engine.Marks
	in   *instance
	plan *plan
}

func (m stopped) Confirmed() bool {
	m.plan.reach(m.in, written)
	ok := m.Marks.Confirmed()
	m.plan.reach(m.in, confirmed)
	return ok
}

func (m stopped) Refresh(balances []rbcs.Balance) {
	if m.plan != nil {
		close(m.plan.committed)
	}
	m.plan.reach(m.in, committed)
	m.Marks.Refresh(balances)
}

// slowReader is the store as a cache reads it, with the plan of one read.
type slowReader struct {
	rbcs.BalanceReader
	in *instance
}

func (r slowReader) Balances(ctx context.Context, numbers []string) ([]rbcs.BalanceReading, error) {
	readings, err := r.BalanceReader.Balances(ctx, numbers)
	r.in.fills.Swap(nil).reach(r.in, looked)
	return readings, err
}
