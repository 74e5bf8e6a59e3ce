package linear

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"

	"github.com/Shopify/toxiproxy/v2"
	"github.com/rs/zerolog"
)

// toxics is the toxiproxy of this process. Nothing listens for its API.
var toxics = toxiproxy.NewServer(toxiproxy.NewMetricsContainer(nil), zerolog.Nop())

// link is a toxiproxy before Redis.
type link struct{ proxy *toxiproxy.Proxy }

func newLink(upstream string) (*link, error) {
	l := &link{toxiproxy.NewProxy(toxics, upstream, "127.0.0.1:0", upstream)}
	if err := l.proxy.Start(); err != nil {
		return nil, fmt.Errorf("toxiproxy: %w", err)
	}
	return l, nil
}

func (l *link) address() string { return l.proxy.Listen }

// slow lets everything take longer, by latency ± jitter milliseconds each way.
func (l *link) slow(latency, jitter int) error {
	for _, direction := range []string{"upstream", "downstream"} {
		toxic, err := json.Marshal(map[string]any{
			"name": direction, "type": "latency", "stream": direction, "attributes": map[string]int{"latency": latency, "jitter": jitter},
		})
		if err != nil {
			return err
		}
		if _, err := l.proxy.Toxics.AddToxicJson(bytes.NewReader(toxic)); err != nil {
			return fmt.Errorf("toxiproxy: %w", err)
		}
	}
	return nil
}

// cure makes the link well again.
func (l *link) cure(ctx context.Context) { l.proxy.Toxics.ResetToxics(ctx) }

// cut ends all connections, and refuses new ones until it is joined again.
func (l *link) cut() { l.proxy.Stop() }

func (l *link) join() error { return l.proxy.Start() }
