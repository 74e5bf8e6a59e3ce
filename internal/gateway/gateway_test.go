package gateway

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"rbcs"
	"rbcs/internal/discovery"
)

// TestPassesOn looks at what an instance gets and what the client gets back.
func TestPassesOn(t *testing.T) {
	var seen *http.Request
	a := newFake(t, func(w http.ResponseWriter, r *http.Request) {
		seen = r
		w.Header().Set("Idempotent-Replayed", "true")
		w.Header().Set("Keep-Alive", "timeout=5")
		w.WriteHeader(http.StatusOK)
	})
	u := newGateway(t, Config{}, a)
	path := "/v1/accounts/a%2Fb/../%2e//x?q=a;b&limit=%zz"
	conn, err := net.Dial("tcp", strings.TrimPrefix(u.url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprintf(conn, "GET %s HTTP/1.1\r\nHost: localhost:1\r\nConnection: close, X-Hop\r\nX-Hop: 1\r\nUpgrade: x\r\nTE: trailers\r\n"+
		"Forwarded: for=6.6.6.6\r\nX-Forwarded-For: 6.6.6.6\r\nX-Forwarded-Host: evil\r\nAccept: text/csv\r\nAuthorization: Bearer t\r\nTraceparent: 00-1-2-01\r\n\r\n", path)
	raw, err := io.ReadAll(conn)
	if err != nil {
		t.Fatal(err)
	}
	if seen == nil || seen.RequestURI != path || seen.Host != a.address {
		t.Fatalf("the instance got %+v; the client got %s", seen, raw)
	}
	for name, want := range map[string]string{
		"X-Forwarded-For": "127.0.0.1", "X-Forwarded-Host": "localhost:1", "X-Forwarded-Proto": "http", "Forwarded": "",
		"X-Hop": "", "Upgrade": "", "Connection": "", "Accept": "text/csv", "Authorization": "Bearer t", "Traceparent": "00-1-2-01",
		"Accept-Encoding": "", "User-Agent": "",
	} {
		if got := strings.Join(seen.Header[name], "|"); got != want {
			t.Errorf("the instance got %s: %q, want %q", name, got, want)
		}
	}
	id := seen.Header.Get("X-Request-Id")
	if len(id) != 33 || !strings.Contains(string(raw), "X-Request-Id: "+id) {
		t.Errorf("the request is called %q, the answer is %s", id, raw)
	}
	if !strings.Contains(string(raw), "Idempotent-Replayed: true") || strings.Contains(string(raw), "Keep-Alive") {
		t.Errorf("the client got %s", raw)
	}
}

func TestBehindProxy(t *testing.T) {
	var seen http.Header
	a := newFake(t, func(_ http.ResponseWriter, r *http.Request) { seen = r.Header })
	u := newGateway(t, Config{BehindProxy: true}, a)
	r, err := http.NewRequest(http.MethodGet, u.url+"/", nil)
	if err != nil {
		t.Fatal(err)
	}
	for name, value := range map[string]string{
		"X-Forwarded-For": "9.9.9.9", "X-Forwarded-Proto": "https", "X-Forwarded-Host": "bank.example", "Forwarded": "for=9.9.9.9", "X-Request-Id": "mine",
	} {
		r.Header.Set(name, value)
	}
	if got := u.send(r); got.header.Get("X-Request-Id") != "mine" {
		t.Errorf("got %+v", got)
	}
	for name, want := range map[string]string{
		"X-Forwarded-For": "9.9.9.9, 127.0.0.1", "X-Forwarded-Proto": "https", "X-Forwarded-Host": "bank.example", "Forwarded": "for=9.9.9.9", "X-Request-Id": "mine",
	} {
		if got := seen.Get(name); got != want {
			t.Errorf("the instance got %s: %q, want %q", name, got, want)
		}
	}
}

// TestRefusesUnknownHosts as the service does: a page may have made a browser call.
func TestRefusesUnknownHosts(t *testing.T) {
	a := newFake(t, echo)
	u := newGateway(t, Config{Hosts: []string{"bank.example"}}, a)
	for host, want := range map[string]int{"evil.example": http.StatusMisdirectedRequest, "bank.example": http.StatusCreated, "localhost": http.StatusCreated} {
		r, err := http.NewRequest(http.MethodPost, u.url+transactions, strings.NewReader("x"))
		if err != nil {
			t.Fatal(err)
		}
		r.Host = host
		if got := u.send(r); got.status != want {
			t.Errorf("%s: got %+v, want %d", host, got, want)
		}
	}
}

func TestBodies(t *testing.T) {
	a := newFake(t, echo)
	u := newGateway(t, Config{MaxBody: 3 << 20, MaxBodies: 6 << 20}, a)
	post := func(n int, sized bool) answer {
		body := bytes.Repeat([]byte("0123456789abcdef"), n/16)
		var reader io.Reader = bytes.NewReader(body)
		if !sized {
			reader = io.MultiReader(reader)
		}
		r, err := http.NewRequest(http.MethodPost, u.url+transactions, reader)
		if err != nil {
			t.Fatal(err)
		}
		got := u.send(r)
		if got.status == http.StatusCreated && got.body != string(body) {
			t.Errorf("%d bytes came back as %d", n, len(got.body))
		}
		return got
	}
	for _, sized := range []bool{true, false} {
		for _, n := range []int{0, 16, bodyStep, 1 << 20, 3 << 20} {
			if got := post(n, sized); got.status != http.StatusCreated {
				t.Errorf("%d bytes, sized %v: %d %s %v", n, sized, got.status, got.body, got.err)
			}
		}
		calls := a.calls.Load()
		// Where the client is told before it has sent all, its connection may end first.
		if got := post(3<<20+16, sized); got.err == nil && (got.status != http.StatusRequestEntityTooLarge || got.code() != rbcs.InvalidRequest) || a.calls.Load() != calls {
			t.Errorf("too large, sized %v: %+v", sized, got)
		}
		await(t, "all room to be given back", func() bool { return u.front.Reserved() == 0 })
	}
	if err := u.front.Reserve(0, 6<<20-1); err == nil { // large ones leave an eighth to small ones
		t.Fatal("the room for small bodies is gone")
	}
	if err := u.front.Reserve(0, 5<<20); err != nil {
		t.Fatal(err)
	}
	if got := post(1<<20, true); got.err == nil && (got.status != http.StatusTooManyRequests || got.header.Get("Retry-After") == "") {
		t.Errorf("no room: got %+v", got)
	}
	if got := post(16, true); got.status != http.StatusCreated {
		t.Errorf("a small one: got %+v", got)
	}
	u.front.Release(5 << 20)
}

func TestTruncatedBodyIsNotSent(t *testing.T) {
	a := newFake(t, echo)
	u := newGateway(t, Config{}, a)
	for _, framing := range []string{"Content-Length: 100\r\n\r\nhalf", "Transfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n"} {
		conn, err := net.Dial("tcp", strings.TrimPrefix(u.url, "http://"))
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(conn, "POST %s HTTP/1.1\r\nHost: localhost\r\n%s", transactions, framing)
		if err := conn.(*net.TCPConn).CloseWrite(); err != nil {
			t.Fatal(err)
		}
		raw, err := io.ReadAll(conn)
		if err != nil || !strings.HasPrefix(string(raw), "HTTP/1.1 400") {
			t.Errorf("got %q, %v", raw, err)
		}
		conn.Close()
	}
	if a.calls.Load() != 0 {
		t.Error("half a body was sent")
	}
}

func TestBoundsRequestsInFlight(t *testing.T) {
	started, may := make(chan struct{}), make(chan struct{})
	a := newFake(t, blocks(started, may))
	u := newGateway(t, Config{MaxInFlight: 1}, a)
	first := make(chan answer)
	go func() { first <- u.do(http.MethodGet, "/v1/accounts", "") }()
	<-started
	if got := u.do(http.MethodGet, "/v1/accounts", ""); got.status != http.StatusTooManyRequests || got.code() != rbcs.Overloaded || got.header.Get("Retry-After") == "" {
		t.Errorf("got %+v", got)
	}
	if got := u.do(http.MethodGet, "/readyz", ""); got.status != http.StatusOK {
		t.Errorf("readiness: got %+v", got)
	}
	close(may)
	if got := <-first; got.status != http.StatusOK {
		t.Errorf("got %+v", got)
	}
}

// TestSlowInstanceStallsNobodyElse: what waits at one counts when the next one is chosen.
func TestSlowInstanceStallsNobodyElse(t *testing.T) {
	started, may := make(chan struct{}), make(chan struct{})
	slow, fast := newFake(t, blocks(started, may)), newFake(t, echo)
	u := newGateway(t, Config{}, slow, fast)
	stuck := make(chan answer)
	for waiting := false; !waiting; {
		go func() { stuck <- u.do(http.MethodPost, transactions, "x") }()
		select {
		case <-started:
			waiting = true
		case <-stuck:
		}
	}
	for range 50 {
		if got := u.do(http.MethodPost, transactions, "x"); got.status != http.StatusCreated {
			t.Fatalf("got %+v", got)
		}
	}
	if slow.calls.Load() != 1 {
		t.Errorf("%d requests wait at the slow instance", slow.calls.Load())
	}
	close(may)
	<-stuck
}

// TestFollowsDiscovery adds and removes an instance while a request is under way on each that stays or goes.
func TestFollowsDiscovery(t *testing.T) {
	started, may := make(chan struct{}), make(chan struct{})
	a, b := newFake(t, blocks(started, may)), newFake(t, blocks(started, may))
	u := newGateway(t, Config{}, a)
	answers := make(chan answer)
	get := func() {
		go func() { answers <- u.do(http.MethodGet, "/v1/accounts", "") }()
		<-started
	}
	get()
	first := u.pool.takers()[0]
	u.finder.set(a, b)
	await(t, "the new instance", func() bool { return len(u.pool.takers()) == 2 })
	if u.pool.all[a.address] != first {
		t.Error("the first instance was replaced")
	}
	get() // the other one has less to do
	if b.calls.Load() != 1 {
		t.Errorf("the new instance got %d requests", b.calls.Load())
	}
	u.finder.set(b)
	await(t, "the first instance to go", func() bool { return u.pool.known() == 1 })
	close(may)
	for range 2 {
		if got := <-answers; got.status != http.StatusOK {
			t.Errorf("got %+v", got)
		}
	}
	if text := u.do(http.MethodGet, "/metrics", "").body; strings.Contains(text, a.address) || !strings.Contains(text, b.address) {
		t.Errorf("the series are not those of the instances that are known: %s", text)
	}
}

// TestBreaker takes out an instance that says it is ready and loses requests, for
// a pause that doubles.
func TestBreaker(t *testing.T) {
	clock := newClock()
	a := newFake(t, dies)
	u := newGateway(t, Config{Now: clock.now}, a)
	lose := func() (calls int64) {
		before := a.calls.Load()
		await(t, "the instance to be out", func() bool {
			u.do(http.MethodPost, "/v1/webhooks", "x")
			return len(u.pool.takers()) == 0
		})
		return a.calls.Load() - before
	}
	if got := lose(); got != lossesAllowed+1 {
		t.Errorf("it was out after %d losses", got)
	}
	for _, pause := range []time.Duration{firstPause, 2 * firstPause} {
		a.awaitProbes(t, 3)
		if len(u.pool.takers()) != 0 {
			t.Fatal("it was back without a pause")
		}
		clock.add(pause)
		await(t, "the instance to be back", func() bool { return len(u.pool.takers()) == 1 })
		lose()
	}
	clock.add(2 * forgivenAfter)
	await(t, "the instance to be back", func() bool { return len(u.pool.takers()) == 1 })
	lose()
	if i := u.pool.all[a.address]; i.pause != firstPause {
		t.Errorf("after a good time the pause is %s", i.pause)
	}
}

// TestReadinessIsBelieved at once when it falls, and silence the second time.
func TestReadinessIsBelieved(t *testing.T) {
	a := newFake(t, echo)
	u := newGateway(t, Config{ProbeEvery: time.Hour}, a)
	i := u.pool.takers()[0]
	u.pool.probed(t.Context(), i, "", io.ErrUnexpectedEOF)
	if len(u.pool.takers()) != 1 {
		t.Error("it was out after one miss")
	}
	u.pool.probed(t.Context(), i, "", nil)
	u.pool.probed(t.Context(), i, "", io.ErrUnexpectedEOF)
	u.pool.probed(t.Context(), i, "", io.ErrUnexpectedEOF)
	if len(u.pool.takers()) != 0 {
		t.Error("it was not out after two misses")
	}
	u.pool.probed(t.Context(), i, "", nil)
	u.pool.probed(t.Context(), i, "", &net.OpError{Op: "dial", Err: os.ErrDeadlineExceeded})
	if len(u.pool.takers()) != 1 {
		t.Error("it was out after one connection took too long")
	}
	u.pool.probed(t.Context(), i, "", &net.OpError{Op: "dial", Err: syscall.ECONNREFUSED})
	if len(u.pool.takers()) != 0 {
		t.Error("it was not out after nobody listened")
	}
	u.pool.probed(t.Context(), i, "", nil)
	u.pool.probed(t.Context(), i, "", notReady(http.StatusServiceUnavailable))
	if len(u.pool.takers()) != 0 {
		t.Error("it was not out after it said so")
	}
}

func TestPickTakesTheLessLoaded(t *testing.T) {
	p := newPool(nil, time.Now, time.Second)
	list := make([]*instance, 5)
	for n := range list {
		list[n] = newInstance(fmt.Sprint(n))
		list[n].inFlight.Store(int64(n))
	}
	p.ready.Store(&list)
	counts := map[string]int{}
	for range 10_000 {
		counts[p.pick(nil).address]++
	}
	if counts["4"] != 0 || counts["0"] < 3500 || counts["0"] < counts["1"] || counts["1"] < counts["2"] || counts["2"] < counts["3"] || counts["3"] == 0 {
		t.Errorf("picked %v", counts) // of two of five: 40 %, 30 %, 20 %, 10 %, never
	}
	for range 100 {
		if i := p.pick(list[1:4]); i != list[0] && i != list[4] {
			t.Fatalf("picked %s again", i.address)
		}
	}
	if p.pick(list) != nil {
		t.Error("picked one of those that were tried")
	}
}

func TestDrain(t *testing.T) {
	a := newFake(t, echo)
	u := newGateway(t, Config{}, a)
	u.Drain()
	if got := u.do(http.MethodGet, "/readyz", ""); got.status != http.StatusServiceUnavailable || !strings.Contains(got.body, "stopping") {
		t.Errorf("readiness: got %+v", got)
	}
	r, err := http.NewRequest(http.MethodPost, u.url+transactions, strings.NewReader("x"))
	if err != nil {
		t.Fatal(err)
	}
	response, err := u.client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusCreated || !response.Close {
		t.Errorf("got %d, close %v: it is still served, and the connection ends", response.StatusCode, response.Close)
	}
}

func TestConfigIsChecked(t *testing.T) {
	_, err := New(Config{ProbeEvery: -1, MaxBody: 10, MaxBodies: 10, MaxInFlight: -1})
	for _, want := range []string{"Finder", "ProbeEvery", "MaxBodies", "MaxInFlight"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v does not say %s", err, want)
		}
	}
	if _, err := New(Config{Finder: discovery.Static{"a:1"}}); err != nil {
		t.Error(err)
	}
}

// TestLastEventIsTheServices compares the words with those of a problem.
func TestLastEventIsTheServices(t *testing.T) {
	_, data, _ := strings.Cut(strings.TrimSpace(endOfStream), "data: ")
	var p struct {
		Type, Title, Code, Detail string
		Status                    int
	}
	if err := json.Unmarshal([]byte(data), &p); err != nil || p.Code != string(rbcs.Unavailable) || p.Status != 503 || p.Type != "urn:rbcs:problem:unavailable" {
		t.Errorf("got %+v, %v", p, err)
	}
}

// TestSaysWhyAnInstanceIsNeverReady, once.
func TestSaysWhyAnInstanceIsNeverReady(t *testing.T) {
	var log strings.Builder
	p := newPool(slog.New(slog.NewTextHandler(&log, nil)), time.Now, time.Second)
	i := newInstance("nowhere:1")
	p.all[i.address] = i
	for range 3 {
		p.probed(t.Context(), i, "", errors.New("no such host"))
	}
	if strings.Count(log.String(), "no such host") != 1 {
		t.Errorf("the log says %q", log.String())
	}
}
