package gateway

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// BenchmarkGateway is one transaction through the gateway: what the gateway
// itself costs, its client and a trivial instance left out as far as one
// process can.
func BenchmarkGateway(b *testing.B) {
	const body = `{"id":"bench-00000001","source":"bank","destination":"user:1","amount":"1.00","timestamp":"2026-01-02T03:04:05Z"}`
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Body != http.NoBody {
			_, _ = io.Copy(io.Discard, r.Body)
		}
		w.Header()["Content-Type"] = []string{"application/json"}
		w.WriteHeader(http.StatusCreated)
		_, _ = io.WriteString(w, strings.Repeat("x", 400))
	}))
	defer server.Close()
	finder := &movable{list: []string{server.Listener.Addr().String()}}
	g, err := New(Config{Finder: finder})
	if err != nil {
		b.Fatal(err)
	}
	i := newInstance(finder.list[0])
	i.counters = g.metrics.counters(i.address)
	list := []*instance{i}
	g.pool.ready.Store(&list)
	defer i.transport.CloseIdleConnections()
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			r := httptest.NewRequest(http.MethodPost, transactions, strings.NewReader(body))
			r.Header = http.Header{"Content-Type": {"application/json"}, "User-Agent": {"bench"}}
			w := httptest.NewRecorder()
			g.ServeHTTP(w, r)
			if w.Code != http.StatusCreated {
				b.Fatalf("%d %s", w.Code, w.Body)
			}
		}
	})
}
