package gateway

import (
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"time"

	"rbcs"
)

// untilBoth sends requests until both instances have got some, and returns the answers.
func untilBoth(t *testing.T, u *under, a, b *fake, method, path, body string) (answers []answer) {
	t.Helper()
	await(t, "both instances to be called", func() bool {
		answers = append(answers, u.do(method, path, body))
		return a.calls.Load() > 0 && b.calls.Load() > 0
	})
	return answers
}

// TestSendsAgain loses requests in every way in which nothing of the answer was
// passed on. The client sees nothing of it.
func TestSendsAgain(t *testing.T) {
	for name, bad := range map[string]http.HandlerFunc{
		"closed": dies,
		"half an answer": func(w http.ResponseWriter, _ *http.Request) {
			hijack(w, "HTTP/1.1 201 Created\r\nContent-Length: 100\r\n\r\nhalf")
		},
		"no HTTP":         func(w http.ResponseWriter, _ *http.Request) { hijack(w, "220 ready\r\n") },
		"stopping":        problem(http.StatusServiceUnavailable, rbcs.Unavailable),
		"outcome unknown": problem(http.StatusServiceUnavailable, rbcs.OutcomeUnknown),
	} {
		t.Run(name, func(t *testing.T) {
			a, b := newFake(t, bad), newFake(t, echo)
			u := newGateway(t, Config{}, a, b)
			for _, got := range untilBoth(t, u, a, b, http.MethodPost, transactions, `{"id":"1"}`) {
				if got.status != http.StatusCreated || got.body != `{"id":"1"}` {
					t.Fatalf("got %+v", got)
				}
			}
			if metric(t, u, "rbcs_gateway_resent_total") < 1 {
				t.Error("nothing was counted as sent again")
			}
		})
	}
}

// TestSendsABatchAgain where items of it may be done elsewhere, and not where
// they are only wrong.
func TestSendsABatchAgain(t *testing.T) {
	for item, again := range map[string]bool{
		`{"status":"error","code":"unavailable","retryable":true}`:                                 true,
		`{"status":"posted"},{"status":"error","code":"outcome_unknown","retryable":true}`:         true,
		`{"status":"error","code":"overloaded","retryable":true}`:                                  false,
		`{"status":"error","code":"invalid_request","retryable":false}`:                            false,
		`{"status":"posted","description":"\"code\":\"unavailable\",\"retryable\":true"}`:          false,
		`{"status":"rejected","code":"insufficient_funds"},{"status":"posted","id":"unavailable"}`: false,
	} {
		a, b := newFake(t, says(http.StatusOK, `{"results":[`+item+`]}`)), newFake(t, echo)
		t.Run("both", func(t *testing.T) { // each gateway ends before the next one begins
			u := newGateway(t, Config{}, a, b)
			seen := 0
			for _, got := range untilBoth(t, u, a, b, http.MethodPost, transactions+"/batch", "x") {
				if got.status == http.StatusOK {
					seen++
				}
			}
			if (seen == 0) != again {
				t.Errorf("%s: the client saw it %d times", item, seen)
			}
		})
		t.Run("only", func(t *testing.T) {
			if only := newGateway(t, Config{}, a).do(http.MethodPost, transactions+"/batch", "x"); only.status != http.StatusOK {
				t.Errorf("%s: without another instance it is answered with %+v", item, only)
			}
		})
	}
}

// TestDoubtOfAnAnswer stays, where the next instance cannot be reached.
func TestDoubtOfAnAnswer(t *testing.T) {
	for body, status := range map[string]int{
		`{"results":[{"status":"posted"},{"status":"error","code":"unavailable","retryable":true}]}`: http.StatusOK,
		`{"code":"outcome_unknown"}`: http.StatusServiceUnavailable,
	} {
		b := newFake(t, echo)
		a := newFake(t, func(w http.ResponseWriter, r *http.Request) {
			b.server.Close()
			says(status, body)(w, r)
		})
		u := newGateway(t, Config{ProbeEvery: time.Hour}, a, b)
		await(t, "the first instance to be called", func() bool {
			got := u.do(http.MethodPost, transactions+"/batch", "x")
			if a.calls.Load() == 1 && got.code() != rbcs.OutcomeUnknown {
				t.Errorf("%s: got %+v", body, got)
			}
			return a.calls.Load() > 0
		})
	}
}

// TestSendsAgainWhereNobodyListens needs no request that may be repeated.
func TestSendsAgainWhereNobodyListens(t *testing.T) {
	a, b := newFake(t, echo), newFake(t, echo)
	a.server.Config.SetKeepAlivesEnabled(false) // a request on a connection that is being closed is in doubt
	u := newGateway(t, Config{ProbeEvery: time.Hour}, a, b)
	a.server.Close()
	for range 20 {
		if got := u.do(http.MethodPost, "/v1/webhooks", "x"); got.status != http.StatusCreated {
			t.Fatalf("got %+v", got)
		}
	}
}

// TestDoesNotRepeat leaves alone what a second time would change.
func TestDoesNotRepeat(t *testing.T) {
	a, b := newFake(t, dies), newFake(t, echo)
	u := newGateway(t, Config{}, a, b)
	lost := 0
	for _, got := range untilBoth(t, u, a, b, http.MethodPost, "/v1/webhooks", "x") {
		if got.status == http.StatusServiceUnavailable && got.code() == rbcs.OutcomeUnknown && got.header.Get("Retry-After") != "" {
			lost++
		} else if got.status != http.StatusCreated {
			t.Errorf("got %+v", got)
		}
	}
	if lost != int(a.calls.Load()) {
		t.Errorf("%d requests were lost and %d told so", a.calls.Load(), lost)
	}
}

// TestDoubtStays: where an instance was lost, what another one says of its own
// try is not the outcome.
func TestDoubtStays(t *testing.T) {
	for name, second := range map[string]http.HandlerFunc{
		"unavailable": problem(http.StatusServiceUnavailable, rbcs.Unavailable),
		"overloaded":  problem(http.StatusTooManyRequests, rbcs.Overloaded),
		"internal":    problem(http.StatusInternalServerError, rbcs.Internal),
		"lost":        dies,
	} {
		t.Run(name, func(t *testing.T) {
			a, b := newFake(t, dies), newFake(t, second)
			u := newGateway(t, Config{}, a, b)
			await(t, "doubt", func() bool {
				calls := a.calls.Load()
				got := u.do(http.MethodPost, transactions, "x")
				wasLost := a.calls.Load() > calls
				if wasLost && got.code() != rbcs.OutcomeUnknown {
					t.Fatalf("got %+v", got)
				}
				if name != "lost" && !wasLost && got.code() == rbcs.OutcomeUnknown {
					t.Fatalf("nothing was lost, got %+v", got)
				}
				read := u.do(http.MethodGet, "/v1/accounts/a", "")
				if read.code() == rbcs.OutcomeUnknown {
					t.Fatalf("a read has no outcome, got %+v", read)
				}
				return wasLost
			})
		})
	}
}

// TestAnswerOfTheOnlyInstance is passed on where there is no other.
func TestAnswerOfTheOnlyInstance(t *testing.T) {
	a := newFake(t, problem(http.StatusServiceUnavailable, rbcs.Unavailable))
	u := newGateway(t, Config{}, a)
	if got := u.do(http.MethodPost, transactions, "x"); got.status != http.StatusServiceUnavailable || got.body != `{"code":"unavailable"}` || a.calls.Load() != 1 {
		t.Errorf("got %+v after %d calls", got, a.calls.Load())
	}
}

func TestNoInstance(t *testing.T) {
	a := newFake(t, echo)
	a.notReady.Store(true)
	u := newGateway(t, Config{}, a)
	got := u.do(http.MethodPost, transactions, "x")
	if got.status != http.StatusServiceUnavailable || got.code() != rbcs.Unavailable || got.header.Get("Retry-After") != "1" ||
		got.header.Get("Content-Type") != "application/problem+json" || !strings.Contains(got.body, "no instance") {
		t.Errorf("got %+v", got)
	}
	if got := u.do(http.MethodGet, "/readyz", ""); got.status != http.StatusServiceUnavailable || !strings.Contains(got.body, "none of the 1 known") {
		t.Errorf("readiness: got %+v", got)
	}
	if got := u.do(http.MethodGet, "/livez", ""); got.status != http.StatusOK {
		t.Errorf("liveness: got %+v", got)
	}
	a.notReady.Store(false)
	await(t, "readiness", func() bool { return u.do(http.MethodGet, "/readyz", "").status == http.StatusOK })
}

// TestBudgetBoundsAmplification: where every instance fails, hardly more is sent than came.
func TestBudgetBoundsAmplification(t *testing.T) {
	now := time.Now()
	failing := problem(http.StatusServiceUnavailable, rbcs.Unavailable)
	fakes := []*fake{newFake(t, failing), newFake(t, failing), newFake(t, failing)}
	u := newGateway(t, Config{Now: func() time.Time { return now }}, fakes...) // the clock stands: nothing is saved up by time
	const requests = 1000
	for range requests {
		u.do(http.MethodGet, "/v1/accounts/a", "")
	}
	sent := fakes[0].calls.Load() + fakes[1].calls.Load() + fakes[2].calls.Load()
	if most := int64(requests*(1+budgetShare) + budgetLeast); sent > most || sent <= requests {
		t.Errorf("%d requests were sent for %d, at most %d may", sent, requests, most)
	}
	if metric(t, u, "rbcs_gateway_resend_budget_exhausted_total") == 0 {
		t.Error("the budget was not exhausted")
	}
}

func TestBudget(t *testing.T) {
	now := time.Now()
	b := newBudget(now)
	take := func() (n int) {
		for b.withdraw(now) {
			n++
		}
		return n
	}
	if got := take(); got != budgetLeast {
		t.Errorf("%d at the start, want %d", got, budgetLeast)
	}
	for range 50 {
		b.deposit()
	}
	if got := take(); got < 9 || got > 10 { // 50 · 0.2, in floating point
		t.Errorf("%d after 50 requests, want 10", got)
	}
	now = now.Add(3 * time.Second)
	if got := take(); got < 30 || got > 31 {
		t.Errorf("%d after 3 seconds, want 30", got)
	}
	now = now.Add(time.Hour)
	if got := take(); got != budgetMost {
		t.Errorf("%d after an hour, want %d", got, budgetMost)
	}
}

// TestLostReadIsInNoDoubt, by whichever method: nothing can have been carried out.
func TestLostReadIsInNoDoubt(t *testing.T) {
	a := newFake(t, dies)
	for path, method := range map[string]string{"/v1/accounts/a": http.MethodGet, "/v1/transactions": http.MethodOptions, "/v1/balances/get": http.MethodPost} {
		t.Run(path, func(t *testing.T) { // each gateway ends before the next one begins
			if got := newGateway(t, Config{}, a).do(method, path, "x"); got.code() != rbcs.Unavailable {
				t.Errorf("%s: got %+v", method, got)
			}
		})
	}
}

func TestRepeatable(t *testing.T) {
	for request, want := range map[string]bool{
		"GET /v1/anything":                       true,
		"HEAD /":                                 true,
		"POST /v1/transactions":                  true,
		"POST /v1/transactions/batch":            true,
		"POST /v1/transactions/a%2Fb/capture":    true,
		"POST /v1/transactions/x/release":        true,
		"POST /v1/transactions/x/reverse":        true,
		"POST /v1/accounts":                      true,
		"POST /v1/accounts/batch":                true,
		"POST /v1/balances/get":                  true,
		"PATCH /v1/accounts/a":                   false,
		"POST /v1/transactions/x/retry":          false,
		"POST /v1/transactions/capture":          false,
		"POST /v1/transactions/x/y/capture":      false,
		"POST /v1/webhooks":                      false,
		"PATCH /v1/webhooks/1":                   false,
		"DELETE /v1/webhooks/1":                  false,
		"POST /v1/intake/1/replay":               false,
		"PUT /v1/transactions":                   false,
		"POST /v1/transactions/":                 false,
		"POST /v2/transactions":                  false,
		"POST /v1/accounts/batch/transactions/x": false,
	} {
		method, path, _ := strings.Cut(request, " ")
		if got := repeatable(method, path); got != want {
			t.Errorf("repeatable(%s) = %v", request, got)
		}
	}
}

// metric returns the sum of the series of a name.
func metric(t *testing.T, u *under, name string) (sum float64) {
	t.Helper()
	w := httptest.NewRecorder()
	u.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/metrics", nil))
	found := false
	for line := range strings.Lines(w.Body.String()) {
		if !strings.HasPrefix(line, name+" ") && !strings.HasPrefix(line, name+"{") {
			continue
		}
		fields := strings.Fields(line)
		value, err := strconv.ParseFloat(fields[len(fields)-1], 64)
		if err != nil {
			t.Fatal(err)
		}
		found, sum = true, sum+value
	}
	if !found {
		t.Fatalf("there is no metric %s", name)
	}
	return sum
}

// TestTriesAreBounded in their number and their time, whatever is left to try.
func TestTriesAreBounded(t *testing.T) {
	var fakes []*fake
	for range maxTries + 2 {
		fakes = append(fakes, newFake(t, dies))
	}
	u := newGateway(t, Config{}, fakes...)
	if got := u.do(http.MethodPost, transactions, "x"); got.code() != rbcs.OutcomeUnknown {
		t.Errorf("got %+v", got)
	}
	var calls int64
	for _, f := range fakes {
		calls += f.calls.Load()
	}
	if calls != maxTries {
		t.Errorf("it was sent %d times", calls)
	}
	one := &tries{tried: u.pool.takers()[:1]}
	if g := (resender{u.Gateway}); !g.mayResend(&exchange{start: time.Now()}, one) || g.mayResend(&exchange{start: time.Now().Add(-tryUntil)}, one) {
		t.Error("the time of the tries is not bounded")
	}
}
