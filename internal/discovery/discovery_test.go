package discovery

import (
	"context"
	"errors"
	"log/slog"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestParse(t *testing.T) {
	for text, want := range map[string]string{
		"static:10.0.0.2:8080,10.0.0.1:8080":     "static:10.0.0.1:8080,10.0.0.2:8080",
		"static:a:1,a:1":                         "static:a:1",
		"static:[::1]:80, localhost:81":          "static:[::1]:80,localhost:81",
		"dns:rbcs-headless.prod.svc.cluster:443": "dns:rbcs-headless.prod.svc.cluster:443",
	} {
		finder, err := Parse(text)
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		if got := finder.(interface{ String() string }).String(); got != want {
			t.Errorf("%s is read as %s, want %s", text, got, want)
		}
	}
	for text, want := range map[string]string{
		"":                     "write static:",
		"http://a:80":          "write static:",
		"nacos:h:8848/rbcs":    "not supported",
		"static:":              "HOST:PORT",
		"static:a":             "HOST:PORT",
		"static:a:80,":         "HOST:PORT",
		"static:a:0":           "1 to 65535",
		"static:a:http":        "1 to 65535",
		"static::80":           "HOST:PORT",
		"dns:a":                "HOST:PORT",
		"dns:a:70000":          "1 to 65535",
		"static:http://a:8080": "HOST:PORT",
	} {
		if _, err := Parse(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got %v, want an error with %q", text, err, want)
		}
	}
}

// script is a name server whose answers are told beforehand; the last one stays.
type script struct {
	answers []any // a list of addresses, or an error
	asked   int
}

func (s *script) LookupNetIP(context.Context, string, string) ([]netip.Addr, error) {
	answer := s.answers[min(s.asked, len(s.answers)-1)]
	s.asked++
	if err, ok := answer.(error); ok {
		return nil, err
	}
	var list []netip.Addr
	for _, ip := range answer.([]string) {
		list = append(list, netip.MustParseAddr(ip))
	}
	return list, nil
}

// TestWatchFollowsDNS sees every change once, and keeps the list while nothing is known.
func TestWatchFollowsDNS(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		names := &script{answers: []any{
			errors.New("servfail"),
			[]string{"10.0.0.2", "10.0.0.1"},
			[]string{"10.0.0.1", "::ffff:10.0.0.2"}, // the same
			errors.New("servfail"),
			[]string{},
			[]string{"10.0.0.3"},
		}}
		ctx, cancel := context.WithCancel(t.Context())
		var seen []string
		done := make(chan struct{})
		go func() {
			defer close(done)
			Watch(ctx, &DNS{Name: "rbcs", Port: "80", Resolver: names}, time.Second, slog.New(slog.DiscardHandler), func(found []string) {
				seen = append(seen, strings.Join(found, " "))
			})
		}()
		time.Sleep(10 * time.Second) // of the bubble's clock
		cancel()
		<-done
		if want := []string{"10.0.0.1:80 10.0.0.2:80", "10.0.0.3:80"}; !slices.Equal(seen, want) {
			t.Errorf("seen %q, want %q", seen, want)
		}
		if names.asked < 6 {
			t.Errorf("asked %d times", names.asked)
		}
	})
}

func TestDNSOfTheSystem(t *testing.T) {
	found, err := (&DNS{Name: "localhost", Port: "80"}).Find(t.Context())
	if err != nil || !slices.Contains(found, "127.0.0.1:80") && !slices.Contains(found, "[::1]:80") {
		t.Errorf("got %q, %v", found, err)
	}
}
