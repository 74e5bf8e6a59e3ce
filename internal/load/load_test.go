package load

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"rbcs"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, // these two end by themselves, some seconds later, or are the library's for good
		goleak.IgnoreAnyFunction("github.com/valyala/fasthttp.(*HostClient).connsCleaner"),
		goleak.IgnoreAnyFunction("github.com/valyala/fasthttp.(*TCPDialer).tcpAddrsClean"))
}

// small is a run that takes a moment.
func small(url string, workload Workload, batch int) Config {
	return Config{
		URL: url, Workload: workload, Clients: 4, Duration: 150 * time.Millisecond, Batch: batch, Accounts: 20, Seed: 1,
		ResolveFor: 10 * time.Second,
	}
}

func mustRun(t *testing.T, cfg Config) *Report {
	t.Helper()
	report, err := Run(t.Context(), cfg, new(atomic.Int64))
	if err != nil {
		t.Fatal(err)
	}
	return report
}

func TestHonestService(t *testing.T) {
	for _, workload := range Workloads() {
		for _, batch := range []int{1, 10} {
			f := &fake{}
			r := mustRun(t, small(f.start(t), workload, batch))
			if !r.OK() || r.Check.Difference != "0.00" || r.Requests == 0 || r.FirstError != "" {
				t.Errorf("%s, batch %d: %+v", workload, batch, r)
			}
			if n := int64(len(f.recorded)); n != r.Transactions.Posted {
				t.Errorf("%s, batch %d: %d recorded, %d counted", workload, batch, n, r.Transactions.Posted)
			}
			if wrote, read := r.Transactions.Posted > 0, r.Reads.OK > 0; wrote != (workload != Read) || read != (workload == Read || workload == Mixed) {
				t.Errorf("%s, batch %d: %d posted, %d read", workload, batch, r.Transactions.Posted, r.Reads.OK)
			}
		}
	}
}

// TestLiesAreFound: a service that books something else than it acknowledges,
// just once, is caught.
func TestLiesAreFound(t *testing.T) {
	f := &fake{lie: func(n int, cents int64) int64 {
		if n == 3 {
			return cents + 1
		}
		return cents
	}}
	r := mustRun(t, small(f.start(t), Uniform, 1))
	if r.OK() || r.Check.Differences != 1 || r.Check.Difference != "0.01" || len(r.Check.Examples) != 1 {
		t.Errorf("got %+v", r.Check)
	}

	// Money moves back and forth by itself: only the version shows it.
	f = corrupted(func(a *fakeAccount) { a.version += 2 })
	r = mustRun(t, small(f.start(t), Uniform, 1))
	if r.OK() || r.Check.Differences != 1 || r.Check.Difference != "0.00" || !strings.HasPrefix(r.Check.Examples[0].Found, "version ") {
		t.Errorf("got %+v", r.Check)
	}

	f = corrupted(func(a *fakeAccount) { a.held += 5 }) // that nobody asked for
	r = mustRun(t, small(f.start(t), Hold, 1))
	if r.OK() || r.Check.Differences != 1 || r.Check.Difference != "0.05" || !strings.HasSuffix(r.Check.Examples[0].Found, " held") {
		t.Errorf("got %+v", r.Check)
	}

	f = &fake{behind: 1}
	r = mustRun(t, small(f.start(t), Mixed, 1))
	if r.OK() || r.Reads.Stale == 0 || r.Check.Differences != 0 {
		t.Errorf("got %+v %+v", r.Reads, r.Check)
	}
}

func TestLostAccounts(t *testing.T) {
	var once sync.Once
	f := &fake{}
	f.after = func(int, http.ResponseWriter) bool {
		once.Do(func() {
			f.mu.Lock()
			defer f.mu.Unlock()
			for number := range f.accounts {
				f.accounts[number+"x"] = &fakeAccount{}
				break
			}
		})
		return false
	}
	if r := mustRun(t, small(f.start(t), Uniform, 1)); r.OK() || r.Check.Differences != 1 || r.Check.Examples[0].Expected != "no such account" {
		t.Errorf("got %+v", r.Check)
	}
}

// TestUnknownOutcomes: answers are lost before and after the commit, and items
// of batches have none. All are asked for again, and nothing is counted twice.
func TestUnknownOutcomes(t *testing.T) {
	lose := func(n int, w http.ResponseWriter) bool { return n < 100 && n%5 == 0 && drop(w) }
	item := func(n, i int) string {
		if n < 100 && n%5 == 1 && i == 3 {
			return `{"status":"error","code":"outcome_unknown","retryable":true}`
		}
		return ""
	}
	for name, f := range map[string]*fake{
		"before": {before: lose},
		"after":  {after: lose},
		"item":   {item: item},
		"unknown": {after: func(n int, w http.ResponseWriter) bool {
			return n < 100 && n%5 == 0 && problem(w, 503, "outcome_unknown")
		}},
		"proxy": {after: func(n int, w http.ResponseWriter) bool { return n < 100 && n%5 == 0 && problem(w, 502, "") }},
	} {
		for _, batch := range []int{1, 10} {
			if name == "item" && batch == 1 {
				continue
			}
			for _, workload := range []Workload{Uniform, Hold} {
				r := mustRun(t, small(f.start(t), workload, batch))
				if !r.OK() || r.Transactions.Unknown == 0 || r.Check.Resolved != r.Transactions.Unknown || int64(len(f.recorded)) != r.Transactions.Posted {
					t.Errorf("%s, %s, batch %d: %d recorded, %+v %+v", workload, name, batch, len(f.recorded), r.Transactions, r.Check)
				}
			}
		}
	}
}

// TestNeverKnown: what cannot be learnt is not passed over.
func TestNeverKnown(t *testing.T) {
	f := &fake{before: func(_ int, w http.ResponseWriter) bool { return drop(w) }}
	cfg := small(f.start(t), Uniform, 2)
	cfg.ResolveFor = 50 * time.Millisecond
	if r := mustRun(t, cfg); r.OK() || r.Check.Unresolved != r.Transactions.Unknown || r.Check.Unresolved == 0 || r.FirstError == "" || r.Statuses["none"] == 0 {
		t.Errorf("got %+v", r)
	}
}

func TestOverloadAndRejections(t *testing.T) {
	for _, test := range []struct {
		status int
		code   string
		count  func(*Report) int64
	}{
		{429, "overloaded", func(r *Report) int64 { return r.Transactions.Shed }},
		{503, "unavailable", func(r *Report) int64 { return r.Transactions.Shed }},
		{422, "account_frozen", func(r *Report) int64 { return r.Transactions.Rejected }},
		{400, "invalid_request", func(r *Report) int64 { return r.Transactions.Refused }},
	} {
		f := &fake{before: func(n int, w http.ResponseWriter) bool { return n%4 == 1 && problem(w, test.status, test.code) }}
		r := mustRun(t, small(f.start(t), Uniform, 1))
		if n := test.count(r); !r.OK() || n == 0 || r.Transactions.Codes[rbcs.Code(test.code)] != n || r.Check.Resolved != 0 {
			t.Errorf("%s: %+v", test.code, r.Transactions)
		}
	}
}

// TestOpenLoop: in a service that stalls once, every request that was due in
// the meantime is charged for the wait, and the rate is kept otherwise.
func TestOpenLoop(t *testing.T) {
	var once sync.Once
	var gate sync.RWMutex
	f := &fake{before: func(n int, _ http.ResponseWriter) bool {
		if n == 20 {
			once.Do(func() {
				gate.Lock()
				time.AfterFunc(300*time.Millisecond, gate.Unlock)
			})
		}
		gate.RLock()
		defer gate.RUnlock()
		return false
	}}
	cfg := small(f.start(t), Uniform, 1)
	cfg.Rate, cfg.Clients, cfg.Duration = 200, 2, time.Second
	r := mustRun(t, cfg)
	if !r.OK() || r.Requests+r.Missed < 195 || r.Requests > 201 {
		t.Errorf("%d requests and %d missed at 200/s for 1 s", r.Requests, r.Missed)
	}
	// 60 of the 200 were due during the stall. A closed loop with two clients would have seen two slow requests.
	if r.WriteLatency.P90 < 50 || r.WriteLatency.Max < 250 {
		t.Errorf("the stall does not show: %+v", r.WriteLatency)
	}
}

func TestEndsEarly(t *testing.T) {
	f := &fake{}
	cfg := small(f.start(t), Uniform, 1)
	cfg.Duration = time.Hour
	ctx, cancel := context.WithCancel(t.Context())
	f.after = func(n int, _ http.ResponseWriter) bool {
		if n == 50 {
			cancel()
		}
		return false
	}
	r, err := Run(ctx, cfg, new(atomic.Int64))
	if err != nil || !r.OK() || r.Transactions.Posted < 50 || !r.Interrupted || r.Seconds > 600 {
		t.Errorf("got %+v, %v", r, err)
	}
}

func TestNoService(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	if _, err := Run(ctx, small("http://127.0.0.1:1", Uniform, 1), new(atomic.Int64)); err == nil {
		t.Error("a run without a service does not fail")
	}
	_, err := Run(t.Context(), Config{URL: "ftp://x", Workload: "w", Rate: -1}, new(atomic.Int64))
	for _, word := range []string{"url:", "workload:", "clients:", "duration:", "batch:", "rate:", "accounts:"} {
		if err == nil || !strings.Contains(err.Error(), word) {
			t.Errorf("%v does not name %s", err, word)
		}
	}
	if errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

// TestPlan: a request can be made again, its transactions are valid, and the
// workloads spread as they say.
func TestPlan(t *testing.T) {
	for _, workload := range []Workload{Uniform, Zipf, Hot, Hold, Mixed} {
		p := newPlan(&Config{Workload: workload, Batch: 3, Accounts: 1000, Seed: 5}, "run")
		uses := map[uint64]int{}
		for n := range int64(3000) {
			list := p.transfers(n, nil)
			if again := p.transfers(n, nil); string(p.appendBody(nil, n, 0, list)) != string(p.appendBody(nil, n, 0, again)) {
				t.Fatalf("%s: request %d is not the same again", workload, n)
			}
			for _, tr := range list {
				uses[tr.destination]++
				if tr.source == tr.destination || tr.source >= 1000 || tr.destination >= 1000 || tr.cents < 1 ||
					tr.captured < 0 || tr.captured > tr.cents || tr.captured > 0 && workload != Hold {
					t.Fatalf("%s: %+v", workload, tr)
				}
			}
		}
		most := 0
		for _, n := range uses {
			most = max(most, n)
		}
		if low, high := map[Workload]int{Uniform: 5, Mixed: 5, Hold: 5, Zipf: 500, Hot: 9000}[workload], map[Workload]int{Uniform: 40, Mixed: 40, Hold: 40, Zipf: 2000, Hot: 9000}[workload]; most < low || most > high {
			t.Errorf("%s: the most used destination has %d of 9000", workload, most)
		}
	}
	p := newPlan(&Config{Workload: Uniform, Batch: 1, Accounts: 10}, "run")
	if got := string(p.appendNumber(nil, 1234567)); got != "bench:run:01234567" {
		t.Errorf("got %s", got)
	}
}
