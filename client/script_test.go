package client_test

import (
	"errors"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"rbcs/client"
)

// step is one scripted answer: a status with its header and body, or a failure.
type step struct {
	status     int
	body       string
	retryAfter string
	replayed   bool
	err        error         // no answer at all
	bodyErr    error         // the answer breaks off after body
	hangs      bool          // nothing comes after body, until the request is given up
	takes      time.Duration // before it is answered
}

// script is a transport that answers as it was told, and remembers what it was
// asked. After the last step it fails the test. It needs no network, so that
// the time of a synctest bubble stands still around it.
type script struct {
	t     *testing.T
	mu    sync.Mutex
	steps []step
	sent  []sent
}

type sent struct {
	method, url, body string
	header            http.Header
	at                time.Time
}

func (s *script) RoundTrip(r *http.Request) (*http.Response, error) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	s.sent = append(s.sent, sent{r.Method, r.URL.String(), string(body), r.Header, time.Now()})
	if len(s.steps) == 0 {
		s.mu.Unlock()
		s.t.Errorf("request %d was not expected: %s %s", len(s.sent), r.Method, r.URL)
		return nil, errors.New("the script is over")
	}
	next := s.steps[0]
	s.steps = s.steps[1:]
	s.mu.Unlock()
	if next.takes > 0 {
		select {
		case <-time.After(next.takes):
		case <-r.Context().Done():
			return nil, r.Context().Err()
		}
	}
	if next.err != nil {
		return nil, next.err
	}
	header := http.Header{}
	if next.retryAfter != "" {
		header.Set("Retry-After", next.retryAfter)
	}
	if next.replayed {
		header.Set("Idempotent-Replayed", "true")
	}
	var content io.Reader = strings.NewReader(next.body)
	if next.bodyErr != nil {
		content = io.MultiReader(content, failingReader{next.bodyErr})
	}
	if next.hangs {
		content = io.MultiReader(content, hangingReader{r})
	}
	return &http.Response{StatusCode: next.status, Header: header, Body: io.NopCloser(content), Request: r}, nil
}

func (s *script) client() *http.Client { return &http.Client{Transport: s} }

type failingReader struct{ err error }

func (f failingReader) Read([]byte) (int, error) { return 0, f.err }

// scripted returns a client that is answered with the steps, all of which must be used up.
func scripted(t *testing.T, retry client.Retry, steps ...step) (*client.Client, *script) {
	t.Helper()
	s := &script{t: t, steps: steps}
	c, err := client.New("http://rbcs.test", client.WithHTTPClient(s.client()), client.WithRetry(retry))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if len(s.steps) > 0 {
			t.Errorf("%d scripted answers were not asked for", len(s.steps))
		}
	})
	return c, s
}

var order = client.Transaction{
	ID: "order-1", Source: "alice", Destination: "bob", Amount: "12.34",
	Timestamp: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC),
}

const posted = `{"id":"order-1","type":"transfer","status":"posted","source":"alice","destination":"bob","amount":"12.34",` +
	`"currency":"USD","timestamp":"2026-03-01T12:00:00.000000Z","sequence":7,"committed_at":"2026-03-01T12:00:01.000000Z",` +
	`"source_balance":"-12.34","destination_balance":"12.34","source_version":1,"destination_version":1}`

func problem(code, detail string) string {
	return `{"type":"urn:rbcs:problem:` + code + `","title":"x","status":1,"code":"` + code + `","detail":"` + detail + `"}`
}

type hangingReader struct{ request *http.Request }

func (h hangingReader) Read([]byte) (int, error) {
	<-h.request.Context().Done()
	return 0, h.request.Context().Err()
}
