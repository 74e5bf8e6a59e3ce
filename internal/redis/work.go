package redis

import (
	"context"
	"sync"
	"sync/atomic"
)

const (
	// workers carry changes out; each has one pipeline under way.
	workers = 4

	// maxJobs is how many jobs may wait. What does not fit is dropped: that
	// leaves an account uncached until its mark or lease has died, never wrong.
	maxJobs = 1_024

	// pipelineSize is how many changes go out together at most, unless one job is larger.
	pipelineSize = 1_000
)

// job is changes, made when their turn has come.
type job func() []change

// worker carries out what nobody waits for: fills, refreshes and drops.
type worker struct {
	apply func(context.Context, []change) (applied []bool, ok bool)
	stats *counters
	jobs  chan job
	busy  atomic.Int64 // jobs that were handed over and are not done
}

func newWorker(apply func(context.Context, []change) ([]bool, bool), stats *counters) *worker {
	return &worker{apply: apply, stats: stats, jobs: make(chan job, maxJobs)}
}

// add hands a job over and returns at once.
func (w *worker) add(j job) {
	w.busy.Add(1)
	select {
	case w.jobs <- j:
	default:
		w.busy.Add(-1)
		w.stats.dropped.Add(1)
	}
}

// run works until the context ends.
func (w *worker) run(ctx context.Context) {
	var group sync.WaitGroup
	for range workers {
		group.Go(func() { w.work(ctx) })
	}
	group.Wait()
}

func (w *worker) work(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case first := <-w.jobs:
			changes, jobs := w.collect(first())
			if len(changes) > 0 {
				applied, ok := w.apply(ctx, changes)
				w.count(changes, applied, ok)
			}
			w.busy.Add(-jobs)
		}
	}
}

// collect adds what waits to a job: many small ones cost as much as a large one.
func (w *worker) collect(changes []change) (all []change, jobs int64) {
	for jobs = 1; len(changes) < pipelineSize; jobs++ {
		select {
		case more := <-w.jobs:
			changes = append(changes, more()...)
		default:
			return changes, jobs
		}
	}
	return changes, jobs
}

func (w *worker) count(changes []change, applied []bool, ok bool) {
	var fills, refused, refreshed, dropped int64
	for i, ch := range changes {
		switch {
		case ch.fill && applied[i]:
			fills++
		case ch.fill && ok:
			refused++
		case ch.to != "" && applied[i]:
			refreshed++
		case !ok && !applied[i]:
			dropped++
		}
	}
	w.stats.fills.Add(fills)
	w.stats.fillsRefused.Add(refused)
	w.stats.refreshed.Add(refreshed)
	w.stats.dropped.Add(dropped)
}
