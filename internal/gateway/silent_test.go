package gateway_test

import (
	"syscall"
	"testing"

	"rbcs/internal/testenv"
)

// TestSilentConnection takes away the network before one of two instances, as a
// node that is gone does: no connection is closed, nothing is refused. All requests on
// the one connection to it are sent to the other instance, and each is posted once.
func TestSilentConnection(t *testing.T) {
	s := newSite(t)
	link, err := testenv.NewLink(s.addresses[0])
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(link.Cut)
	end(t, s.gateway, syscall.SIGTERM)
	s.addresses[0] = link.Address()
	s.startGateway(t, "--http2")
	l := s.startLoad(t, 32)
	if err := link.Poison("timeout", map[string]int{"timeout": 0}); err != nil { // nothing comes through any more
		t.Fatal(err)
	}
	s.awaitReady(t, 1)
	l.await(t, 500)
	link.Cure(t.Context())
	s.awaitReady(t, 2)
	l.await(t, 500)
	l.stop(t, s)
}
