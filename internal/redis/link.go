package redis

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/rueidis"
)

const (
	// failuresToOpen within failurePeriod take Redis for sick. To be wrong is
	// cheap: it is probed at once, and reads go to the store for as long as that takes.
	failuresToOpen = 3
	failurePeriod  = 10 * time.Second

	// probeTimeout bounds one attempt to see whether Redis is well.
	probeTimeout = 250 * time.Millisecond

	// The wait between two probes of a Redis that is away.
	firstProbeDelay = 50 * time.Millisecond
	lastProbeDelay  = time.Second

	// probeKeys are written by a probe. They are many so that in a cluster every
	// node is very likely to be asked.
	probeKeys = 16
)

// errDown says that Redis was not asked, because it is known not to answer.
var errDown = errors.New("redis is away")

// errSlow says that Redis did not answer in time. It may still do what it was asked.
var errSlow = errors.New("redis did not answer in time")

// link is the connection to Redis, and the judgement whether asking is worth it.
//
// No caller ever waits for a connection to be made, or tries out whether Redis
// is back: that is done in the background, beginning with the first connection.
type link struct {
	option rueidis.ClientOption
	log    *slog.Logger

	client    atomic.Pointer[rueidis.Client] // nil until the first connection
	breaker   breaker
	dead      atomic.Bool // whether a probe has failed since Redis was well
	clustered atomic.Bool
	opened    chan struct{} // the breaker opened
	closing   sync.WaitGroup
}

func newLink(option rueidis.ClientOption, log *slog.Logger) *link {
	l := &link{option: option, log: log, opened: make(chan struct{}, 1)}
	l.breaker.onOpen = l.wake
	l.dead.Store(true)
	l.wake()
	return l
}

func (l *link) wake() {
	select {
	case l.opened <- struct{}{}:
	default:
	}
}

// run makes the connection and keeps it until the context ends.
func (l *link) run(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-l.opened:
			l.restore(ctx)
		}
	}
}

// restore probes until Redis is well. A connection on which a probe fails is
// replaced: it may lead to a server that is primary no longer.
func (l *link) restore(ctx context.Context) {
	for delay := firstProbeDelay; ctx.Err() == nil; delay = min(2*delay, lastProbeDelay) {
		err := l.connect(ctx)
		if err == nil {
			err = l.probe(ctx)
		}
		if err == nil {
			if l.dead.Swap(false) {
				l.log.InfoContext(ctx, "redis answers; balances are served from it", slog.String("mode", string((*l.client.Load()).Mode())))
			}
			l.breaker.close()
			return
		}
		if ctx.Err() != nil {
			return
		}
		l.dead.Store(true)
		if delay == firstProbeDelay {
			l.log.WarnContext(ctx, "redis is away; balances are read from the store until it is back", slog.Any("error", err))
		}
		l.disconnect()
		select {
		case <-ctx.Done():
		case <-time.After(delay/2 + rand.N(delay)):
		}
	}
}

// connect makes a client where there is none.
func (l *link) connect(ctx context.Context) error {
	if l.client.Load() != nil {
		return nil
	}
	client, err := rueidis.NewClient(l.option)
	if err != nil {
		return err
	}
	if ctx.Err() != nil {
		client.Close()
		return ctx.Err()
	}
	l.clustered.Store(client.Mode() == rueidis.ClientModeCluster)
	l.client.Store(&client)
	return nil
}

// disconnect closes the client behind the caller's back: it waits for what is under way.
func (l *link) disconnect() {
	if client := l.client.Swap(nil); client != nil {
		l.closing.Go((*client).Close)
	}
}

// close ends the connection. REQUIRES: run has returned.
func (l *link) close() {
	l.disconnect()
	l.closing.Wait()
}

// probe writes, since a server that is full or read-only still answers reads.
func (l *link) probe(ctx context.Context) error {
	client := *l.client.Load()
	commands := make(rueidis.Commands, probeKeys)
	for i := range commands {
		commands[i] = probe(client.B(), i)
	}
	answers, err := within(ctx, probeTimeout, func() []rueidis.RedisResult { return client.DoMulti(context.Background(), commands...) })
	for _, answer := range answers {
		if err == nil { // one is enough: mostly all say the same
			err = answer.Error()
		}
	}
	return err
}

// probe returns a write that changes nothing for anybody.
func probe(b rueidis.Builder, i int) rueidis.Completed {
	return b.Set().Key("rbcs:probe:" + strconv.Itoa(i)).Value("").PxMilliseconds(1_000).Build()
}

// worthAsking reports whether a client's request should ask Redis at all.
func (l *link) worthAsking() bool { return l.breaker.isClosed() }

// do sends the commands that build returns, and waits for their answers at most
// for the timeout or until the context ends; the commands may be carried out
// nevertheless, at any time. Its error is errDown, errSlow or the context's.
// What the answers are is the caller's to judge, by ok.
func (l *link) do(ctx context.Context, timeout time.Duration, build func(b rueidis.Builder) rueidis.Commands) ([]rueidis.RedisResult, error) {
	client := l.client.Load()
	if client == nil {
		return nil, errDown
	}
	answers, err := within(ctx, timeout, func() []rueidis.RedisResult {
		// No context: a timeout must not break the connection that others use.
		return (*client).DoMulti(context.Background(), build((*client).B())...)
	})
	if errors.Is(err, errSlow) {
		l.slow()
	}
	return answers, err
}

// found is what was at a key.
type found struct {
	entry  string
	there  bool
	failed bool // the answer was an error
}

// get reads the keys in one round trip.
func (l *link) get(ctx context.Context, timeout time.Duration, keys []string) ([]found, error) {
	together := len(keys) > 1 && !l.clustered.Load()
	answers, err := l.do(ctx, timeout, func(b rueidis.Builder) rueidis.Commands {
		if together {
			return rueidis.Commands{b.Mget().Key(keys...).Build()}
		}
		commands := make(rueidis.Commands, len(keys)) // the client sends each to its node
		for i, key := range keys {
			commands[i] = b.Get().Key(key).Build()
		}
		return commands
	})
	if err != nil {
		return nil, err
	}
	if !together {
		all := make([]found, len(keys))
		for i, answer := range answers {
			message, _ := answer.ToMessage()
			all[i] = l.read(message, l.ok(answer))
		}
		return all, nil
	}
	return l.readAll(answers[0], len(keys)), nil
}

// getFromPrimary reads the keys as get does, from a server that also takes writes.
// One that was primary may lag behind what is there by now. REQUIRES: no cluster.
func (l *link) getFromPrimary(ctx context.Context, timeout time.Duration, keys []string) ([]found, error) {
	answers, err := l.do(ctx, timeout, func(b rueidis.Builder) rueidis.Commands {
		return rueidis.Commands{probe(b, 0), b.Mget().Key(keys...).Build()}
	})
	switch {
	case err != nil:
		return nil, err
	case !l.ok(answers[0]):
		return nil, answers[0].Error()
	}
	return l.readAll(answers[1], len(keys)), nil
}

// readAll reads the answer to one command for n keys.
func (l *link) readAll(answer rueidis.RedisResult, n int) []found {
	all := make([]found, n)
	ok := l.ok(answer)
	messages, err := answer.ToArray()
	ok = ok && err == nil && len(messages) == n
	for i := range all {
		if ok {
			all[i] = l.read(messages[i], true)
		} else {
			all[i].failed = true
		}
	}
	return all
}

func (l *link) read(message rueidis.RedisMessage, ok bool) found {
	if !ok || message.IsNil() {
		return found{failed: !ok}
	}
	entry, err := message.ToString()
	return found{entry: entry, there: true, failed: err != nil}
}

// slow notes that an answer did not come in time.
func (l *link) slow() { l.breaker.failed() }

// usable reports whether a commit should try to mark. It may where reads already
// go to the store on a mere suspicion: to be refused costs a commit much more.
func (l *link) usable() bool { return !l.dead.Load() }

// ok judges one answer: nothing there is an answer like any other.
func (l *link) ok(answer rueidis.RedisResult) bool {
	err := answer.Error()
	if err == nil || rueidis.IsRedisNil(err) {
		return true
	}
	if _, said := rueidis.IsRedisErr(err); said {
		l.breaker.failed()
	} else {
		l.breaker.open() // the connection is gone: nobody should wait for the next one
	}
	return false
}

// within runs f in a goroutine of its own and waits for it at most for the
// timeout, so that nothing which f does can keep the caller.
func within[T any](ctx context.Context, timeout time.Duration, f func() T) (T, error) {
	done := make(chan T, 1)
	go func() { done <- f() }()
	timer := time.NewTimer(timeout)
	defer timer.Stop()
	var none T
	select {
	case v := <-done:
		return v, nil
	case <-timer.C:
		return none, errSlow
	case <-ctx.Done():
		return none, ctx.Err()
	}
}
