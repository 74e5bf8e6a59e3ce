// Package discovery finds the instances of the service: from a list that was
// written down, or from DNS, as a headless Service of Kubernetes publishes it.
package discovery

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Finder knows where the instances are.
type Finder interface {
	// Find returns the addresses, HOST:PORT, sorted and each once. An error
	// means that it is not known now; it is not the same as an empty list.
	Find(ctx context.Context) ([]string, error)
}

// Parse reads static:HOST:PORT,HOST:PORT or dns:NAME:PORT.
func Parse(text string) (Finder, error) {
	kind, rest, _ := strings.Cut(text, ":")
	switch kind {
	case "static":
		return parseStatic(rest)
	case "dns":
		host, port, err := splitAddress(rest)
		if err != nil {
			return nil, err
		}
		return &DNS{Name: host, Port: port}, nil
	case "nacos":
		return nil, errors.New("nacos: is not supported; write static:HOST:PORT,HOST:PORT or dns:NAME:PORT")
	}
	return nil, fmt.Errorf("%q: write static:HOST:PORT,HOST:PORT or dns:NAME:PORT", text)
}

func parseStatic(list string) (Static, error) {
	var s Static
	for address := range strings.SplitSeq(list, ",") {
		host, port, err := splitAddress(strings.TrimSpace(address))
		if err != nil {
			return nil, err
		}
		s = append(s, net.JoinHostPort(host, port))
	}
	slices.Sort(s)
	return slices.Compact(s), nil
}

func splitAddress(address string) (host, port string, err error) {
	host, port, err = net.SplitHostPort(address)
	if err != nil || host == "" {
		return "", "", fmt.Errorf("%q is no address; write HOST:PORT", address)
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
		return "", "", fmt.Errorf("%q: the port is a number from 1 to 65535", address)
	}
	return host, port, nil
}

// Static is a list of addresses that does not change.
type Static []string

// Find returns the list.
func (s Static) Find(context.Context) ([]string, error) { return s, nil }

// String returns the list as it is written.
func (s Static) String() string { return "static:" + strings.Join(s, ",") }

// Resolver is what [DNS] needs of a [net.Resolver].
type Resolver interface {
	LookupNetIP(ctx context.Context, network, host string) ([]netip.Addr, error)
}

// DNS finds one instance at each address of a name.
type DNS struct {
	Name, Port string
	Resolver   Resolver // nil: the system's
}

// lookupTimeout bounds one look-up: a name server that is away costs no more.
const lookupTimeout = 3 * time.Second

// Find looks the name up. A name without addresses is an error: a cluster's DNS
// answers the same while it does not know.
func (d *DNS) Find(ctx context.Context) ([]string, error) {
	ctx, cancel := context.WithTimeout(ctx, lookupTimeout)
	defer cancel()
	var resolver Resolver = net.DefaultResolver
	if d.Resolver != nil {
		resolver = d.Resolver
	}
	found, err := resolver.LookupNetIP(ctx, "ip", d.Name)
	if err != nil {
		return nil, fmt.Errorf("look up %s: %w", d.Name, err)
	}
	if len(found) == 0 {
		return nil, fmt.Errorf("look up %s: it has no addresses", d.Name)
	}
	addresses := make([]string, len(found))
	for i, ip := range found {
		addresses[i] = net.JoinHostPort(ip.Unmap().String(), d.Port)
	}
	slices.Sort(addresses)
	return slices.Compact(addresses), nil
}

// String returns the name as it is written.
func (d *DNS) String() string { return "dns:" + net.JoinHostPort(d.Name, d.Port) }

// Watch calls set with the addresses at once and after each change, until ctx
// ends. Where they cannot be found the last ones stay, which is logged once.
func Watch(ctx context.Context, finder Finder, every time.Duration, logger *slog.Logger, set func([]string)) {
	var last []string
	failing := false
	ticker := time.NewTicker(every)
	defer ticker.Stop()
	for {
		found, err := finder.Find(ctx)
		switch {
		case ctx.Err() != nil:
			return
		case err != nil && !failing:
			failing = true
			logger.WarnContext(ctx, "the instances cannot be found; those that were known stay", slog.Any("error", err), slog.Int("known", len(last)))
		case err == nil:
			failing = false
			if !slices.Equal(found, last) {
				last = found
				set(found)
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}
