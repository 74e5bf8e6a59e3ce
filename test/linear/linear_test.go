package linear

import (
	"flag"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"rbcs/internal/testenv"
)

var (
	long       = flag.Bool("linear.long", false, "play every scenario with every fault, again and again, and write the report")
	duration   = flag.Duration("linear.duration", 10*time.Minute, "of the long form: for how long new scenarios begin")
	reportFlag = flag.String("linear.report", "", "file for the report (the long form's default: docs/reports/cache.md)")
	seedFlag   = flag.Uint64("linear.seed", 0, "seed of the faults and of what clients do; 0 takes a new one")
)

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
	play    play // instead of all of this
}

var all = []bool{true, true, true}

// play is a scenario on servers of its own, or on a server that is given.
type play func(t *testing.T, server string, seed uint64) (verdict, *world)

// short are the scenarios of the short form.
var short = []scenario{
	softly,
	{name: "Redis lost", drive: func(w *world) {
		w.inject(hard[w.random.IntN(len(hard))])
		w.back()
		w.some(soft, 6)
	}},
	outlasting,
	uncached,
	processes,
	{name: "promotion", play: playPromotion},
}

var (
	softly     = scenario{name: "soft faults", drive: func(w *world) { w.each(soft) }}
	outlasting = scenario{name: "longer than a mark lives", patient: true, drive: func(w *world) { w.outlast(overlong[0], overlong[1], overlong[4]) }}
	uncached   = scenario{name: "an instance without a cache", cached: []bool{true, true, false}, drive: (*world).uncached}
	processes  = scenario{name: "processes", cached: []bool{true, true}, drive: (*world).processes}
)

// calm is for how long nothing happens between faults, so that values are read.
const calm = 4 * time.Second

// everything are the scenarios of the long form.
func everything() []scenario {
	list := []scenario{
		softly, outlasting, uncached, processes,
		{name: "promotion", play: playPromotion},
		{name: "longer than the engine waits", drive: func(w *world) { w.outlast(overlong[0], overlong[2], overlong[3]) }},
		{name: "soft faults together", drive: func(w *world) { w.some(soft, 40) }},
	}
	for _, f := range hard {
		list = append(list, scenario{name: "Redis lost", drive: func(w *world) {
			w.some(soft, 3)
			w.inject(f)
			w.some(soft, 3)
			w.back()
			w.hold(calm)
			w.some(soft, 12)
		}})
	}
	return list
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

// uncached has instances without a cache, and an import, take part, which turn
// the cache of the others off, and go away.
func (w *world) uncached() {
	w.t.Helper()
	w.inject(fault{"rbcs import --store while the service runs", (*world).importAll})
	for _, in := range w.live() {
		if in.cache == nil {
			w.remove(in)
			w.count("an instance without a cache posts and goes away")
		}
	}
	w.back()
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
	if !slices.Contains(cached, false) {
		w.hits(settled)
	}
	s.drive(w)
	return w.verdict(), w
}

// lanes is how many scenarios of the long form are played at the same time: most of it is waiting.
const lanes = 4

// TestLinear plays the scenarios.
func TestLinear(t *testing.T) {
	t.Parallel() // with the mutants
	server := testenv.PostgresServer(t, "max_connections=300")
	t.Logf("-linear.seed=%d", seed())
	var group sync.WaitGroup
	defer group.Wait()
	if !*long {
		for i, s := range short {
			if testing.Short() && i > 0 {
				break // under the race detector the first one is enough
			}
			group.Go(func() { s.test(t, server.URL, seed()+uint64(i)) })
		}
		return
	}
	list := everything()
	end := time.Now().Add(*duration)
	var next atomic.Int64
	for range lanes {
		group.Go(func() {
			for n := next.Add(1) - 1; time.Now().Before(end) || int(n) < len(list); n = next.Add(1) - 1 {
				list[int(n)%len(list)].test(t, server.URL, seed()+uint64(n))
			}
		})
	}
}

func (s *scenario) test(t *testing.T, server string, seed uint64) {
	t.Run(s.name, func(t *testing.T) {
		play := s.run
		if s.play != nil {
			play = s.play
		}
		v, w := play(t, server, seed)
		w.expect(v)
		results.note(w, v)
	})
}

// expect fails the test where a verdict is not what is promised.
func (w *world) expect(v verdict) {
	w.t.Helper()
	w.t.Logf("%d operations, %d reads, %d of them cached, %d requests without an answer, %d postings found in the log only; faults: %v; fence: %+v",
		v.operations, v.reads, v.cached, v.failed, v.unacknowledged, w.faults, w.fence())
	if !v.clean() {
		w.t.Errorf("%d anomalies (porcupine: %d parts of the history are not linearizable, %d undecided): %q", v.anomalies, v.illegal, v.undecided, v.examples)
	}
	if v.cached == 0 {
		w.t.Error("nothing was read from the cache: this proves nothing")
	}
}
