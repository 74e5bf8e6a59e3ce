package webhook_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"rbcs"
	"rbcs/internal/events"
	"rbcs/internal/webhook"
)

// fakeLog is a log in which everything is settled at once.
type fakeLog struct {
	mu      sync.Mutex
	results []rbcs.Result
	moves   int64 // of the timeline
}

// promote goes over to a standby that has only the first decisions.
func (l *fakeLog) promote(kept int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.moves++
	l.results = slices.Clone(l.results[:kept])
}

func (l *fakeLog) timeline() int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return 7 + l.moves
}

func (l *fakeLog) Log(_ context.Context, after int64, limit int) (rbcs.LogPage, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	end := int64(len(l.results))
	first := min(after, end)
	last := min(first+int64(limit), end)
	return rbcs.LogPage{Results: slices.Clone(l.results[first:last]), End: last, Timeline: 7 + l.moves}, nil
}

func (l *fakeLog) post(accounts ...string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, a := range accounts {
		n := len(l.results) + 1
		l.results = append(l.results, rbcs.Result{
			Transaction: rbcs.Transaction{ID: fmt.Sprint("t", n, strings.Repeat("'", int(l.moves))), Source: a, Destination: "bank"},
			Status:      rbcs.Posted, Sequence: int64(n), CommittedAt: time.Now(),
		})
	}
}

// fakeStore keeps webhooks as the contract says.
type fakeStore struct {
	mu      sync.Mutex
	hooks   map[string]*stored
	err     error
	writes  int // of DeliveredWebhook
	claims  int
	log     *fakeLog // whose timeline counts; nil for none
	deliver func()   // called before DeliveredWebhook, without the mutex
}

type stored struct {
	rbcs.Webhook
	owner string
	until time.Time
}

func newStore(hooks ...rbcs.Webhook) *fakeStore {
	s := &fakeStore{hooks: map[string]*stored{}}
	for _, w := range hooks {
		s.hooks[w.ID] = &stored{Webhook: w}
	}
	return s
}

func (s *fakeStore) CreateWebhook(_ context.Context, w rbcs.Webhook) (rbcs.Webhook, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.hooks[w.ID] = &stored{Webhook: w}
	return w, nil
}

func (s *fakeStore) Webhook(_ context.Context, id string) (rbcs.Webhook, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if h := s.hooks[id]; h != nil {
		return h.Webhook, nil
	}
	return rbcs.Webhook{}, rbcs.Errorf(rbcs.NotFound, "no webhook %s", id)
}

func (s *fakeStore) Webhooks(context.Context) ([]rbcs.Webhook, error) { return nil, nil }

func (s *fakeStore) UpdateWebhook(_ context.Context, id string, c rbcs.WebhookChange) (rbcs.Webhook, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	h := s.hooks[id]
	if c.URL != nil {
		h.URL = *c.URL
	}
	if c.Cursor != nil {
		h.Cursor = *c.Cursor
	}
	if c.Paused != nil {
		h.Paused, h.owner = *c.Paused, ""
		if !h.Paused {
			h.Failures, h.FailingSince, h.LastError, h.NextAt = 0, time.Time{}, "", time.Time{}
		}
	}
	return h.Webhook, nil
}

func (s *fakeStore) DeleteWebhook(_ context.Context, id string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.hooks, id)
	return nil
}

func (s *fakeStore) ClaimWebhooks(_ context.Context, instance string, lease time.Duration) ([]rbcs.Webhook, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.claims++
	if s.err != nil {
		return nil, s.err
	}
	var list []rbcs.Webhook
	now := time.Now()
	for _, id := range slices.Sorted(maps.Keys(s.hooks)) {
		h := s.hooks[id]
		if h.Paused || now.Before(h.NextAt) || h.owner != instance && h.owner != "" && now.Before(h.until) {
			continue
		}
		h.owner, h.until = instance, now.Add(lease)
		w := h.Webhook
		if s.log != nil {
			w.Timeline = s.log.timeline()
		}
		list = append(list, w)
	}
	return list, nil
}

func (s *fakeStore) DeliveredWebhook(_ context.Context, instance string, w rbcs.Webhook, from int64) (bool, error) {
	if s.deliver != nil {
		s.deliver()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.writes++
	h := s.hooks[w.ID]
	if s.err != nil {
		return false, s.err
	}
	if s.log != nil && w.Timeline != s.log.timeline() || h == nil || h.owner != instance || !time.Now().Before(h.until) || h.Cursor != from {
		return false, nil
	}
	h.Cursor, h.FailingSince, h.Failures, h.LastError, h.NextAt, h.Paused = w.Cursor, w.FailingSince, w.Failures, w.LastError, w.NextAt, w.Paused
	return true, nil
}

func (s *fakeStore) get(t *testing.T, id string) rbcs.Webhook {
	t.Helper()
	w, err := s.Webhook(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	return w
}

func (s *fakeStore) fail(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.err = err
}

func (s *fakeStore) count() (claims, writes int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.claims, s.writes
}

// receiver is a transport that answers by itself.
type receiver struct {
	mu     sync.Mutex
	got    []string // "transaction@webhook-id"
	times  []time.Time
	bodies [][]byte
	heads  []http.Header
	urls   []string
	answer func(n int) (*http.Response, error) // of the nth request, from 1; nil for 200
	delay  time.Duration
}

func (r *receiver) RoundTrip(request *http.Request) (*http.Response, error) {
	body, err := io.ReadAll(request.Body)
	if err != nil {
		return nil, err
	}
	var event struct{ Data string }
	if err := json.Unmarshal(body, &event); err != nil {
		return nil, err
	}
	r.mu.Lock()
	r.got = append(r.got, event.Data)
	r.times = append(r.times, time.Now())
	r.bodies = append(r.bodies, body)
	r.heads = append(r.heads, request.Header)
	r.urls = append(r.urls, request.URL.String())
	n, answer, delay := len(r.got), r.answer, r.delay
	r.mu.Unlock()
	select {
	case <-time.After(delay):
	case <-request.Context().Done():
		return nil, request.Context().Err()
	}
	if answer == nil {
		return reply(200), nil
	}
	return answer(n)
}

func (r *receiver) setDelay(d time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.delay = d
}

func (r *receiver) seen() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.got)
}

func reply(status int, header ...string) *http.Response {
	h := http.Header{}
	for i := 0; i < len(header); i += 2 {
		h.Set(header[i], header[i+1])
	}
	return &http.Response{StatusCode: status, Header: h, Body: io.NopCloser(bytes.NewReader([]byte("thanks")))}
}

// always answers every request alike.
func always(status int, header ...string) func(int) (*http.Response, error) {
	return func(int) (*http.Response, error) { return reply(status, header...), nil }
}

const secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw" // of the test vectors of Standard Webhooks

func hook(id string) rbcs.Webhook {
	return rbcs.Webhook{ID: id, URL: "https://receiver.example/" + id, Secret: secret}
}

func encode(dst []byte, r *rbcs.Result) []byte {
	return append(append(append(dst, '"'), r.Transaction.ID...), '"')
}

// deliver starts an instance that the test stops at its end.
func deliver(t *testing.T, store rbcs.WebhookStore, log events.Log, cfg webhook.Config) *webhook.Deliverer {
	t.Helper()
	cfg.Encode = encode
	cfg.Logger = slog.New(slog.DiscardHandler)
	if cfg.Instance == "" {
		cfg.Instance = "one"
	}
	feed := events.New(log, events.Config{Logger: cfg.Logger})
	feed.Start()
	d := webhook.New(store, feed, cfg)
	d.Start()
	t.Cleanup(func() {
		if err := d.Stop(context.Background()); err != nil {
			t.Error(err)
		}
		if err := feed.Stop(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return d
}

func equal(t *testing.T, got []string, want string) {
	t.Helper()
	if joined := strings.Join(got, " "); joined != want {
		t.Errorf("got  %q\nwant %q", joined, want)
	}
}
