// Package gateway is a reverse proxy before several instances of the service.
//
// It sends each request to the one of two ready instances that has fewer in
// flight, and one whose instance died to another one. That is safe because of
// what the service promises: a transaction carries its ID, and an ID has one
// outcome over all instances. The gateway adds no promise of its own, and
// keeps these:
//
//  1. What may have been carried out is sent again only where a second time
//     changes nothing ([repeatable]); everything else only where no connection
//     was made.
//  2. Where it is not known what became of a request, the answer says so:
//     outcome_unknown, never unavailable, which means that nothing was recorded.
//  3. An answer whose beginning was passed on is never begun again.
//  4. Everything is bounded: bodies, requests in flight, tries, their time, and
//     what sending again adds to the load ([budget]).
package gateway

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httputil"
	"sync"
	"sync/atomic"
	"time"

	"rbcs"
	"rbcs/internal/discovery"
	"rbcs/internal/rest"
)

// Defaults of [Config].
const (
	DefaultProbeEvery   = time.Second
	DefaultResolveEvery = 2 * time.Second
	DefaultMaxInFlight  = 10_000
)

// Config is what a gateway stands before, and within which bounds.
type Config struct {
	Finder discovery.Finder

	// Hosts are the names by which clients may call what listens on a loopback
	// address, as the service has them.
	Hosts []string

	// BehindProxy keeps the X-Forwarded-* headers of whoever calls and adds to
	// them: a proxy that is trusted sets them. Otherwise they are replaced.
	BehindProxy bool

	// HTTP2 speaks HTTP/2 to the instances: fewer connections, and one that is dead
	// is noticed sooner, at more of their processor time (ADR 0010).
	HTTP2 bool

	Logger       *slog.Logger // nil: slog.Default
	Version      string       // of the program
	ProbeEvery   time.Duration
	ResolveEvery time.Duration
	MaxBody      int64 // of one request, in bytes
	MaxBodies    int64 // of all requests and answers that are held, in bytes; at least twice MaxBody
	MaxInFlight  int   // requests, streams included
	Now          func() time.Time
}

// withDefaults fills in what is not set, or lists all that is wrong.
func (c Config) withDefaults() (Config, error) {
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	if c.ProbeEvery == 0 {
		c.ProbeEvery = DefaultProbeEvery
	}
	if c.ResolveEvery == 0 {
		c.ResolveEvery = DefaultResolveEvery
	}
	if c.MaxBody == 0 {
		c.MaxBody = rest.DefaultMaxBody
	}
	if c.MaxBodies == 0 {
		c.MaxBodies = max(rest.DefaultMaxBodies, 2*c.MaxBody)
	}
	if c.MaxInFlight == 0 {
		c.MaxInFlight = DefaultMaxInFlight
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	var faults []error
	for what, wrong := range map[string]bool{
		"Finder is missing":                      c.Finder == nil,
		"ProbeEvery or ResolveEvery is negative": c.ProbeEvery < 0 || c.ResolveEvery < 0,
		"MaxBody is negative":                    c.MaxBody < 0,
		"MaxBodies is less than twice MaxBody":   c.MaxBodies/2 < c.MaxBody,
		"MaxInFlight is negative":                c.MaxInFlight < 0,
	} {
		if wrong {
			faults = append(faults, errors.New("gateway: "+what))
		}
	}
	return c, errors.Join(faults...)
}

// Gateway is the handler of all requests. Start it before, and stop it after
// whatever serves it.
type Gateway struct {
	Config
	front   *rest.Front
	pool    *pool
	budget  *budget
	metrics *metrics
	proxy   *httputil.ReverseProxy
	own     *http.ServeMux

	inFlight atomic.Int64
	draining atomic.Bool
	warned   atomic.Int64 // the second of the last warning
	serial   serial
	silence  time.Duration // see the constant

	streams    context.Context // ends when streams of events are to end
	endStreams context.CancelFunc
	watching   context.CancelFunc
	group      sync.WaitGroup
}

// New returns a gateway, or every fault of its configuration.
func New(cfg Config) (*Gateway, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	g := &Gateway{Config: cfg, front: rest.NewFront(cfg.Hosts, cfg.MaxBodies), budget: newBudget(cfg.Now()), serial: newSerial(), silence: silence}
	g.pool = newPool(cfg.Logger, cfg.Now, cfg.ProbeEvery)
	g.pool.http2 = cfg.HTTP2
	g.metrics = newMetrics(cfg.Version, g.pool,
		func() float64 { return float64(g.inFlight.Load()) }, func() float64 { return float64(g.front.Reserved()) })
	g.pool.metrics = g.metrics
	g.streams, g.endStreams = context.WithCancel(context.Background())
	g.proxy = &httputil.ReverseProxy{
		Rewrite: g.rewrite, Transport: resender{g}, ModifyResponse: g.passOn, ErrorHandler: g.failed, BufferPool: newBuffers(),
		ErrorLog: slog.NewLogLogger(cfg.Logger.Handler(), slog.LevelDebug),
	}
	g.own = http.NewServeMux()
	g.own.HandleFunc("GET /livez", func(w http.ResponseWriter, _ *http.Request) { g.healthy(w) })
	g.own.HandleFunc("GET /readyz", g.readyz)
	g.own.Handle("GET /metrics", g.metrics.handler())
	return g, nil
}

// Start begins to look for instances and to watch them.
func (g *Gateway) Start() {
	ctx, cancel := context.WithCancel(context.Background())
	g.watching = cancel
	g.group.Go(func() {
		discovery.Watch(ctx, g.Finder, g.ResolveEvery, g.Logger, func(found []string) { g.pool.set(ctx, found) })
	})
}

// Drain makes readiness fail, and clients close their connections after their next answer.
func (g *Gateway) Drain() { g.draining.Store(true) }

// EndStreams ends the streams of events, whose clients go on at another gateway.
func (g *Gateway) EndStreams() { g.endStreams() }

// Stop ends the watching. REQUIRES: no request is being served.
func (g *Gateway) Stop() {
	g.Drain()
	g.endStreams()
	if g.watching != nil {
		g.watching()
	}
	g.group.Wait()
	g.pool.stop()
}

// Ready says why no request should be sent here, or nil. Once an instance was
// found, a gateway is ready until it drains: without one it answers by itself,
// with more than a connection that is refused could tell.
func (g *Gateway) Ready() error {
	switch {
	case g.draining.Load():
		return rbcs.Errorf(rbcs.Unavailable, "not ready: the gateway is stopping")
	case !g.pool.served.Load():
		return rbcs.Errorf(rbcs.Unavailable, "not ready: none of the %d known instances has been ready yet; %d stand on another database than the others",
			g.pool.known(), g.pool.strangers())
	}
	return nil
}

func (g *Gateway) readyz(w http.ResponseWriter, _ *http.Request) {
	if err := g.Ready(); err != nil {
		rest.WriteProblem(w, err)
		return
	}
	g.healthy(w)
}

// healthy answers a probe as the service does.
func (g *Gateway) healthy(w http.ResponseWriter) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	_, _ = w.Write([]byte(`{"status":"ok"}` + "\n")) // a client that went away is nobody's fault
}

// ServeHTTP serves the gateway's own paths, and passes all others on.
func (g *Gateway) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if g.draining.Load() {
		w.Header().Set("Connection", "close") // one that was kept alive could be closed just as the next request is sent
	}
	if err := g.front.Admit(r); err != nil {
		g.refuse(w, badRequest, err)
		return
	}
	switch r.URL.Path {
	case "/livez", "/readyz", "/metrics":
		g.own.ServeHTTP(w, r)
		return
	}
	defer g.inFlight.Add(-1)
	if g.inFlight.Add(1) > int64(g.MaxInFlight) {
		w.Header().Set("Connection", "close") // its body is not read
		g.refuse(w, overloaded, &rbcs.Error{Code: rbcs.Overloaded, Message: "too many requests are under way; come back later", RetryAfter: time.Second})
		return
	}
	g.serve(w, r)
}

// serve passes a request on, and its answer back.
func (g *Gateway) serve(w http.ResponseWriter, r *http.Request) {
	x := &exchange{w: w, start: time.Now()}
	defer func() { g.front.Release(x.reserved) }()
	if err := g.receive(x, r); err != nil {
		g.refuse(w, reasonOf(err), err)
		return
	}
	g.budget.deposit()
	g.proxy.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), exchangeKey{}, x)))
	if !x.events {
		g.metrics.duration.Observe(time.Since(x.start).Seconds())
	}
}

// refuse answers a request that is sent to no instance.
func (g *Gateway) refuse(w http.ResponseWriter, reason string, err error) {
	g.metrics.refused.WithLabelValues(reason).Inc()
	rest.WriteProblem(w, err)
}

// reasonOf returns the label of an error of the gateway's own.
func reasonOf(err error) string {
	if rbcs.CodeOf(err) == rbcs.Overloaded {
		return overloaded
	}
	return badRequest
}

// failed answers a request that no instance answered.
func (g *Gateway) failed(w http.ResponseWriter, r *http.Request, err error) {
	if r.Context().Err() != nil {
		// The client is gone, or has closed its half of the connection and still
		// reads: to return would answer 200, with nothing, to what was not acknowledged.
		panic(http.ErrAbortHandler)
	}
	reason, cause := noAnswer, err
	if f, ok := errors.AsType[*failure](err); ok {
		reason, cause = f.reason, f.cause
	}
	if second := g.Now().Unix(); g.warned.Swap(second) != second { // when all are away every request fails in the same way
		g.Logger.WarnContext(r.Context(), "a request was not served",
			slog.String("request", r.Method+" "+r.URL.Path), slog.Any("error", cause))
	}
	g.refuse(w, reason, err)
}
