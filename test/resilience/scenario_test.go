package resilience

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"rbcs/internal/testenv"
	"rbcs/test/resilience/report"
)

// recoveryTimeout is when a service that has not recovered never will.
const recoveryTimeout = 60 * time.Second

// suite is a run of all scenarios.
type suite struct {
	t      *testing.T
	random *rand.Rand
	run    *report.Run
	began  time.Time
	names  int
}

// scenario is faults that are injected into a system under load.
type scenario struct {
	name     string
	system   *system
	faults   []fault
	together int // how many at the same time; 0: one after the other, in their order
	count    int // of faults
	least    int // go on until so many transactions are decided, but for at most twice as many faults where they come alone
	lossy    bool
	cached   bool // wait before each fault until the cache serves again
	noFailed bool // with the client's retries no request may fail
	noLost   bool // and none may lose its connection
	// prepare returns the faults, where they concern the load; nil for faults.
	prepare func(l *load) []fault
}

// run runs a scenario and enters it in the report.
func (u *suite) do(t *testing.T, sc scenario) {
	t.Helper()
	u.names++
	s, troubles, err := u.play(t.Context(), &sc)
	if err != nil {
		s.Anomalous++
		s.Anomalies = append(s.Anomalies, err.Error())
	}
	for _, text := range slices.Sorted(maps.Keys(troubles)) {
		t.Logf("%d × %s", troubles[text], text)
	}
	u.enter(t, &s, sc.system)
}

// enter puts what came of a scenario into the report, and fails the test where anything is wrong.
func (u *suite) enter(t *testing.T, s *report.Scenario, sys *system) {
	t.Helper()
	u.run.Scenarios = append(u.run.Scenarios, *s)
	t.Logf("%s: %d faults, %d requests, %d transactions, %d failed, %d hidden, %d lost connections, %d undecided, recovery %v/%v, pause %v, slowest %v, %d reads (%d hits, %d failed), %d lost data, %d anomalies, %v",
		s.Name, s.Faults, s.Requests, s.Transactions, s.Failed, s.Hidden, s.Lost, s.Unknown,
		report.Median(s.Recovery), report.Max(s.Recovery), report.Max(s.Pauses), s.Slowest, s.Reads, s.Hits, s.ReadsFailed, s.LostData, s.Anomalous, s.End-s.Start)
	for _, note := range s.Notes {
		t.Log(note)
	}
	for _, a := range s.Anomalies {
		t.Error(a)
	}
	if t.Failed() {
		for _, i := range sys.instances {
			t.Logf("the log of instance %s ends with\n%s", i.name, i.log.Tail())
		}
	}
}

// play runs a scenario: load, faults, the end of the load, the checks.
func (u *suite) play(ctx context.Context, sc *scenario) (s report.Scenario, troubles map[string]int, err error) {
	s = report.Scenario{Name: sc.name, Start: time.Since(u.began)}
	sc.system.accounts = fmt.Sprintf("t%d:", u.names)
	l, err := newLoad(ctx, sc.system, fmt.Sprintf("t%d", u.names))
	if err != nil {
		return s, nil, err
	}
	l.lossy = sc.lossy
	if sc.prepare != nil {
		sc.faults = sc.prepare(l)
	}
	l.start(sc.system, u.random)
	err = l.await(time.Now())
	for err == nil && (s.Faults < sc.count || l.decided() < sc.least && (sc.together > 0 || s.Faults < 2*sc.count)) {
		err = u.step(ctx, sc, l, &s)
	}
	l.stop()
	s.Unknown = len(l.books.undecided())
	l.books.resolve(singles)
	u.count(sc, l, &s)
	s.End = time.Since(u.began)
	return s, l.troubles, errors.Join(err, u.check(ctx, sc, l, &s))
}

// check compares the books with the store, and has the service audit itself.
func (u *suite) check(ctx context.Context, sc *scenario, l *load, s *report.Scenario) error {
	var err error
	s.Transactions, s.LostData, err = l.check(ctx, sc.system)
	s.Anomalies = append(s.Anomalies, l.books.anomalies...)
	s.Anomalous += len(l.books.anomalies) + l.books.more
	return err
}

// check compares what clients were told, and were given to follow, with the
// store. It returns what [books.check] does.
func (l *load) check(ctx context.Context, s *system) (entries, lost int, err error) {
	store, err := s.dump(ctx)
	if err != nil {
		return 0, 0, err
	}
	r := &recorder{dumper: store, hook: l.follows.hook}
	entries, lost, err = l.books.check(ctx, r)
	l.follows.finish(ctx, r.whole, r.hooked)
	return entries, lost, errors.Join(err, store.Close(), testenv.Verify(ctx, s.verifyStore()))
}

// step injects one fault, or several together, and waits for the recovery.
func (u *suite) step(ctx context.Context, sc *scenario, l *load, s *report.Scenario) error {
	chosen := []fault{sc.faults[s.Faults%len(sc.faults)]}
	if sc.together > 0 {
		chosen = u.draw(sc.faults, 1+u.random.IntN(sc.together))
	}
	if sc.cached {
		if err := l.awaitHits(); err != nil {
			return err
		}
	}
	start, from, err := u.inject(ctx, chosen, sc.together > 0)
	u.t.Logf("%s: %s in %s", start.Sub(u.began).Round(time.Millisecond), names(chosen), time.Since(start).Round(time.Millisecond))
	s.Faults += len(chosen)
	if err == nil {
		err = l.await(from)
	}
	for _, i := range sc.system.instances {
		err = errors.Join(err, i.alive())
	}
	recovered, longest := l.recovery(start, from)
	s.Recovery = append(s.Recovery, recovered)
	s.Pauses = append(s.Pauses, longest)
	if err != nil {
		return fmt.Errorf("%s: %w", names(chosen), err)
	}
	<-time.After(time.Duration(u.size(50, 200)+u.random.IntN(u.size(50, 300))) * time.Millisecond) // some quiet between the faults
	return nil
}

func names(faults []fault) string {
	var list []string
	for _, f := range faults {
		list = append(list, f.name)
	}
	return strings.Join(list, " + ")
}

// draw draws faults of different things.
func (u *suite) draw(faults []fault, count int) (chosen []fault) {
	for _, k := range u.random.Perm(len(faults)) {
		f := faults[k]
		if len(chosen) < count && !slices.ContainsFunc(chosen, func(c fault) bool { return c.touches == f.touches }) {
			chosen = append(chosen, f)
		}
	}
	return chosen
}

// inject injects faults, at the same time or nearly so, and ends them. It
// returns when they began, and since when the service could work again.
func (u *suite) inject(ctx context.Context, faults []fault, together bool) (start, from time.Time, err error) {
	start = time.Now()
	var (
		mu     sync.Mutex
		all    sync.WaitGroup
		origin time.Time
	)
	for _, f := range faults {
		hold := f.hold + time.Duration(u.random.Int64N(int64(f.hold)+1))
		delay := time.Duration(0)
		if together {
			delay = time.Duration(u.random.Int64N(int64(300 * time.Millisecond)))
		}
		all.Go(func() {
			<-time.After(delay)
			times, failure := run(ctx, f, hold)
			mu.Lock()
			defer mu.Unlock()
			err = errors.Join(err, failure)
			u.run.Events = append(u.run.Events, report.Event{Name: f.name, Start: times[fromStart].Sub(u.began), End: times[fromEnd].Sub(u.began)})
			if origin = times[f.from]; together {
				origin = time.Now() // only now nothing is broken any more
			}
		})
	}
	all.Wait()
	return start, origin, err
}

// run injects a fault and ends it. It returns the moments of [origin].
func run(ctx context.Context, f fault, hold time.Duration) (times [3]time.Time, err error) {
	times[fromStart] = time.Now()
	end, err := f.begin(ctx)
	times[fromBegun] = time.Now()
	if end != nil {
		<-time.After(hold)
		err = errors.Join(err, end(ctx))
	}
	times[fromEnd] = time.Now()
	return times, err
}

// await waits for a request that is decided after a moment.
func (l *load) await(from time.Time) error {
	for begin := time.Now(); ; {
		l.mu.Lock()
		done := len(l.success) > 0 && l.success[len(l.success)-1].After(from)
		l.mu.Unlock()
		if done {
			return nil
		}
		if time.Since(begin) > recoveryTimeout {
			return fmt.Errorf("no request succeeded in %s after the fault", recoveryTimeout)
		}
		<-time.After(pause)
	}
}

// awaitHits waits until the cache serves. A commit whose marks Redis did not
// confirm turns it off for everybody, until all that it holds is dead.
func (l *load) awaitHits() error {
	for begin, before := time.Now(), l.hits.Load(); l.hits.Load() < before+hitsEnough; {
		if time.Since(begin) > recoveryTimeout {
			return fmt.Errorf("the cache has not served for %s", recoveryTimeout)
		}
		<-time.After(pause)
	}
	return nil
}

// hitsEnough is how many hits show that the cache serves.
const hitsEnough = 20

// recovery returns how long after from the first request was decided, and the
// longest time without one since start.
func (l *load) recovery(start, from time.Time) (recovered, longest time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	after, _ := slices.BinarySearchFunc(l.success, start, time.Time.Compare)
	last := start
	for _, at := range l.success[after:] {
		longest = max(longest, at.Sub(last))
		last = at
		if recovered == 0 && at.After(from) {
			recovered = at.Sub(from)
		}
	}
	return recovered, longest
}

func (l *load) decided() int {
	_, told := l.books.counts()
	return told
}

// count sums the requests of a scenario, and enters them in the plot.
func (u *suite) count(sc *scenario, l *load, s *report.Scenario) {
	s.Reads, s.Hits, s.ReadsFailed = l.reads.Load(), l.hits.Load(), l.readsFailed.Load()
	var failure error
	for i := range l.requests {
		r := &l.requests[i]
		s.Requests++
		s.Attempts += r.trace.attempts - 1
		s.Lost += r.trace.lost
		s.Slowest = max(s.Slowest, r.end.Sub(r.start))
		switch {
		case r.err != nil:
			s.Failed++
			failure = r.err
		case r.trace.attempts > 1:
			s.Hidden++
		}
		u.decided(r.end, r.decided)
	}
	if sc.noFailed && s.Failed > 0 {
		l.books.anomaly("%d requests failed, such as: %v", s.Failed, failure)
	}
	if sc.noLost && s.Lost > 0 {
		l.books.anomaly("%d attempts lost their connection", s.Lost)
	}
}

// decided enters transactions that were decided at a moment in the plot.
func (u *suite) decided(at time.Time, n int) {
	bin := int(at.Sub(u.began) / u.run.Bin)
	for len(u.run.Throughput) <= bin {
		u.run.Throughput = append(u.run.Throughput, 0)
	}
	u.run.Throughput[bin] += n
}
