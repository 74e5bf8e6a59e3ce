package resilience

import (
	"cmp"
	"context"
	"math/rand/v2"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"rbcs"
	"rbcs/test/resilience/report"
)

// TestResilience breaks everything, one thing at a time and then several together.
func TestResilience(t *testing.T) {
	u := newSuite(t)
	jumping := filepath.Join(t.TempDir(), "rbcs")
	built := make(chan error, 1)
	go func() { built <- buildJumping(context.WithoutCancel(t.Context()), jumping) }() // it takes a minute the first time
	c := startCluster(t)
	u.alone(t, c)
	u.asleep(t, c)
	u.queue(t, c)
	u.lagging(t, c)
	if err := <-built; err != nil {
		t.Fatal(err)
	}
	u.clocks(t, c, jumping)
	u.disks(t)
	u.fresh(t, c, "several together, at random", func(t *testing.T, name string) {
		total := u.run.Totals() // of the long form the rest is still to come
		u.do(t, scenario{
			name: name, system: &c.system, faults: c.all(u.random), together: 3,
			count: max(u.size(8, 200), u.size(0, 520)-total.Faults), least: u.size(0, 1_000_000) - total.Transactions,
		})
	})
	u.finish(t)
}

// size returns how much of something there is: in the short form, and at least in the long one.
func (u *suite) size(short, whole int) int {
	if *long {
		return max(short, int(float64(whole)**share))
	}
	return short
}

// fresh runs a scenario, in the long form on a database of its own.
func (u *suite) fresh(t *testing.T, c *cluster, name string, do func(t *testing.T, name string)) {
	t.Helper()
	if !regexp.MustCompile(*only).MatchString(name) {
		return
	}
	t.Run(name, func(t *testing.T) {
		if *long {
			if err := c.renew(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		do(t, name)
	})
}

// alone injects each fault by itself.
func (u *suite) alone(t *testing.T, c *cluster) {
	byName := map[string][]fault{}
	var order []string
	for _, f := range c.all(u.random) {
		if byName[f.name] == nil {
			order = append(order, f.name)
		}
		byName[f.name] = append(byName[f.name], f)
	}
	for _, name := range order {
		u.fresh(t, c, name, func(t *testing.T, name string) {
			count := u.size(1, 16)
			// What these do to the cache shows only while it serves; but for FLUSHALL they turn it off for a while.
			cached := *long && (strings.HasPrefix(name, "Redis:") || name == c.promoted().name)
			if cached && name != c.redisFlushed().name {
				count = u.size(1, 3)
			}
			again := byNameOf(c.all(u.random), name) // of the instances that run now
			u.do(t, scenario{
				name: name, system: &c.system, faults: again, count: count, least: u.size(0, 25_000), cached: cached,
				noFailed: strings.HasPrefix(name, "instance: SIGKILL") || strings.HasPrefix(name, "instance: SIGTERM"),
				noLost:   strings.HasPrefix(name, "instance: SIGTERM"),
			})
		})
	}
}

func byNameOf(faults []fault, name string) (list []fault) {
	for _, f := range faults {
		if f.name == name {
			list = append(list, f)
		}
	}
	return list
}

// asleep stops an instance for longer than its marks in the cache and its locks live.
func (u *suite) asleep(t *testing.T, c *cluster) {
	if !*long {
		return
	}
	u.fresh(t, c, "instance: SIGSTOP for longer than a mark lives", func(t *testing.T, name string) {
		var faults []fault
		for n := range c.instances {
			f := c.paused(n, rbcs.MarkLife+2*time.Second)
			f.name = name
			faults = append(faults, f)
		}
		u.do(t, scenario{name: name, system: &c.system, faults: faults, count: u.size(1, 2), cached: true})
	})
}

// lagging promotes standbys that lag: what they lose is counted.
func (u *suite) lagging(t *testing.T, c *cluster) {
	const name = "primary: killed, lagging asynchronous standby promoted"
	u.fresh(t, c, name, func(t *testing.T, name string) {
		c.async = true
		defer func() { c.async = false }()
		if err := c.wait(t.Context()); err != nil {
			t.Fatal(err)
		}
		u.do(t, scenario{
			name: name, system: &c.system, lossy: true, count: u.size(1, 10), least: u.size(0, 10_000),
			prepare: func(l *load) []fault { return []fault{c.promotedLagging(l.books)} },
		})
	})
	if err := c.wait(t.Context()); err != nil { // with the standby again
		t.Fatal(err)
	}
}

// clocks makes the clocks of the instances and of the database jump.
func (u *suite) clocks(t *testing.T, c *cluster, jumping string) {
	u.fresh(t, c, "clock of an instance: jumps by an hour", func(t *testing.T, name string) {
		clocks, err := c.restartJumping(t.Context(), jumping)
		if err != nil {
			t.Fatal(err)
		}
		u.do(t, scenario{name: name, system: &c.system, faults: c.clocksJump(clocks), count: u.size(2, 14), least: u.size(0, 25_000)})
	})
	u.fresh(t, c, "clock of the database: jumps by a minute", func(t *testing.T, name string) {
		if err := c.fakeDatabaseClock(t.Context(), true); err != nil {
			t.Fatal(err)
		}
		u.do(t, scenario{name: name, system: &c.system, faults: c.databaseClockJumps(), count: u.size(2, 14), least: u.size(0, 25_000)})
		if err := c.fakeDatabaseClock(t.Context(), false); err != nil { // an instance that starts would migrate into its schema
			t.Fatal(err)
		}
	})
}

func newSuite(t *testing.T) *suite {
	n := seed()
	t.Logf("-resilience.seed=%d", n)
	return &suite{
		t:      t,
		random: rand.New(rand.NewPCG(n, 0)),
		began:  time.Now(),
		run:    &report.Run{Title: "Resilience", Date: time.Now(), Seed: n, Bin: 500 * time.Millisecond},
	}
}

// finish prints the totals, and writes the report where one is asked for.
func (u *suite) finish(t *testing.T) {
	u.run.Took = time.Since(u.began)
	total := u.run.Totals()
	t.Logf("%d faults, %d requests, %d transactions, %d anomalies in %s", total.Faults, total.Requests, total.Transactions, total.Anomalous, u.run.Took)
	dir := *reportDir
	if *long && *share == 1 {
		dir = cmp.Or(dir, "../../docs/reports")
	}
	if dir == "" {
		return
	}
	if err := u.write(dir); err != nil {
		t.Error(err)
	}
}
