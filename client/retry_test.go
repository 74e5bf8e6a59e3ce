package client_test

import (
	"context"
	"errors"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"rbcs"
	"rbcs/client"
)

var (
	errReset   = &net.OpError{Op: "read", Err: errors.New("connection reset by peer")}
	errRefused = &net.OpError{Op: "dial", Err: errors.New("connection refused")}
)

func TestWhatMayPassIsSentAgain(t *testing.T) {
	for name, first := range map[string]step{
		"connection refused":           {err: errRefused},
		"connection lost":              {err: errReset},
		"answer broken off":            {status: 201, body: `{"id":"ord`, bodyErr: errReset},
		"overloaded":                   {status: 429, body: problem("overloaded", "full")},
		"unavailable":                  {status: 503, body: problem("unavailable", "stopping")},
		"outcome unknown":              {status: 503, body: problem("outcome_unknown", "resubmit")},
		"internal":                     {status: 500, body: problem("internal", "see the log")},
		"a proxy's bad gateway":        {status: 502, body: "<html>Bad Gateway</html>"},
		"a proxy's timeout":            {status: 504},
		"a request timeout":            {status: 408},
		"no answer in the time for it": {takes: time.Hour, status: 201, body: posted},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c, s := scripted(t, client.Retry{}, first, step{status: 503}, step{status: 201, body: posted})
				r, err := c.Submit(t.Context(), order)
				if err != nil || r.Status != rbcs.Posted || r.Sequence != 7 || r.SourceBalance != "-12.34" || r.Replayed {
					t.Fatalf("got %+v, %v", r, err)
				}
				if len(s.sent) != 3 || s.sent[0].body == "" || s.sent[0].body != s.sent[1].body || s.sent[0].body != s.sent[2].body {
					t.Errorf("the same bytes were not sent three times: %+v", s.sent)
				}
			})
		})
	}
}

func TestWhatWasRefusedIsNotSentAgain(t *testing.T) {
	for _, c := range []struct {
		name   string
		answer step
		code   rbcs.Code
		text   string
	}{
		{"id conflict", step{status: 409, body: problem("id_conflict", "other content")}, rbcs.IDConflict, "other content"},
		{"version not reached", step{status: 409, body: problem("version_not_reached", "later")}, rbcs.VersionNotReached, "later"},
		{"invalid", step{status: 400, body: problem("invalid_request", "wrong")}, rbcs.InvalidRequest, "wrong"},
		{"invalid as 422", step{status: 422, body: problem("invalid_request", "wrong")}, rbcs.InvalidRequest, "wrong"},
		{"too large", step{status: 413, body: problem("invalid_request", "too large")}, rbcs.InvalidRequest, "too large"},
		{"not found", step{status: 404, body: "404 page not found"}, rbcs.NotFound, "404 Not Found: 404 page not found"},
		{"forbidden by a proxy", step{status: 403, body: "no\n\n entry"}, rbcs.InvalidRequest, "POST /v1/transactions was answered with 403 Forbidden: no entry"},
		{"redirect", step{status: 301}, rbcs.InvalidRequest, "301 Moved Permanently"},
		{"success that is no JSON", step{status: 200, body: "<html>"}, rbcs.OutcomeUnknown, "is not what the service writes"},
	} {
		t.Run(c.name, func(t *testing.T) {
			cl, s := scripted(t, client.Retry{}, c.answer)
			r, err := cl.Submit(t.Context(), order)
			if rbcs.CodeOf(err) != c.code || !strings.Contains(err.Error(), c.text) || r.Status != "" {
				t.Errorf("got %+v, %v; want %s with %q", r, err, c.code, c.text)
			}
			if len(s.sent) != 1 {
				t.Errorf("it was sent %d times", len(s.sent))
			}
		})
	}
}

func TestAnErrorKeepsTheFields(t *testing.T) {
	body := `{"code":"id_conflict","detail":"d","errors":[{"pointer":"/amount","message":"recorded as \"1.00\""},{"pointer":"/source","message":"x"}]}`
	c, _ := scripted(t, client.Retry{}, step{status: 409, body: body})
	_, err := c.Submit(t.Context(), order)
	var e *client.Error
	if !errors.As(err, &e) || len(e.Fields) != 2 || e.Fields[0] != (rbcs.FieldError{Pointer: "/amount", Message: `recorded as "1.00"`}) {
		t.Errorf("got %#v", err)
	}
}

// TestDoubtRemains: once an answer was lost, only an answer about this very ID can settle what happened.
func TestDoubtRemains(t *testing.T) {
	overloaded := step{status: 429, body: problem("overloaded", "full")}
	for _, c := range []struct {
		name  string
		steps []step
		want  rbcs.Code
	}{
		{"refused only", []step{overloaded, overloaded}, rbcs.Overloaded},
		{"never connected", []step{{err: errRefused}, {err: errRefused}}, rbcs.Unavailable},
		{"lost", []step{overloaded, {err: errReset}}, rbcs.OutcomeUnknown},
		{"lost, then refused", []step{{err: errReset}, overloaded}, rbcs.OutcomeUnknown},
		{"lost, then never connected", []step{{err: errReset}, {err: errRefused}}, rbcs.OutcomeUnknown},
		{"a gateway's timeout, then unavailable", []step{{status: 504}, {status: 503, body: problem("unavailable", "x")}}, rbcs.OutcomeUnknown},
		{"lost, then a conflict", []step{{err: errReset}, {status: 409, body: problem("id_conflict", "x")}}, rbcs.IDConflict},
		{"lost, then invalid", []step{{err: errReset}, {status: 400, body: problem("invalid_request", "x")}}, rbcs.InvalidRequest},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				cl, _ := scripted(t, client.Retry{Attempts: 2}, c.steps...)
				if _, err := cl.Submit(t.Context(), order); rbcs.CodeOf(err) != c.want {
					t.Errorf("got %v, want %s", err, c.want)
				}
			})
		})
	}
}

func TestAStatusWithoutACode(t *testing.T) {
	for status, want := range map[int]rbcs.Code{
		400: rbcs.InvalidRequest, 404: rbcs.NotFound, 408: rbcs.Unavailable, 429: rbcs.Overloaded,
		500: rbcs.Internal, 502: rbcs.OutcomeUnknown, 503: rbcs.Unavailable, 504: rbcs.OutcomeUnknown,
	} {
		c, _ := scripted(t, client.Retry{Attempts: 1}, step{status: status})
		if _, err := c.Submit(t.Context(), order); rbcs.CodeOf(err) != want {
			t.Errorf("%d: got %v, want %s", status, err, want)
		}
	}
}

func TestAReadIsNeverInDoubt(t *testing.T) {
	for _, failure := range []step{{err: errReset}, {status: 502}, {status: 504}} {
		c, _ := scripted(t, client.Retry{Attempts: 1}, failure)
		if _, err := c.Account(t.Context(), "alice"); rbcs.CodeOf(err) != rbcs.Unavailable {
			t.Errorf("%+v: got %v, want unavailable", failure, err)
		}
	}
}

// TestADryRunIsNeverInDoubt: it records nothing, whatever becomes of its answer.
func TestADryRunIsNeverInDoubt(t *testing.T) {
	for _, failure := range []step{{err: errReset}, {status: 502}, {status: 504}} {
		c, _ := scripted(t, client.Retry{Attempts: 1}, failure)
		if _, err := c.Submit(t.Context(), order, client.DryRun()); rbcs.CodeOf(err) != rbcs.Unavailable {
			t.Errorf("%+v: got %v, want unavailable", failure, err)
		}
	}
}

func TestBackoffGrowsToItsBound(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const attempts = 60
		steps := make([]step, attempts)
		for i := range steps {
			steps[i] = step{status: 503}
		}
		c, s := scripted(t, client.Retry{Attempts: attempts, MinDelay: 10 * time.Millisecond, MaxDelay: 100 * time.Millisecond}, steps...)
		if _, err := c.Submit(t.Context(), order); rbcs.CodeOf(err) != rbcs.Unavailable {
			t.Fatal(err)
		}
		var longest time.Duration
		for i := 1; i < attempts; i++ {
			wait := s.sent[i].at.Sub(s.sent[i-1].at)
			longest = max(longest, wait)
			bound := 100 * time.Millisecond
			if i <= 4 {
				bound = min(bound, 10*time.Millisecond<<(i-1))
			}
			if wait < 0 || wait >= bound {
				t.Errorf("attempt %d began %v after the one before; the bound is %v", i+1, wait, bound)
			}
		}
		if longest < 50*time.Millisecond { // fifty waits that are random up to 100 ms
			t.Errorf("the longest wait was %v: no full jitter", longest)
		}
	})
}

func TestRetryAfterIsHonoured(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		inADate := time.Now().Add(20 * time.Second).UTC().Format(http.TimeFormat)
		c, s := scripted(t, client.Retry{MinDelay: time.Millisecond},
			step{status: 429, retryAfter: "7"}, step{status: 503, retryAfter: inADate}, step{status: 503, retryAfter: "soon"},
			step{status: 503, retryAfter: "-5"}, step{status: 201, body: posted})
		start := time.Now()
		if _, err := c.Submit(t.Context(), order); err != nil {
			t.Fatal(err)
		}
		for i, want := range []time.Duration{0, 7 * time.Second, 20 * time.Second, 20 * time.Second, 20 * time.Second} {
			if at := s.sent[i].at.Sub(start); at < want-time.Second || at > want+time.Second || i == 1 && at < want {
				t.Errorf("attempt %d began after %v, want %v", i+1, at, want)
			}
		}
	})
}

func TestRetriesEnd(t *testing.T) {
	unavailable := step{status: 503, body: problem("unavailable", "away")}
	synctest.Test(t, func(t *testing.T) { // when the time is used up
		c, s := scripted(t, client.Retry{MaxElapsed: 10 * time.Second, MinDelay: time.Second})
		for range 1000 {
			s.steps = append(s.steps, unavailable)
		}
		start := time.Now()
		_, err := c.Submit(t.Context(), order)
		if took := time.Since(start); rbcs.CodeOf(err) != rbcs.Unavailable || took > 10*time.Second || took < 5*time.Second {
			t.Errorf("after %v: %v", took, err)
		}
		s.steps = nil
	})
	synctest.Test(t, func(t *testing.T) { // at once where Retry-After lies behind the end
		c, _ := scripted(t, client.Retry{}, step{status: 503, retryAfter: "3600", body: unavailable.body})
		start := time.Now()
		_, err := c.Submit(t.Context(), order)
		var e *client.Error
		if !errors.As(err, &e) || e.RetryAfter != time.Hour || time.Since(start) != 0 {
			t.Errorf("after %v: %#v", time.Since(start), err)
		}
	})
	synctest.Test(t, func(t *testing.T) { // at once where the deadline comes first
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		c, _ := scripted(t, client.Retry{}, step{status: 503, retryAfter: "6", body: unavailable.body})
		start := time.Now()
		if _, err := c.Submit(ctx, order); rbcs.CodeOf(err) != rbcs.Unavailable || time.Since(start) != 0 {
			t.Errorf("after %v: %v", time.Since(start), err)
		}
	})
}

// TestStop: a wait ends at once, a request that is under way does not.
func TestStop(t *testing.T) {
	away := step{status: 503, retryAfter: "10", body: problem("unavailable", "away")}
	for _, c := range []struct {
		name  string
		first step
		took  time.Duration
		want  rbcs.Code
	}{
		{"while the next attempt is awaited", away, time.Second, rbcs.Unavailable},
		{"while one is under way that fails", step{takes: 5 * time.Second, err: errReset}, 5 * time.Second, rbcs.OutcomeUnknown},
		{"while one is under way that is answered", step{takes: 5 * time.Second, status: 201, body: posted}, 5 * time.Second, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				stop := make(chan struct{})
				time.AfterFunc(time.Second, func() { close(stop) })
				cl, _ := scripted(t, client.Retry{Stop: stop}, c.first)
				start := time.Now()
				_, err := cl.Submit(t.Context(), order)
				if took := time.Since(start); rbcs.CodeOf(err) != c.want || took != c.took {
					t.Errorf("after %v: %v, want %q after %v", took, err, c.want, c.took)
				}
			})
		})
	}
}

// TestStopKeepsToOneInstance: the next one is not tried either.
func TestStopKeepsToOneInstance(t *testing.T) {
	stop := make(chan struct{})
	close(stop)
	s := &script{t: t, steps: []step{{err: errRefused}}}
	c, err := client.New("http://a.test", client.WithInstances("http://b.test"), client.WithHTTPClient(s.client()), client.WithRetry(client.Retry{Stop: stop}))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Submit(t.Context(), order); rbcs.CodeOf(err) != rbcs.Unavailable || len(s.sent) != 1 {
		t.Errorf("it was sent %d times: %v", len(s.sent), err)
	}
}

func TestAContextThatEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { // while a request is under way
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		c, _ := scripted(t, client.Retry{}, step{takes: time.Minute})
		_, err := c.Submit(ctx, order)
		if !errors.Is(err, context.DeadlineExceeded) || rbcs.CodeOf(err) != rbcs.OutcomeUnknown {
			t.Errorf("got %v, want outcome unknown because of the deadline", err)
		}
	})
	synctest.Test(t, func(t *testing.T) { // while the next attempt is awaited
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(time.Second, cancel)
		c, _ := scripted(t, client.Retry{}, step{status: 503, retryAfter: "10", body: problem("unavailable", "away")})
		start := time.Now()
		_, err := c.Submit(ctx, order)
		if !errors.Is(err, context.Canceled) || rbcs.CodeOf(err) != rbcs.Unavailable || time.Since(start) != time.Second {
			t.Errorf("after %v: %v, want unavailable, cancelled", time.Since(start), err)
		}
	})
}
