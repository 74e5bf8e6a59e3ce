package telemetry

import (
	"net/http"
	"runtime"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"rbcs"
)

// Metrics is what the service counts. Labels are routes, statuses and codes,
// never what a client writes, so that the number of series is bounded.
//
// All methods may be called on nil, and then do nothing.
type Metrics struct {
	registry *prometheus.Registry

	requests     *prometheus.CounterVec
	latency      *prometheus.HistogramVec
	inFlight     prometheus.Gauge
	transactions *prometheus.CounterVec
	posted       prometheus.Counter // of transactions: nearly all, without a look-up
	requestBatch prometheus.Histogram
	commitBatch  prometheus.Histogram
	commit       prometheus.Histogram
	attempts     *prometheus.CounterVec
	eventsSent   prometheus.Counter
	streamsEnded *prometheus.CounterVec
	deliveries   *prometheus.HistogramVec
}

// latencyBuckets begin at a cached read and end where a request gives up.
var latencyBuckets = []float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30}

// batchBuckets go up to the largest request.
var batchBuckets = []float64{1, 3, 10, 30, 100, 300, 1_000, 3_000, 10_000}

// NewMetrics returns metrics with a registry of their own, and the collectors of
// the Go runtime and the process in it.
func NewMetrics(version string) *Metrics {
	m := &Metrics{
		registry: prometheus.NewRegistry(),
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "rbcs_http_requests_total", Help: "Answered requests.",
		}, []string{"route", "status"}),
		latency: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "rbcs_http_request_duration_seconds", Help: "Time to answer a request.", Buckets: latencyBuckets,
		}, []string{"route"}),
		inFlight: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "rbcs_http_requests_in_flight", Help: "Requests that are being answered.",
		}),
		transactions: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "rbcs_transactions_total",
			Help: "Answers to submitted transactions. outcome is posted, held, rejected, replayed, previewed or error; code says why.",
		}, []string{"outcome", "code"}),
		requestBatch: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "rbcs_request_batch_size", Help: "Transactions in one batch request.", Buckets: batchBuckets,
		}),
		commitBatch: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "rbcs_commit_batch_size", Help: "Transactions in one commit.", Buckets: batchBuckets,
		}),
		commit: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "rbcs_commit_duration_seconds", Help: "Time of one attempt to commit a batch.", Buckets: latencyBuckets,
		}),
		attempts: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "rbcs_commit_attempts_total", Help: "Attempts to commit a batch. code is empty where it succeeded.",
		}, []string{"code"}),
		eventsSent: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "rbcs_events_sent_total", Help: "Decisions sent to the readers of event streams.",
		}),
		streamsEnded: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "rbcs_event_streams_ended_total", Help: "Event streams that ended. code is empty where the reader went away.",
		}, []string{"code"}),
		deliveries: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "rbcs_webhook_delivery_duration_seconds", Help: "Time of one attempt to deliver to a webhook.", Buckets: latencyBuckets,
		}, []string{"outcome"}),
	}
	build := prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "rbcs_build_info", Help: "Always 1; the labels say what runs.",
		ConstLabels: prometheus.Labels{"version": version, "go": runtime.Version()},
	})
	build.Set(1)
	m.posted = m.transactions.WithLabelValues(string(rbcs.Posted), "")
	for _, code := range []rbcs.Code{rbcs.Internal, rbcs.OutcomeUnknown} { // alerts see the first: a series that begins with it has no increase
		m.transactions.WithLabelValues(failure(code).outcome, string(code))
	}
	m.registry.MustRegister(m.requests, m.latency, m.inFlight, m.transactions, m.requestBatch, m.commitBatch,
		m.commit, m.attempts, m.eventsSent, m.streamsEnded, m.deliveries, build,
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m
}

// Handler serves the metrics.
func (m *Metrics) Handler() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{Registry: m.registry})
}

// Gauge adds a gauge whose value is asked for at each scrape, such as the number
// of pending transactions. REQUIRES: no other has the name.
func (m *Metrics) Gauge(name, help string, value func() float64) {
	if m != nil {
		m.registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, value))
	}
}

// Counter adds a counter whose value is asked for at each scrape. Those of one
// name have the same help and labels of the same names. REQUIRES: no other has
// the name and these labels, and value never falls.
func (m *Metrics) Counter(name, help string, labels map[string]string, value func() float64) {
	if m != nil {
		m.registry.MustRegister(prometheus.NewCounterFunc(prometheus.CounterOpts{Name: name, Help: help, ConstLabels: labels}, value))
	}
}

// RequestStarted counts a request that is being answered.
func (m *Metrics) RequestStarted() {
	if m != nil {
		m.inFlight.Inc()
	}
}

// Route begins the series of a route's internal errors at zero, so that an alert
// sees the first. route is its pattern.
func (m *Metrics) Route(route string) {
	if m != nil {
		m.requests.WithLabelValues(route, strconv.Itoa(http.StatusInternalServerError))
	}
}

// RequestDone counts an answered request. route is its pattern, never its path.
func (m *Metrics) RequestDone(route string, status int, d time.Duration) {
	if m == nil {
		return
	}
	m.inFlight.Dec()
	m.requests.WithLabelValues(route, strconv.Itoa(status)).Inc()
	m.latency.WithLabelValues(route).Observe(d.Seconds())
}

// RequestBatch counts a batch request of n transactions.
func (m *Metrics) RequestBatch(n int) {
	if m != nil {
		m.requestBatch.Observe(float64(n))
	}
}

// Commit counts one attempt to commit a batch; code says why it failed, "" where it did not.
func (m *Metrics) Commit(size int, d time.Duration, code rbcs.Code) {
	if m == nil {
		return
	}
	m.commitBatch.Observe(float64(size))
	m.commit.Observe(d.Seconds())
	m.attempts.WithLabelValues(string(code)).Inc()
}

// EventsSent counts decisions that were sent to the reader of an event stream.
func (m *Metrics) EventsSent(n int) {
	if m != nil {
		m.eventsSent.Add(float64(n))
	}
}

// StreamEnded counts an event stream that ended; code says why, "" where its reader went away.
func (m *Metrics) StreamEnded(code rbcs.Code) {
	if m != nil {
		m.streamsEnded.WithLabelValues(string(code)).Inc()
	}
}

// Delivery counts one attempt to deliver to a webhook. outcome is one of few
// words; it must not come from a receiver.
func (m *Metrics) Delivery(outcome string, d time.Duration) {
	if m != nil {
		m.deliveries.WithLabelValues(outcome).Observe(d.Seconds())
	}
}
