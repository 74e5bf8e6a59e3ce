package rest

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"rbcs"
)

// TestStatusTable goes through every code, both as the whole answer and inside a batch.
func TestStatusTable(t *testing.T) {
	statuses := map[rbcs.Code]int{
		rbcs.InvalidRequest: 400, rbcs.NotFound: 404, rbcs.IDConflict: 409, rbcs.AccountConflict: 409, rbcs.VersionNotReached: 409,
		rbcs.Overloaded: 429, rbcs.Unavailable: 503, rbcs.OutcomeUnknown: 503, rbcs.Internal: 500,
	}
	for code, status := range statuses {
		e := &rbcs.Error{
			Code: code, Message: "what happened", Err: errors.New("password=secret"),
			Fields: []rbcs.FieldError{{Pointer: "/x", Message: "is wrong"}},
		}
		retryAfter := ""
		if status == 429 || status == 503 {
			retryAfter = "1"
		}
		check := func(name string, w *httptest.ResponseRecorder) {
			t.Helper()
			p := wantProblem(t, w, status, code)
			hidden := code == rbcs.Unavailable || code == rbcs.OutcomeUnknown || code == rbcs.Internal
			if (p["detail"] == "what happened") == hidden || strings.Contains(w.Body.String(), "secret") || p["errors"] == nil {
				t.Errorf("%s: %s", name, w.Body)
			}
			if got := w.Header().Get("Retry-After"); got != retryAfter {
				t.Errorf("%s %s: Retry-After %q, want %q", name, code, got, retryAfter)
			}
		}
		fails := newHandler(t, &fakeStore{err: e}, &fakeEngine{err: e})
		check("single", call(fails, "POST", "/v1/transactions", validTx))
		batch := `{"transactions":[` + validTx + `,{"id":"bad"}]}`
		check("dry run", call(fails, "POST", "/v1/transactions/batch?dry_run=true", batch))
		w := call(fails, "POST", "/v1/transactions/batch", batch)
		if code == rbcs.OutcomeUnknown || code == rbcs.Unavailable || code == rbcs.Internal { // what is malformed is told also then
			items := object(t, w.Body.Bytes())["results"].([]any)
			wantMembers(t, items[0].(map[string]any), map[string]string{"status": "error", "code": string(code), "id": "t1", "retryable": "true"})
			wantMembers(t, items[1].(map[string]any), map[string]string{"status": "error", "code": "invalid_request", "id": "bad", "retryable": "false"})
			if w.Code != 200 || len(items) != 2 || strings.Contains(w.Body.String(), "secret") {
				t.Errorf("%s of a whole batch: %d %s", code, w.Code, w.Body)
			}
		} else {
			check("batch", w)
		}
		check("read", call(fails, "GET", "/v1/accounts/a", ""))
		check("account", call(fails, "POST", "/v1/accounts", `{"number":"a","currency":"USD"}`))

		inside := newHandler(t, &fakeStore{}, &fakeEngine{decide: func(t *rbcs.Transaction) rbcs.Result {
			return rbcs.Result{Transaction: *t, Err: e}
		}})
		check("result", call(inside, "POST", "/v1/transactions", validTx))
		w = call(inside, "POST", "/v1/transactions/batch", `{"transactions":[`+validTx+`]}`)
		item := object(t, w.Body.Bytes())["results"].([]any)[0].(map[string]any)
		if w.Code != 200 || item["code"] != string(code) || item["retryable"] != e.Retryable() || item["id"] != "t1" {
			t.Errorf("%s in a batch: %s", code, w.Body)
		}
	}
	for _, code := range rbcs.RejectionCodes() {
		if got := statusOf(code); got != 422 {
			t.Errorf("%s is %d", code, got)
		}
	}
}

// TestDriversAreNotQuoted: whatever a store's error says, and wherever it is
// shown, a client never reads what the driver said. The log does.
func TestDriversAreNotQuoted(t *testing.T) {
	const secret = "failed to connect to user=rbcs host=10.1.2.3"
	for _, code := range []rbcs.Code{rbcs.Unavailable, rbcs.OutcomeUnknown, rbcs.Internal} {
		for name, e := range map[string]*rbcs.Error{
			"quoted":  rbcs.Errorf(code, "the read failed: %w", errors.New(secret)),
			"nested":  rbcs.Errorf(code, "outer: %w", rbcs.Errorf(code, "inner: %w", errors.New(secret))),
			"another": {Code: code, Message: "the read failed: " + secret, Err: errors.New("EOF")},
			"beside":  {Code: code, Message: "the read failed", Err: errors.New(secret)},
		} {
			var log bytes.Buffer
			h := newHandler(t, &fakeStore{err: e}, &fakeEngine{decide: func(t *rbcs.Transaction) rbcs.Result {
				return rbcs.Result{Transaction: *t, Err: e}
			}}, func(c *Config) {
				c.Logger = slog.New(slog.NewTextHandler(&log, nil))
				c.Ready = func(context.Context) (string, error) { return "", e }
			})
			for _, w := range []*httptest.ResponseRecorder{
				call(h, "GET", "/v1/accounts/a", ""), call(h, "GET", "/readyz", ""),
				call(h, "POST", "/v1/transactions", validTx), call(h, "POST", "/v1/transactions/batch", `{"transactions":[`+validTx+`]}`),
			} {
				if body := w.Body.String(); strings.Contains(body, "10.1.2.3") || strings.Contains(body, "user=") || !strings.Contains(body, string(code)) && w.Code != 503 {
					t.Errorf("%s %s: %s", code, name, body)
				}
			}
			if !strings.Contains(log.String(), secret) {
				t.Errorf("%s %s: the log has lost the cause: %s", code, name, &log)
			}
		}
	}
}

func TestRetryAfterIsRoundedUp(t *testing.T) {
	e := &rbcs.Error{Code: rbcs.Overloaded, Message: "full", RetryAfter: 1200 * time.Millisecond}
	w := call(newHandler(t, &fakeStore{err: e}, &fakeEngine{err: e}), "POST", "/v1/transactions", validTx)
	if got := w.Header().Get("Retry-After"); got != "2" {
		t.Errorf("Retry-After %q", got)
	}
}

// TestEveryRejectionHasASentence of its own.
func TestEveryRejectionHasASentence(t *testing.T) {
	seen := map[string]rbcs.Code{}
	for _, code := range rbcs.RejectionCodes() {
		h := newHandler(t, &fakeStore{}, &fakeEngine{decide: func(t *rbcs.Transaction) rbcs.Result { return rejected(t, code) }})
		p := wantProblem(t, call(h, "POST", "/v1/transactions", validTx), 422, code)
		detail := p["detail"].(string)
		if other, twice := seen[detail]; twice {
			t.Errorf("%s and %s say the same: %s", code, other, detail)
		}
		seen[detail] = code
		if strings.Contains(detail, "%!") {
			t.Error(detail)
		}
	}
}

func TestForeignErrors(t *testing.T) {
	var log bytes.Buffer
	logged := func(c *Config) { c.Logger = slog.New(slog.NewTextHandler(&log, nil)) }
	h := newHandler(t, &fakeStore{err: errors.New("disk on fire")}, &fakeEngine{err: errors.New("disk on fire")}, logged)
	for _, w := range []*httptest.ResponseRecorder{
		call(h, "POST", "/v1/transactions", validTx), call(h, "GET", "/v1/accounts/a", ""),
	} {
		p := wantProblem(t, w, 500, rbcs.Internal)
		if strings.Contains(p["detail"].(string), "fire") {
			t.Errorf("the cause was shown: %v", p)
		}
	}
	if got := strings.Count(log.String(), "disk on fire"); got != 2 {
		t.Errorf("two failures were logged %d times: %s", got, &log)
	}
	h = newHandler(t, &fakeStore{err: context.DeadlineExceeded}, &fakeEngine{})
	wantProblem(t, call(h, "GET", "/v1/accounts/a", ""), 503, rbcs.Unavailable)
}

// TestOneWarningASecond: an outage does not flood the log, nor does a client that went away stand in it.
func TestOneWarningASecond(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		store := &fakeStore{err: rbcs.Errorf(rbcs.Unavailable, "the database is away")}
		h := newHandler(t, store, &fakeEngine{}, func(c *Config) { c.Logger = slog.New(slog.NewTextHandler(&log, nil)) })
		for range 5 {
			call(h, "GET", "/v1/accounts/a", "")
		}
		time.Sleep(time.Second)
		call(h, "GET", "/v1/accounts/a", "")
		time.Sleep(time.Second)
		store.err = rbcs.Errorf(rbcs.Unavailable, "the read was given up: %w", context.Canceled)
		call(h, "GET", "/v1/accounts/a", "")
		if got := strings.Count(log.String(), "level=WARN"); got != 2 {
			t.Errorf("%d warnings: %s", got, &log)
		}
	})
}

// short breaks the engine's promise of one result for each transaction.
type short struct{ Submitter }

func (short) Submit(context.Context, []*rbcs.Transaction) ([]rbcs.Result, error) { return nil, nil }

func TestMissingResults(t *testing.T) {
	wantProblem(t, call(newHandler(t, &fakeStore{}, short{}), "POST", "/v1/transactions", validTx), 500, rbcs.Internal)
	wantProblem(t, call(newHandler(t, &fakeStore{}, short{}), "POST", "/v1/accounts", `{"number":"a","currency":"USD"}`), 500, rbcs.Internal)
}

// stuck never answers; it only honours its context.
type stuck struct{ Submitter }

func (stuck) Submit(ctx context.Context, _ []*rbcs.Transaction) ([]rbcs.Result, error) {
	<-ctx.Done()
	return nil, ctx.Err()
}

// TestNobodyIsLeftWaiting: after the bound of a request its outcome is unknown, and that is said.
func TestNobodyIsLeftWaiting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHandler(t, &fakeStore{}, stuck{})
		start := time.Now()
		w := call(h, "POST", "/v1/transactions", validTx)
		wantProblem(t, w, 503, rbcs.OutcomeUnknown)
		if waited := time.Since(start); waited != DefaultRequestTimeout {
			t.Errorf("it took %v", waited)
		}
		if w.Header().Get("Retry-After") == "" {
			t.Error("there is no Retry-After")
		}
	})
}

type panics struct{ Submitter }

func (panics) Submit(context.Context, []*rbcs.Transaction) ([]rbcs.Result, error) { panic("a bug") }

func TestPanic(t *testing.T) {
	var log bytes.Buffer
	h := newHandler(t, &fakeStore{}, panics{}, func(c *Config) { c.Logger = slog.New(slog.NewTextHandler(&log, nil)) })
	id := strings.Repeat("r", maxRequestID)
	p := wantProblem(t, call(h, "POST", "/v1/transactions", validTx, "X-Request-Id", id+"more"), 500, rbcs.Internal)
	if strings.Contains(p["detail"].(string), "a bug") || !strings.Contains(log.String(), "a bug") || !strings.Contains(log.String(), "request_id="+id+" ") {
		t.Errorf("detail %q, log %s", p["detail"], &log)
	}
}

// TestPanicInTheMiddle: what was half sent must not look whole.
func TestPanicInTheMiddle(t *testing.T) {
	half := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write([]byte("half"))
		panic("a bug")
	})
	h := newHandler(t, &fakeStore{}, &fakeEngine{}, func(c *Config) { c.Dashboard = half })
	defer func() {
		if recover() != http.ErrAbortHandler { //nolint:errorlint // the sentinel itself
			t.Error("the connection was not broken")
		}
	}()
	call(h, "GET", "/", "")
}

func TestProbes(t *testing.T) {
	var database string
	var down error
	h := newHandler(t, &fakeStore{}, &fakeEngine{}, func(c *Config) {
		c.Ready = func(context.Context) (string, error) { return database, down }
	})
	c := newClient(t, h)
	alone := c.want(200, "GET", "/readyz", "/readyz", "")
	wantMembers(t, alone, map[string]string{"status": "ok", "version": "test"})
	if told, is := alone["database"]; is {
		t.Errorf("it tells a database that nobody shares: %v", told)
	}
	database = "0123456789abcdef"
	wantMembers(t, c.want(200, "GET", "/readyz", "/readyz", ""), map[string]string{"status": "ok", "database": database})
	down = rbcs.Errorf(rbcs.Unavailable, "the service is stopping")
	p := wantProblem(t, call(h, "GET", "/readyz", ""), 503, rbcs.Unavailable)
	if p["detail"] != "not ready: the service is stopping" {
		t.Errorf("detail %q", p["detail"])
	}
	c.want(200, "GET", "/livez", "/livez", "")
}

// TestMetrics: routes, not paths, are labels; outcomes are counted one by one.
func TestMetrics(t *testing.T) {
	engine := &fakeEngine{decide: func(t *rbcs.Transaction) rbcs.Result {
		switch t.ID {
		case "poor":
			return rejected(t, rbcs.InsufficientFunds)
		case "again":
			r := posted(t)
			r.Replayed = true
			return r
		}
		return posted(t)
	}}
	h := newHandler(t, &fakeStore{}, engine)
	call(h, "POST", "/v1/transactions", validTx)
	call(h, "POST", "/v1/transactions", tx("amount", "1"))
	call(h, "POST", "/v1/transactions/batch", `{"transactions":[`+validTx+`,`+tx("id", `"poor"`)+`,`+tx("id", `"again"`)+`,{}]}`)
	call(h, "GET", "/v1/secret/path", "")
	text := call(h, "GET", "/metrics", "").Body.String()
	for _, line := range []string{
		`rbcs_transactions_total{code="",outcome="posted"} 2`,
		`rbcs_transactions_total{code="",outcome="replayed"} 1`,
		`rbcs_transactions_total{code="insufficient_funds",outcome="rejected"} 1`,
		`rbcs_transactions_total{code="invalid_request",outcome="error"} 2`,
		`rbcs_http_requests_total{route="POST /v1/transactions",status="201"} 1`,
		`rbcs_http_requests_total{route="POST /v1/transactions",status="400"} 1`,
		`rbcs_http_requests_total{route="/",status="404"} 1`,
		`rbcs_request_batch_size_sum 4`,
		`rbcs_http_requests_in_flight 1`, // this one
	} {
		if !slices.Contains(strings.Split(text, "\n"), line) {
			t.Errorf("missing: %s", line)
		}
	}
	if strings.Contains(text, "secret") {
		t.Error("a path became a label")
	}
}

func TestConfigFaults(t *testing.T) {
	_, err := New(Config{MaxBody: -1, MaxBodies: -1, RequestTimeout: -1})
	for _, what := range []string{"Store", "Engine", "Currencies", "MaxBody", "MaxBodies", "RequestTimeout"} {
		if err == nil || !strings.Contains(err.Error(), what) {
			t.Errorf("%s is not in %v", what, err)
		}
	}
}

// TestServerIsPatient enough for every answer, and not with clients that take none.
func TestServerIsPatient(t *testing.T) {
	s := NewServer(nil, slog.New(slog.DiscardHandler))
	longest := s.ReadTimeout + DefaultRequestTimeout
	if s.WriteTimeout < 2*longest || s.WriteTimeout > 5*time.Minute {
		t.Errorf("an answer has %v, to read and decide may take %v", s.WriteTimeout, longest)
	}
}

// TestServer goes over a real connection: lengths, bounds of headers.
func TestServer(t *testing.T) {
	srv := httptest.NewUnstartedServer(nil)
	srv.Config = NewServer(newHandler(t, &fakeStore{}, &fakeEngine{}), slog.New(slog.DiscardHandler))
	srv.Start()
	defer srv.Close()
	res, err := http.Post(srv.URL+"/v1/transactions", jsonType, strings.NewReader(validTx))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	if res.StatusCode != 201 || res.ContentLength <= 0 {
		t.Errorf("status %d, length %d", res.StatusCode, res.ContentLength)
	}
	req, err := http.NewRequestWithContext(t.Context(), "GET", srv.URL+"/livez", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("X-Large", strings.Repeat("x", 64<<10))
	res, err = http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	if res.StatusCode != http.StatusRequestHeaderFieldsTooLarge {
		t.Errorf("a header of 64 KiB got %d", res.StatusCode)
	}
}

func TestTimesAreWritten(t *testing.T) {
	for _, want := range []string{
		"2026-01-02T03:04:05.000000Z", "2026-01-02T03:04:05.123456Z", "0001-01-01T00:00:00.000001Z", "9999-12-31T23:59:59.999999Z",
	} {
		at, err := rbcs.ParseTime(want)
		if got := formatTime(at.In(time.FixedZone("", 3600))); err != nil || got != want {
			t.Errorf("%s is written %s, %v", want, got, err)
		}
	}
}

func TestStrings(t *testing.T) {
	for text, want := range map[string]string{
		"":               `""`,
		`a"b\c`:          `"a\"b\\c"`,
		"é😀<&>\u2028":    "\"é😀<&>\u2028\"",
		"a\x00\x1f\nb":   `"a\u0000\u001f\u000ab"`,
		"a\xffb\xf0\x9f": "\"a\ufffdb\ufffd\ufffd\"",
		"\x7f":           "\"\x7f\"",
	} {
		if got := string(appendString(nil, text)); got != want {
			t.Errorf("%q is written %s, want %s", text, got, want)
		}
	}
	if got := shorten(strings.Repeat("é", 100)); len(got) > 70 || !strings.HasSuffix(got, "…") {
		t.Errorf("shortened to %q", got)
	}
}
