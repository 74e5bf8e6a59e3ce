package gateway

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

// streams sends the pieces as they come, until there is no more.
func streams(pieces <-chan string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		controller := http.NewResponseController(w)
		_ = controller.Flush()
		for {
			select {
			case piece, more := <-pieces:
				if !more {
					return
				}
				_, _ = io.WriteString(w, piece)
				_ = controller.Flush()
			case <-r.Context().Done():
				return
			}
		}
	}
}

func (u *under) open(t *testing.T, path string) *http.Response {
	t.Helper()
	response, err := u.client.Get(u.url + path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { response.Body.Close() })
	return response
}

// TestStreamPassesThrough sees each event before the next one is sent.
func TestStreamPassesThrough(t *testing.T) {
	pieces := make(chan string)
	u := newGateway(t, Config{}, newFake(t, streams(pieces)))
	got := lines(u.open(t, "/v1/events").Body)
	for n := range 3 {
		pieces <- fmt.Sprintf("id: %d\n\n", n)
		if line := <-got; line != fmt.Sprintf("id: %d", n) {
			t.Errorf("got %q", line)
		}
		<-got // the empty line
	}
	close(pieces) // the instance ends it
	if line, more := <-got; more {
		t.Errorf("got %q after the end", line)
	}
	await(t, "the stream to be counted as ended", func() bool { return u.inFlight.Load() == 0 && u.pool.takers()[0].inFlight.Load() == 0 })
}

// TestStreamsEndWithTheGateway after a last event, which says where to go on; one
// that was cut in the middle is void.
func TestStreamsEndWithTheGateway(t *testing.T) {
	for name, piece := range map[string]string{"whole": "id: 1\n\n", "half": "id: 1\ndata: {"} {
		t.Run(name, func(t *testing.T) {
			pieces := make(chan string)
			u := newGateway(t, Config{}, newFake(t, streams(pieces)))
			response := u.open(t, "/v1/events")
			pieces <- piece
			first := make([]byte, len(piece))
			if _, err := io.ReadFull(response.Body, first); err != nil {
				t.Fatal(err)
			}
			u.Drain()
			u.EndStreams()
			rest, err := io.ReadAll(response.Body)
			if err != nil {
				t.Errorf("the stream did not end cleanly: %v", err)
			}
			want := ""
			if name == "whole" {
				want = endOfStream
			}
			if string(rest) != want {
				t.Errorf("got %q, want %q", rest, want)
			}
		})
	}
}

// TestStreamOfALostInstance breaks: nobody takes it for whole.
func TestStreamOfALostInstance(t *testing.T) {
	a := newFake(t, func(w http.ResponseWriter, _ *http.Request) {
		hijack(w, "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n7\r\nid: 1\n\n\r\n")
	})
	u := newGateway(t, Config{}, a)
	body, err := io.ReadAll(u.open(t, "/v1/events").Body)
	if err == nil || string(body) != "id: 1\n\n" || a.calls.Load() != 1 {
		t.Errorf("got %q, %v after %d calls", body, err, a.calls.Load())
	}
}

// TestSilentInstance stops in the middle of an answer: a short one comes from
// another instance, and a long one is broken.
func TestSilentInstance(t *testing.T) {
	a := newFake(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == transactions {
			w.Header().Set("Content-Length", "10")
		}
		_, _ = io.WriteString(w, "half")
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
	})
	b := newFake(t, echo)
	b.notReady.Store(true)
	u := newGateway(t, Config{}, a, b)
	u.silence = 50 * time.Millisecond
	if got := u.do(http.MethodGet, "/v1/statement", ""); got.err == nil || got.status != http.StatusOK {
		t.Errorf("got %+v", got)
	}
	b.notReady.Store(false)
	await(t, "the other instance", func() bool { return len(u.pool.takers()) == 2 })
	for _, got := range untilBoth(t, u, a, b, http.MethodGet, transactions, "") {
		if got.status != http.StatusCreated {
			t.Errorf("got %+v", got)
		}
	}
}

// TestLongAnswers are passed on in pieces, and broken where they are cut: what
// was passed on is never begun again.
func TestLongAnswers(t *testing.T) {
	long := strings.Repeat("0123456789abcdef", 5<<20/16)
	a := newFake(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Length", fmt.Sprint(len(long)))
		if r.URL.Path == "/half" {
			_, _ = io.WriteString(w, long[:len(long)/2])
			panic(http.ErrAbortHandler)
		}
		_, _ = io.WriteString(w, long)
	})
	u := newGateway(t, Config{}, a)
	if got := u.do(http.MethodGet, "/whole", ""); got.err != nil || got.body != long {
		t.Errorf("got %d bytes, %v", len(got.body), got.err)
	}
	if got := u.do(http.MethodGet, "/half", ""); got.err == nil || len(got.body) > len(long)/2 {
		t.Errorf("got %d bytes, %v", len(got.body), got.err)
	}
	if got := u.do(http.MethodHead, "/whole", ""); got.status != http.StatusOK || got.header.Get("Content-Length") != fmt.Sprint(len(long)) {
		t.Errorf("got %+v", got)
	}
	if a.calls.Load() != 3 {
		t.Errorf("%d calls", a.calls.Load())
	}
	if got := u.do(http.MethodGet, "/whole", ""); got.body != long { // the deadline of a long answer is not that of the next one
		t.Errorf("got %d bytes, %v", len(got.body), got.err)
	}
}

// TestClientThatGoesAway is nobody's loss.
func TestClientThatGoesAway(t *testing.T) {
	started := make(chan struct{})
	a := newFake(t, blocks(started, nil))
	u := newGateway(t, Config{}, a)
	for range 2 * lossesAllowed {
		done := make(chan struct{})
		ctx, cancel := context.WithCancel(t.Context())
		go func() {
			defer close(done)
			r, err := http.NewRequestWithContext(ctx, http.MethodPost, u.url+transactions, strings.NewReader("x"))
			if err == nil {
				u.send(r)
			}
		}()
		<-started
		cancel()
		<-done
	}
	await(t, "the requests to end", func() bool { return u.inFlight.Load() == 0 })
	if len(u.pool.takers()) != 1 || a.calls.Load() != 2*lossesAllowed {
		t.Errorf("%d ready instances after %d calls", len(u.pool.takers()), a.calls.Load())
	}
}

// TestClientThatClosesItsHalf is told nothing, and above all no success, of
// what was given up because it seemed to go away.
func TestClientThatClosesItsHalf(t *testing.T) {
	started := make(chan struct{})
	u := newGateway(t, Config{}, newFake(t, blocks(started, nil)))
	conn, err := net.Dial("tcp", strings.TrimPrefix(u.url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprintf(conn, "POST %s HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\n\r\nx", transactions)
	<-started
	if err := conn.(*net.TCPConn).CloseWrite(); err != nil {
		t.Fatal(err)
	}
	if raw, err := io.ReadAll(conn); err != nil || len(raw) > 0 {
		t.Errorf("got %q, %v", raw, err)
	}
}
