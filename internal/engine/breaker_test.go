package engine_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"rbcs"
	"rbcs/internal/engine"
)

// outage is a store that is away while it is set, and how often it was looked for.
type outage struct {
	fakeStore
	away  atomic.Bool
	kind  fault // how it is away
	looks atomic.Int64
}

func newOutage(kind fault) *outage {
	o := &outage{kind: kind}
	o.script = func(int, []*rbcs.Transaction) fault {
		if o.away.Load() {
			return o.kind
		}
		return none
	}
	return o
}

func (o *outage) look(context.Context) error {
	o.looks.Add(1)
	if o.away.Load() {
		return errors.New("nobody listens")
	}
	return nil
}

func (o *outage) count() int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.calls
}

func (o *outage) engine(t *testing.T) *engine.Engine {
	return newEngine(t, o, engine.Config{InFlight: 2, Check: o.look, Logger: quiet})
}

// refused fails unless a submission is refused at once because the store is away.
func (s *submission) refused(t *testing.T) {
	t.Helper()
	var known *rbcs.Error
	if !s.done() || !errors.As(s.err, &known) || known.Code != rbcs.Unavailable || known.RetryAfter <= 0 || s.after != 0 {
		t.Errorf("not refused at once: %v after %v", s.err, s.after)
	}
}

// What was admitted before the store went is answered within its deadline, and
// certainly not recorded; what comes later is refused at once, for as long as it
// lasts, and nobody but the prober goes to the store meanwhile.
func TestAnOutageIsAnsweredAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := newOutage(gone)
		o.away.Store(true)
		e := o.engine(t)
		first := submit(t.Context(), e, series("first", 3)...)
		time.Sleep(500 * time.Millisecond)
		submit(t.Context(), e, tx("waited", "w", "v")) // still admitted: it could be a short one
		time.Sleep(2500 * time.Millisecond)
		submit(t.Context(), e, tx("late", "c", "d")).refused(t)
		if !e.Stats().Away {
			t.Error("the store is not said to be away")
		}
		_, err := e.Preview(t.Context(), series("preview", 1))
		if rbcs.CodeOf(err) != rbcs.Unavailable {
			t.Errorf("a preview: %v", err)
		}
		time.Sleep(7*time.Second + 100*time.Millisecond) // 10 s after the first failure
		first.want(t, rbcs.Unavailable)
		calls := o.count()
		time.Sleep(time.Minute)
		submit(t.Context(), e, tx("later", "c", "d")).refused(t)
		if o.count() != calls || o.looks.Load() < 100 {
			t.Errorf("%d calls with nothing pending, %d looks", o.count()-calls, o.looks.Load())
		}
		stop(t, e) // ends the prober too
	})
}

// The prober finds the store without anybody's help. One batch tries it; while
// that is on its way others are refused, and then everything goes.
func TestTheStoreComesBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := newOutage(gone)
		o.away.Store(true)
		e := o.engine(t)
		waiting := submit(t.Context(), e, tx("waiting", "a", "b"))
		time.Sleep(3 * time.Second)
		o.away.Store(false)
		time.Sleep(500 * time.Millisecond)
		waiting.want(t, "") // it was the one that tried
		submit(t.Context(), e, tx("next", "a", "b")).want(t, "")

		o.away.Store(true)
		lost := submit(t.Context(), e, tx("lost", "a", "b"))
		time.Sleep(time.Minute)
		lost.want(t, rbcs.Unavailable)
		o.away.Store(false)
		time.Sleep(500 * time.Millisecond)
		o.pause = time.Second
		trial := submit(t.Context(), e, tx("trial", "a", "b"))
		submit(t.Context(), e, tx("beside", "c", "d")).refused(t)
		time.Sleep(time.Second)
		trial.want(t, "")
		after := submit(t.Context(), e, tx("after", "c", "d"))
		time.Sleep(time.Second)
		after.want(t, "")
		stop(t, e)
		o.check(t)
	})
}

// A store that can be reached but does not commit stays refused: the batch that
// tries it gets one attempt.
func TestATrialThatFailsIsTheLastForNow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := newOutage(gone)
		o.away.Store(true)
		e := newEngine(t, o, engine.Config{Logger: quiet}) // without a look
		submit(t.Context(), e, tx("first", "a", "b"))
		time.Sleep(time.Minute)
		calls := o.count()
		trial := submit(t.Context(), e, tx("trial", "a", "b"))
		time.Sleep(100 * time.Millisecond)
		trial.want(t, rbcs.Unavailable)
		if o.count() != calls+1 || trial.after > time.Second {
			t.Errorf("%d attempts in %v, want one", o.count()-calls, trial.after)
		}
		submit(t.Context(), e, tx("refused", "a", "b")).refused(t)
		stop(t, e)
	})
}

// Deadlocks, slow statements and faults of a transaction are no outage, however
// many they are; a lost answer to COMMIT whose connection is gone is one.
func TestWhatIsNoOutage(t *testing.T) {
	for kind, want := range map[fault]rbcs.Code{refused: rbcs.Unavailable, timeoutBefore: rbcs.OutcomeUnknown, broken: rbcs.Internal} {
		synctest.Test(t, func(t *testing.T) {
			o := newOutage(kind)
			o.away.Store(true)
			e := o.engine(t)
			s := submit(t.Context(), e, tx("1", "a", "b"))
			time.Sleep(30 * time.Second)
			s.want(t, want)
			if e.Stats().Away || o.looks.Load() > 0 {
				t.Errorf("%v opened the breaker", kind)
			}
			stop(t, e)
		})
	}
}

// An attempt that began before the outage and ends in the middle of the trial
// decides nothing.
func TestOldNewsAreNotJudged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := newOutage(gone)
		hang := make(chan struct{})
		o.before = func(_ context.Context, b []*rbcs.Transaction) {
			if b[0].ID == "old" {
				<-hang
			}
		}
		e := newEngine(t, o, engine.Config{InFlight: 3, Check: o.look, Logger: quiet, CommitTimeout: time.Hour, Deadline: time.Hour})
		old := submit(t.Context(), e, tx("old", "x", "y"))
		o.away.Store(true)
		waiting := submit(t.Context(), e, tx("waiting", "a", "b"))
		time.Sleep(5 * time.Second)
		if !e.Stats().Away {
			t.Fatal("the breaker is closed")
		}
		close(hang) // it fails: the store is away
		time.Sleep(time.Second)
		o.away.Store(false)
		time.Sleep(time.Second)
		waiting.want(t, "")
		old.want(t, "")
		stop(t, e)
	})
}
