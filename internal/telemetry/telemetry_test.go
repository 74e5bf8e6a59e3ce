package telemetry

import (
	"bytes"
	"encoding/json"
	"log/slog"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"rbcs"
)

func scrape(t *testing.T, m *Metrics) []string {
	t.Helper()
	w := httptest.NewRecorder()
	m.Handler().ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
	if w.Code != 200 {
		t.Fatal(w.Code)
	}
	return strings.Split(w.Body.String(), "\n")
}

func TestMetrics(t *testing.T) {
	m := NewMetrics("1.2.3")
	pending := 5.0
	m.Gauge("rbcs_pending_transactions", "Admitted and unanswered.", func() float64 { return pending })
	m.RequestStarted()
	m.RequestStarted()
	m.RequestDone("GET /x", 200, 3*time.Millisecond)
	m.RequestBatch(500)
	m.Commit(40, 2*time.Millisecond, "")
	m.Commit(40, time.Second, rbcs.Unavailable)

	posted := &rbcs.Result{Status: rbcs.Posted}
	poor := &rbcs.Result{Status: rbcs.Rejected, Code: rbcs.InsufficientFunds}
	again := &rbcs.Result{Status: rbcs.Posted, Replayed: true}
	failed := &rbcs.Result{Err: &rbcs.Error{Code: rbcs.Overloaded}}
	m.Result(posted)
	m.Result(poor)
	m.Failed(rbcs.Internal, 3)
	m.Failed(rbcs.Unavailable, 0)
	tally := m.Tally()
	for _, r := range []*rbcs.Result{posted, posted, poor, again, failed, failed} {
		tally.Result(r)
	}
	tally.Failed(rbcs.InvalidRequest)
	tally.Previewed(poor)
	tally.Previewed(failed)
	tally.Done()
	m.Previewed(posted)
	m.Previewed(again)
	m.Result(&rbcs.Result{Status: rbcs.Holding})
	m.EventsSent(3)
	m.StreamEnded("")
	m.StreamEnded(rbcs.Overloaded)
	m.Delivery("delivered", 20*time.Millisecond)

	lines := scrape(t, m)
	for _, want := range []string{
		`rbcs_pending_transactions 5`,
		`rbcs_http_requests_in_flight 1`,
		`rbcs_http_requests_total{route="GET /x",status="200"} 1`,
		`rbcs_http_request_duration_seconds_bucket{route="GET /x",le="0.0025"} 0`,
		`rbcs_http_request_duration_seconds_bucket{route="GET /x",le="0.005"} 1`,
		`rbcs_request_batch_size_sum 500`,
		`rbcs_commit_batch_size_sum 80`,
		`rbcs_commit_duration_seconds_count 2`,
		`rbcs_commit_attempts_total{code=""} 1`,
		`rbcs_commit_attempts_total{code="unavailable"} 1`,
		`rbcs_transactions_total{code="",outcome="posted"} 3`,
		`rbcs_transactions_total{code="insufficient_funds",outcome="rejected"} 2`,
		`rbcs_transactions_total{code="",outcome="replayed"} 1`,
		`rbcs_transactions_total{code="overloaded",outcome="error"} 3`,
		`rbcs_transactions_total{code="",outcome="previewed"} 2`,
		`rbcs_transactions_total{code="insufficient_funds",outcome="previewed"} 1`,
		`rbcs_transactions_total{code="",outcome="held"} 1`,
		`rbcs_events_sent_total 3`,
		`rbcs_event_streams_ended_total{code=""} 1`,
		`rbcs_event_streams_ended_total{code="overloaded"} 1`,
		`rbcs_webhook_delivery_duration_seconds_bucket{outcome="delivered",le="0.025"} 1`,
		`rbcs_transactions_total{code="internal",outcome="error"} 3`,
		`rbcs_transactions_total{code="invalid_request",outcome="error"} 1`,
	} {
		if !slices.Contains(lines, want) {
			t.Errorf("missing: %s", want)
		}
	}
	text := strings.Join(lines, "\n")
	for _, part := range []string{`version="1.2.3"`, "go_goroutines", "process_open_fds"} {
		if !strings.Contains(text, part) {
			t.Errorf("missing: %s", part)
		}
	}
	if strings.Contains(text, `code="unavailable",outcome="error"`) {
		t.Error("nothing failed that way")
	}
}

// TestNoMetrics: a service without metrics calls the same methods.
func TestNoMetrics(*testing.T) {
	var m *Metrics
	m.Gauge("x", "", nil)
	m.RequestStarted()
	m.RequestDone("/", 200, 0)
	m.RequestBatch(1)
	m.Commit(1, 0, "")
	m.Result(&rbcs.Result{Status: rbcs.Posted})
	m.Failed(rbcs.Internal, 1)
	tally := m.Tally()
	tally.Result(&rbcs.Result{Status: rbcs.Posted})
	tally.Failed(rbcs.Internal)
	tally.Previewed(&rbcs.Result{Status: rbcs.Posted})
	tally.Done()
	m.Previewed(&rbcs.Result{Status: rbcs.Posted})
	m.EventsSent(1)
	m.StreamEnded("")
	m.Delivery("failed", 0)
}

func TestLogger(t *testing.T) {
	var out bytes.Buffer
	logger, err := NewLogger(&out, "warn", "auto")
	if err != nil {
		t.Fatal(err)
	}
	logger.Info("not this")
	logger.Warn("this", slog.Int("answer", 42))
	var line map[string]any
	if err := json.Unmarshal(out.Bytes(), &line); err != nil {
		t.Fatalf("%v in %s", err, &out)
	}
	if line["msg"] != "this" || line["answer"] != 42.0 {
		t.Errorf("logged %v", line)
	}
	out.Reset()
	if logger, err = NewLogger(&out, "debug", "text"); err != nil {
		t.Fatal(err)
	}
	if logger.Debug("for a person"); !strings.Contains(out.String(), `msg="for a person"`) {
		t.Errorf("logged %s", &out)
	}
	for _, wrong := range [][2]string{{"loud", "auto"}, {"info", "xml"}} {
		if _, err := NewLogger(&out, wrong[0], wrong[1]); err == nil {
			t.Errorf("%v was taken", wrong)
		}
	}
}
