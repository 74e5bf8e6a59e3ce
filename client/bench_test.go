package client_test

import (
	"net/http"
	"strings"
	"testing"

	"rbcs/client"
)

// BenchmarkSubmitBatch is what the client itself costs for a batch of 1,000.
func BenchmarkSubmitBatch(b *testing.B) {
	const size = 1000
	answer := `{"results":[` + strings.Repeat(posted+",", size-1) + posted + `]}`
	s := &script{steps: make([]step, 0, 1)}
	c, err := client.New("http://rbcs.test", client.WithHTTPClient(&http.Client{Transport: s}))
	if err != nil {
		b.Fatal(err)
	}
	batch := make([]client.Transaction, size)
	for i := range batch {
		batch[i] = order
	}
	b.ReportAllocs()
	for b.Loop() {
		s.steps, s.sent = append(s.steps, step{status: 200, body: answer}), s.sent[:0]
		if _, err := c.SubmitBatch(b.Context(), batch); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.N*size)/b.Elapsed().Seconds(), "tx/s")
}
