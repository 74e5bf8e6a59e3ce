package gateway_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"rbcs/internal/testenv"
)

// The tests here run the built binary: two instances of the service on one
// PostgreSQL, a gateway before them, and clients that never try again.

// patience bounds every wait.
const patience = 60 * time.Second

// end sends a signal and waits for the end, which an orderly one must be with 0.
func end(t *testing.T, p *testenv.Process, s syscall.Signal) {
	t.Helper()
	if code, err := p.End(s); err != nil || s == syscall.SIGTERM && code != 0 {
		t.Errorf("after %s: exit code %d, %v", s, code, err)
	}
}

// site is a gateway before two instances on one database.
type site struct {
	store     string
	addresses [2]string
	instances [2]*testenv.Process
	gateway   *testenv.Process
	client    *http.Client
}

// The gateway gets the given flags, too.
func newSite(t *testing.T, flags ...string) *site {
	t.Helper()
	s := &site{
		store:  testenv.Postgres(t),
		client: &http.Client{Timeout: patience, Transport: &http.Transport{MaxIdleConnsPerHost: 64}},
	}
	t.Cleanup(s.client.CloseIdleConnections)
	for i := range s.instances {
		var err error
		if s.addresses[i], err = testenv.FreeAddress(); err != nil {
			t.Fatal(err)
		}
		s.serve(t, i)
	}
	s.startGateway(t, flags...)
	s.ok(t, http.MethodPost, "/v1/accounts", `{"number":"bank","currency":"USD","overdraft":"unlimited"}`)
	for i := range 10 {
		s.ok(t, http.MethodPost, "/v1/accounts", fmt.Sprintf(`{"number":"user:%d","currency":"USD"}`, i))
	}
	return s
}

// startGateway starts a gateway before the two instances.
func (s *site) startGateway(t *testing.T, flags ...string) {
	t.Helper()
	s.gateway = testenv.Run(t, append([]string{
		"gateway", "--listen", "127.0.0.1:0", "--probe-every", "100ms", "--discover", "static:" + strings.Join(s.addresses[:], ","),
	}, flags...)...)
	s.awaitReady(t, 2)
}

// eachProtocol runs a test with either protocol between the gateway and its instances.
func eachProtocol(t *testing.T, test func(t *testing.T, s *site)) {
	t.Run("HTTP/1.1", func(t *testing.T) { test(t, newSite(t)) })
	t.Run("HTTP/2", func(t *testing.T) { test(t, newSite(t, "--http2")) })
}

// serve starts an instance, again perhaps.
func (s *site) serve(t *testing.T, i int) {
	t.Helper()
	s.instances[i] = testenv.Run(t, "serve", "--listen", s.addresses[i], "--store", s.store, "--migrate", "--instance", fmt.Sprintf("instance-%d", i))
}

// awaitReady waits until so many instances take requests.
func (s *site) awaitReady(t *testing.T, n int) {
	t.Helper()
	want := fmt.Sprintf("\nrbcs_gateway_instances_ready %d\n", n)
	deadline := time.Now().Add(patience)
	for {
		_, body, err := s.do(http.MethodGet, "/metrics", "")
		if err == nil && strings.Contains(body, want) {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("not %d instances are ready: %v %s", n, err, body)
		}
		<-time.After(5 * time.Millisecond)
	}
}

func (s *site) do(method, path, body string) (status int, answer string, err error) {
	r, err := http.NewRequest(method, s.gateway.URL+path, strings.NewReader(body))
	if err != nil {
		return 0, "", err
	}
	r.Header.Set("Content-Type", "application/json")
	response, err := s.client.Do(r)
	if err != nil {
		return 0, "", err
	}
	defer response.Body.Close()
	raw, err := io.ReadAll(response.Body)
	return response.StatusCode, string(raw), err
}

func (s *site) ok(t *testing.T, method, path, body string) string {
	t.Helper()
	status, answer, err := s.do(method, path, body)
	if err != nil || status >= 300 {
		t.Fatalf("%s %s: %d %s %v", method, path, status, answer, err)
	}
	return answer
}

// load is clients that send one request after the other and count what fails.
type load struct {
	posted, failed atomic.Int64
	first          atomic.Value // the first failure
	cancel         context.CancelFunc
	group          sync.WaitGroup
}

// startLoad starts clients: most send transactions, some batches, some read.
func (s *site) startLoad(t *testing.T, clients int) *load {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	l := &load{cancel: cancel}
	t.Cleanup(func() { cancel(); l.group.Wait() })
	for c := range clients {
		l.group.Go(func() {
			for n := 0; ctx.Err() == nil; n++ {
				l.one(s, c, n)
			}
		})
	}
	l.await(t, 200)
	return l
}

func (l *load) one(s *site, c, n int) {
	transfer := func(k int) string {
		return fmt.Sprintf(`{"id":"c%d-%d-%d","source":"bank","destination":"user:%d","amount":"1.00","timestamp":"2026-01-02T03:04:05Z"}`, c, n, k, (c+n+k)%10)
	}
	var status int
	var answer string
	var err error
	count, want := int64(1), http.StatusCreated
	switch c % 8 {
	case 6:
		var items []string
		for k := range 100 {
			items = append(items, transfer(k))
		}
		count, want = 100, http.StatusOK
		status, answer, err = s.do(http.MethodPost, "/v1/transactions/batch", `{"transactions":[`+strings.Join(items, ",")+`]}`)
		if got := strings.Count(answer, `"status":"posted"`); err == nil && got != 100 {
			err = fmt.Errorf("%d of 100 are posted", got)
		}
	case 7:
		count, want = 0, http.StatusOK
		status, answer, err = s.do(http.MethodGet, "/v1/accounts/bank/balance", "")
	default:
		status, answer, err = s.do(http.MethodPost, "/v1/transactions", transfer(0))
		if status == http.StatusOK {
			want = status // it was posted by an instance that died before it could say so
		}
	}
	if err == nil && status == want {
		l.posted.Add(count)
		return
	}
	l.failed.Add(1)
	l.first.CompareAndSwap(nil, fmt.Sprintf("%d %s %v", status, answer, err))
}

// await waits until so many more transactions are posted.
func (l *load) await(t *testing.T, n int64) {
	t.Helper()
	enough := l.posted.Load() + n
	for deadline := time.Now().Add(patience); l.posted.Load() < enough; <-time.After(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%d transactions are posted, %d failed: %v", l.posted.Load(), l.failed.Load(), l.first.Load())
		}
	}
}

// stop ends the load. Nothing may have failed, and every transaction was posted once.
func (l *load) stop(t *testing.T, s *site) {
	t.Helper()
	l.cancel()
	l.group.Wait()
	if l.failed.Load() != 0 {
		t.Errorf("%d requests failed, the first with %v", l.failed.Load(), l.first.Load())
	}
	var bank struct{ Balance string }
	if err := json.Unmarshal([]byte(s.ok(t, http.MethodGet, "/v1/accounts/bank/balance?consistency=strong", "")), &bank); err != nil {
		t.Fatal(err)
	}
	if want := fmt.Sprintf("-%d.00", l.posted.Load()); bank.Balance != want {
		t.Errorf("the bank has %s after %s was acknowledged", bank.Balance, want)
	}
	if err := testenv.Verify(t.Context(), s.store); err != nil {
		t.Error(err)
	}
	t.Logf("%d posted, %d failed", l.posted.Load(), l.failed.Load())
}

// TestInstanceKilledUnderLoad kills one of two, twice; nobody who calls the
// gateway sees it.
func TestInstanceKilledUnderLoad(t *testing.T) { eachProtocol(t, killEach) }

func killEach(t *testing.T, s *site) {
	l := s.startLoad(t, 32)
	for i := range s.instances {
		end(t, s.instances[i], syscall.SIGKILL)
		l.await(t, 500)
		s.awaitReady(t, 1)
		s.serve(t, i)
		s.awaitReady(t, 2)
		l.await(t, 500)
	}
	l.stop(t, s)
}

// TestRollingRestartUnderLoad stops and starts each instance in turn, without a
// drain delay; nobody who calls the gateway sees it.
func TestRollingRestartUnderLoad(t *testing.T) { eachProtocol(t, restartEach) }

func restartEach(t *testing.T, s *site) {
	l := s.startLoad(t, 32)
	for i := range s.instances {
		end(t, s.instances[i], syscall.SIGTERM)
		s.serve(t, i)
		s.awaitReady(t, 2)
		l.await(t, 500)
	}
	l.stop(t, s)
}

// TestGatewayStoppedUnderLoad answers what it has begun, and ends with 0: what
// was not answered was not carried out.
func TestGatewayStoppedUnderLoad(t *testing.T) {
	s := newSite(t)
	discover := "static:" + strings.Join(s.addresses[:], ",")
	stopping := testenv.Run(t, "gateway", "--listen", "127.0.0.1:0", "--discover", discover, "--drain-delay", "200ms")
	kept := s.gateway
	s.gateway = stopping
	s.awaitReady(t, 2)
	var answered atomic.Int64
	var group sync.WaitGroup
	for c := range 16 {
		group.Go(func() {
			for n := 0; ; n++ {
				body := fmt.Sprintf(`{"id":"g%d-%d","source":"bank","destination":"user:1","amount":"1.00","timestamp":"2026-01-02T03:04:05Z"}`, c, n)
				status, answer, err := s.do(http.MethodPost, "/v1/transactions", body)
				if err != nil { // it listens no more
					return
				}
				if status != http.StatusCreated {
					t.Errorf("%d %s", status, answer)
				}
				if answered.Add(1) == 300 {
					if err := stopping.Signal(syscall.SIGTERM); err != nil {
						t.Error(err)
					}
				}
			}
		})
	}
	group.Wait()
	if code, err := stopping.Wait(); err != nil || code != 0 || answered.Load() <= 300 {
		t.Errorf("it ended with %d, %v after %d answers", code, err, answered.Load())
	}
	s.gateway = kept
	var bank struct{ Balance string }
	if err := json.Unmarshal([]byte(s.ok(t, http.MethodGet, "/v1/accounts/bank/balance", "")), &bank); err != nil || bank.Balance != fmt.Sprintf("-%d.00", answered.Load()) {
		t.Errorf("the bank has %s after %d were answered: %v", bank.Balance, answered.Load(), err)
	}
}

// TestThroughTheGateway passes what is long or never ends.
func TestThroughTheGateway(t *testing.T) { eachProtocol(t, passThrough) }

func passThrough(t *testing.T, s *site) {
	response, err := s.client.Get(s.gateway.URL + "/v1/events?after=0")
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	events := bufio.NewScanner(response.Body)

	const size = 10_000
	var batch strings.Builder
	for i := range size {
		fmt.Fprintf(&batch, `{"id":"b%d","source":"bank","destination":"user:%d","amount":"0.01","timestamp":"2026-01-02T03:04:05Z","description":"%s"}`+"\n",
			i, i%10, strings.Repeat("x", 150))
	}
	r, err := http.NewRequest(http.MethodPost, s.gateway.URL+"/v1/transactions/batch", strings.NewReader(batch.String()))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/x-ndjson")
	posted, err := s.client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer posted.Body.Close()
	answer, err := io.ReadAll(posted.Body)
	if got := bytes.Count(answer, []byte(`"status":"posted"`)); err != nil || got != size {
		t.Fatalf("%d of %d are posted: %d, %v", got, size, posted.StatusCode, err)
	}
	for seen := 0; seen < size; {
		if !events.Scan() {
			t.Fatalf("the stream ended after %d events: %v", seen, events.Err())
		}
		if events.Text() == "event: transaction" {
			seen++
		}
	}
	if status, body, err := s.do(http.MethodPost, "/v1/transactions/batch", strings.Repeat(" ", 16<<20+1)); err == nil && status != http.StatusRequestEntityTooLarge {
		t.Errorf("a body that is too large: %d %s", status, body)
	}

	// The gateway ends the stream with an event that says so.
	end(t, s.gateway, syscall.SIGTERM)
	last := ""
	for events.Scan() {
		if strings.HasPrefix(events.Text(), "event: ") {
			last = events.Text()
		}
	}
	if events.Err() != nil || last != "event: end" {
		t.Errorf("the stream ended with %q, %v", last, events.Err())
	}
}

// TestListedRoutesExist compares what is repeated with the service's document.
func TestListedRoutesExist(t *testing.T) {
	s := newSite(t)
	var document struct {
		Paths map[string]map[string]json.RawMessage
	}
	if err := json.Unmarshal([]byte(s.ok(t, http.MethodGet, "/openapi.json", "")), &document); err != nil {
		t.Fatal(err)
	}
	for _, route := range []string{
		"post /v1/transactions", "post /v1/transactions/batch", "post /v1/transactions/{id}/capture", "post /v1/transactions/{id}/release",
		"post /v1/transactions/{id}/reverse", "post /v1/accounts", "post /v1/accounts/batch", "patch /v1/accounts/{number}",
	} {
		method, path, _ := strings.Cut(route, " ")
		if document.Paths[path][method] == nil {
			t.Errorf("the service has no %s", route)
		}
	}
}
