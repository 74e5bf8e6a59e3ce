package linear

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"syscall"
	"time"

	"rbcs"
	"rbcs/internal/testenv"
)

// fault is one thing that happens to a world. It returns once it is undone, but
// for pauses, which go on by themselves.
type fault struct {
	name string
	do   func(w *world) error
}

// soft faults need not turn the cache off: they can come close together.
var soft = []fault{
	{"Redis: FLUSHALL", (*world).flush},
	{"Redis: entries evicted (allkeys-random, full of others)", (*world).evict},
	{"Redis: latency of 2–8 ms", func(w *world) error { return w.slow(1, 2, 500*time.Millisecond) }},
	{"instance paused " + string(locked), stops1(locked)},
	{"instance paused " + string(sent), stops1(sent)},
	{"instance paused " + string(written), stops1(written)},
	{"instance paused " + string(confirmed) + ", FLUSHALL meanwhile", (*world).flushBehindConfirmed},
	{"instance paused " + string(committed), stops1(committed)},
	{"instance paused " + string(looked), (*world).pauseFill},
	{"instance killed " + string(sent), dies(sent)},
	{"instance killed " + string(confirmed), dies(confirmed)},
	{"instance killed " + string(committed), dies(committed)},
}

// hard faults keep marks from being confirmed, so that the cache is turned off
// for many seconds.
var hard = []fault{
	{"Redis: killed, restarted empty", (*world).restartRedis},
	{"Redis: SIGSTOP for 1–3 s", (*world).stopRedis},
	{"Redis: connections of one instance cut", func(w *world) error { return w.cut(w.anyCached()) }},
	{"Redis: all connections cut", func(w *world) error { return w.cut(w.cached()...) }},
	{"Redis: latency of 5–50 ms", func(w *world) error { return w.slow(14, 11, time.Second) }},
	{"Redis: latency of 0.5 s", func(w *world) error { return w.slow(250, 0, 2*time.Second) }},
	{"Redis: full (maxmemory, noeviction)", func(w *world) error { return w.full("noeviction") }},
	{"Redis: full (maxmemory, allkeys-lru): all is evicted", func(w *world) error { return w.full("allkeys-lru") }},
	{"Redis: read-only (a replica of nobody)", (*world).readOnly},
}

// overlong pauses outlast a mark.
var overlong = []fault{
	{"instance paused longer than a mark lives, " + string(committed), stopsLong(committed)},
	{"instance paused longer than a mark lives, " + string(looked), (*world).pauseFillLong},
	{"instance paused longer than a mark lives, " + string(locked), stopsLong(locked)},
	{"instance paused longer than a mark lives, " + string(confirmed), stopsLong(confirmed)},
	{"instance paused longer than a mark lives, between its locks and COMMIT, which it then sends", (*world).outliveMark},
}

// inject does a fault and counts it.
func (w *world) inject(f fault) {
	w.t.Helper()
	if err := f.do(w); err != nil {
		w.t.Fatalf("%s: %v", f.name, err)
	}
	w.count(f.name)
}

func (w *world) hold(d time.Duration) { <-time.After(d) }

func (w *world) cached() []*instance {
	var list []*instance
	for _, in := range w.live() {
		if in.cache != nil {
			list = append(list, in)
		}
	}
	return list
}

func (w *world) anyCached() *instance {
	list := w.cached()
	return list[w.random.IntN(len(list))]
}

// between returns a random duration.
func (w *world) between(least, most time.Duration) time.Duration {
	return least + time.Duration(w.random.Int64N(int64(most-least)))
}

// ask sends commands to Redis past all links, and returns the last answer's first line.
func (w *world) ask(commands ...string) (line string, err error) {
	conn, err := net.DialTimeout("tcp", testenv.HostOf(w.redis.URL), timeout)
	if err != nil {
		return "", err
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(timeout)); err != nil {
		return "", err
	}
	if _, err := conn.Write([]byte(strings.Join(commands, "\r\n") + "\r\n")); err != nil {
		return "", err
	}
	answers := bufio.NewReader(conn)
	for _, command := range commands {
		if line, err = answers.ReadString('\n'); err == nil && line[0] == '-' {
			err = errors.New(strings.TrimSpace(line))
		}
		if err != nil {
			return "", fmt.Errorf("%.50s: %w", command, err)
		}
	}
	return strings.TrimSpace(line), nil
}

func (w *world) flush() error {
	_, err := w.ask("FLUSHALL")
	return err
}

// evict has Redis throw entries out, any of them (lru would spare those that are
// read all the time), since others need the room.
func (w *world) evict() error {
	const room, others, size = 512 << 10, 200, 8 << 10
	used, err := w.ask("EVAL \"return tonumber(string.match(redis.call('INFO','memory'), 'used_memory:(%d+)'))\" 0")
	if err != nil {
		return err
	}
	bytes, err := strconv.ParseInt(strings.TrimPrefix(used, ":"), 10, 64)
	if err != nil {
		return err
	}
	if _, err := w.ask("CONFIG SET maxmemory-policy allkeys-random", fmt.Sprintf("CONFIG SET maxmemory %d", bytes+room)); err != nil {
		return err
	}
	for i := range others {
		// It is full for a moment now and then: what is evicted is not free at once.
		_, err = w.ask(fmt.Sprintf("SET other:%d %s PX 1000", i, strings.Repeat("x", size)))
		if err != nil && !strings.Contains(err.Error(), "OOM") {
			return err
		}
	}
	_, err = w.ask("CONFIG SET maxmemory 0")
	return err
}

func (w *world) slow(latency, jitter int, d time.Duration) error {
	list := w.cached()
	for _, in := range list {
		if err := in.link.Poison("latency", map[string]int{"latency": latency, "jitter": jitter}); err != nil {
			return err
		}
	}
	w.hold(d)
	for _, in := range list {
		in.link.Cure(context.Background())
	}
	return nil
}

func (w *world) restartRedis() error {
	if err := errors.Join(w.redis.Signal(syscall.SIGKILL), w.redis.Stop()); err != nil {
		return err
	}
	w.hold(w.between(0, time.Second))
	return w.redis.Start(context.Background())
}

func (w *world) stopRedis() error {
	if err := w.redis.Signal(syscall.SIGSTOP); err != nil {
		return err
	}
	w.hold(w.between(time.Second, 3*time.Second))
	return w.redis.Signal(syscall.SIGCONT)
}

func (w *world) cut(list ...*instance) error {
	for _, in := range list {
		in.link.Cut()
	}
	w.hold(w.between(300*time.Millisecond, time.Second))
	for _, in := range list {
		if err := in.link.Join(); err != nil {
			return err
		}
	}
	return nil
}

func (w *world) full(policy string) error {
	if _, err := w.ask("CONFIG SET maxmemory-policy "+policy, "CONFIG SET maxmemory 1"); err != nil {
		return err
	}
	w.hold(w.between(300*time.Millisecond, time.Second))
	_, err := w.ask("CONFIG SET maxmemory 0")
	return err
}

func (w *world) readOnly() error {
	if _, err := w.ask("REPLICAOF " + strings.Replace(nowhere, ":", " ", 1)); err != nil {
		return err
	}
	w.hold(w.between(300*time.Millisecond, time.Second))
	_, err := w.ask("REPLICAOF NO ONE")
	return err
}

// meet gives a plan to the next commit of an instance, and returns once it has stopped it.
func (w *world) meet(in *instance, p *plan) error { return await(in, p, in.commits.Store, p.met) }

func await(in *instance, p *plan, give func(*plan), met <-chan struct{}) error {
	give(p)
	select {
	case <-met:
		return nil
	case <-time.After(settled):
		return fmt.Errorf("%s does nothing that can be stopped", in.name)
	}
}

// stops1 pauses a commit for a moment, in which others go on.
func stops1(at step) func(w *world) error {
	return func(w *world) error {
		return w.meet(w.anyCached(), pauseAt(at, w.between(50*time.Millisecond, time.Second)))
	}
}

// beyond is longer than a mark lives.
const beyond = rbcs.MarkLife + 1500*time.Millisecond

func stopsLong(at step) func(w *world) error {
	return func(w *world) error { return w.meet(w.anyCached(), pauseAt(at, beyond)) }
}

func dies(at step) func(w *world) error {
	return func(w *world) error {
		in := w.anyCached()
		if err := w.start(true); err != nil { // first: the others may all be hidden
			return err
		}
		if err := w.meet(in, dieAt(at)); err != nil {
			return err
		}
		w.remove(in)
		return nil
	}
}

// flushBehindConfirmed loses the marks of a commit that relies on them.
func (w *world) flushBehindConfirmed() error {
	if err := w.meet(w.anyCached(), pauseAt(confirmed, w.between(200*time.Millisecond, time.Second))); err != nil {
		return err
	}
	return w.flush()
}

func (w *world) pauseFill() error { return w.fill(w.between(100*time.Millisecond, 2*rbcs.LeaseLife)) }

func (w *world) pauseFillLong() error { return w.fill(beyond) }

// fill pauses a read that holds a lease and is about to fill. Nobody else uses
// the instance meanwhile: all who miss the same account there would wait, too.
func (w *world) fill(d time.Duration) error {
	w.until(settled, "two instances are free", func() bool { return len(w.cached()) > 1 })
	in := w.anyCached()
	w.hide(in)
	for range 1_000 {
		before, p := in.cache.Stats(), pauseAt(looked, d)
		p.when = func() bool {
			now := in.cache.Stats()
			return now.Misses > before.Misses && now.LeasesMet == before.LeasesMet
		}
		in.fills.Store(p)
		if err := w.flush(); err != nil {
			return err
		}
		number, done := numbers[w.random.IntN(len(numbers))], make(chan struct{})
		w.helpers.Go(func() {
			(&user{w: w, number: writers + readers + 1}).lookFor(d+timeout, in, false, []string{number})
			close(done)
		})
		select {
		case <-done: // there was something, or somebody else has the lease
		case <-p.met:
			w.helpers.Go(func() {
				<-done
				w.show(in)
			})
			return nil
		}
	}
	return errors.New("no lease was got")
}

// outliveMark has a commit go on after its mark is dead, while it holds its
// locks. No pause is as long as PostgreSQL lets a transaction do nothing: that it
// is committed in the end is checked, since else nothing would be proved.
func (w *world) outliveMark() error {
	p := newPlan()
	p.pause[sent], p.pause[confirmed] = rbcs.MarkLife*8/10, rbcs.MarkLife*4/10
	if err := w.meet(w.anyCached(), p); err != nil {
		return err
	}
	w.helpers.Go(func() {
		select {
		case <-p.committed:
		case <-time.After(settled):
			w.t.Error("the commit that outlived its mark was never done")
		}
	})
	return nil
}
