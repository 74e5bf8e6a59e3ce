package gateway

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"rbcs"
)

// fake is an instance that does what a test says.
type fake struct {
	server   *httptest.Server
	address  string
	notReady atomic.Bool
	database atomic.Value // a string that it tells
	calls    atomic.Int64 // without probes
	probed   atomic.Int64
}

func newFake(t *testing.T, handler http.HandlerFunc) *fake {
	t.Helper()
	f := &fake{}
	f.server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/readyz" {
			f.probed.Add(1)
			if f.notReady.Load() {
				w.WriteHeader(http.StatusServiceUnavailable)
				return
			}
			if database, tells := f.database.Load().(string); tells {
				_, _ = io.WriteString(w, `{"status":"ok","version":"test","database":"`+database+`"}`)
			}
			return
		}
		f.calls.Add(1)
		handler(w, r)
	}))
	t.Cleanup(f.server.Close)
	f.address = f.server.Listener.Addr().String()
	return f
}

// movable is a finder whose list a test changes.
type movable struct {
	mu   sync.Mutex
	list []string
}

func (m *movable) Find(context.Context) ([]string, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.list, nil
}

func (m *movable) set(fakes ...*fake) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.list = nil
	for _, f := range fakes {
		m.list = append(m.list, f.address)
	}
	slices.Sort(m.list)
}

// awaitProbes waits until the instance was asked n more times.
func (f *fake) awaitProbes(t *testing.T, n int64) {
	t.Helper()
	enough := f.probed.Load() + n
	await(t, "probes", func() bool { return f.probed.Load() >= enough })
}

// under is a gateway under test.
type under struct {
	*Gateway
	url    string
	finder *movable
	client *http.Client
}

// newGateway starts a gateway before the instances and waits until those that
// are ready take requests. At its end nothing is left.
func newGateway(t *testing.T, cfg Config, fakes ...*fake) *under {
	t.Helper()
	before := goleak.IgnoreCurrent()
	u := &under{finder: &movable{}, client: &http.Client{Transport: &http.Transport{}}}
	u.finder.set(fakes...)
	cfg.Finder, cfg.Logger = u.finder, slog.New(slog.DiscardHandler)
	if cfg.ProbeEvery == 0 {
		cfg.ProbeEvery = 10 * time.Millisecond
	}
	cfg.ResolveEvery = 10 * time.Millisecond
	var err error
	if u.Gateway, err = New(cfg); err != nil {
		t.Fatal(err)
	}
	u.Start()
	server := httptest.NewServer(u.Gateway)
	u.url = server.URL
	t.Cleanup(func() {
		u.client.CloseIdleConnections()
		u.EndStreams()
		server.Close()
		u.Stop()
		goleak.VerifyNone(t, before)
	})
	ready := 0
	for _, f := range fakes {
		if !f.notReady.Load() {
			ready++
		}
	}
	await(t, "the instances to be ready", func() bool { return len(u.pool.takers()) == ready })
	return u
}

func await(t *testing.T, what string, condition func() bool) {
	t.Helper()
	deadline := time.After(20 * time.Second)
	for !condition() {
		select {
		case <-deadline:
			t.Fatalf("waited too long for %s", what)
		case <-time.After(time.Millisecond):
		}
	}
}

// answer is what a client got.
type answer struct {
	status int
	header http.Header
	body   string
	err    error
}

func (a answer) code() rbcs.Code {
	var p struct{ Code rbcs.Code }
	_ = json.Unmarshal([]byte(a.body), &p)
	return p.Code
}

func (u *under) do(method, path, body string) answer {
	r, err := http.NewRequest(method, u.url+path, strings.NewReader(body))
	if err != nil {
		return answer{err: err}
	}
	return u.send(r)
}

func (u *under) send(r *http.Request) answer {
	response, err := u.client.Do(r)
	if err != nil {
		return answer{err: err}
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	return answer{response.StatusCode, response.Header, string(body), err}
}

const transactions = "/v1/transactions"

// Behaviours of instances.

// says answers every request with a status and a body.
func says(status int, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}
}

// echo answers with the body of the request.
func echo(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	w.WriteHeader(http.StatusCreated)
	_, _ = w.Write(body)
}

// problem answers as the service does.
func problem(status int, code rbcs.Code) http.HandlerFunc {
	return says(status, `{"code":"`+string(code)+`"}`)
}

// dies closes the connection without an answer.
func dies(w http.ResponseWriter, r *http.Request) {
	_, _ = io.Copy(io.Discard, r.Body)
	hijack(w, "")
}

// hijack sends raw bytes and closes the connection.
func hijack(w http.ResponseWriter, raw string) {
	conn, buffer, err := http.NewResponseController(w).Hijack()
	if err != nil {
		panic(err)
	}
	_, _ = buffer.WriteString(raw)
	_ = buffer.Flush()
	_ = conn.Close()
}

// blocks answers once it may.
func blocks(started chan<- struct{}, may <-chan struct{}) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body) // only then net/http notices that the client goes away
		select {
		case started <- struct{}{}:
		case <-r.Context().Done():
		}
		select {
		case <-may:
		case <-r.Context().Done():
		}
		w.WriteHeader(http.StatusOK)
	}
}

// lines reads a stream.
func lines(body io.Reader) <-chan string {
	out := make(chan string)
	go func() {
		defer close(out)
		for scanner := bufio.NewScanner(body); scanner.Scan(); {
			out <- scanner.Text()
		}
	}()
	return out
}

// clock is one that a test sets.
type clock struct {
	mu sync.Mutex
	at time.Time
}

func newClock() *clock { return &clock{at: time.Now()} }

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.at
}

func (c *clock) add(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at = c.at.Add(d)
}
