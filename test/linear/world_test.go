package linear

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"rbcs"
	"rbcs/internal/postgres"
	"rbcs/internal/testenv"
)

// The size of a world.
const (
	instances = 3
	writers   = 4
	readers   = 6
	settled   = 90 * time.Second // within which hits are served again after any fault
)

// numbers are the accounts. Few, so that everything meets on them.
var numbers = []string{"a", "b", "c", "d"}

// world is a database and a Redis of its own, instances, clients and their history.
type world struct {
	t       *testing.T
	config  config
	redis   *testenv.Server
	direct  *postgres.Store // past all proxies and caches, to see the log
	history *history

	mu      sync.Mutex
	list    []*instance     // those that clients use
	gone    []*instance     // those that were killed
	made    int             // instances so far
	random  *rand.Rand      // of the faults: used by one goroutine
	faults  map[string]int  // injected so far
	stop    chan struct{}   // of the clients that are at work
	group   *sync.WaitGroup // of them
	helpers sync.WaitGroup  // reads that were stopped
	serial  atomic.Int64
	seed    uint64
}

func (w *world) fatal(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

// newWorld starts a world on a database server. cached says for each instance
// whether it has a cache.
func newWorld(t *testing.T, server string, seed uint64, v variant, patient bool, cached ...bool) *world {
	t.Helper()
	w := &world{
		t: t, history: newHistory(), random: rand.New(rand.NewPCG(seed, 0)), faults: map[string]int{}, seed: seed,
		config: config{variant: v, patient: patient, release: make(chan struct{})},
	}
	dsn, err := testenv.CreateDatabase(t.Context(), server)
	w.fatal(err)
	w.config.dsn = dsn
	w.redis = testenv.RedisServer(t)
	w.config.redis = testenv.HostOf(w.redis.URL)
	if v.rewrite {
		w.config.redis = startForgetful(t, w.config.redis).listener.Addr().String()
	}
	w.fatal(postgres.Migrate(t.Context(), dsn, postgres.MigrateOptions{}))
	w.direct, err = postgres.Open(t.Context(), dsn, postgres.Options{Instance: "judge", MaxConns: 2})
	w.fatal(err)
	t.Cleanup(w.end)
	accounts := make([]rbcs.NewAccount, len(numbers))
	for i, number := range numbers {
		accounts[i] = rbcs.NewAccount{Number: number, Currency: euro, Overdraft: rbcs.Overdraft{Unlimited: true}}
	}
	_, err = w.direct.CreateAccounts(t.Context(), accounts)
	w.fatal(err)
	for _, c := range cached {
		w.fatal(w.start(c))
	}
	return w
}

var euro = rbcs.Currency{Code: "EUR", Decimals: 2}

// start adds an instance.
func (w *world) start(cached bool) error {
	w.mu.Lock()
	w.made++
	name := fmt.Sprintf("instance %d", w.made)
	w.mu.Unlock()
	in, err := startInstance(context.Background(), name, w.config, cached)
	if err != nil {
		return err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.list = append(w.list, in)
	return nil
}

// remove has clients use an instance no longer.
func (w *world) remove(in *instance) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.list = slices.DeleteFunc(w.list, func(other *instance) bool { return other == in })
	w.gone = append(w.gone, in)
}

// hide has clients leave an instance alone until it is shown again.
func (w *world) hide(in *instance) { w.remove(in) }

func (w *world) show(in *instance) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.gone = slices.DeleteFunc(w.gone, func(other *instance) bool { return other == in })
	w.list = append(w.list, in)
}

func (w *world) end() {
	close(w.config.release)
	w.halt()
	for _, in := range append(w.gone, w.list...) {
		if err := in.stop(); err != nil {
			w.t.Error(err)
		}
	}
	if err := w.direct.Close(); err != nil {
		w.t.Error(err)
	}
}

// live returns the instances that clients use now.
func (w *world) live() []*instance {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.list)
}

// count notes a fault that was injected.
func (w *world) count(name string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.faults[name]++
}

// work has clients begin.
func (w *world) work() {
	w.stop, w.group = make(chan struct{}), &sync.WaitGroup{}
	for i := range writers + readers {
		c := &user{w, i, rand.New(rand.NewPCG(w.seed, uint64(w.serial.Add(1))))}
		if i < writers {
			w.group.Go(c.write)
		} else {
			w.group.Go(c.read)
		}
	}
}

// halt has clients end, and waits for them.
func (w *world) halt() {
	if w.stop != nil {
		close(w.stop)
		w.group.Wait()
		w.stop = nil
	}
	w.helpers.Wait()
}

// verdict ends the clients, reads everything once more through each instance, and judges.
func (w *world) verdict() verdict {
	w.t.Helper()
	w.halt()
	w.lastLook()
	log, err := readLog(w.t.Context(), w.direct)
	w.fatal(err)
	return judge(w.history, log)
}

// lastLook reads everything once more, through each instance.
func (w *world) lastLook() {
	last := &user{w: w, number: writers + readers}
	for _, in := range w.live() {
		for range 2 { // the first read may fill what the second one finds
			last.look(in, false, numbers)
		}
	}
}

// readLog returns what each account went through.
func readLog(ctx context.Context, store *postgres.Store) (map[string][]entry, error) {
	const page = 1_000
	log := map[string][]entry{}
	for _, number := range numbers {
		log[number] = nil
		for more := true; more; {
			found, err := store.History(ctx, rbcs.HistoryQuery{Account: number, After: int64(len(log[number])), Limit: page})
			if err != nil {
				return nil, err
			}
			for _, e := range found {
				if want := int64(len(log[number])) + 1; e.Version != want {
					return nil, fmt.Errorf("the log of %s has version %d where %d is expected", number, e.Version, want)
				}
				log[number] = append(log[number], entry{e.Result.Transaction.ID, valueOf(e.Balance, e.Held)})
			}
			more = len(found) == page
		}
	}
	return log, nil
}

// hits returns once each instance has served a read from the cache.
func (w *world) hits(within time.Duration) {
	w.t.Helper()
	before := map[*instance]int64{}
	for _, in := range w.cached() {
		before[in] = in.cache.Stats().Hits
	}
	w.until(within, "hits are served by every instance", func() bool {
		for in, n := range before {
			if in.cache.Stats().Hits == n {
				return false
			}
		}
		return true
	})
}

// back returns once hits are served again after something that has turned the
// cache off, and at first can do so only to those who look again.
func (w *world) back() {
	w.t.Helper()
	w.hold(rbcs.Trust + rbcs.Trust/4)
	w.hits(settled)
}

// until polls a condition.
func (w *world) until(within time.Duration, what string, is func() bool) {
	w.t.Helper()
	deadline := time.After(within)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !is() {
		select {
		case <-deadline:
			w.t.Fatalf("not within %v: %s", within, what)
		case <-tick.C:
		}
	}
}
