//go:build kubernetes

package kubernetes

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"rbcs"
	"rbcs/client"
)

const (
	patience = 5 * time.Second // for an answer; then the client tries again
	workers  = 16              // requests at a time: the load's bound
	pace     = 150             // requests a second, where the load does not run as fast as it can
	accounts = 60              // that the load moves money between
	currency = "USD"
)

func account(i int) string { return fmt.Sprintf("load:user:%02d", i) }

// load is a client of the service that keeps submitting transactions and reading balances. It keeps a ledger of what
// it was told, and counts every request as it sees it, before it is tried again.
type load struct {
	client *client.Client
	ledger *ledger

	mu       sync.Mutex
	requests int64
	failures map[string]int64 // by what was seen
	stale    []string         // reads that did not show what had been acknowledged before
	last     time.Time        // of the last success
	gap      time.Duration    // the longest time without one
	slowest  time.Duration    // the longest that a call took with all its attempts
	flatOut  atomic.Bool      // as fast as it goes, and not at its pace
	stop     context.CancelFunc
	done     sync.WaitGroup
}

func newLoad(t *testing.T, url string, l *ledger) *load {
	t.Helper()
	g := &load{ledger: l}
	transport := &http.Transport{
		DialContext:         (&net.Dialer{Timeout: 2 * time.Second}).DialContext,
		MaxConnsPerHost:     workers,
		MaxIdleConnsPerHost: workers,
	}
	c, err := client.New(url,
		client.WithHTTPClient(&http.Client{Transport: counted{transport, g}}),
		client.WithUserAgent("rbcs-kubernetes-suite"),
		client.WithRetry(client.Retry{AttemptTimeout: patience, MaxElapsed: 3 * time.Minute, MaxDelay: time.Second}))
	if err != nil {
		t.Fatal(err)
	}
	g.client = c
	t.Cleanup(c.Close)
	return g
}

// createAccounts creates the accounts, which may go below zero so that every transaction is posted.
func (g *load) createAccounts(t *testing.T) {
	t.Helper()
	var list []client.NewAccount
	for i := range accounts {
		list = append(list, client.NewAccount{Number: account(i), Currency: currency, Overdraft: client.Unlimited})
	}
	results, err := g.client.CreateAccounts(t.Context(), list)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range results {
		if r.Err != nil {
			t.Fatal(r.Err)
		}
	}
}

// start starts the load, at its pace.
func (g *load) start(t *testing.T) {
	t.Helper()
	g.mu.Lock()
	g.requests, g.failures, g.stale, g.last, g.gap, g.slowest = 0, map[string]int64{}, nil, time.Now(), 0, 0
	g.mu.Unlock()
	g.flatOut.Store(false)
	g.client.Close() // its connections are new, and lead to all gateways that there are
	ctx, cancel := context.WithCancel(t.Context())
	g.stop = cancel
	turns := make(chan struct{}, workers)
	g.done.Go(func() { giveTurns(ctx, turns, time.Second/pace) })
	for range workers {
		g.done.Go(func() { g.work(ctx, turns) })
	}
}

// giveTurns lets a request begin at each tick: also after a stall, without a burst.
func giveTurns(ctx context.Context, turns chan<- struct{}, every time.Duration) {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		select {
		case turns <- struct{}{}:
		default:
		}
	}
}

func (g *load) work(ctx context.Context, turns <-chan struct{}) {
	for ctx.Err() == nil {
		if !g.flatOut.Load() {
			select {
			case <-turns:
			case <-ctx.Done():
				return
			}
		}
		began := time.Now()
		// What was begun is finished: a request that was given up would be a failure of this client's making.
		if rand.IntN(4) == 0 {
			g.read(context.WithoutCancel(ctx))
		} else {
			g.ledger.submit(context.WithoutCancel(ctx), g.client)
		}
		g.mu.Lock()
		g.slowest = max(g.slowest, time.Since(began))
		g.mu.Unlock()
	}
}

// read reads a balance and compares its version with what had been acknowledged before the question.
func (g *load) read(ctx context.Context) {
	number := account(rand.IntN(accounts))
	known := g.ledger.acknowledged(number)
	b, err := g.client.Balance(ctx, number)
	if err == nil && b.Version < known {
		g.mu.Lock()
		g.stale = append(g.stale, fmt.Sprintf("%s at version %d, %d was acknowledged (%s)", number, b.Version, known, b.ServedBy))
		g.mu.Unlock()
	}
}

// finish stops the load and waits until every request is answered.
func (g *load) finish() {
	g.stop()
	g.done.Wait()
}

// counts returns how many requests there were and how many of them failed.
func (g *load) counts() (requests, failures int64) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, n := range g.failures {
		failures += n
	}
	return g.requests, failures
}

// failuresOf returns how many requests failed in one way.
func (g *load) failuresOf(kind string) int64 {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.failures[kind]
}

// count records what came of one request.
func (g *load) count(failure string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.requests++
	if failure != "" {
		g.failures[failure]++
		return
	}
	now := time.Now()
	g.gap = max(g.gap, now.Sub(g.last))
	g.last = now
}

// counted is a transport that tells the load what came of each request.
type counted struct {
	*http.Transport
	load *load
}

func (c counted) RoundTrip(req *http.Request) (*http.Response, error) {
	resp, err := c.Transport.RoundTrip(req)
	if err != nil {
		c.load.count(kindOf(err))
		return nil, err
	}
	body, err := io.ReadAll(resp.Body) // an answer that breaks off is a failure too
	_ = resp.Body.Close()
	if err != nil {
		c.load.count(kindOf(err))
		return nil, err
	}
	resp.Body = io.NopCloser(bytes.NewReader(body))
	failure := ""
	if resp.StatusCode >= 500 || resp.StatusCode == http.StatusTooManyRequests {
		failure = fmt.Sprintf("status %d %s", resp.StatusCode, problemCode(body))
	}
	c.load.count(failure)
	return resp, nil
}

func kindOf(err error) string {
	var timeout net.Error
	switch {
	case errors.Is(err, syscall.ECONNREFUSED):
		return "connection refused"
	case errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
		return "connection reset"
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return "connection closed"
	case errors.As(err, &timeout) && timeout.Timeout(), errors.Is(err, context.DeadlineExceeded):
		return "no answer in time"
	}
	return err.Error()
}

// posted reports whether a result is what the load wants: anything else is a fault of the service or the suite.
func posted(r client.Result) bool { return r.Status == rbcs.Posted }
