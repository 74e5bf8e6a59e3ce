package telemetry

import "github.com/prometheus/client_golang/prometheus"

// GaugeOf is [Metrics.Gauge] for one value of a label; the others have gauges of their own.
func (m *Metrics) GaugeOf(name, help, label, of string, value func() float64) {
	if m != nil {
		m.registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: name, Help: help, ConstLabels: prometheus.Labels{label: of},
		}, value))
	}
}

// Queued counts n transactions that were accepted, to be decided later.
func (m *Metrics) Queued(n int) { m.count(outcome{outcome: "queued"}, n) }

// Queued counts a transaction that was accepted, to be decided later.
func (t *Tally) Queued() { t.add(outcome{outcome: "queued"}) }

// CounterOf adds a counter with one label and returns what adds to it. What the
// label says is one of few words. REQUIRES: no other has the name.
func (m *Metrics) CounterOf(name, help, label string) func(of string, n int) {
	if m == nil {
		return func(string, int) {}
	}
	counter := prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, []string{label})
	m.registry.MustRegister(counter)
	return func(of string, n int) { counter.WithLabelValues(of).Add(float64(n)) }
}
