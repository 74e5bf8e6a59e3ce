package resilience

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// How the balancer watches readiness: often and impatiently.
const (
	probeEvery   = 50 * time.Millisecond
	probeTimeout = 300 * time.Millisecond
)

// balancer spreads requests over the instances that say that they are ready,
// and over all where none does. It never sends a request twice: that is the client's part.
type balancer struct {
	targets []*target
	next    atomic.Uint64
	http    *http.Transport
	stop    context.CancelFunc
	probes  sync.WaitGroup

	mu   sync.Mutex
	open map[net.Conn]struct{}
}

type target struct {
	address string
	ready   atomic.Bool
}

func newBalancer(instances []*instance) *balancer {
	ctx, cancel := context.WithCancel(context.Background())
	b := &balancer{stop: cancel, open: map[net.Conn]struct{}{}}
	b.http = &http.Transport{MaxIdleConnsPerHost: 256, DialContext: b.dial}
	for _, i := range instances {
		t := &target{address: i.address}
		b.targets = append(b.targets, t)
		b.probes.Go(func() { t.probe(ctx) })
	}
	return b
}

func (b *balancer) close() {
	b.stop()
	b.probes.Wait()
	b.http.CloseIdleConnections()
}

func (b *balancer) dial(ctx context.Context, network, address string) (net.Conn, error) {
	conn, err := (&net.Dialer{Timeout: time.Second}).DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	c := &balancedConn{Conn: conn, balancer: b}
	b.mu.Lock()
	b.open[c] = struct{}{}
	b.mu.Unlock()
	return c, nil
}

// balancedConn is a connection that the balancer can reset.
type balancedConn struct {
	net.Conn
	balancer *balancer
}

// Close implements [net.Conn].
func (c *balancedConn) Close() error {
	c.balancer.mu.Lock()
	delete(c.balancer.open, c)
	c.balancer.mu.Unlock()
	return c.Conn.Close()
}

// cut resets all connections.
func (b *balancer) cut() {
	b.mu.Lock()
	defer b.mu.Unlock()
	for conn := range b.open {
		tcp := conn.(*balancedConn).Conn.(*net.TCPConn)
		_ = tcp.SetLinger(0) // a reset, and no orderly end
		_ = tcp.Close()
	}
}

// probe asks for readiness until ctx ends.
func (t *target) probe(ctx context.Context) {
	client := &http.Client{Timeout: probeTimeout, Transport: &http.Transport{}}
	defer client.CloseIdleConnections()
	tick := time.NewTicker(probeEvery)
	defer tick.Stop()
	for {
		t.ready.Store(readyz(ctx, client, t.address))
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

func readyz(ctx context.Context, client *http.Client, address string) bool {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+address+"/readyz", nil)
	if err != nil {
		return false
	}
	response, err := client.Do(request)
	if err != nil {
		return false
	}
	_, err = io.Copy(io.Discard, response.Body)
	return errors.Join(err, response.Body.Close()) == nil && response.StatusCode == http.StatusOK
}

// pick returns whose turn it is.
func (b *balancer) pick() *target {
	n := b.next.Add(1)
	for k := range uint64(len(b.targets)) {
		if t := b.targets[(n+k)%uint64(len(b.targets))]; t.ready.Load() {
			return t
		}
	}
	return b.targets[n%uint64(len(b.targets))]
}

// RoundTrip implements [http.RoundTripper], and notes in the request's [trace] what came of it.
func (b *balancer) RoundTrip(r *http.Request) (*http.Response, error) {
	send := r.Clone(r.Context())
	send.URL.Host = b.pick().address
	send.Host = ""
	response, err := b.http.RoundTrip(send)
	if tr, ok := r.Context().Value(traceKey{}).(*trace); ok {
		tr.note(response, err)
	}
	return response, err
}

// trace is what became of the attempts of one call. A call makes them one after the other.
type trace struct {
	attempts int
	refused  int // nobody listened
	lost     int // the connection ended before the answer
	timedOut int
	busy     int // 429 and 503
	failed   int // other 5xx
	errors   []error
}

type traceKey struct{}

func traced(ctx context.Context) (context.Context, *trace) {
	tr := &trace{}
	return context.WithValue(ctx, traceKey{}, tr), tr
}

func (tr *trace) note(response *http.Response, err error) {
	tr.attempts++
	switch {
	case err != nil:
		tr.errors = append(tr.errors, err)
	case response.StatusCode >= http.StatusInternalServerError:
		tr.errors = append(tr.errors, errors.New(response.Status))
	}
	var network net.Error
	switch {
	case errors.Is(err, syscall.ECONNREFUSED):
		tr.refused++
	case errors.As(err, &network) && network.Timeout(), errors.Is(err, context.DeadlineExceeded):
		tr.timedOut++
	case err != nil:
		tr.lost++
	case response.StatusCode == http.StatusServiceUnavailable, response.StatusCode == http.StatusTooManyRequests:
		tr.busy++
	case response.StatusCode >= http.StatusInternalServerError:
		tr.failed++
	}
}
