package client_test

import (
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"rbcs"
	"rbcs/client"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// quick makes retries of real requests quick.
var quick = client.WithRetry(client.Retry{Attempts: 5, MinDelay: time.Microsecond, MaxDelay: time.Millisecond})

// serve returns a client of handler, and the server that it runs in.
func serve(t *testing.T, handler http.HandlerFunc) (*client.Client, *httptest.Server) {
	t.Helper()
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	c, err := client.New(server.URL, quick)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c, server
}

func write(t *testing.T, w io.Writer, text string) {
	if _, err := io.WriteString(w, text); err != nil {
		t.Error(err)
	}
}

func TestAConnectionCutBeforeAndInTheAnswer(t *testing.T) {
	var mu sync.Mutex
	var bodies []string
	c, _ := serve(t, func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		mu.Lock()
		bodies = append(bodies, string(body))
		attempt := len(bodies)
		mu.Unlock()
		switch attempt {
		case 1: // nothing at all
			panic(http.ErrAbortHandler)
		case 2: // half of it
			w.Header().Set("Content-Length", "1000")
			write(t, w, posted[:100])
			panic(http.ErrAbortHandler)
		}
		w.WriteHeader(http.StatusCreated)
		write(t, w, posted)
	})
	r, err := c.Submit(t.Context(), order)
	if err != nil || r.Status != rbcs.Posted {
		t.Fatalf("got %+v, %v", r, err)
	}
	if len(bodies) != 3 || bodies[0] != bodies[1] || bodies[0] != bodies[2] || !strings.Contains(bodies[0], `"order-1"`) {
		t.Errorf("sent %q", bodies)
	}
}

func TestAServiceThatIsNotThere(t *testing.T) {
	c, server := serve(t, func(http.ResponseWriter, *http.Request) {})
	server.Close()
	_, err := c.Submit(t.Context(), order)
	var dial *net.OpError
	if rbcs.CodeOf(err) != rbcs.Unavailable || !errors.As(err, &dial) {
		t.Errorf("got %v, want unavailable: it was never sent", err)
	}
}

func TestARedirectIsNotFollowed(t *testing.T) {
	var requests atomic.Int32
	c, _ := serve(t, func(w http.ResponseWriter, r *http.Request) {
		requests.Add(1)
		http.Redirect(w, r, "/elsewhere", http.StatusFound) // would make a GET of a POST
	})
	_, err := c.Submit(t.Context(), order)
	if rbcs.CodeOf(err) != rbcs.InvalidRequest || !strings.Contains(err.Error(), "302 Found to /elsewhere, which is not followed") {
		t.Errorf("got %v", err)
	}
	if requests.Load() != 1 {
		t.Errorf("%d requests", requests.Load())
	}
}

func TestACertificateThatIsNotTrusted(t *testing.T) {
	server := httptest.NewUnstartedServer(http.NotFoundHandler())
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.StartTLS()
	defer server.Close()
	c, err := client.New(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	start := time.Now()
	_, err = c.Submit(t.Context(), order)
	if rbcs.CodeOf(err) != rbcs.Unavailable || !strings.Contains(err.Error(), "certificate") || time.Since(start) > 10*time.Second {
		t.Errorf("after %v: %v; want unavailable at once", time.Since(start), err)
	}
}

func TestAnAnswerIsBounded(t *testing.T) {
	var requests, written atomic.Int64
	c, _ := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		requests.Add(1)
		chunk := []byte(strings.Repeat(" ", 1<<20))
		for range 1 << 10 { // 1 GiB, if somebody took it
			n, err := w.Write(chunk)
			written.Add(int64(n))
			if err != nil {
				return
			}
		}
	})
	_, err := c.Transaction(t.Context(), "x")
	if rbcs.CodeOf(err) != rbcs.Internal || !strings.Contains(err.Error(), "more than 67108864 bytes") || requests.Load() != 1 {
		t.Errorf("after %d requests: %v", requests.Load(), err)
	}
	if written.Load() >= 1<<30 {
		t.Error("all of it was taken")
	}
}

func TestConnectionsAreKept(t *testing.T) {
	const workers, rounds = 50, 20
	var opened atomic.Int32
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, err := io.Copy(io.Discard, r.Body); err != nil {
			t.Error(err)
		}
		w.WriteHeader(http.StatusCreated)
		write(t, w, posted)
	}))
	server.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			opened.Add(1)
		}
	}
	server.Start()
	defer server.Close()
	c, err := client.New(server.URL, quick)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	var wg sync.WaitGroup
	for range workers {
		wg.Go(func() {
			for range rounds {
				if _, err := c.Submit(t.Context(), order); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	if n := opened.Load(); n > 2*workers {
		t.Errorf("%d connections for %d workers that sent %d requests each", n, workers, rounds)
	}
}

func TestALongAnswerOfAProxyIsCutInTheMessage(t *testing.T) {
	c, _ := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusBadRequest)
		write(t, w, strings.Repeat("é", 5000))
	})
	_, err := c.Account(t.Context(), "a")
	if rbcs.CodeOf(err) != rbcs.InvalidRequest || len(err.Error()) > 300 || !strings.HasSuffix(err.Error(), "éé…") {
		t.Errorf("got %v", err)
	}
}
