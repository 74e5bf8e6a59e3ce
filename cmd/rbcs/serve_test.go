package main

import (
	"context"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"rbcs"
	"rbcs/internal/rest"
)

// start starts a service on a free port, which ends with the test.
func start(t *testing.T, cfg ServeCmd) *server {
	t.Helper()
	if cfg.Store == "" {
		cfg.Store = sqliteStore(t)
	}
	cfg.Listen, cfg.LogLevel = "127.0.0.1:0", "error"
	s, err := startServer(t.Context(), cfg, &Main{Stdout: io.Discard, Stderr: io.Discard})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { stop(t, s) })
	return s
}

func stop(t *testing.T, s *server) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if err := s.Stop(ctx); err != nil {
		t.Error(err)
	}
}

func sqliteStore(t *testing.T) StoreName {
	t.Helper()
	return StoreName("sqlite:" + filepath.Join(t.TempDir(), "rbcs.db"))
}

// status returns what a GET is answered with, 0 where nobody answers.
func status(url string) int {
	response, err := http.Get(url)
	if err != nil {
		return 0
	}
	_ = response.Body.Close()
	return response.StatusCode
}

func TestServeUntilTheContextEnds(t *testing.T) {
	before := goleak.IgnoreCurrent() // what other tests have started
	t.Cleanup(func() {
		http.DefaultClient.CloseIdleConnections()
		goleak.VerifyNone(t, before)
	})
	listener, err := net.Listen("tcp", "127.0.0.1:0") // a port that is free again in a moment
	if err != nil {
		t.Fatal(err)
	}
	address := listener.Addr().String()
	if err := listener.Close(); err != nil {
		t.Fatal(err)
	}
	ctx, interrupt := context.WithCancel(t.Context())
	defer interrupt()
	var stderr strings.Builder
	m := Main{Stdout: io.Discard, Stderr: &stderr}
	done := make(chan int)
	go func() {
		done <- m.Run(ctx, []string{"serve", "--listen", address, "--store", string(sqliteStore(t)), "--currencies", "BTC=8", "--debug-listen", "127.0.0.1:0"})
	}()
	for status("http://"+address+"/readyz") != http.StatusOK {
		select {
		case code := <-done:
			t.Fatalf("serve ended with %d: %s", code, stderr.String())
		case <-time.After(10 * time.Millisecond):
		}
	}
	run(t, "account", "create", "alice", "--currency", "BTC", "--url", "http://"+address).check(t, exitDone)
	interrupt()
	if code := <-done; code != exitDone {
		t.Errorf("exit code %d: %s", code, stderr.String())
	}
	if got := status("http://" + address + "/readyz"); got != 0 {
		t.Errorf("the port still answers with %d", got)
	}
}

func TestServeRefuses(t *testing.T) {
	running := start(t, ServeCmd{Currencies: []rbcs.Currency{{Code: "BTC", Decimals: 8}}})
	free := "127.0.0.1:0"
	for name, test := range map[string]struct {
		code  int
		args  []string
		words []string
	}{
		"address in use":     {exitFailed, []string{"--listen", running.listener.Addr().String()}, []string{"in use", "--listen"}},
		"debug in use":       {exitFailed, []string{"--listen", free, "--debug-listen", running.listener.Addr().String()}, []string{"in use", "--debug-listen"}},
		"no such host":       {exitFailed, []string{"--listen", "192.0.2.1:80"}, []string{"192.0.2.1:80"}},
		"store in use":       {exitFailed, []string{"--listen", free, "--store", string(running.cfg.Store)}, []string{"another rbcs"}},
		"no such folder":     {exitFailed, []string{"--listen", free, "--store", "sqlite:nosuch/rbcs.db"}, []string{"nosuch/rbcs.db"}},
		"no port":            {exitUsage, []string{"--listen", "localhost"}, []string{"HOST:PORT"}},
		"public profiles":    {exitUsage, []string{"--debug-listen", ":6060"}, []string{"loopback"}},
		"no batch":           {exitUsage, []string{"--max-batch", "0"}, []string{"--max-batch"}},
		"two writers":        {exitUsage, []string{"--in-flight", "2"}, []string{"--in-flight", "SQLite"}},
		"no time to drain":   {exitUsage, []string{"--drain-timeout", "0s"}, []string{"--drain-timeout"}},
		"no decimals":        {exitUsage, []string{"--currencies", "BTC"}, []string{"--currencies", "BTC=8"}},
		"other ISO decimals": {exitUsage, []string{"--currencies", "USD=3"}, []string{"--currencies", "USD"}},
		"log level":          {exitUsage, []string{"--log-level", "loud"}, []string{"--log-level"}},
	} {
		t.Run(name, func(t *testing.T) {
			args := append([]string{"serve", "--store", string(sqliteStore(t))}, test.args...)
			run(t, args...).check(t, test.code, test.words...)
		})
	}
}

// TestCurrenciesStayAsDeclared restarts a service with other declarations.
func TestCurrenciesStayAsDeclared(t *testing.T) {
	store := sqliteStore(t)
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	first := start(t, ServeCmd{Store: store, Currencies: []rbcs.Currency{{Code: "BTC", Decimals: 8}}})
	if err := first.Stop(ctx); err != nil {
		t.Fatal(err)
	}
	run(t, "serve", "--listen", "127.0.0.1:0", "--store", string(store), "--currencies", "BTC=6").
		check(t, exitFailed, "--currencies", "BTC")

	again := start(t, ServeCmd{Store: store}) // what is in the database is known without the flag
	run(t, "account", "create", "alice", "--currency", "BTC", "--url", again.URL()).check(t, exitDone)
}

func TestStopTwice(t *testing.T) {
	s := start(t, ServeCmd{}) // the clean-up stops it again
	stop(t, s)
}

func TestReadinessFailsFirst(t *testing.T) {
	s := start(t, ServeCmd{DrainDelay: time.Second})
	stopped := make(chan error)
	go func() { stopped <- s.Stop(t.Context()) }()
	for status(s.URL()+"/readyz") != http.StatusServiceUnavailable {
		select {
		case <-stopped:
			t.Fatal("the service stopped before readiness failed")
		case <-time.After(5 * time.Millisecond):
		}
	}
	// It is still there for those who have not noticed.
	run(t, "account", "create", "late", "--currency", "USD", "--url", s.URL()).check(t, exitDone)
	if err := <-stopped; err != nil {
		t.Error(err)
	}
}

// stuck is a store that never commits.
type stuck struct{ rbcs.Store }

func (stuck) Commit(ctx context.Context, _ []*rbcs.Transaction) ([]rbcs.Result, error) {
	<-ctx.Done()
	return nil, rbcs.Errorf(rbcs.OutcomeUnknown, "the commit was interrupted: %w", ctx.Err())
}

// TestImpatientStopAnswersEveryone stops a service whose database hangs: who
// waits is told that the outcome is unknown, rather than nothing.
func TestImpatientStopAnswersEveryone(t *testing.T) {
	s := start(t, ServeCmd{})
	for _, number := range []string{"bank", "alice"} {
		s.ok(t, "account", "create", number, "--currency", "USD", "--overdraft", "unlimited")
	}
	hung := &server{logger: s.logger, store: stuck{s.store}, failed: make(chan error, 2)}
	handler, err := hung.wire(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if hung.listener, err = listen("127.0.0.1:0", "--listen"); err != nil {
		t.Fatal(err)
	}
	hung.http = rest.NewServer(handler, s.logger)
	go hung.serve(hung.http, hung.listener)

	answer := make(chan string)
	go func() {
		body := `{"id":"1","source":"bank","destination":"alice","amount":"1.00","timestamp":"2026-01-02T03:04:05Z"}`
		response, err := http.Post(hung.URL()+"/v1/transactions", "application/json", strings.NewReader(body))
		if err != nil {
			answer <- err.Error()
			return
		}
		text, _ := io.ReadAll(response.Body)
		answer <- response.Status + string(text)
	}()
	for hung.engine.Stats().InFlight == 0 {
		<-time.After(time.Millisecond)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if err := hung.Stop(ended); err == nil {
		t.Error("Stop does not tell that it has given up")
	}
	if got := <-answer; !strings.HasPrefix(got, "503") || !strings.Contains(got, "outcome_unknown") {
		t.Errorf("the client was answered with %s", got)
	}
}

func TestBannerSaysWhereToLook(t *testing.T) {
	var banner strings.Builder
	c := ServeCmd{Store: "postgres://rbcs:geheim@db/rbcs"}
	c.banner(&banner, "http://127.0.0.1:8080")
	for _, word := range []string{"postgres://rbcs:xxxxx@db/rbcs", "http://127.0.0.1:8080/v1/", "http://127.0.0.1:8080/docs"} {
		if !strings.Contains(banner.String(), word) {
			t.Errorf("the banner does not say %q: %s", word, banner.String())
		}
	}
}

// TestPagesOfTheBannerExist gets what the banner advertises.
func TestPagesOfTheBannerExist(t *testing.T) {
	s := start(t, ServeCmd{})
	for _, path := range []string{"/", "/docs", "/openapi.json", "/metrics", "/livez", "/readyz"} {
		if got := status(s.URL() + path); got != http.StatusOK {
			t.Errorf("GET %s is answered with %d", path, got)
		}
	}
}

func TestLoopback(t *testing.T) {
	for address, want := range map[string]bool{
		"127.0.0.1:80": true, "[::1]:80": true, "localhost:80": true, ":80": false, "0.0.0.0:80": false, "10.0.0.1:80": false, "x": false,
	} {
		if got := loopback(address); got != want {
			t.Errorf("loopback(%q) = %t", address, got)
		}
	}
}
