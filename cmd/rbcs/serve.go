package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"runtime/debug"
	"strings"
	"time"

	"rbcs"
)

// ServeCmd runs the balance service.
type ServeCmd struct {
	Listen string    `default:"127.0.0.1:8080" placeholder:"HOST:PORT" help:"Address of the HTTP interface (${default}). Port 0 takes a free one."`
	Store  StoreName `default:"sqlite:rbcs.db" placeholder:"STORE" help:"sqlite:FILE or postgres://USER@HOST/DATABASE (${default})."`
	StoreAccess
	Redis          RedisURL      `placeholder:"URL" help:"Serve balances from this Redis too: redis://HOST:PORT, or rediss:// for TLS. Instances that share a database share it; it may be away at any time. Only with PostgreSQL. None by default."`
	RedisTimeout   time.Duration `placeholder:"TIME" default:"20ms" help:"How long a read waits for Redis before it goes to the database (${default})."`
	Currencies     currencyList  `placeholder:"CODE=DECIMALS,…" help:"Currencies beside those of ISO 4217, such as BTC=8,POINTS=0. What was declared once stays known; other decimals are refused."`
	Hosts          []string      `placeholder:"NAME" help:"Names by which the service may be called on a loopback address, beside localhost, such as those that a proxy on this machine passes on; * is any. Others are refused: a web page may have made a browser call."`
	Instance       string        `placeholder:"NAME" help:"Name of this instance in records and logs (the host's name)."`
	Migrate        bool          `help:"Bring the schema on PostgreSQL up to date first. SQLite is always kept up to date."`
	MaxBatch       int           `placeholder:"N" help:"Most transactions in one commit (${default})." default:"2000"`
	MaxPending     int           `placeholder:"N" help:"Most transactions waiting for a decision; more are refused with 429 (${default})." default:"50000"`
	InFlight       int           `placeholder:"N" help:"Most commits at a time (${default}: 1 on SQLite, several on PostgreSQL)." default:"0"`
	IntakeAttempts int           `placeholder:"N" default:"20" help:"After how many failed attempts a queued transaction becomes a dead letter (${default})."`
	WebhookPrivate bool          `help:"Deliver webhooks to loopback and private addresses too, and by http. Off by default: whoever may register one could reach what only this machine reaches."`
	DrainDelay     time.Duration `placeholder:"TIME" default:"0s" help:"How long to go on after readiness fails, so that load balancers notice (${default})."`
	DrainTimeout   time.Duration `placeholder:"TIME" default:"30s" help:"How long to wait for requests in flight at the end (${default})."`
	LogLevel       string        `placeholder:"LEVEL" default:"info" enum:"debug,info,warn,error" help:"Least level that is logged: debug, info, warn or error (${default})."`
	LogFormat      string        `placeholder:"FORMAT" default:"auto" enum:"auto,text,json" help:"Format of the log on standard error: text, json, or auto: text on a terminal, else json (${default})."`
	DebugListen    string        `placeholder:"HOST:PORT" help:"Address of Go's profiles under /debug/pprof/, on a loopback interface only. Off by default."`
}

// Help is the long help of the command.
func (ServeCmd) Help() string {
	return `Ctrl-C or SIGTERM stops the service: it refuses new transactions, commits and
answers those it has, and exits with 0. A second signal, half a
second later or more, ends it at once.

Examples:

  rbcs serve
  rbcs serve --listen :8080 --store sqlite:/var/lib/rbcs/rbcs.db --currencies BTC=8,POINTS=0
  rbcs serve --store postgres://rbcs@db/rbcs --migrate
  rbcs serve --store postgres://rbcs@db/rbcs --redis redis://cache:6379
  RBCS_STORE=postgres://rbcs@db/rbcs rbcs serve --config rbcs.yaml`
}

// currencyList is a value of --currencies.
type currencyList []rbcs.Currency

// UnmarshalText reads CODE=DECIMALS,….
func (l *currencyList) UnmarshalText(text []byte) error {
	declared, err := rbcs.ParseCurrencies(string(text))
	if err != nil {
		return err
	}
	if _, err := rbcs.NewCurrencies(declared...); err != nil {
		return err
	}
	*l = declared
	return nil
}

// Validate checks what the types of the flags do not.
func (c *ServeCmd) Validate() error {
	if c.MaxBatch < 1 || c.MaxPending < 1 || c.InFlight < 0 {
		return errors.New("--max-batch and --max-pending are at least 1, --in-flight at least 0")
	}
	if c.InFlight > 1 && !c.Store.Postgres() {
		return errors.New("--in-flight: SQLite commits one batch at a time; leave it out, or use PostgreSQL")
	}
	if err := c.validateRedis(); err != nil {
		return err
	}
	if c.IntakeAttempts < 0 {
		return errors.New("--intake-attempts is not negative")
	}
	if c.DrainDelay < 0 || c.DrainTimeout <= 0 {
		return errors.New("--drain-delay is at least 0 and --drain-timeout more")
	}
	if _, _, err := net.SplitHostPort(c.Listen); err != nil {
		return fmt.Errorf("--listen %q: write HOST:PORT, such as 127.0.0.1:8080", c.Listen)
	}
	if c.DebugListen != "" && !loopback(c.DebugListen) {
		return fmt.Errorf("--debug-listen %q: profiles are served on a loopback address only, such as 127.0.0.1:6060", c.DebugListen)
	}
	return nil
}

// gcPercent lets the heap grow to five times what is alive before it is
// collected. What is alive is small (batches on their way), so that this costs
// about 100 MB, and saves a quarter of the service's time per transaction in
// batches; see docs/performance.md. GOGC and GOMEMLIMIT win.
const gcPercent = 400

// Run serves until ctx ends.
func (c *ServeCmd) Run(ctx context.Context, m *Main) error {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(gcPercent)
	}
	s, err := startServer(ctx, *c, m)
	if err != nil {
		return err
	}
	if isTerminal(m.Stdout) {
		c.banner(m.Stdout, s.URL())
	}
	err = s.Wait(ctx)
	stop, cancel := context.WithTimeout(context.WithoutCancel(ctx), c.DrainDelay+c.DrainTimeout)
	defer cancel()
	return errors.Join(err, s.Stop(stop))
}

// banner tells the person at the terminal where to look.
func (c *ServeCmd) banner(w io.Writer, url string) {
	fmt.Fprintf(w, `rbcs serves %s
  API        %s/v1/
  dashboard  %s/
  docs       %s/docs
Ctrl-C stops it.
`, c.Store, url, url, url)
}

// instance returns the name of this instance.
func (c *ServeCmd) instance() string {
	if c.Instance != "" {
		return c.Instance
	}
	host, err := os.Hostname()
	if err != nil {
		return "rbcs"
	}
	return host
}

// inFlight returns how many commits may be under way: SQLite has one writer.
func (c *ServeCmd) inFlight() int {
	switch {
	case !c.Store.Postgres():
		return 1
	case c.InFlight > 0:
		return c.InFlight
	}
	return postgresInFlight
}

// postgresInFlight keeps the database busy while the service decides and
// encodes. More only queue on each other's locks.
const postgresInFlight = 4

// loopback reports whether only this machine reaches the address.
func loopback(address string) bool {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return false
	}
	ip := net.ParseIP(strings.Trim(host, "[]"))
	return host == "localhost" || ip != nil && ip.IsLoopback()
}
