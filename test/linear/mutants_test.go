package linear

import (
	"bytes"
	"context"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"rbcs"
	"rbcs/internal/engine"
	"rbcs/internal/testenv"
)

// mutants are the cache without one rule each, and what brings that to light.
var mutants = []struct {
	name    string
	variant variant
	provoke func(w *world) error
}{
	{
		"no marks (rule 4)",
		variant{cache: func(c engine.Cache) engine.Cache { return neverMarks{c} }},
		func(w *world) error { w.hits(settled); return nil },
	},
	{
		"marks taken for confirmed (rule 6)",
		variant{cache: func(c engine.Cache) engine.Cache { return alwaysSure{c} }},
		func(w *world) error { return w.cut(w.anyCached()) },
	},
	{
		"the switch not looked at (rule 6)",
		variant{look: func(c rbcs.CacheControl) rbcs.CacheControl { return neverOff{c} }},
		func(w *world) error { return w.cut(w.anyCached()) },
	},
	{
		"fills while a transaction holds the row (rule 3)",
		variant{reads: func(r rbcs.BalanceReader) rbcs.BalanceReader { return alwaysFills{r} }},
		(*world).flushBehindConfirmed,
	},
	{
		"fills and refreshes over what is not one's own (rules 2 and 5)",
		variant{rewrite: true},
		stops1(committed),
	},
}

// TestMutantsAreCaught runs each of them until both checkers have found it out.
func TestMutantsAreCaught(t *testing.T) {
	t.Parallel()
	server := testenv.PostgresServer(t, "max_connections=300")
	t.Logf("-linear.seed=%d", seed())
	var group sync.WaitGroup
	defer group.Wait()
	for i, m := range mutants {
		group.Go(func() {
			t.Run(m.name, func(t *testing.T) {
				catch(t, newWorld(t, server.URL, seed()+uint64(i), m.variant, false, all...), m.provoke)
			})
		})
	}
}

// bound is how often a mutant is provoked at most.
const bound = 20

func catch(t *testing.T, w *world, provoke func(w *world) error) {
	var v verdict
	for n := range bound {
		w.work()
		w.hits(settled)
		if err := provoke(w); err != nil {
			t.Fatal(err)
		}
		w.hold(200 * time.Millisecond)
		if v = w.verdict(); v.anomalies > 0 && v.illegal > 0 {
			name := t.Name()
			results.caughtOne("%s: caught after %d operations; anomalies: %d", strings.ReplaceAll(name[strings.Index(name, "/")+1:], "_", " "), v.operations, v.anomalies)
			t.Logf("caught after %d times and %d operations: %d anomalies, such as %q", n+1, v.operations, v.anomalies, v.examples[:1])
			return
		}
	}
	t.Errorf("not caught in %d operations: %d anomalies, %d parts of the history that porcupine finds not to be linearizable", v.operations, v.anomalies, v.illegal)
}

// variant is a cache with one rule of its fence removed. The zero value is the real one.
type variant struct {
	cache   func(engine.Cache) engine.Cache
	reads   func(rbcs.BalanceReader) rbcs.BalanceReader
	look    func(rbcs.CacheControl) rbcs.CacheControl
	rewrite bool // what Redis is asked: see forgetful
}

func (v *variant) engineCache(c engine.Cache) engine.Cache {
	if v.cache == nil {
		return c
	}
	return v.cache(c)
}

func (v *variant) store(r rbcs.BalanceReader) rbcs.BalanceReader {
	if v.reads == nil {
		return r
	}
	return v.reads(r)
}

func (v *variant) control(c rbcs.CacheControl) rbcs.CacheControl {
	if v.look == nil {
		return c
	}
	return v.look(c)
}

// neverMarks says that it has marked what it has not.
type neverMarks struct{ engine.Cache }

func (neverMarks) Mark(context.Context, rbcs.Locked) engine.Marks { return nothingMarked{} }

type nothingMarked struct{}

func (nothingMarked) Confirmed() bool        { return true }
func (nothingMarked) Refresh([]rbcs.Balance) {}
func (nothingMarked) Drop()                  {}

// alwaysSure takes its marks for confirmed, whatever Redis has said.
type alwaysSure struct{ engine.Cache }

func (c alwaysSure) Mark(ctx context.Context, l rbcs.Locked) engine.Marks {
	return sure{c.Cache.Mark(ctx, l)}
}

type sure struct{ engine.Marks }

func (m sure) Confirmed() bool {
	m.Marks.Confirmed()
	return true
}

// alwaysFills takes every store read for one that may be filled.
type alwaysFills struct{ rbcs.BalanceReader }

func (r alwaysFills) Balances(ctx context.Context, numbers []string) ([]rbcs.BalanceReading, error) {
	readings, err := r.BalanceReader.Balances(ctx, numbers)
	for i := range readings {
		readings[i].Fillable = true
	}
	return readings, err
}

// neverOff does not see that the cache was turned off.
type neverOff struct{ rbcs.CacheControl }

func (c neverOff) Cache(ctx context.Context) (rbcs.CacheState, error) {
	state, err := c.CacheControl.Cache(ctx)
	state.Serve = true
	return state, err
}

// forgetful stands before Redis and takes the comparison out of the script that
// replaces an entry by another: fills and refreshes happen whatever is there.
type forgetful struct {
	listener net.Listener
	server   string
	group    sync.WaitGroup
	mu       sync.Mutex
	open     []net.Conn
}

var (
	comparison = []byte("if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end\nredis.call('SET'")
	forgotten  = append(bytes.Repeat([]byte(" "), len(comparison)-len("redis.call('SET'")), "redis.call('SET'"...)
)

func startForgetful(t *testing.T, server string) *forgetful {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	f := &forgetful{listener: l, server: server}
	f.group.Go(f.accept)
	t.Cleanup(func() {
		l.Close()
		f.group.Wait()
	})
	return f
}

func (f *forgetful) accept() {
	for {
		client, err := f.listener.Accept()
		if err != nil {
			f.mu.Lock()
			defer f.mu.Unlock()
			for _, conn := range f.open {
				conn.Close()
			}
			return
		}
		server, err := net.Dial("tcp", f.server)
		if err != nil {
			client.Close()
			continue
		}
		f.mu.Lock()
		f.open = append(f.open, client, server)
		f.mu.Unlock()
		f.group.Go(func() { pass(server, client) })
		f.group.Go(func() { pass(client, server) })
	}
}

// pass copies until either side ends. A script that comes in two pieces, which
// is rare, stays as it is.
func pass(to, from net.Conn) {
	defer to.Close()
	defer from.Close()
	buf := make([]byte, 1<<16)
	for {
		n, err := from.Read(buf)
		if err != nil {
			return
		}
		if _, err := to.Write(bytes.ReplaceAll(buf[:n], comparison, forgotten)); err != nil {
			return
		}
	}
}
