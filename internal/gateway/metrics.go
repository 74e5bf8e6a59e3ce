package gateway

import (
	"net/http"
	"runtime"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// metrics is what the gateway counts. The label instance has a value for each
// instance that is known now: the series of one that is gone are deleted.
type metrics struct {
	registry *prometheus.Registry

	sent      *prometheus.CounterVec
	refused   *prometheus.CounterVec
	resent    prometheus.Counter
	exhausted prometheus.Counter
	duration  prometheus.Histogram
}

// outcome is what became of sending a request to an instance.
type outcome int

const (
	informed  outcome = iota // 1xx, which are not final
	succeeded                // 2xx
	redirected
	clientFault
	serverFault
	lost      // there was no answer
	cancelled // the client went away first
	outcomes  // how many there are
)

var outcomeNames = [outcomes]string{"1xx", "2xx", "3xx", "4xx", "5xx", "lost", "cancelled"}

// outcomeOf returns the outcome of an answer.
func outcomeOf(status int) outcome {
	return min(max(outcome(status/100-1), informed), serverFault)
}

// Why the gateway refused a request by itself.
const (
	noInstance = "no_instance"
	noAnswer   = "no_answer"
	overloaded = "overloaded"
	badRequest = "bad_request"
)

func newMetrics(version string, p *pool, inFlight, held func() float64) *metrics {
	m := &metrics{
		registry: prometheus.NewRegistry(),
		sent: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "rbcs_gateway_requests_total",
			Help: "Requests sent to an instance. outcome is the class of the status, lost (no answer) or cancelled (the client went away).",
		}, []string{"instance", "outcome"}),
		refused: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "rbcs_gateway_refused_total", Help: "Requests that the gateway answered by itself.",
		}, []string{"reason"}),
		resent: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "rbcs_gateway_resent_total", Help: "Requests that were sent again.",
		}),
		exhausted: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "rbcs_gateway_resend_budget_exhausted_total", Help: "Requests that were not sent again, since too many were.",
		}),
		duration: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "rbcs_gateway_request_duration_seconds", Help: "Time to answer a request, streams of events left out.",
			Buckets: []float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30},
		}),
	}
	build := prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "rbcs_build_info", Help: "Always 1; the labels say what runs.",
		ConstLabels: prometheus.Labels{"version": version, "go": runtime.Version()},
	})
	build.Set(1)
	gauge := func(name, help string, value func() float64) prometheus.Collector {
		return prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, value)
	}
	m.registry.MustRegister(m.sent, m.refused, m.resent, m.exhausted, m.duration, build,
		gauge("rbcs_gateway_instances", "Instances that are known.", func() float64 { return float64(p.known()) }),
		gauge("rbcs_gateway_instances_ready", "Instances that requests are sent to.", func() float64 { return float64(len(p.takers())) }),
		gauge("rbcs_gateway_instances_foreign", "Instances on another database than the others: they get no requests.",
			func() float64 { return float64(p.strangers()) }),
		gauge("rbcs_gateway_requests_in_flight", "Requests that are being answered, streams included.", inFlight),
		gauge("rbcs_gateway_held_bytes", "Bytes of requests and answers that are held.", held),
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m
}

// counters returns those of one instance, looked up once.
func (m *metrics) counters(address string) (c [outcomes]prometheus.Counter) {
	for o, name := range outcomeNames {
		c[o] = m.sent.WithLabelValues(address, name)
	}
	return c
}

// forget deletes the series of an instance.
func (m *metrics) forget(address string) {
	m.sent.DeletePartialMatch(prometheus.Labels{"instance": address})
}

func (m *metrics) handler() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{Registry: m.registry})
}
