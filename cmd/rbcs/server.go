package main

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/pprof"
	"os"
	"path/filepath"
	"sync/atomic"
	"syscall"
	"time"

	"rbcs"
	"rbcs/internal/engine"
	"rbcs/internal/events"
	"rbcs/internal/expiry"
	"rbcs/internal/intake"
	"rbcs/internal/redis"
	"rbcs/internal/rest"
	"rbcs/internal/telemetry"
	"rbcs/internal/webhook"
)

// server is a running service.
type server struct {
	cfg      ServeCmd
	logger   *slog.Logger
	store    rbcs.Store
	cache    *redis.Cache // nil without --redis
	feed     *events.Feed
	engine   *engine.Engine
	expirer  *expiry.Expirer
	webhooks *webhook.Deliverer
	intake   *intake.Queue
	listener net.Listener
	http     *http.Server
	debug    *http.Server // nil without --debug-listen
	draining atomic.Bool
	failed   chan error // gets what ended the HTTP server by itself
}

// startServer starts the service and returns once it accepts connections. The
// caller stops it, also where ctx ends: ctx bounds the start only.
func startServer(ctx context.Context, cfg ServeCmd, m *Main) (_ *server, err error) {
	logger, err := telemetry.NewLogger(m.Stderr, cmp.Or(cfg.LogLevel, "info"), cmp.Or(cfg.LogFormat, "auto"))
	if err != nil {
		return nil, err
	}
	s := &server{cfg: cfg, logger: logger, failed: make(chan error, 2)}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.close())
		}
	}()
	if s.listener, err = listen(cfg.Listen, "--listen"); err != nil {
		return nil, err
	}
	s.store, err = openStore(ctx, cfg.Store, storeOptions{access: cfg.StoreAccess, instance: cfg.instance(), migrate: cfg.Migrate, inFlight: cfg.inFlight(), logger: s.logger})
	if err != nil {
		return nil, err
	}
	if err := s.startCache(ctx); err != nil {
		return nil, err
	}
	handler, err := s.wire(ctx)
	if err != nil {
		return nil, err
	}
	s.http = rest.NewServer(handler, s.logger)
	if err := s.startDebug(ctx); err != nil {
		return nil, err
	}
	s.feed.Start()
	s.expirer.Start()
	s.webhooks.Start()
	s.intake.Start()
	go s.serve(s.http, s.listener)
	s.logger.InfoContext(ctx, "serving", slog.String("url", s.URL()), slog.String("store", cfg.Store.String()),
		slog.String("instance", cfg.instance()), slog.String("version", buildVersion()))
	if !loopback(s.listener.Addr().String()) {
		s.logger.WarnContext(ctx, "everybody who reaches this address may move money: there is no authentication; keep it inside a trusted network",
			slog.String("listen", cfg.Listen))
	}
	return s, nil
}

// ready fails as soon as the service is told to stop. It names the database, so
// that a gateway notices an instance that stands on another one than the others.
func (s *server) ready(ctx context.Context) (database string, err error) {
	if s.draining.Load() {
		return "", rbcs.Errorf(rbcs.Unavailable, "the service is stopping")
	}
	ctx, cancel := context.WithTimeout(ctx, readyTimeout)
	defer cancel()
	if shared, ok := s.store.(rbcs.SharedStore); ok {
		return shared.Database(ctx)
	}
	return fileDatabase(s.cfg.Store.Path()), s.store.Check(ctx)
}

// fileDatabase names a file that only this process has, the same at each start.
// An instance whose --store was forgotten is on one: before it and instances on a
// database that they share, a gateway must tell them apart.
func fileDatabase(path string) string {
	host, _ := os.Hostname() // one that is not known leaves the path
	if whole, err := filepath.Abs(path); err == nil {
		path = whole
	}
	sum := sha256.Sum256([]byte(host + "\x00" + path))
	return hex.EncodeToString(sum[:8])
}

// readyTimeout is how long the database may take to say that it is there.
const readyTimeout = 2 * time.Second

// leave makes clients close their connections when the service is stopping:
// one that was kept alive could be closed just as the next request is sent.
func (s *server) leave(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if s.draining.Load() {
			w.Header().Set("Connection", "close")
		}
		next.ServeHTTP(w, r)
	})
}

func (s *server) serve(h *http.Server, l net.Listener) {
	if err := h.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		s.failed <- fmt.Errorf("the HTTP server ended: %w", err)
	}
}

// startDebug serves Go's profiles, on an address that only this machine reaches.
func (s *server) startDebug(ctx context.Context) error {
	if s.cfg.DebugListen == "" {
		return nil
	}
	l, err := listen(s.cfg.DebugListen, "--debug-listen")
	if err != nil {
		return err
	}
	mux := http.NewServeMux()
	mux.HandleFunc("/debug/pprof/", pprof.Index)
	mux.HandleFunc("/debug/pprof/cmdline", pprof.Cmdline)
	mux.HandleFunc("/debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("/debug/pprof/symbol", pprof.Symbol)
	mux.HandleFunc("/debug/pprof/trace", pprof.Trace)
	s.debug = rest.NewServer(mux, s.logger)
	s.debug.WriteTimeout = 0 // a profile takes as long as it was asked to
	go s.serve(s.debug, l)
	s.logger.InfoContext(ctx, "serving profiles", slog.String("url", "http://"+l.Addr().String()+"/debug/pprof/"))
	return nil
}

// URL returns where clients on this machine reach the service.
func (s *server) URL() string {
	address := s.listener.Addr().(*net.TCPAddr)
	host := address.IP.String()
	if address.IP.IsUnspecified() {
		host = "127.0.0.1"
	}
	return "http://" + net.JoinHostPort(host, fmt.Sprint(address.Port))
}

// Wait waits until ctx ends, or until the service fails by itself: then it says why.
func (s *server) Wait(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return nil
	case err := <-s.failed:
		return err
	}
}

// Stop ends the service in the order in which nobody is left waiting: readiness
// fails, what the service begins by itself ends (expiries, deliveries), readers
// of events are told to go elsewhere, transactions are refused, those that were
// admitted are committed and answered, requests in flight end, the store closes.
// When ctx ends first, what is left is answered as not attempted or unknown.
func (s *server) Stop(ctx context.Context) error {
	s.draining.Store(true)
	s.logger.InfoContext(ctx, "stopping", slog.Int("pending", s.engine.Stats().Pending))
	if s.cfg.DrainDelay > 0 {
		select {
		case <-time.After(s.cfg.DrainDelay):
		case <-ctx.Done():
		}
	}
	err := s.stopFollowers(ctx)
	err = errors.Join(err, s.engine.Stop(ctx))
	flush, cancel := atLeast(ctx, flushTimeout)
	defer cancel()
	if httpErr := s.http.Shutdown(flush); httpErr != nil {
		err = errors.Join(err, fmt.Errorf("requests were still in flight: %w", httpErr), s.http.Close())
	}
	err = errors.Join(err, s.close())
	if err == nil {
		s.logger.InfoContext(ctx, "stopped")
	}
	return err
}

// stopFollowers stops what works beside the requests. It may be called again.
func (s *server) stopFollowers(ctx context.Context) error {
	var err error
	if s.expirer != nil {
		s.expirer.Stop()
	}
	if s.webhooks != nil {
		err = s.stopWebhooks(ctx)
	}
	s.stopIntake(ctx)
	if s.feed != nil {
		soon, cancel := atLeast(ctx, abortTimeout)
		defer cancel()
		err = errors.Join(err, s.feed.Stop(soon))
	}
	return err
}

// stopWebhooks gives deliveries a little time to end. What is interrupted is
// delivered again by the next who claims the webhook.
func (s *server) stopWebhooks(ctx context.Context) error {
	grace := deliveryGrace
	if deadline, bounded := ctx.Deadline(); bounded {
		grace = min(grace, time.Until(deadline)/2)
	}
	patient, cancel := context.WithTimeout(ctx, grace)
	defer cancel()
	err := s.webhooks.Stop(patient)
	if err == nil {
		return nil
	}
	s.logger.WarnContext(ctx, "a receiver of webhooks does not answer", slog.Any("error", err))
	soon, cancel := atLeast(ctx, abortTimeout)
	defer cancel()
	return s.webhooks.Stop(soon)
}

// deliveryGrace is how long deliveries under way may take at the end, and never
// more than half of the time: clients wait for their transactions.
const deliveryGrace = 5 * time.Second

// close closes what is open, also after half a start.
func (s *server) close() error {
	var errs []error
	if s.debug != nil {
		errs = append(errs, s.debug.Close())
	}
	if s.listener != nil {
		if err := s.listener.Close(); !errors.Is(err, net.ErrClosed) {
			errs = append(errs, err)
		}
	}
	// A Stop that was impatient left them with the store.
	stop, cancel := context.WithTimeout(context.Background(), abortTimeout)
	defer cancel()
	errs = append(errs, s.stopFollowers(stop))
	if s.engine != nil {
		errs = append(errs, s.engine.Stop(stop))
	}
	if s.cache != nil {
		errs = append(errs, s.cache.Close())
	}
	if s.store != nil {
		errs = append(errs, s.store.Close())
	}
	return errors.Join(errs...)
}

// flushTimeout is how long answers may take to be written, also when the time to
// stop is over: it is what tells clients what became of their money.
const flushTimeout = 5 * time.Second

// atLeast returns ctx, or one that lasts so much longer if ctx has less left.
func atLeast(ctx context.Context, d time.Duration) (context.Context, context.CancelFunc) {
	deadline, bounded := ctx.Deadline()
	if ctx.Err() == nil && (!bounded || time.Until(deadline) > d) {
		return ctx, func() {}
	}
	return context.WithTimeout(context.WithoutCancel(ctx), d)
}

// abortTimeout is how long commits that were interrupted may take to return.
const abortTimeout = 5 * time.Second

// listen opens a TCP address; flag names where it came from.
func listen(address, flag string) (net.Listener, error) {
	l, err := net.Listen("tcp", address)
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return nil, fmt.Errorf("%s %s: the address is in use; stop the other program or choose another port", flag, address)
	case err != nil:
		return nil, fmt.Errorf("%s %s: %w", flag, address, err)
	}
	return l, nil
}
