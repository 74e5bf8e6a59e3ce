package gateway

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Bounds of the connections to an instance.
const (
	dialTimeout   = time.Second
	headerTimeout = 17 * time.Second // a little longer than the service takes to answer at all
	idleTimeout   = 60 * time.Second // half of the service's: it should not close one just as a request is sent
	maxIdle       = 1024             // kept for the next requests, per instance
)

// Bounds of health.
const (
	probeTimeout  = 2 * time.Second
	probeGap      = 100 * time.Millisecond // at least, between two probes of one instance
	missesAllowed = 1                      // a busy instance may be slow for once
	lossesAllowed = 2                      // in a row: the next one takes it out
	firstPause    = time.Second            // without requests, after losses that its readiness does not explain
	longestPause  = 30 * time.Second
	forgivenAfter = time.Minute // without losses: pauses begin at the first one again
)

// instance is one instance of the service.
type instance struct {
	address   string
	transport *http.Transport
	counters  [outcomes]prometheus.Counter
	inFlight  atomic.Int64
	losses    atomic.Int32  // requests in a row that were lost
	lostAt    atomic.Int64  // when a loss was counted last, in nanoseconds since 1970; only with HTTP/2
	wake      chan struct{} // makes the next probe happen now
	cancel    context.CancelFunc

	// Guarded by the pool's mutex.
	ready    bool
	told     bool   // the log says why it is not ready, or that it was
	asked    bool   // a probe has found something out
	foreign  bool   // it is known to stand on another database
	database string // that it told last, also if it does not answer now; "" where it tells none
	misses   int    // probes in a row that were not answered
	pause    time.Duration
	brokenAt time.Time
}

func newInstance(address string) *instance {
	return &instance{
		address: address,
		transport: &http.Transport{
			DialContext:           (&net.Dialer{Timeout: dialTimeout, KeepAlive: 15 * time.Second}).DialContext,
			ResponseHeaderTimeout: headerTimeout,
			IdleConnTimeout:       idleTimeout,
			MaxIdleConns:          maxIdle,
			MaxIdleConnsPerHost:   maxIdle,
			DisableCompression:    true, // answers are passed on as they are
		},
		wake: make(chan struct{}, 1),
	}
}

// speakHTTP2 puts the requests on few connections, as many on each as the
// instance allows, instead of one on each. No TLS and no upgrade: the service
// takes it so. A connection that is silent is asked whether it lives, since
// everything in flight hangs on it.
func (i *instance) speakHTTP2() {
	i.transport.Protocols = new(http.Protocols)
	i.transport.Protocols.SetUnencryptedHTTP2(true)
	i.transport.HTTP2 = &http.HTTP2Config{SendPingTimeout: probeTimeout, PingTimeout: probeTimeout}
}

// lostAnew reports whether a loss is to be counted: one connection with many
// requests on it is one loss.
func (i *instance) lostAnew(now time.Time) bool {
	last := i.lostAt.Load()
	return now.UnixNano()-last >= int64(probeGap) && i.lostAt.CompareAndSwap(last, now.UnixNano())
}

// probeNow makes the next probe happen at once.
func (i *instance) probeNow() {
	select {
	case i.wake <- struct{}{}:
	default:
	}
}

// notReady is the answer of an instance that lives and takes no requests.
type notReady int

func (s notReady) Error() string { return fmt.Sprintf("/readyz answers %d", int(s)) }

// maxHealth bounds the answer to a probe.
const maxHealth = 4 << 10

// probe asks whether the instance takes requests, and on which database it stands.
func (i *instance) probe(ctx context.Context) (database string, err error) {
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+i.address+"/readyz", nil)
	if err != nil {
		return "", err
	}
	response, err := i.transport.RoundTrip(r)
	if err != nil {
		return "", err
	}
	defer response.Body.Close() //nolint:errcheck // it was read, or is of no use
	if response.StatusCode != http.StatusOK {
		return "", notReady(response.StatusCode)
	}
	body, err := io.ReadAll(io.LimitReader(response.Body, maxHealth))
	if err != nil {
		return "", err
	}
	var health struct{ Database string }
	_ = json.Unmarshal(body, &health) // what is not the service's answer tells none
	return health.Database, nil
}

// watch probes the instance until ctx ends and tells the pool what it learns.
func (i *instance) watch(ctx context.Context, every time.Duration, probed func(database string, err error)) {
	for {
		database, err := i.probe(ctx)
		if ctx.Err() != nil {
			return
		}
		probed(database, err)
		if !sleep(ctx, min(probeGap, every), nil) {
			return
		}
		// Jitter keeps several gateways from probing together.
		if !sleep(ctx, time.Duration(float64(every)*(0.75+rand.Float64()/2)), i.wake) {
			return
		}
	}
}

// sleep waits for a time, or until woken, and reports whether ctx goes on.
func sleep(ctx context.Context, d time.Duration, woken <-chan struct{}) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
	case <-woken:
	}
	return true
}

// neverSent reports whether the error says that no connection was made, so that
// the instance knows nothing of the request.
func neverSent(err error) bool {
	var op *net.OpError
	return errors.As(err, &op) && op.Op == "dial"
}

// refused reports whether the error says that nobody listens. That no answer
// came in time says less.
func refused(err error) bool {
	var timeout net.Error
	return neverSent(err) && !(errors.As(err, &timeout) && timeout.Timeout())
}
