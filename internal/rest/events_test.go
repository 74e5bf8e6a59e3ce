package rest

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"rbcs"
	"rbcs/internal/events"
	"rbcs/internal/telemetry"
)

// message is one block of a stream.
type message struct{ id, event, data, comment string }

// stream reads server-sent events, block by block.
type stream struct {
	t    *testing.T
	body *bufio.Scanner
	end  func()
}

func (m *message) read(scanner *bufio.Scanner) bool {
	*m = message{}
	for scanner.Scan() {
		line := scanner.Text()
		if line == "" {
			return true
		}
		name, value, _ := strings.Cut(line, ":")
		value = strings.TrimPrefix(value, " ")
		switch name {
		case "id":
			m.id = value
		case "event":
			m.event = value
		case "data":
			m.data = value
		case "":
			m.comment = line
		}
	}
	return false
}

// next returns the next event, past silences.
func (s *stream) next() message {
	s.t.Helper()
	for {
		var m message
		if !m.read(s.body) {
			s.t.Fatalf("the stream broke off: %v", s.body.Err())
		}
		if m.event != "" {
			return m
		}
	}
}

// follow opens a stream over a real connection.
func follow(t *testing.T, base, query string, header ...string) *stream {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	t.Cleanup(cancel)
	r, err := http.NewRequestWithContext(ctx, "GET", base+"/v1/events"+query, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = res.Body.Close() })
	if res.StatusCode != 200 || res.Header.Get("Content-Type") != sseType || res.Header.Get("Cache-Control") != "no-store" {
		t.Fatalf("status %d, headers %v", res.StatusCode, res.Header)
	}
	return &stream{t, bufio.NewScanner(res.Body), cancel}
}

func TestEvents(t *testing.T) {
	c := newService(t)
	srv := httptest.NewUnstartedServer(nil)
	srv.Config = NewServer(c.h, c.logger)
	srv.Config.ReadTimeout, srv.Config.WriteTimeout = time.Second, time.Second // a stream outlives both: see the wait below
	srv.Start()
	defer srv.Close()
	c.account("bank", `,"overdraft":"unlimited"`)
	c.account("acme:1", "")
	c.account("acme:2", "")
	c.account("other", "")
	began := time.Now()
	now := follow(t, srv.URL, "") // headers and a first ID are there before any event
	var first message
	if !first.read(now.body) || first.id != "0-0" && first.id != "1-0" || first.data != "" {
		t.Errorf("a stream begins with %+v", first)
	}

	posted := c.do("POST", postPath, postPath, transfer("1", "bank", "acme:1", "5")).Body.String()
	posted = strings.TrimSuffix(posted, "\n")
	if m := now.next(); m.event != "transaction" || m.data != posted || !strings.HasSuffix(m.id, "-1") {
		t.Errorf("the event is %+v, the answer was %s", m, posted)
	}
	c.want(201, "POST", postPath, postPath, transfer("2", "bank", "other", "5"))
	c.want(422, "POST", postPath, postPath, transfer("3", "acme:2", "acme:1", "5"))
	c.want(201, "POST", postPath, postPath, hold("4", "acme:1", "bank", "2", ""))
	second := now.next()
	c.settle(201, "capture", "4", `{"id":"5"}`)

	for query, want := range map[string]string{
		"?after=0":                           "1 2 3 4 5",
		"?after=3":                           "4 5",
		"?last_event_id=" + second.id:        "3 4 5",
		"?after=0&prefix=acme:":              "1 3 4 5",
		"?after=0&account=acme:2":            "3",
		"?after=1&account=bank":              "2 4 5",
		"?after=4&last_event_id=" + first.id: "1 2 3 4 5",
	} {
		s := follow(t, srv.URL, query)
		var got []string
		for range strings.Fields(want) {
			got = append(got, object(t, []byte(s.next().data))["id"].(string))
		}
		if strings.Join(got, " ") != want {
			t.Errorf("%s: %v, want %s", query, got, want)
		}
		s.end()
	}
	resumed := follow(t, srv.URL, "?after=0&last_event_id=0-0", lastEventID, second.id)
	wantMembers(t, object(t, []byte(resumed.next().data)), map[string]string{"id": "3", "status": "rejected", "code": "insufficient_funds"})
	wantMembers(t, object(t, []byte(resumed.next().data)), map[string]string{"id": "4", "status": "held"}) // as recorded, not as it is now
	wantMembers(t, object(t, []byte(resumed.next().data)), map[string]string{"id": "5", "type": "capture", "original": "4"})

	// Longer than the server's own timeouts, a stream still lives.
	for n := 10; time.Since(began) < 1500*time.Millisecond; n++ {
		c.want(201, "POST", postPath, postPath, transfer(fmt.Sprint(n), "bank", "other", "1"))
		resumed.next()
	}

	// The service stops: the stream says so, and ends.
	go func() { _ = c.feed.Stop(context.Background()) }()
	m := resumed.next()
	for m.event == "transaction" {
		m = resumed.next()
	}
	if p := object(t, []byte(m.data)); m.event != "end" || p["code"] != "unavailable" || p["status"] == nil {
		t.Errorf("the stream ends with %+v", m)
	}
	if resumed.body.Scan() {
		t.Errorf("after the end comes %q", resumed.body.Text())
	}
	wantProblem(t, call(c.h, "GET", "/v1/events", ""), 503, rbcs.Unavailable)
	text := call(c.h, "GET", "/metrics", "").Body.String()
	for _, line := range []string{`rbcs_event_streams_ended_total{code="unavailable"} `, `rbcs_event_streams_ended_total{code=""} `, "rbcs_events_sent_total "} {
		if !strings.Contains(text, line) {
			t.Errorf("missing: %s", line)
		}
	}
}

// TestReconnects: a reader that loses its connection again and again, while
// several write, sees every decision exactly once and in order.
func TestReconnects(t *testing.T) {
	c := newService(t)
	srv := httptest.NewServer(c.h)
	defer srv.Close()
	c.account("bank", `,"overdraft":"unlimited"`)
	c.account("a", "")
	const writers, each = 4, 250
	var load sync.WaitGroup
	for w := range writers {
		load.Go(func() {
			for i := range each {
				r := call(c.h, "POST", postPath, transfer(fmt.Sprintf("w%d-%d", w, i), "bank", "a", "1"))
				if r.Code != 201 {
					t.Error(r.Body)
				}
			}
		})
	}
	last, seen, connections := "0-0", 0, 0
	for seen < writers*each {
		s := follow(t, srv.URL, "", lastEventID, last)
		connections++
		for range min(1+connections%19, writers*each-seen) {
			m := s.next()
			if seen++; object(t, []byte(m.data))["sequence"].(interface{ String() string }).String() != fmt.Sprint(seen) {
				t.Fatalf("event %d is %s", seen, m.data)
			}
			last = m.id
		}
		s.end()
	}
	load.Wait()
	if connections < 100 {
		t.Errorf("only %d connections", connections)
	}
}

// emptyLog never has anything; fail is what it says instead.
type emptyLog struct{ fail error }

func (l *emptyLog) Log(context.Context, int64, int) (rbcs.LogPage, error) {
	return rbcs.LogPage{Timeline: 3, End: 7}, l.fail
}

// pipe is a client of a stream that reads when it likes. It has no connection of
// which timeouts could be set.
type pipe struct {
	header http.Header
	blocks chan string
}

func (p *pipe) Header() http.Header { return p.header }
func (p *pipe) WriteHeader(int)     {}
func (p *pipe) Flush()              {}
func (p *pipe) Write(b []byte) (int, error) {
	p.blocks <- string(b)
	return len(b), nil
}

// TestSilence: a stream without events says every 15 seconds that it lives, and
// how far it is.
func TestSilence(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := &emptyLog{}
		feed := events.New(log, events.Config{})
		feed.Start()
		h := newHandler(t, &fakeStore{}, &fakeEngine{}, func(c *Config) { c.Events = feed; c.RequestTimeout = time.Second })
		w := &pipe{http.Header{}, make(chan string)}
		ctx, leave := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() {
			defer close(done)
			h.ServeHTTP(w, httptest.NewRequestWithContext(ctx, "GET", "/v1/events", nil))
		}()
		start := time.Now()
		for i := range 4 {
			if block := <-w.blocks; block != ":\nid: 3-7\n\n" || time.Since(start) != time.Duration(i)*heartbeat {
				t.Errorf("after %v: %q", time.Since(start), block)
			}
		}
		leave()
		<-done
		if got := feed.Stats().Readers; got != 0 {
			t.Errorf("%d readers are left", got)
		}
		if err := feed.Stop(context.Background()); err != nil {
			t.Error(err)
		}
	})
}

// oneConn is a listener with one connection.
type oneConn struct {
	net.Listener
	conns chan net.Conn
}

func (l oneConn) Accept() (net.Conn, error) {
	if conn, ok := <-l.conns; ok {
		return conn, nil
	}
	return nil, net.ErrClosed
}
func (l oneConn) Close() error   { return nil }
func (l oneConn) Addr() net.Addr { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)} }

// TestStalledReader: one that takes nothing any more is disconnected and counted
// as dropped. No end can reach it.
func TestStalledReader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		feed := events.New(&emptyLog{}, events.Config{})
		feed.Start()
		metrics := telemetry.NewMetrics("test")
		h := newHandler(t, &fakeStore{}, &fakeEngine{}, func(c *Config) { c.Events, c.Metrics = feed, metrics })
		srv := NewServer(h, slog.New(slog.DiscardHandler))
		server, reader := net.Pipe()
		listener := oneConn{conns: make(chan net.Conn, 1)}
		listener.conns <- server
		served := make(chan error)
		go func() { served <- srv.Serve(listener) }()
		if _, err := io.WriteString(reader, "GET /v1/events HTTP/1.1\r\nHost: localhost\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
		start := time.Now()
		body := bufio.NewReader(reader)
		for {
			line, err := body.ReadString('\n')
			if err != nil {
				t.Fatal(err)
			}
			if line == "id: 3-7\n" {
				break
			}
		}
		time.Sleep(heartbeat + writeTimeout + time.Second) // of the bubble: it takes no time
		synctest.Wait()
		if stats := feed.Stats(); stats.Readers != 0 || stats.Dropped != 1 {
			t.Errorf("after %v: %+v, want one dropped reader", time.Since(start), stats)
		}
		close(listener.conns)
		_ = reader.Close()
		<-served
		_ = srv.Close()
		if text := call(h, "GET", "/metrics", "").Body.String(); !strings.Contains(text, `rbcs_event_streams_ended_total{code="overloaded"} 1`) {
			t.Errorf("the metrics do not tell why the stream ended:\n%s", text)
		}
		if err := feed.Stop(context.Background()); err != nil {
			t.Error(err)
		}
	})
}

// newestStore has one decision, newest, that its log has not come to.
type newestStore struct {
	rbcs.Store
	*emptyLog
	newest int64
}

func (s *newestStore) Log(ctx context.Context, after int64, limit int) (rbcs.LogPage, error) {
	return s.emptyLog.Log(ctx, after, limit)
}

func (s *newestStore) Transactions(context.Context, rbcs.TransactionQuery) ([]rbcs.Record, error) {
	return []rbcs.Record{{Result: rbcs.Result{Sequence: s.newest}}}, nil
}

// TestPositionsAhead: what the log has not reached is refused, and what was
// committed a moment ago is not.
func TestPositionsAhead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := &emptyLog{}
		feed := events.New(log, events.Config{})
		feed.Start()
		store := &newestStore{emptyLog: log}
		h := newHandler(t, store, &fakeEngine{}, func(c *Config) { c.Events = feed })
		for target, pointer := range map[string]string{
			"/v1/events?after=99999999": "/after", "/v1/events?last_event_id=3-8": "/last_event_id", "/v1/events?after=-1": "/after",
		} {
			p := wantProblem(t, call(h, "GET", target, ""), 400, rbcs.InvalidRequest)
			if f := p["errors"].([]any)[0].(map[string]any); f["pointer"] != pointer || f["message"] == "" {
				t.Errorf("%s: %v", target, p)
			}
		}
		ahead := httptest.NewRequest("GET", "/v1/events", nil)
		ahead.Header.Set(lastEventID, "3-99999999")
		w := httptest.NewRecorder()
		h.ServeHTTP(w, ahead)
		if p := wantProblem(t, w, 400, rbcs.InvalidRequest); !strings.Contains(fmt.Sprint(p["errors"]), "the log ends at the sequence 7: there is no 99999999") {
			t.Errorf("%v", p)
		}
		store.newest = 9 // committed, not settled
		for _, target := range []string{"/v1/events?after=7", "/v1/events?after=9", "/v1/events?last_event_id=3-8"} {
			ctx, leave := context.WithCancel(t.Context())
			w, done := &pipe{http.Header{}, make(chan string)}, make(chan struct{})
			go func() {
				defer close(done)
				h.ServeHTTP(w, httptest.NewRequestWithContext(ctx, "GET", target, nil))
			}()
			if block := <-w.blocks; !strings.HasPrefix(block, ":\nid: 3-") {
				t.Errorf("%s: %s", target, block)
			}
			leave()
			<-done
		}
		if got := feed.Stats().Readers; got != 0 {
			t.Errorf("%d readers are left", got)
		}
		if err := feed.Stop(context.Background()); err != nil {
			t.Error(err)
		}
	})
}

// TestStreamsAreRefused before they begin: as every other request.
func TestStreamsAreRefused(t *testing.T) {
	log := &emptyLog{}
	feed := events.New(log, events.Config{MaxReaders: 1})
	h := newHandler(t, &fakeStore{}, &fakeEngine{}, func(c *Config) { c.Events = feed })
	p := wantProblem(t, call(h, "GET", "/v1/events?last_event_id=2-5", ""), 400, rbcs.InvalidRequest)
	if !strings.Contains(p["detail"].(string), "promoted") {
		t.Errorf("detail %v", p["detail"])
	}
	reader, err := feed.Subscribe(t.Context(), events.Tail, events.Filter{})
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close()
	w := call(h, "GET", "/v1/events", "")
	if wantProblem(t, w, 429, rbcs.Overloaded); w.Header().Get("Retry-After") == "" {
		t.Error("there is no Retry-After")
	}
}

// TestEnd: a reader that was dropped is told so in the stream's last event.
func TestEnd(t *testing.T) {
	e := &rbcs.Error{Code: rbcs.Overloaded, Message: "the reader was\ntoo slow", RetryAfter: 1500 * time.Millisecond}
	scanner := bufio.NewScanner(strings.NewReader(string(appendEnd(nil, problemOf(e)))))
	var m message
	if !m.read(scanner) || m.event != "end" || object(t, []byte(m.data))["code"] != "overloaded" {
		t.Errorf("the end is %+v", m)
	}
	if got := string(appendEnd(nil, problemOf(e))); !strings.HasPrefix(got, "retry: 1500\n") {
		t.Errorf("the end is %q", got)
	}
}
