package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"runtime/debug"
	"time"

	"rbcs/internal/discovery"
	"rbcs/internal/gateway"
	"rbcs/internal/rest"
	"rbcs/internal/telemetry"
)

// GatewayCmd runs a gateway.
type GatewayCmd struct {
	Listen       string         `default:"127.0.0.1:8080" placeholder:"HOST:PORT" help:"Address of the gateway (${default}). Port 0 takes a free one."`
	Discover     discoveredList `required:"" placeholder:"WHERE" help:"Where the instances are: static:HOST:PORT,HOST:PORT or dns:NAME:PORT, an instance at each address of the name, looked up again every two seconds."`
	Hosts        []string       `placeholder:"NAME" help:"Names by which the gateway may be called on a loopback address, beside localhost; * is any. See rbcs serve."`
	BehindProxy  bool           `help:"Keep the X-Forwarded-* headers of who calls and add to them: a trusted proxy sets them. Off by default: they are replaced, since anybody may write them."`
	HTTP2        bool           `name:"http2" env:"RBCS_HTTP2" help:"Speak HTTP/2 to the instances: few connections with many requests on each. A node that is gone is noticed sooner; the instances take more processor time."`
	ProbeEvery   time.Duration  `placeholder:"TIME" default:"1s" help:"How often each instance is asked whether it is ready (${default})."`
	MaxInFlight  int            `placeholder:"N" default:"10000" help:"Most requests at a time, streams of events included; more are refused with 429 (${default})."`
	DrainDelay   time.Duration  `placeholder:"TIME" default:"0s" help:"How long to go on after readiness fails, so that load balancers notice (${default})."`
	DrainTimeout time.Duration  `placeholder:"TIME" default:"30s" help:"How long to wait for requests in flight at the end (${default})."`
	LogLevel     string         `placeholder:"LEVEL" default:"info" enum:"debug,info,warn,error" help:"Least level that is logged: debug, info, warn or error (${default})."`
	LogFormat    string         `placeholder:"FORMAT" default:"auto" enum:"auto,text,json" help:"Format of the log on standard error: text, json, or auto: text on a terminal, else json (${default})."`
}

// Help is the long help of the command.
func (GatewayCmd) Help() string {
	return `Each request goes to the less loaded of two ready instances. One whose instance
died is sent to another one, which is safe: a transaction carries its ID. Instances
share one PostgreSQL database; one that stands on another gets no requests.
/livez, /readyz and /metrics are the gateway's own.

Ctrl-C or SIGTERM stops the gateway: readiness fails, requests in flight are
answered, and it exits with 0. A second signal, half a second
later or more, ends it at once.

Examples:

  rbcs gateway --discover static:127.0.0.1:8081,127.0.0.1:8082
  rbcs gateway --listen :8080 --discover dns:rbcs-balance:8080 --drain-delay 5s`
}

// discoveredList is a value of --discover.
type discoveredList struct{ discovery.Finder }

// UnmarshalText reads static:… or dns:….
func (l *discoveredList) UnmarshalText(text []byte) (err error) {
	l.Finder, err = discovery.Parse(string(text))
	return err
}

// Validate checks what the types of the flags do not.
func (c *GatewayCmd) Validate() error {
	if c.DrainDelay < 0 || c.DrainTimeout <= 0 {
		return errors.New("--drain-delay is at least 0 and --drain-timeout more")
	}
	if c.ProbeEvery < minProbeEvery || c.MaxInFlight < 1 {
		return fmt.Errorf("--probe-every is at least %s and --max-in-flight at least 1", minProbeEvery)
	}
	if _, _, err := net.SplitHostPort(c.Listen); err != nil {
		return fmt.Errorf("--listen %q: write HOST:PORT, such as 127.0.0.1:8080", c.Listen)
	}
	return nil
}

// minProbeEvery keeps probes from being load.
const minProbeEvery = 50 * time.Millisecond

// Run serves until ctx ends.
func (c *GatewayCmd) Run(ctx context.Context, m *Main) error {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(gcPercent)
	}
	g, err := startGateway(ctx, *c, m)
	if err != nil {
		return err
	}
	select {
	case <-ctx.Done():
	case err = <-g.failed:
	}
	stop, cancel := context.WithTimeout(context.WithoutCancel(ctx), c.DrainDelay+c.DrainTimeout)
	defer cancel()
	return errors.Join(err, g.Stop(stop))
}

// gatewayServer is a running gateway.
type gatewayServer struct {
	*server // its listener and its HTTP server

	gateway    *gateway.Gateway
	drainDelay time.Duration
}

// startGateway starts a gateway and returns once it accepts connections.
func startGateway(ctx context.Context, c GatewayCmd, m *Main) (*gatewayServer, error) {
	logger, err := telemetry.NewLogger(m.Stderr, cmp.Or(c.LogLevel, "info"), cmp.Or(c.LogFormat, "auto"))
	if err != nil {
		return nil, err
	}
	handler, err := gateway.New(gateway.Config{
		Finder: c.Discover.Finder, Hosts: c.Hosts, BehindProxy: c.BehindProxy, HTTP2: c.HTTP2, Logger: logger, Version: buildVersion(),
		ProbeEvery: c.ProbeEvery, MaxInFlight: c.MaxInFlight,
	})
	if err != nil {
		return nil, err
	}
	s := &server{logger: logger, http: rest.NewServer(handler, logger), failed: make(chan error, 1)}
	if s.listener, err = listen(c.Listen, "--listen"); err != nil {
		return nil, err
	}
	handler.Start()
	go s.serve(s.http, s.listener)
	logger.InfoContext(ctx, "serving", slog.String("url", s.URL()), slog.String("discover", fmt.Sprint(c.Discover.Finder)),
		slog.String("version", buildVersion()))
	return &gatewayServer{s, handler, c.DrainDelay}, nil
}

// Stop ends the gateway in the order in which nobody is left waiting: readiness
// fails, streams are told to go elsewhere, requests in flight are answered.
func (g *gatewayServer) Stop(ctx context.Context) error {
	g.logger.InfoContext(ctx, "stopping")
	g.gateway.Drain()
	if g.drainDelay > 0 {
		select {
		case <-time.After(g.drainDelay):
		case <-ctx.Done():
		}
	}
	g.gateway.EndStreams()
	err := g.http.Shutdown(ctx)
	if err != nil {
		err = errors.Join(fmt.Errorf("requests were still in flight: %w", err), g.http.Close())
	}
	g.gateway.Stop()
	if err == nil {
		g.logger.InfoContext(ctx, "stopped")
	}
	return err
}
