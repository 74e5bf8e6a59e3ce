package webhook

import (
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"syscall"
	"time"

	"rbcs"
)

// maxURLBytes is as long as common servers accept.
const maxURLBytes = 2048

// never are the addresses that no webhook may have: they mean this host, this
// link or nobody, or are where clouds hand out credentials.
var never = prefixes(
	"0.0.0.0/8", "169.254.0.0/16", "224.0.0.0/4", "240.0.0.0/4", "::/128", "fe80::/10", "ff00::/8",
	"100.100.100.200/32", "168.63.129.16/32", "192.0.0.192/32", "fd00:ec2::/32", "fd20:ce::254/128",
)

// private are the addresses that are within one's own network.
var private = prefixes(
	"127.0.0.0/8", "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "192.0.0.0/24", "198.18.0.0/15",
	"::1/128", "fc00::/7", "fec0::/10", "64:ff9b:1::/48",
)

// embedding are the IPv6 addresses that lead to the IPv4 address at an offset.
var embedding = []struct {
	prefix netip.Prefix
	offset int
}{
	{netip.MustParsePrefix("64:ff9b::/96"), 12}, // NAT64
	{netip.MustParsePrefix("2002::/16"), 2},     // 6to4
	{netip.MustParsePrefix("::/96"), 12},        // IPv4-compatible
}

func prefixes(list ...string) []netip.Prefix {
	parsed := make([]netip.Prefix, len(list))
	for i, s := range list {
		parsed[i] = netip.MustParsePrefix(s)
	}
	return parsed
}

// checkAddress refuses an address to which nothing may be delivered.
func checkAddress(ip netip.Addr, allowPrivate bool) error {
	ip = ip.WithZone("").Unmap()
	within := func(list []netip.Prefix) bool {
		return slices.ContainsFunc(list, func(p netip.Prefix) bool { return p.Contains(ip) })
	}
	switch {
	case within(never):
		return fmt.Errorf("the address %s is not one that webhooks may be delivered to", ip)
	case within(private):
		if allowPrivate {
			return nil
		}
		return fmt.Errorf("the address %s is private; webhooks are delivered to public addresses only", ip)
	}
	for _, e := range embedding {
		if e.prefix.Contains(ip) {
			bytes := ip.As16()
			return checkAddress(netip.AddrFrom4([4]byte(bytes[e.offset:e.offset+4])), allowPrivate)
		}
	}
	return nil
}

// ValidateURL checks what a webhook may have as its URL: https with a host, and
// http too where private addresses are allowed. What a name resolves to is
// checked again at each connection. Its error has code [rbcs.InvalidRequest].
func ValidateURL(raw string, allowPrivate bool) error {
	u, err := url.Parse(raw)
	if err == nil {
		err = checkURL(raw, u, allowPrivate)
	} else {
		err = fmt.Errorf("it is not a URL")
	}
	if err == nil {
		return nil
	}
	return &rbcs.Error{
		Code: rbcs.InvalidRequest, Message: "the webhook's URL cannot be used",
		Fields: []rbcs.FieldError{{Pointer: "/url", Message: err.Error()}},
	}
}

func checkURL(raw string, u *url.URL, allowPrivate bool) error {
	host := strings.TrimSuffix(strings.ToLower(u.Hostname()), ".")
	switch {
	case len(raw) > maxURLBytes:
		return fmt.Errorf("it has %d bytes; at most %d are allowed", len(raw), maxURLBytes)
	case u.Scheme != "https" && u.Scheme != "http":
		return fmt.Errorf("it begins with neither https:// nor http://")
	case u.Scheme == "http" && !allowPrivate:
		return fmt.Errorf("it must begin with https://: what is delivered is confidential")
	case host == "":
		return fmt.Errorf("it has no host")
	case u.User != nil:
		return fmt.Errorf("it must not contain a user or password; verify the signature instead")
	case u.Fragment != "":
		return fmt.Errorf("it must not have a fragment")
	case !allowPrivate && (host == "localhost" || strings.HasSuffix(host, ".localhost")):
		return fmt.Errorf("the host %s is private; webhooks are delivered to public addresses only", host)
	}
	if ip, err := netip.ParseAddr(host); err == nil {
		return checkAddress(ip, allowPrivate)
	}
	return nil
}

// newTransport returns a transport that connects to allowed addresses only. The
// check is made on the address that is about to be connected to: a name that
// resolves to something else by then does not get around it. There is no proxy,
// since the check would see its address alone.
func newTransport(allowPrivate bool) *http.Transport {
	dialer := &net.Dialer{
		Timeout: 10 * time.Second,
		Control: func(_, address string, _ syscall.RawConn) error {
			peer, err := netip.ParseAddrPort(address)
			if err != nil {
				return fmt.Errorf("the address %s is not an IP address: %w", address, err)
			}
			return checkAddress(peer.Addr(), allowPrivate)
		},
	}
	return &http.Transport{
		DialContext:            dialer.DialContext,
		TLSHandshakeTimeout:    10 * time.Second,
		MaxIdleConnsPerHost:    4, // several webhooks may be of one receiver
		IdleConnTimeout:        90 * time.Second,
		MaxResponseHeaderBytes: 64 << 10,
		DisableCompression:     true, // a small answer cannot become a large one
		ForceAttemptHTTP2:      true,
	}
}
