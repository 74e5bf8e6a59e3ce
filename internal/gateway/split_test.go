package gateway_test

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"time"

	"rbcs/internal/testenv"
)

// TestInstanceOnAnotherDatabase starts a third instance with a wrong --store under
// load: it gets nothing. With the right one it does. Then all move to another database.
func TestInstanceOnAnotherDatabase(t *testing.T) {
	s := newSite(t)
	address, err := testenv.FreeAddress()
	if err != nil {
		t.Fatal(err)
	}
	addresses := append(s.addresses[:], address)
	s.gateway = testenv.Run(t, "gateway", "--listen", "127.0.0.1:0", "--probe-every", "100ms", "--discover", "static:"+strings.Join(addresses, ","))
	s.awaitReady(t, 2)

	l := s.startLoad(t, 16)
	other := testenv.Postgres(t)
	serve := func(address, store string) *testenv.Process {
		return testenv.Run(t, "serve", "--listen", address, "--store", store, "--migrate")
	}
	third := serve(address, other)
	s.awaitMetric(t, "rbcs_gateway_instances_foreign 1")
	l.await(t, 500)
	if got := transactionsOf(t, third); got != `{"transactions":[]}` {
		t.Errorf("another database has %s", got)
	}
	end(t, third, syscall.SIGTERM)
	third = serve(address, s.store)
	s.awaitReady(t, 3)
	s.awaitMetric(t, "rbcs_gateway_instances_foreign 0")
	l.await(t, 500)
	l.stop(t, s)
	if n := strings.Count(s.gateway.Log.String(), "an instance stands on another database"); n != 1 {
		t.Errorf("the log accuses %d times: %s", n, s.gateway.Log)
	}

	// The move: who comes first waits for the last.
	const post = `{"id":"moved","source":"a","destination":"b","amount":"1.00","timestamp":"2026-01-02T03:04:05Z"}`
	for i, p := range append(s.instances[:], third) {
		end(t, p, syscall.SIGTERM)
		if i == 2 {
			status, body, err := s.do(http.MethodPost, "/v1/transactions", post)
			if err != nil || status != http.StatusServiceUnavailable || !strings.Contains(body, `"unavailable"`) {
				t.Errorf("without an instance on the database of before: %d %s %v", status, body, err)
			}
			if status, body, err := s.do(http.MethodGet, "/readyz", ""); err != nil || status != http.StatusOK {
				t.Errorf("readiness: %d %s %v", status, body, err)
			}
		}
		third = serve(addresses[i], other)
		if i < 2 {
			s.awaitMetric(t, fmt.Sprintf("rbcs_gateway_instances_foreign %d", i+1))
		}
	}
	s.awaitReady(t, 3)
	s.ok(t, http.MethodPost, "/v1/accounts", `{"number":"a","currency":"USD","overdraft":"unlimited"}`)
	s.ok(t, http.MethodPost, "/v1/accounts", `{"number":"b","currency":"USD"}`)
	s.ok(t, http.MethodPost, "/v1/transactions", post)
	if got := transactionsOf(t, third); !strings.Contains(got, `"moved"`) {
		t.Errorf("the new database has %s", got)
	}
}

// transactionsOf asks an instance itself for what its database has.
func transactionsOf(t *testing.T, p *testenv.Process) string {
	t.Helper()
	response, err := http.Get(p.URL + "/v1/transactions")
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil || response.StatusCode != http.StatusOK {
		t.Fatalf("%d %s %v", response.StatusCode, body, err)
	}
	return strings.TrimSpace(string(body))
}

// awaitMetric waits until the gateway says so.
func (s *site) awaitMetric(t *testing.T, line string) {
	t.Helper()
	for deadline := time.Now().Add(patience); ; <-time.After(5 * time.Millisecond) {
		_, body, err := s.do(http.MethodGet, "/metrics", "")
		if err == nil && strings.Contains(body, "\n"+line+"\n") {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("not %s: %v %s", line, err, body)
		}
	}
}
