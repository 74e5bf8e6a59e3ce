package testenv

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"

	"github.com/Shopify/toxiproxy/v2"
	"github.com/rs/zerolog"
)

// Link is a toxiproxy before one address: it makes a network slow, silent or
// broken, whatever is spoken through it. [Proxy] is for faults of a COMMIT.
type Link struct{ proxy *toxiproxy.Proxy }

// NewLink returns a link to the server at HOST:PORT. End it with [Link.Cut].
func NewLink(address string) (*Link, error) {
	// The server is there to be asked for metrics; nothing listens for its API.
	server := toxiproxy.NewServer(toxiproxy.NewMetricsContainer(nil), zerolog.Nop())
	l := &Link{toxiproxy.NewProxy(server, address, "127.0.0.1:0", address)}
	return l, l.Join()
}

// Address returns the HOST:PORT that leads through the link, always the same.
func (l *Link) Address() string { return l.proxy.Listen }

// Poison makes the link sick in both directions, with one of toxiproxy's toxics,
// such as "latency" with the attributes "latency" and "jitter" in milliseconds
// each way. A kind that it has already is an error.
func (l *Link) Poison(kind string, attributes map[string]int) error {
	for _, direction := range []string{"upstream", "downstream"} {
		toxic, err := json.Marshal(map[string]any{"name": kind + direction, "type": kind, "stream": direction, "attributes": attributes})
		if err != nil {
			return fmt.Errorf("testenv: %w", err)
		}
		if _, err := l.proxy.Toxics.AddToxicJson(bytes.NewReader(toxic)); err != nil {
			return fmt.Errorf("testenv: toxiproxy: %w", err)
		}
	}
	return nil
}

// Cure makes the link well again.
func (l *Link) Cure(ctx context.Context) { l.proxy.Toxics.ResetToxics(ctx) }

// Cut ends all connections, and refuses new ones until the link is joined again.
func (l *Link) Cut() { l.proxy.Stop() }

// Join lets connections through again.
func (l *Link) Join() error {
	if err := l.proxy.Start(); err != nil {
		return fmt.Errorf("testenv: toxiproxy: %w", err)
	}
	return nil
}
