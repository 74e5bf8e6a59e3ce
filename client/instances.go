package client

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/url"
	"strings"
	"sync/atomic"
)

// instances are the addresses of one service. Requests go to one of them, until
// it fails: then they go to the next one.
type instances struct {
	bases []string // without a slash at the end
	turn  atomic.Uint32
}

// WithInstances adds the base URLs of further instances of the same service, for
// where there is no gateway and no balancer before them: they share a database,
// so that any of them knows the outcome of what was sent to another. A client
// begins with any of them and stays with it while it answers. A request that
// fails there is tried again on the next one, at once where no connection was
// made. It goes round within the bounds of [Retry].
func WithInstances(baseURLs ...string) Option {
	return func(c *Client) { c.further = append(c.further, baseURLs...) }
}

// parseBase checks a base URL.
func parseBase(baseURL string) (string, error) {
	base, err := url.Parse(baseURL)
	if err != nil || base.Host == "" || base.Scheme != "http" && base.Scheme != "https" {
		return "", fmt.Errorf("the base URL %q must begin with http:// or https:// and a host", baseURL)
	}
	if base.RawQuery != "" || base.Fragment != "" {
		return "", fmt.Errorf("the base URL %q must end with its path", baseURL)
	}
	return strings.TrimRight(base.String(), "/"), nil
}

// parse takes the base URLs, and draws the one to begin with: the clients of
// several instances spread over them.
func (i *instances) parse(baseURLs ...string) error {
	for _, u := range baseURLs {
		base, err := parseBase(u)
		if err != nil {
			return err
		}
		i.bases = append(i.bases, base)
	}
	i.turn.Store(rand.Uint32N(uint32(len(i.bases))))
	return nil
}

// now returns whose turn it is, and its base URL.
func (i *instances) now() (turn uint32, base string) {
	turn = i.turn.Load()
	return turn, i.bases[turn%uint32(len(i.bases))]
}

// failed gives the turn to the next one, unless another request has done so.
func (i *instances) failed(turn uint32) { i.turn.CompareAndSwap(turn, turn+1) }

// unreached reports that a request failed before there was a connection.
func unreached(err error) bool {
	dial, ok := errors.AsType[*net.OpError](err)
	return ok && dial.Op == "dial"
}
