package linear

import (
	"flag"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"rbcs/internal/testenv"
)

var seedFlag = flag.Uint64("linear.seed", 0, "seed of the faults and of what clients do; 0 takes a new one")

// seed is what everything random follows from, but for the order in which
// things come to happen.
var seed = sync.OnceValue(func() uint64 {
	if *seedFlag == 0 {
		return uint64(rand.Uint32()) + 1
	}
	return *seedFlag
})

// scenario is what happens to one world.
type scenario struct {
	name    string
	patient bool   // see config
	cached  []bool // which instances have a cache; nil for all
	drive   func(w *world)
}

var all = []bool{true, true, true}

// The scenarios of the short form.
var scenarios = []scenario{
	{name: "soft faults", drive: func(w *world) { w.each(soft) }},
	{name: "Redis lost", drive: func(w *world) {
		w.inject(hard[w.random.IntN(len(hard))])
		w.hits(settled)
		w.some(soft, 6)
	}},
	{name: "longer than a mark lives", patient: true, drive: func(w *world) {
		w.outlast(long[0], long[1], long[3])
	}},
	{name: "an instance without a cache", cached: []bool{true, true, false}, drive: (*world).uncached},
}

// each injects all of the faults in a random order.
func (w *world) each(faults []fault) {
	w.t.Helper()
	for _, i := range w.random.Perm(len(faults)) {
		w.inject(faults[i])
		w.hits(settled)
	}
}

func (w *world) some(faults []fault, n int) {
	w.t.Helper()
	for range n {
		w.inject(faults[w.random.IntN(len(faults))])
	}
}

// outlast injects long pauses together, and lets Redis lose everything again and
// again until all are over, so that others fill.
func (w *world) outlast(faults ...fault) {
	w.t.Helper()
	for _, f := range faults {
		w.inject(f)
	}
	for end := time.After(beyond + time.Second); ; {
		select {
		case <-end:
			return
		case <-time.After(w.between(100*time.Millisecond, 2*time.Second)):
			w.inject(soft[0])
		}
	}
}

// uncached has an instance without a cache take part, whose commits turn that of
// the others off, and then go away.
func (w *world) uncached() {
	w.t.Helper()
	for _, in := range w.live() {
		if in.cache == nil {
			w.hold(2 * time.Second)
			w.remove(in)
			w.count("an instance without a cache posts and goes away")
		}
	}
	w.hits(settled)
	w.some(soft, 6)
}

// run plays a scenario and judges what was seen.
func (s *scenario) run(t *testing.T, server string, seed uint64) (verdict, *world) {
	t.Helper()
	cached := s.cached
	if cached == nil {
		cached = all
	}
	w := newWorld(t, server, seed, variant{}, s.patient, cached...)
	w.work()
	if s.cached == nil {
		w.hits(settled)
	}
	s.drive(w)
	return w.verdict(), w
}

// TestLinear plays the scenarios of the short form, at the same time: most of it is waiting.
func TestLinear(t *testing.T) {
	server := testenv.PostgresServer(t, "max_connections=300")
	t.Logf("-linear.seed=%d", seed())
	var group sync.WaitGroup
	defer group.Wait()
	for i, s := range scenarios {
		group.Go(func() {
			t.Run(s.name, func(t *testing.T) {
				v, w := s.run(t, server.URL, seed()+uint64(i))
				t.Logf("%d operations, %d reads, %d of them cached, %d requests without an answer, %d postings found in the log only; faults: %v; fence: %+v",
					v.operations, v.reads, v.cached, v.failed, v.unacknowledged, w.faults, w.fence())
				if !v.clean() {
					t.Errorf("%d anomalies (porcupine: %d parts of the history are not linearizable, %d undecided): %q", v.anomalies, v.illegal, v.undecided, v.examples)
				}
				if v.cached == 0 {
					t.Error("nothing was read from the cache: this proves nothing")
				}
			})
		})
	}
}
