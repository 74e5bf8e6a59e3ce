package rest

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"rbcs"
)

func benchBatch(n int) string {
	var b strings.Builder
	b.WriteString(`{"transactions":[`)
	for i := range n {
		if i > 0 {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, `{"id":"bench-%08d","source":"user:%06d","destination":"user:%06d","amount":"%d.%02d","currency":"USD","timestamp":"2026-01-02T03:04:05.123456Z"}`,
			i, i*7%10000, i*13%10000, 1+i%90, i%100)
	}
	b.WriteString(`]}`)
	return b.String()
}

func reportPer(b *testing.B, n int, start time.Time) {
	b.ReportMetric(float64(time.Since(start).Nanoseconds())/float64(b.N*n), "ns/tx")
}

func BenchmarkDecode1000(b *testing.B) {
	body := []byte(benchBatch(1000))
	currencies, _ := rbcs.NewCurrencies()
	b.ReportAllocs()
	start := time.Now()
	for b.Loop() {
		d := newDecoder(new(bodies))
		d.body = append(d.body[:0], body...)
		if err := d.use(); err != nil {
			b.Fatal(err)
		}
		if got, err := d.batch(currencies); err != nil || len(got.valid) != 1000 {
			b.Fatal(len(got.valid), err)
		}
		d.free()
	}
	reportPer(b, 1000, start)
}

func BenchmarkEncode(b *testing.B) {
	t := &rbcs.Transaction{
		ID: "bench-00000001", Type: rbcs.Transfer, Source: "user:000001", Destination: "user:000002",
		Amount: rbcs.Decimal{Units: rbcs.AmountOf(1234), Scale: 2}, Timestamp: committed,
	}
	r := posted(t)
	var dst []byte
	b.ReportAllocs()
	for b.Loop() {
		dst = AppendRecord(dst[:0], &r)
	}
}

// discard is a ResponseWriter that costs next to nothing.
type discard struct{ header http.Header }

func (d *discard) Header() http.Header         { return d.header }
func (d *discard) WriteHeader(int)             {}
func (d *discard) Write(b []byte) (int, error) { return len(b), nil }

func benchHandler(b *testing.B, target, body string, n int) {
	h := newHandler(b, &fakeStore{}, nullEngine{})
	r := httptest.NewRequest("POST", target, nil)
	r.Header.Set("Content-Type", jsonType)
	r.ContentLength = int64(len(body))
	w := &discard{header: http.Header{}}
	reader := bytes.NewReader(nil)
	b.ReportAllocs()
	start := time.Now()
	for b.Loop() {
		reader.Reset([]byte(body))
		r.Body = io.NopCloser(reader)
		h.ServeHTTP(w, r)
	}
	reportPer(b, n, start)
}

func BenchmarkSingle(b *testing.B) { benchHandler(b, "/v1/transactions", validTx, 1) }
func BenchmarkBatch1000(b *testing.B) {
	benchHandler(b, "/v1/transactions/batch", benchBatch(1000), 1000)
}

// nullEngine posts everything and keeps nothing.
type nullEngine struct{ Submitter }

func (nullEngine) Submit(_ context.Context, txs []*rbcs.Transaction) ([]rbcs.Result, error) {
	results := make([]rbcs.Result, len(txs))
	for i, t := range txs {
		results[i] = posted(t)
	}
	return results, nil
}
