package redis

import (
	"context"
	"net"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"rbcs"
	"rbcs/internal/testenv"
)

// impatient gives up early, so that a stalled Redis shows.
func impatient(o *Options) { o.Timeout, o.MarkTimeout = 20*time.Millisecond, 20*time.Millisecond }

// readsFromStore reads an account that nobody can have cached at this version.
func (r *rig) readsFromStore(number string, version int64) {
	r.t.Helper()
	r.store.set(number, version)
	if got := r.read(number); got.Err != nil || got.Version != version || got.Cached {
		r.t.Errorf("a read returned %+v, want version %d from the store", got, version)
	}
}

// down is what must hold while Redis cannot do its work.
func (r *rig) down() {
	r.t.Helper()
	r.await("redis to be given up", func() bool {
		r.read("b")
		return !r.link.worthAsking() && !r.link.usable()
	})
	asked := r.Stats()
	for version := range int64(100) {
		r.readsFromStore("b", version+10)
		if r.mark("b").Confirmed() {
			r.t.Error("a mark was confirmed")
		}
	}
	if s := r.Stats(); s.Timeout != asked.Timeout || s.Failed != asked.Failed || s.Down < asked.Down+100 {
		r.t.Errorf("requests still try a dead Redis out: %+v, then %+v", asked, s)
	}
}

// up waits until everything works again.
func (r *rig) up() {
	r.t.Helper()
	r.await("redis to be well again", r.link.worthAsking)
	r.fillWith("c", 1)
	r.await("a mark to be confirmed", func() bool {
		m := r.mark("c")
		defer m.Drop()
		return m.Confirmed()
	})
}

func TestRedisDown(t *testing.T) {
	server := testenv.RedisServer(t)
	r := newRig(t, server.URL)
	r.up()
	r.fillWith("a", 1)
	for name, end := range map[string]func() error{"stopped": server.Stop, "crashed": server.Crash} {
		if err := end(); err != nil {
			t.Fatal(err)
		}
		r.readsFromStore("a", 2)
		r.down()
		if err := server.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		r.up()
		t.Logf("%s: %+v", name, r.Stats())
	}
}

func TestStartWithoutRedis(t *testing.T) {
	server := testenv.RedisServer(t)
	if err := server.Stop(); err != nil {
		t.Fatal(err)
	}
	r := newRig(t, server.URL)
	r.down()
	if err := server.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	r.up()
}

// TestRedisStalled: what was asked of a stopped process is done when it goes on,
// long after everybody has left.
func TestRedisStalled(t *testing.T) {
	server := testenv.RedisServer(t)
	r := newRig(t, server.URL, impatient)
	r.raw = rawClient(t, server.URL)
	r.up()
	r.put("a", "V0 0 0 USD 2 0")
	if err := server.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	r.readsFromStore("a", 1)
	m := r.mark("a")
	if m.Confirmed() {
		t.Error("a mark was confirmed by a Redis that is stopped")
	}
	m.Refresh([]rbcs.Balance{balanceOf("a", 2)})
	r.down()
	if err := server.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	r.up()
	r.idle()
	if entry := r.entry("a"); entry != "V0 0 0 USD 2 0" && entry != m.mine {
		t.Errorf("the key holds %q, want what was there or the late mark, and no refresh", entry)
	}
}

func TestRedisFlushedAndRestartedEmpty(t *testing.T) {
	server := testenv.RedisServer(t)
	r := newRig(t, server.URL)
	r.raw = rawClient(t, server.URL)
	r.up()
	r.fillWith("a", 1)
	if err := r.raw.Do(t.Context(), r.raw.B().Flushall().Build()).Error(); err != nil {
		t.Fatal(err)
	}
	r.readsFromStore("a", 2)
	r.fillWith("a", 2)
	if err := r.raw.Do(t.Context(), r.raw.B().ScriptFlush().Build()).Error(); err != nil {
		t.Fatal(err)
	}
	r.fillWith("after the scripts were lost", 3)
}

// refusing is a Redis that answers reads and refuses writes.
func refusing(t *testing.T, refuse, allow func(command func(...string))) {
	url := testenv.Redis(t)
	r := newRig(t, url)
	raw := rawClient(t, url)
	command := func(args ...string) {
		t.Helper()
		if err := raw.Do(t.Context(), raw.B().Arbitrary(args...).Build()).Error(); err != nil {
			t.Fatal(err)
		}
	}
	r.up()
	r.fillWith("a", 1)
	refuse(command)
	if m := r.mark("a"); m.Confirmed() {
		t.Error("a mark that was refused is confirmed")
	}
	if m := r.mark(make([]string, askFirst)...); m.Confirmed() { // of what is not there either
		t.Error("a server that takes no writes has confirmed what it does not hold")
	}
	for n := range 5 {
		r.read("missing" + strconv.Itoa(n))
	}
	r.down()
	allow(command)
	r.up()
}

func TestRedisFull(t *testing.T) {
	refusing(t,
		func(command func(...string)) {
			command("CONFIG", "SET", "maxmemory-policy", "noeviction")
			command("CONFIG", "SET", "maxmemory", "1")
		},
		func(command func(...string)) { command("CONFIG", "SET", "maxmemory", "0") })
}

func TestRedisReadOnly(t *testing.T) {
	refusing(t,
		func(command func(...string)) {
			command("REPLICAOF", "127.0.0.1", "1")
			command("CONFIG", "SET", "replica-serve-stale-data", "yes")
		},
		func(command func(...string)) { command("REPLICAOF", "NO", "ONE") })
}

func TestRedisWithAnotherPassword(t *testing.T) {
	server := testenv.RedisServer(t)
	raw := rawClient(t, server.URL)
	setUser := func(password string) {
		t.Helper()
		err := raw.Do(t.Context(), raw.B().Arbitrary("ACL", "SETUSER", "rbcs", "reset", "on", ">"+password, "~rbcs:*",
			"+get", "+mget", "+set", "+del", "+eval", "+evalsha", "+ping", "+hello", "+client", "+cluster", "+select").Build()).Error()
		if err != nil {
			t.Fatal(err)
		}
	}
	setUser("another")
	var logged logBuffer
	r := newRig(t, strings.Replace(server.URL, "redis://", "redis://rbcs:s3cr3t@", 1), logged.use)
	r.down()
	r.await("the log to say what is wrong", func() bool { return strings.Contains(logged.String(), "WRONGPASS") })
	setUser("s3cr3t")
	r.up() // with no more rights than these
	if strings.Contains(logged.String(), "s3cr3t") {
		t.Errorf("the log shows the password:\n%s", logged.String())
	}
}

// TestSilentConnections: connections open, and nothing ever answers.
func TestSilentConnections(t *testing.T) {
	listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	var accepted atomic.Int64
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			accepted.Add(1)
			t.Cleanup(func() { _ = conn.Close() })
		}
	}()
	r := newRig(t, "redis://"+listener.Addr().String())
	r.await("an attempt to connect", func() bool { return accepted.Load() > 0 })
	r.down()
}

func TestFailureOfTheBackgroundIsCounted(t *testing.T) {
	var n counters
	w := newWorker(func(context.Context, []change) ([]bool, bool) { return []bool{false, false}, false }, &n)
	w.add(func() []change { return []change{{fill: true, to: "V"}, {to: "V"}} })
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { w.run(ctx); close(done) }()
	await(t, "the work", func() bool { return w.busy.Load() == 0 })
	cancel()
	<-done
	for range maxJobs + 5 {
		w.add(func() []change { return nil })
	}
	if got := n.dropped.Load(); got != 2+5 {
		t.Errorf("counted %d as given up, want the 2 that failed and the 5 that found no room", got)
	}
}
