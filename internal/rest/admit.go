package rest

import (
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
)

// admit refuses what a web page may have made a browser send, without anybody
// behind the browser who wanted it.
//
// A page can make its own name resolve to 127.0.0.1, and is of the same origin as
// a service there then (DNS rebinding). The browser still sends the page's name
// as the host: what comes in on a loopback address must name this machine, or
// one of the names that are configured. On other addresses, who may call is for
// the network and for authentication to say.
//
// And a page of another site may only read: browsers mark what it sends.
func (s *server) admit(r *http.Request) *Problem {
	if local, ok := r.Context().Value(http.LocalAddrContextKey).(net.Addr); ok && isLoopback(local) && !s.knownHost(r.Host) {
		return refusal(http.StatusMisdirectedRequest,
			"this address is not known as "+shorten(r.Host)+"; call it localhost, or add the name to the service's hosts")
	}
	if r.Method != http.MethodGet && r.Method != http.MethodHead && r.Header.Get("Sec-Fetch-Site") == "cross-site" {
		return refusal(http.StatusForbidden, "a browser sent this for a page of another site, which may only read")
	}
	return nil
}

func isLoopback(a net.Addr) bool {
	tcp, ok := a.(*net.TCPAddr)
	return ok && tcp.IP.IsLoopback()
}

// knownHost reports whether the host names this machine. None is fine: every browser sends one.
func (s *server) knownHost(host string) bool {
	name := strings.ToLower(strings.TrimSuffix(withoutPort(host), "."))
	if name == "" || name == "localhost" || slices.Contains(s.Hosts, "*") {
		return true
	}
	if ip, err := netip.ParseAddr(name); err == nil && ip.IsLoopback() {
		return true
	}
	return slices.ContainsFunc(s.Hosts, func(known string) bool { return strings.EqualFold(known, name) })
}

// withoutPort returns the name or address of "name", "name:80", "[::1]" and "[::1]:80".
func withoutPort(host string) string {
	if name, _, err := net.SplitHostPort(host); err == nil {
		return name
	}
	return strings.TrimSuffix(strings.TrimPrefix(host, "["), "]")
}
