// Package rest is the HTTP interface of the service: JSON in and out, errors as
// RFC 9457 problems, described by the OpenAPI 3.1 document at /openapi.json.
//
// It decides nothing. It decodes and bounds a request, hands it to the engine
// or to a store, and encodes what comes back.
//
// # Statuses
//
// 422 always means that a decision was made and recorded: a rejection. A request
// that is wrong in itself is 400 (or 403, 404, 405, 413, 415, 421), whether its JSON is
// broken or a field of it is; nothing is recorded then. The one table from codes
// to statuses is [statusOf].
//
// A dry run decides like a submission and records nothing; it says so in
// everything it answers. It is 200, or 422 for what would be rejected.
//
// # Two kinds of handlers
//
// Reads are huma operations; the two that may be long, statements and events,
// write their bodies themselves, piece by piece. Whatever has a body is served by a plain handler
// with a hand-written codec, for two reasons: huma decodes a body twice and
// through any, which costs more than the rest of the request; and bodies have
// one strictness everywhere (known members only, each at most once, valid UTF-8,
// nothing behind the value). Those operations are described to huma by hand, and
// a test compares the document with what is really sent.
package rest

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"rbcs"
	"rbcs/internal/telemetry"
)

// Submitter is what the interface needs of the engine.
//
// Submit returns one result for each transaction, in the order given, after
// their commit is durable. Preview does the same and records nothing. An error
// means that none has a result.
type Submitter interface {
	Submit(ctx context.Context, txs []*rbcs.Transaction) ([]rbcs.Result, error)
	Preview(ctx context.Context, txs []*rbcs.Transaction) ([]rbcs.Result, error)
}

// MaxBatch bounds the transactions or accounts in one request.
const MaxBatch = 10_000

// Defaults of [Config].
const (
	DefaultMaxBody        = 16 << 20         // 10,000 transactions of 300 bytes are 3 MB
	DefaultMaxBodies      = 128 << 20        // or twice MaxBody where that is more
	DefaultRequestTimeout = 15 * time.Second // longer than the engine tries
)

// maxSingleBody bounds what holds one object: 16 KiB of metadata written with
// six bytes for each character, and room for the rest.
const maxSingleBody = 128 << 10

// Config is what the interface serves, and within which bounds.
type Config struct {
	Store      rbcs.Store
	Engine     Submitter
	Currencies *rbcs.Currencies

	Balances rbcs.BalanceReader // serves balances of now, such as a cache; nil: Store

	Events   EventSource // nil: no /v1/events
	Webhooks *Webhooks   // nil: no /v1/webhooks
	Intake   Intake      // nil: no durable queue, and no /v1/intake

	Logger    *slog.Logger       // nil: slog.Default
	Metrics   *telemetry.Metrics // nil: none, and no /metrics
	Dashboard http.Handler       // serves / and /docs; nil: neither exists
	Version   string             // of the program

	// Ready returns nil where requests should be sent here, and names the database
	// behind it, "" where that cannot be told. nil: always ready.
	Ready func(context.Context) (database string, err error)

	// Hosts are the names, without ports, by which clients may call what listens on a loopback address, beside
	// localhost and loopback addresses themselves; "*" is any. See [server.admit].
	Hosts []string

	MaxBody        int64            // of a batch, in bytes
	MaxBodies      int64            // of all requests that are being received, in bytes; at least twice MaxBody
	RequestTimeout time.Duration    // after this a request is answered, whatever became of it
	Now            func() time.Time // nil: time.Now
}

// withDefaults fills in what is not set, or lists all that is wrong.
func (c Config) withDefaults() (Config, error) {
	var faults []error
	require := func(ok bool, what string) {
		if !ok {
			faults = append(faults, errors.New("rest: "+what))
		}
	}
	require(c.Store != nil, "Store is missing")
	require(c.Engine != nil, "Engine is missing")
	require(c.Currencies != nil, "Currencies is missing")
	require(c.Webhooks == nil || c.Webhooks.ValidateURL != nil && c.Webhooks.NewSecret != nil, "Webhooks has no ValidateURL or no NewSecret")
	require(c.MaxBody >= 0, "MaxBody is negative")
	require(c.MaxBodies >= 0, "MaxBodies is negative")
	require(c.RequestTimeout >= 0, "RequestTimeout is negative")
	if c.Balances == nil {
		c.Balances = c.Store
	}
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	if c.Ready == nil {
		c.Ready = func(context.Context) (string, error) { return "", nil }
	}
	if c.MaxBody == 0 {
		c.MaxBody = DefaultMaxBody
	}
	if c.MaxBodies == 0 {
		c.MaxBodies = max(DefaultMaxBodies, 2*c.MaxBody)
	}
	require(c.MaxBodies/2 >= c.MaxBody, "MaxBodies is less than twice MaxBody")
	if c.RequestTimeout == 0 {
		c.RequestTimeout = DefaultRequestTimeout
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	return c, errors.Join(faults...)
}

// server is the handler that [New] returns.
type server struct {
	Config
	mux     *routes
	openAPI []byte
	warned  atomic.Int64 // the second of the last warning
	bodies  bodies

	statements chan struct{} // holds one for each that is being sent
}

// New returns the handler of all routes, or every fault of the configuration.
func New(cfg Config) (http.Handler, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	s := &server{Config: cfg, mux: new(routes), statements: make(chan struct{}, maxStatements)}
	s.bodies.limit = cfg.MaxBodies
	api := humago.New(s.mux, humaConfig(cfg.Version))
	api.UseMiddleware(s.once, s.timeout)
	s.registerAccounts(api)
	s.registerBalances(api)
	s.registerHistory(api)
	s.registerTransactions(api)
	s.registerEvents(api)
	s.registerWebhooks(api)
	s.registerIntake(api)
	s.registerHealth(api)
	if s.openAPI, err = api.OpenAPI().MarshalJSON(); err != nil {
		return nil, err
	}
	s.openAPI = append(s.openAPI, '\n')
	s.mux.HandleFunc("GET /openapi.json", s.getOpenAPI)
	s.mux.HandleFunc(catchAll, s.noRoute)
	for _, pattern := range s.mux.patterns {
		cfg.Metrics.Route(pattern)
	}
	if cfg.Metrics != nil {
		s.mux.Handle("GET /metrics", cfg.Metrics.Handler())
	}
	if cfg.Dashboard != nil {
		s.mux.Handle("GET /{$}", cfg.Dashboard)
		s.mux.Handle("GET /docs", cfg.Dashboard)
	}
	return s, nil
}

// timeout bounds the time of an operation that huma serves, and keeps its request for the log.
func (s *server) timeout(ctx huma.Context, next func(huma.Context)) {
	r, _ := humago.Unwrap(ctx)
	bounded, cancel := context.WithTimeout(ctx.Context(), s.RequestTimeout)
	defer cancel()
	next(huma.WithContext(ctx, context.WithValue(bounded, requestKey{}, r)))
}

type requestKey struct{}

func (s *server) getOpenAPI(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/openapi+json")
	_, _ = w.Write(s.openAPI) // a client that went away is nobody's fault
}
