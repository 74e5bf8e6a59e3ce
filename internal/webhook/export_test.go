package webhook

import (
	"context"
	"net"
	"net/http"
)

// NewTransport returns the transport with another resolver: it says what a name
// leads to.
func NewTransport(allowPrivate bool, resolve func(address string) string) http.RoundTripper {
	t := newTransport(allowPrivate)
	dial := t.DialContext
	t.DialContext = func(ctx context.Context, network, address string) (net.Conn, error) {
		return dial(ctx, network, resolve(address))
	}
	return t
}
