package expiry_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"rbcs"
	"rbcs/internal/expiry"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// log collects what is logged.
type log struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *log) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(p)
}

func (l *log) want(t *testing.T, lines ...string) {
	t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	got := strings.Split(strings.TrimSuffix(l.buf.String(), "\n"), "\n")
	if l.buf.Len() == 0 {
		got = nil
	}
	if len(got) != len(lines) {
		t.Errorf("logged %q, want %q", got, lines)
		return
	}
	for i, line := range lines {
		if !strings.Contains(got[i], line) {
			t.Errorf("logged %q, want %q", got[i], line)
		}
	}
}

// start starts an expirer, which the test must stop.
func start(s *service, cfg expiry.Config) (*expiry.Expirer, *log) {
	l := &log{}
	cfg.Logger = slog.New(slog.NewTextHandler(l, nil))
	e := expiry.New(s, s, cfg)
	e.Start()
	return e, l
}

func TestHoldsAreReleasedInTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newService()
		for i := range 40 {
			s.hold(fmt.Sprint("h", i), time.Duration(i*i)*77*time.Millisecond)
		}
		s.hold("never", 1000*time.Hour)
		e, l := start(s, expiry.Config{})
		time.Sleep(3 * time.Minute)
		e.Stop()
		s.check(t, 40)
		if e.Overdue() != 0 {
			t.Errorf("%d holds are overdue after all were released", e.Overdue())
		}
		for id, at := range s.released {
			if late := at.Sub(s.holds[id].ExpiresAt); late > 250*time.Millisecond {
				t.Errorf("%s was released %v late", id, late)
			}
		}
		l.want(t)
	})
}

func TestFullPagesGoOnAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newService()
		for i := range 1050 {
			s.hold(fmt.Sprint("h", i), 0)
		}
		e, _ := start(s, expiry.Config{Page: 100})
		synctest.Wait()
		s.check(t, 1050)
		e.Stop()
		if s.looks != 11 || s.submits != 11 {
			t.Errorf("%d looks and %d submissions", s.looks, s.submits)
		}
	})
}

// Two instances see the same holds, and each of them is released once.
func TestTwoInstances(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newService()
		s.before = func(context.Context) error {
			time.Sleep(100 * time.Millisecond) // both have looked when the first is decided
			return nil
		}
		for i := range 20 {
			s.hold(fmt.Sprint("h", i), time.Duration(i)*300*time.Millisecond)
		}
		one, log1 := start(s, expiry.Config{Page: 3})
		two, log2 := start(s, expiry.Config{Page: 3})
		time.Sleep(time.Minute)
		one.Stop()
		two.Stop()
		s.check(t, 20)
		if len(s.recorded) != 20 {
			t.Errorf("%d expiries are recorded", len(s.recorded))
		}
		log1.want(t)
		log2.want(t)
	})
}

// A hold that was captured between the look and the commit is somebody else's.
func TestSettledBySomebodyElse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newService()
		s.hold("h", 0)
		s.before = func(context.Context) error {
			s.settle("h", "capture")
			return nil
		}
		e, l := start(s, expiry.Config{})
		time.Sleep(10 * time.Second)
		e.Stop()
		s.check(t, 0)
		if s.submits != 1 {
			t.Errorf("%d submissions", s.submits)
		}
		l.want(t)
	})
}

// The commit's clock has the last word. Until it agrees, the hold is tried again
// with every look, and a full page of such holds is no reason to spin.
func TestNotDueByTheCommitsClock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newService()
		s.behind = 2 * time.Second
		s.hold("h", 0)
		e, l := start(s, expiry.Config{Page: 1})
		time.Sleep(2*time.Second - time.Nanosecond)
		s.check(t, 0)
		if n := s.looked(); n != 8 {
			t.Errorf("%d looks in two seconds", n)
		}
		time.Sleep(time.Second)
		s.check(t, 1)
		e.Stop()
		l.want(t)
	})
}

// Whatever fails for a minute, and however often it is tried: it is logged once,
// tried less often, and all is released within a second when it is over.
func TestFailures(t *testing.T) {
	away := rbcs.Errorf(rbcs.Unavailable, "the database is away")
	for name, install := range map[string]func(s *service, failing func() bool){
		"look": func(s *service, failing func() bool) {
			s.look = func(context.Context) error {
				if failing() {
					return away
				}
				return nil
			}
		},
		"submission": func(s *service, failing func() bool) {
			s.before = func(context.Context) error {
				if failing() {
					return away
				}
				return nil
			}
		},
		"result": func(s *service, failing func() bool) {
			s.decide = func(string) *rbcs.Result {
				if failing() {
					return &rbcs.Result{Err: away}
				}
				return nil
			}
		},
		"unexpected rejection": func(s *service, failing func() bool) {
			s.decide = func(hold string) *rbcs.Result {
				if failing() {
					return &rbcs.Result{Transaction: rbcs.Transaction{Original: hold}, Status: rbcs.Rejected, Code: rbcs.HoldNotFound}
				}
				return nil
			}
		},
	} {
		synctest.Test(t, func(t *testing.T) {
			s := newService()
			begin := time.Now()
			install(s, func() bool { return time.Since(begin) < time.Minute })
			s.hold("h", 0)
			e, l := start(s, expiry.Config{})
			time.Sleep(time.Minute - time.Nanosecond)
			if n := s.looked(); n < 60 || n > 130 {
				t.Errorf("%s: %d looks in a minute of failure", name, n)
			}
			s.check(t, 0)
			time.Sleep(time.Second + time.Nanosecond)
			s.check(t, 1)
			s.hold("later", 0)
			time.Sleep(250 * time.Millisecond)
			s.check(t, 2)
			e.Stop()
			l.want(t, "level=ERROR", "level=INFO")
		})
	}
}

// One hold that cannot be released does not keep the others waiting.
func TestPoisonedHold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newService()
		s.decide = func(hold string) *rbcs.Result {
			if hold == "poison" {
				return &rbcs.Result{Err: rbcs.Errorf(rbcs.Internal, "the store fails on it")}
			}
			return nil
		}
		s.hold("poison", 0)
		for i := range 30 {
			s.hold(fmt.Sprint("h", i), time.Duration(1+i)*700*time.Millisecond)
		}
		e, l := start(s, expiry.Config{Page: 2})
		time.Sleep(time.Minute)
		e.Stop()
		s.check(t, 30)
		if e.Overdue() != 1 {
			t.Errorf("%d holds are overdue, want the one that cannot be released", e.Overdue())
		}
		for id, at := range s.released {
			if late := at.Sub(s.holds[id].ExpiresAt); late > time.Second {
				t.Errorf("%s was released %v late", id, late)
			}
		}
		l.want(t, "level=ERROR")
	})
}

// An expiry whose answer is lost was decided all the same: it is not due any more.
func TestLostAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newService()
		s.after = func() error { return rbcs.Errorf(rbcs.OutcomeUnknown, "the connection was lost") }
		s.hold("h", 0)
		e, l := start(s, expiry.Config{})
		time.Sleep(10 * time.Second)
		e.Stop()
		s.check(t, 1)
		if s.submits != 1 {
			t.Errorf("%d submissions", s.submits)
		}
		l.want(t, "level=ERROR", "level=INFO")
	})
}

func TestLookThatHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newService()
		hang := true
		s.look = func(ctx context.Context) error {
			if hang {
				hang = false
				<-ctx.Done()
				return rbcs.Errorf(rbcs.Unavailable, "no answer: %w", ctx.Err())
			}
			return nil
		}
		s.hold("h", 0)
		e, l := start(s, expiry.Config{Timeout: 3 * time.Second})
		time.Sleep(4 * time.Second)
		s.check(t, 1)
		time.Sleep(time.Second)
		e.Stop()
		l.want(t, "level=ERROR", "level=INFO")
	})
}

// Stop interrupts whatever is under way, waits for it, and logs nothing of it.
func TestStop(t *testing.T) {
	wait := func(ctx context.Context) error {
		<-ctx.Done()
		time.Sleep(time.Second) // what is interrupted takes its time
		return errors.New("interrupted")
	}
	for name, install := range map[string]func(*service){
		"in a look":       func(s *service) { s.look = wait },
		"in a submission": func(s *service) { s.before = wait },
	} {
		synctest.Test(t, func(t *testing.T) {
			s := newService()
			install(s)
			s.hold("h", 0)
			e, l := start(s, expiry.Config{})
			synctest.Wait()
			begin := time.Now()
			e.Stop()
			if took := time.Since(begin); took != time.Second {
				t.Errorf("%s: Stop took %v, and what it interrupts a second", name, took)
			}
			e.Stop()
			s.check(t, 0)
			l.want(t)
		})
	}
	synctest.Test(t, func(t *testing.T) {
		s := newService()
		e, _ := start(s, expiry.Config{})
		synctest.Wait() // it is between two looks
		begin := time.Now()
		e.Stop()
		if took := time.Since(begin); took != 0 || s.looks != 1 {
			t.Errorf("Stop took %v after %d looks", took, s.looks)
		}
	})
}

func TestStopWithoutStart(t *testing.T) {
	s := newService()
	e := expiry.New(s, s, expiry.Config{})
	e.Stop()
	e.Start() // and a Start afterwards does nothing
	e.Stop()
	if s.looks > 0 {
		t.Error("it looked")
	}
}
