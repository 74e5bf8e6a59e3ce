package main

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"rbcs/internal/load"
)

// benchArgs is a run that takes a moment.
func benchArgs(url string, more ...string) []string {
	return append([]string{"bench", "--url", url, "--duration", "200ms", "--accounts", "50", "--clients", "4"}, more...)
}

func TestBench(t *testing.T) {
	s := start(t, ServeCmd{})
	for _, workload := range load.Workloads() {
		for _, batch := range []string{"1", "20"} {
			file := filepath.Join(t.TempDir(), "report.json")
			r := run(t, benchArgs(s.URL(), "--workload", string(workload), "--batch", batch, "--json", file)...)
			r.says(t, exitDone, string(workload), "latency, ms", "check: 50 accounts, difference 0.00. OK", "50 accounts and transfers between them, which stay there")
			var report load.Report
			if err := json.Unmarshal([]byte(readFile(t, file)), &report); err != nil || !report.OK() || report.Requests == 0 || report.Check.Accounts != 50 {
				t.Errorf("%s: the report is %+v, %v", workload, report, err)
			}
		}
	}
	r := run(t, benchArgs(s.URL(), "--rate", "500", "--json", "-")...)
	r.says(t, exitDone, "open loop at 500/s", `"rate":500`)
	// What the runs left sums to zero.
	if got := s.ok(t, "account", "list", "--prefix", "bench:", "--limit", "1", "--json"); !strings.Contains(got, `"currency":"USD"`) {
		t.Errorf("got %s", got)
	}
}

// TestBenchCutShort: the report is about the time that there was.
func TestBenchCutShort(t *testing.T) {
	target, err := url.Parse(start(t, ServeCmd{}).URL())
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	proxy := httputil.NewSingleHostReverseProxy(target)
	front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		proxy.ServeHTTP(w, r)
		if r.URL.Path == "/v1/transactions" {
			cancel()
		}
	}))
	defer front.Close()
	var stdout, stderr bytes.Buffer
	m := Main{Stdout: &stdout, Stderr: &stderr}
	code := m.Run(ctx, []string{"bench", "--url", front.URL, "--duration", "1h", "--accounts", "10", "--clients", "2"})
	result{code, stdout.String(), stderr.String()}.says(t, exitDone, "bench was cut short: the report is about", "of 1h0m0s", "s (cut short)", "OK: every balance")
}

// TestTimeShare: progress follows the time of the load, not its answers.
func TestTimeShare(t *testing.T) {
	if got := timeShare(nil, time.Hour); got != -1 {
		t.Errorf("%g of a load is over that has not begun", got)
	}
	begun := time.Now().Add(-30 * time.Minute)
	if got := timeShare(&begun, time.Hour); got < 0.5 || got > 0.6 {
		t.Errorf("%g of it is over after half of its time", got)
	}
}

// TestBenchJSON: a file that cannot be written is told before the load, and
// neither a boolean for other commands nor an older report gets in the way.
func TestBenchJSON(t *testing.T) {
	r := run(t, benchArgs("http://127.0.0.1:1", "--json", "nosuch/report.json")...)
	r.check(t, exitFailed, "--json: open")
	t.Setenv("RBCS_JSON", "true")
	t.Chdir(t.TempDir())
	file := writeFile(t, strings.Repeat("x", 100_000))
	s := start(t, ServeCmd{})
	t.Setenv("RBCS_BENCH_JSON", file)
	run(t, benchArgs(s.URL())...).says(t, exitDone, "OK")
	if left, err := os.ReadDir("."); err != nil || len(left) > 0 || !json.Valid([]byte(readFile(t, file))) {
		t.Errorf("it left %v, %v", left, err)
	}
}

// TestBenchFindsALie: a service that answers "posted" without posting.
func TestBenchFindsALie(t *testing.T) {
	target, err := url.Parse(start(t, ServeCmd{}).URL())
	if err != nil {
		t.Fatal(err)
	}
	proxy := httputil.NewSingleHostReverseProxy(target)
	first := make(chan struct{}, 1)
	first <- struct{}{}
	liar := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/v1/transactions" {
			select {
			case <-first:
				w.WriteHeader(http.StatusCreated)
				_, _ = w.Write([]byte(`{"status":"posted"}`)) // the client's loss is the test's failure
				return
			default:
			}
		}
		proxy.ServeHTTP(w, r)
	}))
	defer liar.Close()
	r := run(t, benchArgs(liar.URL)...)
	r.says(t, exitFailed, "FAILED: 2 accounts differ", "WRONG bench:", "is not right about what it acknowledged")
}

func TestBenchWithoutAnswers(t *testing.T) {
	r := run(t, benchArgs("http://127.0.0.1:1")...)
	if r.code != exitFailed || !strings.Contains(r.stderr, "is `rbcs serve` running at http://127.0.0.1:1?") {
		t.Errorf("exit code %d: %s", r.code, r.stderr)
	}
	run(t, benchArgs("nowhere")...).check(t, exitUsage, "url:")
	run(t, "bench", "--clients", "0", "--batch", "0").check(t, exitUsage, "clients:", "batch:")

	// Everything is refused but what the check needs.
	target, err := url.Parse(start(t, ServeCmd{}).URL())
	if err != nil {
		t.Fatal(err)
	}
	proxy := httputil.NewSingleHostReverseProxy(target)
	busy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/v1/transactions" {
			w.WriteHeader(http.StatusTooManyRequests)
			return
		}
		proxy.ServeHTTP(w, r)
	}))
	defer busy.Close()
	r = run(t, benchArgs(busy.URL)...)
	r.says(t, exitFailed, "shed", "429 ×", "answered nothing that was asked for")
}

func TestDemo(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("TMPDIR", dir)
	r := run(t, "demo", "--exit", "--accounts", "100", "--transactions", "3000")
	r.says(t, exitDone, "all 100 balances are right", "rejected: insufficient_funds", "replayed: the recorded answer",
		"difference 0.00", "OK: every balance is what its history says", "every balance is right, every currency sums to zero")
	if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
		t.Errorf("it left %v, %v", left, err)
	}
	run(t, "demo", "--accounts", "1").check(t, exitUsage, "accounts:")
	run(t, "demo", "--listen", "nowhere").check(t, exitUsage, "--listen")
}

// TestDemoServesOn: without --exit it ends with its context, cleanly.
func TestDemoServesOn(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	ctx, cancel := context.WithCancel(t.Context())
	var stderr bytes.Buffer
	out := &watcher{word: "Ctrl-C ends it", found: cancel}
	m := Main{Stdout: out, Stderr: &stderr}
	if code := m.Run(ctx, []string{"demo", "--accounts", "10", "--transactions", "100"}); code != exitDone {
		t.Errorf("exit code %d: %s", code, stderr.String())
	}
	if !strings.Contains(out.String(), "dashboard   http://127.0.0.1:") {
		t.Errorf("it does not say where the dashboard is: %s", out.String())
	}
}

// watcher calls found when the word is written.
type watcher struct {
	bytes.Buffer
	word  string
	found func()
}

func (w *watcher) Write(b []byte) (int, error) {
	defer func() {
		if strings.Contains(w.String(), w.word) {
			w.found()
		}
	}()
	return w.Buffer.Write(b)
}

func TestProgressText(t *testing.T) {
	p := &progress{unit: "lines", start: time.Now().Add(-10 * time.Second)}
	p.last = p.start
	if got := p.text(1_234_000, 0.5); !strings.HasPrefix(got, "1,234,000 lines, 123,") || !strings.HasSuffix(got, "/s, 10s left") {
		t.Errorf("got %q", got)
	}
	p.last = p.last.Add(-time.Second) // nothing happened in the last second
	p.lastItems = 1_234_000
	if got := p.text(1_234_000, -1); !strings.HasPrefix(got, "1,234,000 lines, ") || strings.Contains(got, "left") {
		t.Errorf("got %q", got)
	}
}

func TestThousands(t *testing.T) {
	for n, want := range map[int64]string{0: "0", 999: "999", -999: "-999", 1000: "1,000", -1234567: "-1,234,567"} {
		if got := thousands(n); got != want {
			t.Errorf("%d is %s", n, got)
		}
	}
	if got := money("-1234567.89"); got != "-1,234,567.89" {
		t.Errorf("got %s", got)
	}
	if got := money("12.3456789"); got != "12.3456789" {
		t.Errorf("got %s", got)
	}
}
