package main

import (
	"context"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"rbcs/internal/discovery"
)

// TestGateway runs a gateway before one instance until its context ends.
func TestGateway(t *testing.T) {
	instance := start(t, ServeCmd{})
	before := goleak.IgnoreCurrent()
	g, err := startGateway(t.Context(), GatewayCmd{
		Listen: "127.0.0.1:0", Discover: discoveredList{discovery.Static{instance.listener.Addr().String()}},
		ProbeEvery: minProbeEvery, MaxInFlight: 10, LogLevel: "error",
	}, &Main{Stdout: io.Discard, Stderr: io.Discard})
	if err != nil {
		t.Fatal(err)
	}
	for status(g.URL()+"/readyz") != http.StatusOK {
		<-time.After(time.Millisecond)
	}
	run(t, "account", "create", "alice", "--currency", "USD", "--url", g.URL()).check(t, exitDone)
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if err := g.Stop(ctx); err != nil {
		t.Error(err)
	}
	if got := status(g.URL() + "/readyz"); got != 0 {
		t.Errorf("the port still answers with %d", got)
	}
	http.DefaultClient.CloseIdleConnections()
	goleak.VerifyNone(t, before)
}

// TestGatewayUntilTheContextEnds goes on after readiness fails for as long as it is told.
func TestGatewayUntilTheContextEnds(t *testing.T) {
	ctx, interrupt := context.WithCancel(t.Context())
	interrupt()
	var stderr strings.Builder
	m := Main{Stdout: io.Discard, Stderr: &stderr}
	code := m.Run(ctx, []string{"gateway", "--listen", "127.0.0.1:0", "--discover", "static:127.0.0.1:1", "--drain-delay", "1ms"})
	if code != exitDone || !strings.Contains(stderr.String(), `"stopped"`) {
		t.Errorf("exit code %d: %s", code, stderr.String())
	}
}

func TestGatewayRefuses(t *testing.T) {
	running := start(t, ServeCmd{})
	static := "static:127.0.0.1:1"
	for name, test := range map[string]struct {
		code  int
		args  []string
		words []string
	}{
		"address in use":   {exitFailed, []string{"--discover", static, "--listen", running.listener.Addr().String()}, []string{"in use", "--listen"}},
		"no instances":     {exitUsage, nil, []string{"--discover"}},
		"nowhere":          {exitUsage, []string{"--discover", "http://a"}, []string{"--discover", "static:", "dns:"}},
		"nacos":            {exitUsage, []string{"--discover", "nacos:h:8848/rbcs"}, []string{"nacos", "not supported"}},
		"no port":          {exitUsage, []string{"--discover", static, "--listen", "localhost"}, []string{"HOST:PORT"}},
		"no time to drain": {exitUsage, []string{"--discover", static, "--drain-timeout", "0s"}, []string{"--drain-timeout"}},
		"probes as load":   {exitUsage, []string{"--discover", static, "--probe-every", "1ms"}, []string{"--probe-every"}},
		"no requests":      {exitUsage, []string{"--discover", static, "--max-in-flight", "0"}, []string{"--max-in-flight"}},
	} {
		t.Run(name, func(t *testing.T) {
			run(t, append([]string{"gateway"}, test.args...)...).check(t, test.code, test.words...)
		})
	}
}

// TestFilesAreOtherDatabases: a gateway tells an instance on a file from all
// others, and knows it again.
func TestFilesAreOtherDatabases(t *testing.T) {
	named := func(s *server) string {
		name, err := s.ready(t.Context())
		if err != nil {
			t.Error(err)
		}
		return name
	}
	store := sqliteStore(t)
	s := start(t, ServeCmd{Store: store})
	name := named(s)
	if other := named(start(t, ServeCmd{})); name == "" || other == "" || other == name {
		t.Errorf("two files are called %q and %q", name, other)
	}
	stop(t, s)
	if again := named(start(t, ServeCmd{Store: store})); again != name {
		t.Errorf("after a restart it is called %q, %q before", again, name)
	}
}
