package postgres

import (
	"context"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"rbcs"
)

const (
	// connectTimeout bounds an attempt to connect to one host, unless the DSN says
	// otherwise: with several hosts the one that is there is found in seconds.
	connectTimeout = 2 * time.Second

	// pingTimeout bounds the question whether a connection that was idle for
	// pingAfter is still there.
	pingTimeout = 2 * time.Second
	pingAfter   = time.Second

	// Connections do not live for ever, so that a change of DNS or of a balancer
	// is followed, and not all at once.
	connLifetime       = 30 * time.Minute
	connLifetimeJitter = 5 * time.Minute

	// The server counts as away when so many attempts to connect in a row have
	// failed, and for so long.
	awayFailures = 3
	awayAfter    = 500 * time.Millisecond
)

// links watches over the connections of the store's pools.
//
// One connection that finds its server gone, or become a standby, speaks for
// all that are older: they are given up together, and not found dead one after
// the other by one request each. And while the server is away it is looked for
// by one attempt to connect at a time; whoever else needs a new connection is
// refused at once.
type links struct {
	access access
	told   bool        // the DSN says how statements are sent
	pooled atomic.Bool // a pooler was found

	mu         sync.Mutex
	pools      []*pgxpool.Pool
	renewed    time.Time // when all connections were last given up
	failures   int       // attempts to connect that failed in a row
	since      time.Time // the first of these
	connecting bool      // one that looks for the server is under way
}

// attach sets a pool's configuration up.
func (l *links) attach(config *pgxpool.Config, dsn string) {
	conn := config.ConnConfig
	if conn.ConnectTimeout == 0 {
		conn.ConnectTimeout = connectTimeout
	}
	if !strings.Contains(dsn, "pool_max_conn_lifetime") {
		config.MaxConnLifetime, config.MaxConnLifetimeJitter = connLifetime, connLifetimeJitter
	}
	conn.DialFunc = dial
	conn.OnNotice = noticed
	fatal := conn.OnPgError
	conn.OnPgError = func(c *pgconn.PgConn, err *pgconn.PgError) bool {
		if s, _ := stateOf(err.Code); s.stale {
			if w := wireOf(c); w != nil {
				w.gone()
			}
			return false // closes it
		}
		return fatal(c, err)
	}
	conn.Tracer = l
	config.BeforeConnect = l.begin
	l.told = tellsMode(dsn)
	config.AfterConnect = func(ctx context.Context, c *pgx.Conn) error {
		registerTypes(c.TypeMap())
		if w := wireOf(c.PgConn()); w != nil {
			w.lost = l.lost
		}
		return l.meet(ctx, c)
	}
	config.ShouldPing = func(context.Context, pgxpool.ShouldPingParams) bool { return false } // prepare does
	config.PrepareConn = l.prepare
}

// watch names the pools whose connections are given up together.
func (l *links) watch(pools ...*pgxpool.Pool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.pools = pools
}

// lost gives all connections up, unless that has been done since this one was made.
func (l *links) lost(w *wire) {
	l.mu.Lock()
	old := w.made.Before(l.renewed)
	l.mu.Unlock()
	if !old {
		l.renew()
	}
}

// renew gives all connections up. Those in use are closed when they are given back.
func (l *links) renew() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.renewed = time.Now()
	for _, pool := range l.pools {
		pool.Reset()
	}
}

// prepare asks a connection that was idle whether it is still there. One that is
// closed already never was of use ([links.meet]).
func (l *links) prepare(ctx context.Context, conn *pgx.Conn) (bool, error) {
	if conn.IsClosed() {
		return false, nil
	}
	w := wireOf(conn.PgConn())
	if w == nil || w.idle() < pingAfter {
		return true, nil
	}
	// Without the caller's context, whose end would cost the connection.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), pingTimeout)
	defer cancel()
	if err := conn.Ping(ctx); err != nil {
		w.gone()
		return false, nil //nolint:nilerr // the pool takes another one
	}
	return true, nil
}

// begin is called before each attempt to connect.
func (l *links) begin(ctx context.Context, config *pgx.ConnConfig) error {
	l.mu.Lock()
	if l.away() {
		if l.connecting {
			defer l.mu.Unlock()
			return &rbcs.Error{Code: rbcs.Unavailable, Message: "PostgreSQL cannot be reached", Away: true}
		}
		l.connecting = true
	}
	l.mu.Unlock()
	if l.pooled.Load() {
		config.DefaultQueryExecMode = pgx.QueryExecModeCacheDescribe
	}
	if err := l.access.prove(ctx, config); err != nil {
		l.end(err)
		return &rbcs.Error{Code: rbcs.Unavailable, Message: "the credentials for PostgreSQL are not to be had", Away: true, Err: err}
	}
	return nil
}

// away reports whether the server is looked for. REQUIRES: l.mu is held.
func (l *links) away() bool { return l.failures >= awayFailures && time.Since(l.since) >= awayAfter }

// end notes how an attempt to connect ended.
func (l *links) end(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.connecting = false
	if err == nil {
		l.failures = 0
		return
	}
	if l.failures++; l.failures == 1 {
		l.since = time.Now()
	}
}

// TraceConnectStart implements [pgx.ConnectTracer].
func (l *links) TraceConnectStart(ctx context.Context, _ pgx.TraceConnectStartData) context.Context {
	return ctx
}

// TraceConnectEnd implements [pgx.ConnectTracer]: nothing else tells of an attempt that failed.
func (l *links) TraceConnectEnd(_ context.Context, data pgx.TraceConnectEndData) {
	if isRefused(data.Err) {
		l.access.forget()
	}
	l.end(data.Err)
}

// TraceQueryStart implements [pgx.QueryTracer], which a tracer must be.
func (l *links) TraceQueryStart(ctx context.Context, _ *pgx.Conn, _ pgx.TraceQueryStartData) context.Context {
	return ctx
}

// TraceQueryEnd implements [pgx.QueryTracer].
func (l *links) TraceQueryEnd(context.Context, *pgx.Conn, pgx.TraceQueryEndData) {}
