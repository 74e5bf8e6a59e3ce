package redis

import (
	"context"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/redis/rueidis"

	"rbcs"
	"rbcs/internal/testenv"
)

const database = "db1"

// fakeStore is a store and its switch in memory. Accounts exist once they were set.
type fakeStore struct {
	mu       sync.Mutex
	balances map[string]rbcs.Balance
	locked   map[string]bool // a transaction holds them: what is read may not fill
	state    rbcs.CacheState
	looks    int
	calls    [][]string // of Balances
	err      error      // of everything
	hold     chan struct{}
	looking  func() // called in each look
}

func newFakeStore() *fakeStore {
	return &fakeStore{
		balances: map[string]rbcs.Balance{},
		locked:   map[string]bool{},
		state:    rbcs.CacheState{Serve: true, Timeline: 1, Database: database},
	}
}

// balanceOf returns a balance whose amounts follow from the version.
func balanceOf(number string, version int64) rbcs.Balance {
	return rbcs.Balance{
		Number: number, Currency: rbcs.Currency{Code: "USD", Decimals: 2},
		Balance: rbcs.AmountOf(-100 * version), Held: rbcs.AmountOf(version), Version: version,
		AsOf: time.UnixMicro(1_700_000_000_000_000 + version).UTC(),
	}
}

func (f *fakeStore) set(number string, version int64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.balances[number] = balanceOf(number, version)
}

// change changes the store under its lock.
func (f *fakeStore) change(how func(f *fakeStore)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	how(f)
}

func (f *fakeStore) Cache(context.Context) (rbcs.CacheState, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.looks++
	if f.looking != nil {
		f.looking()
	}
	return f.state, f.err
}

func (f *fakeStore) Balances(ctx context.Context, numbers []string) ([]rbcs.BalanceReading, error) {
	f.mu.Lock()
	f.calls = append(f.calls, slices.Clone(numbers))
	hold := f.hold
	readings := make([]rbcs.BalanceReading, len(numbers))
	for i, number := range numbers {
		b, exists := f.balances[number]
		if !exists {
			readings[i] = rbcs.BalanceReading{Balance: rbcs.Balance{Number: number}, Err: rbcs.Errorf(rbcs.NotFound, "no account %s", number)}
			continue
		}
		readings[i] = rbcs.BalanceReading{Balance: b, Fillable: !f.locked[number], Timeline: f.state.Timeline}
	}
	err := f.err
	f.mu.Unlock()
	if hold != nil {
		select {
		case <-hold:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	return readings, err
}

func (f *fakeStore) reads() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.calls)
}

// rig is a cache before a fake store and a Redis.
type rig struct {
	*Cache
	t     testing.TB
	store *fakeStore
	raw   rueidis.Client // another client of the same Redis
}

// newRig starts a cache on a Redis, with patience: what is slow on a loaded
// machine is no fault unless a test says so.
func newRig(t testing.TB, url string, set ...func(*Options)) *rig {
	t.Helper()
	store := newFakeStore()
	opts := Options{Store: store, Control: store, Timeout: 5 * time.Second, MarkTimeout: 5 * time.Second, CheckEvery: -1, Logger: slog.New(slog.DiscardHandler)}
	for _, f := range set {
		f(&opts)
	}
	c, err := Open(t.Context(), url, opts)
	if err != nil {
		t.Fatal(err)
	}
	c.Start(t.Context())
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
	return &rig{Cache: c, t: t, store: store}
}

// wellRig is a rig whose Redis answers.
func wellRig(t testing.TB, set ...func(*Options)) *rig {
	t.Helper()
	url := testenv.Redis(t)
	r := newRig(t, url, set...)
	r.raw = rawClient(t, url)
	r.await("redis to be well", r.link.worthAsking)
	return r
}

func rawClient(t testing.TB, url string) rueidis.Client {
	t.Helper()
	option, err := clientOptions(url)
	if err != nil {
		t.Fatal(err)
	}
	client, err := rueidis.NewClient(option)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	return client
}

// await polls until the condition holds.
func (r *rig) await(what string, condition func() bool) {
	r.t.Helper()
	await(r.t, what, condition)
}

func await(t testing.TB, what string, condition func() bool) {
	t.Helper()
	deadline := time.After(30 * time.Second)
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for !condition() {
		select {
		case <-deadline:
			t.Fatalf("waited in vain for %s", what)
		case <-tick.C:
		}
	}
}

// read reads one balance.
func (r *rig) read(number string) rbcs.BalanceReading {
	r.t.Helper()
	readings, err := r.Balances(r.t.Context(), []string{number})
	if err != nil {
		r.t.Fatal(err)
	}
	return readings[0]
}

// entry returns what is at an account's key, "" where nothing is.
func (r *rig) entry(number string) string {
	r.t.Helper()
	entry, err := r.raw.Do(r.t.Context(), r.raw.B().Get().Key(spaceOf(database, 1).key(number)).Build()).ToString()
	if err != nil && !rueidis.IsRedisNil(err) {
		r.t.Fatal(err)
	}
	return entry
}

// put sets an account's key.
func (r *rig) put(number, entry string) {
	r.t.Helper()
	err := r.raw.Do(r.t.Context(), r.raw.B().Set().Key(spaceOf(database, 1).key(number)).Value(entry).PxMilliseconds(60_000).Build()).Error()
	if err != nil {
		r.t.Fatal(err)
	}
}

// fillWith reads until the account is served from Redis.
func (r *rig) fillWith(number string, version int64) {
	r.t.Helper()
	r.store.set(number, version)
	r.await(number+" to be cached", func() bool { return r.read(number).Cached })
}

// mark marks accounts as a commit would.
func (r *rig) mark(numbers ...string) *Marks {
	return r.Mark(r.t.Context(), rbcs.Locked{Timeline: 1, Numbers: numbers})
}

// idle waits until the background has done what it was handed.
func (r *rig) idle() {
	r.t.Helper()
	r.await("the background to be idle", func() bool { return r.work.busy.Load() == 0 })
}
