package redis

import (
	"context"
	"strconv"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"rbcs"
)

func TestMain(m *testing.M) {
	// A cluster's client sleeps for five seconds after each refresh, also once it is closed.
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction("github.com/redis/rueidis.(*clusterClient)._refresh.func2"))
}

func TestReadFillsAndHits(t *testing.T) {
	r := wellRig(t)
	r.store.set("a", 7)
	if got := r.read("a"); got.Cached || got.Version != 7 || got.Err != nil {
		t.Errorf("the first read returned %+v, want version 7 from the store", got)
	}
	r.await("the fill", func() bool { return strings.HasPrefix(r.entry("a"), "V") })
	want := rbcs.BalanceReading{Balance: balanceOf("a", 7), Cached: true}
	if got := r.read("a"); got != want {
		t.Errorf("the second read returned\n%+v, want\n%+v", got, want)
	}
	if n := r.store.reads(); n != 1 {
		t.Errorf("the store was read %d times, want once", n)
	}
}

// TestWhoMeetsATokenDoesNotFill is rule 1.
func TestWhoMeetsATokenDoesNotFill(t *testing.T) {
	r := wellRig(t)
	for _, entry := range []string{"Mother", "Lother", "something else", "", "Vbroken"} {
		r.store.set("a", 1)
		r.put("a", entry)
		if got := r.read("a"); got.Cached || got.Version != 1 {
			t.Errorf("with %q there a read returned %+v, want the store's", entry, got)
		}
		r.idle()
		if got := r.entry("a"); got != entry {
			t.Errorf("a read replaced %q by %q", entry, got)
		}
	}
	if s := r.Stats(); s.MarksMet != 1 || s.LeasesMet != 1 || s.Failed != 3 || s.Fills != 0 {
		t.Errorf("counted %+v", s)
	}
}

// TestFillNeedsTheLease is rule 2: neither what is newer nor nothing is filled over.
func TestFillNeedsTheLease(t *testing.T) {
	r := wellRig(t)
	r.store.set("a", 1)
	for _, meanwhile := range []string{"Mother", "Lother", "V0 0 0 USD 2 0"} {
		misses := []miss{{lease: newLease()}}
		r.put("a", meanwhile)
		r.fill(r.looks.latest(), misses, []rbcs.BalanceReading{{Balance: balanceOf("a", 1), Fillable: true, Timeline: 1}})
		r.idle()
		if got := r.entry("a"); got != meanwhile {
			t.Errorf("a fill replaced %q by %q", meanwhile, got)
		}
	}
	r.raw.Do(t.Context(), r.raw.B().Flushall().Build())
	r.fill(r.looks.latest(), []miss{{lease: newLease()}}, []rbcs.BalanceReading{{Balance: balanceOf("a", 1), Fillable: true, Timeline: 1}})
	r.idle()
	if got := r.entry("a"); got != "" {
		t.Errorf("a fill without its lease set %q", got)
	}
	if s := r.Stats(); s.FillsRefused != 4 || s.Fills != 0 {
		t.Errorf("counted %+v", s)
	}
}

// TestUnfitReadingsDoNotFill is rule 3, and that the lease is given back.
func TestUnfitReadingsDoNotFill(t *testing.T) {
	r := wellRig(t)
	r.store.set("held", 1)
	r.store.set("promoted", 1)
	r.store.change(func(f *fakeStore) { f.locked["held"] = true })
	r.read("held")
	r.store.change(func(f *fakeStore) { f.state.Timeline = 2 }) // a store read is ahead of the look
	before := r.looks.latest()
	r.looks.last.Store(&look{state: rbcs.CacheState{Serve: true, Timeline: 1, Database: database}, space: spaceOf(database, 1), began: before.began.Add(time.Hour)})
	r.read("promoted")
	r.read("unknown")
	r.await("the leases to be given back", func() bool { return r.entry("held") == "" && r.entry("promoted") == "" })
	if got := r.entry("unknown"); !strings.HasPrefix(got, "L") {
		t.Errorf("the key of an account that does not exist holds %q, want the lease until it dies", got)
	}
	if s := r.Stats(); s.Unfit != 2 || s.Fills != 0 {
		t.Errorf("counted %+v", s)
	}
}

// TestHitsNeedTrust is the reader's part of rule 6.
func TestHitsNeedTrust(t *testing.T) {
	r := wellRig(t)
	r.fillWith("a", 1)
	r.store.change(func(f *fakeStore) { f.state.Serve = false })
	r.await("the look that finds it off", func() bool { return !r.looks.latest().state.Serve })
	if got := r.read("a"); got.Cached || got.Version != 1 {
		t.Errorf("while the cache is off a read returned %+v", got)
	}
	if s := r.Stats(); s.Off == 0 {
		t.Errorf("counted %+v", s)
	}
	r.store.set("b", 1)
	r.read("b")
	r.await("the fill while it is off", func() bool { return strings.HasPrefix(r.entry("b"), "V") })

	at := time.Now()
	k := &look{state: rbcs.CacheState{Serve: true}, began: at}
	if !k.serves(at.Add(rbcs.Trust)) || k.serves(at.Add(rbcs.Trust+1)) {
		t.Error("a look is not trusted for exactly the time of trust")
	}
}

// TestNoTrustWithoutLooks: a switch that cannot be read serves nothing after a second.
func TestNoTrustWithoutLooks(t *testing.T) {
	r := wellRig(t)
	r.fillWith("a", 1)
	r.store.change(func(f *fakeStore) { f.err = context.DeadlineExceeded })
	r.await("the trust to end", func() bool {
		readings, err := r.Balances(t.Context(), []string{"a"})
		return err != nil && readings == nil
	})
	r.store.change(func(f *fakeStore) { f.err = nil })
	r.await("a hit again", func() bool {
		readings, err := r.Balances(t.Context(), []string{"a"})
		return err == nil && readings[0].Cached
	})
}

// TestLives is rule 7.
func TestLives(t *testing.T) {
	r := wellRig(t)
	life := func(number string) time.Duration {
		t.Helper()
		ms, err := r.raw.Do(t.Context(), r.raw.B().Pttl().Key(spaceOf(database, 1).key(number)).Build()).AsInt64()
		if err != nil {
			t.Fatal(err)
		}
		return time.Duration(ms) * time.Millisecond
	}
	check := func(what, number string, most time.Duration) {
		t.Helper()
		if got := life(number); got <= 0 || got > most {
			t.Errorf("%s lives for %v, want at most %v", what, got, most)
		}
	}
	r.read("unknown")
	check("a lease", "unknown", rbcs.LeaseLife)
	r.fillWith("a", 1)
	check("a filled value", "a", rbcs.ValueLife)
	filled := life("a")
	r.await("time to pass", func() bool { return life("a") < filled })
	lived := life("a")
	r.read("a")
	check("a value that was read", "a", lived)
	m := r.mark("a")
	if !m.Confirmed() {
		t.Fatal("the mark was not confirmed")
	}
	check("a mark", "a", rbcs.MarkLife)
	m.Refresh([]rbcs.Balance{balanceOf("a", 2)})
	r.await("the refresh", func() bool { return r.entry("a") != m.mine })
	check("a refreshed value", "a", rbcs.ValueLife)
}

func TestManyAtOnce(t *testing.T) {
	r := wellRig(t)
	numbers := make([]string, 1_000)
	for i := range numbers {
		numbers[i] = "n" + strconv.Itoa(i)
		if i%10 != 0 {
			r.store.set(numbers[i], int64(i))
		}
	}
	check := func() (cached int) {
		t.Helper()
		readings, err := r.Balances(t.Context(), numbers)
		if err != nil {
			t.Fatal(err)
		}
		for i := range readings {
			if got := &readings[i]; got.Number != numbers[i] || (got.Err != nil) != (i%10 == 0) || got.Err == nil && got.Version != int64(i) {
				t.Fatalf("%s is %+v", numbers[i], got)
			} else if got.Cached {
				cached++
			}
		}
		return cached
	}
	if n := check(); n != 0 {
		t.Errorf("%d were cached before anybody had read them", n)
	}
	if n := r.store.reads(); n != 1 {
		t.Errorf("the store was read %d times for one request, want once", n)
	}
	r.await("all to be cached", func() bool { return check() == 900 })
	if readings, err := r.Balances(t.Context(), nil); err != nil || len(readings) != 0 {
		t.Errorf("nothing is %v, %v", readings, err)
	}
	if readings, err := r.Balances(t.Context(), []string{"new", "new"}); err != nil || readings[0].Err == nil || readings[1].Err == nil {
		t.Errorf("one account twice is %v, %v", readings, err)
	}
}

func TestReadOfWhoIsGone(t *testing.T) {
	r := wellRig(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := r.Balances(ctx, []string{"a"}); rbcs.CodeOf(err) != rbcs.Unavailable {
		t.Errorf("the error is %v, want %s", err, rbcs.Unavailable)
	}
	if s := r.Stats(); s.Timeout+s.Down+s.Failed != 0 || !s.Up {
		t.Errorf("somebody who left counts as a fault of Redis: %+v", s)
	}
}

// TestClockOfRedisIsSetBack: an entry outlives the time for which the cache was
// off, since its life is on a clock that was set back.
func TestClockOfRedisIsSetBack(t *testing.T) {
	r := wellRig(t)
	r.store.set("a", 2) // by a commit that could not mark
	old := balanceOf("a", 1)
	for after, cached := range map[time.Duration]bool{0: true, oldest: true, oldest + time.Microsecond: false, time.Hour: false} {
		r.store.change(func(f *fakeStore) { f.state.Now = old.AsOf.Add(after) })
		r.await("a look", func() bool { return r.looks.latest().state.Now.Equal(old.AsOf.Add(after)) })
		r.put("a", encode(&old))
		if got := r.read("a"); got.Cached != cached || got.Err != nil || !cached && got.Version != 2 {
			t.Errorf("%v after it was true a read returned %+v", after, got)
		}
	}
}
