package client

import (
	"errors"
	"net"
	"net/http"
	"time"
)

// Client speaks to one service, or to the gateway before several instances of
// it. It is safe for concurrent use; make one and share it, since it keeps
// connections open between requests.
type Client struct {
	instances instances
	further   []string // base URLs, beside the first one
	http      http.Client
	retry     Retry
	userAgent string
	header    http.Header
}

// Option changes how a [Client] works.
type Option func(*Client)

// WithHTTPClient makes the client send its requests through h, of which it
// takes a copy: for another transport, a proxy, or TLS with certificates of
// one's own. Redirects are not followed, whatever h says.
func WithHTTPClient(h *http.Client) Option { return func(c *Client) { c.http = *h } }

// WithRetry sets how failed requests are tried again.
func WithRetry(r Retry) Option { return func(c *Client) { c.retry = r } }

// WithUserAgent sets the User-Agent header, by which the service's operators
// know whose requests they see.
func WithUserAgent(name string) Option { return func(c *Client) { c.userAgent = name } }

// WithHeader adds a header to every request, such as one that authenticates it.
func WithHeader(name, value string) Option { return func(c *Client) { c.header.Add(name, value) } }

// New returns a client of the service at baseURL, such as
// "http://localhost:8080". It does not connect yet.
func New(baseURL string, opts ...Option) (*Client, error) {
	c := &Client{
		userAgent: "rbcs-go-client",
		header:    http.Header{},
	}
	for _, opt := range opts {
		opt(c)
	}
	if err := c.instances.parse(append([]string{baseURL}, c.further...)...); err != nil {
		return nil, err
	}
	var err error
	if c.retry, err = c.retry.withDefaults(); err != nil {
		return nil, err
	}
	if c.http.Transport == nil {
		c.http.Transport = newTransport()
	}
	// Following a redirect may make a GET of a POST. The answer itself says where to go.
	c.http.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return c, nil
}

// Close closes the connections that are idle. Requests that are under way go on.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// Bounds of the connections that a client keeps.
const (
	// maxIdlePerHost is how many connections stay open between requests: with net/http's two, a thousand goroutines
	// would open a new connection for nearly every request, and run out of ports.
	maxIdlePerHost = 1024
	// idleTimeout is below the 60 s of usual load balancers, so that a request seldom meets a connection that the
	// other side is just closing.
	idleTimeout = 50 * time.Second
	// dialTimeout leaves time to try again, perhaps on another instance, where a machine does not answer at all.
	dialTimeout = 5 * time.Second
)

func newTransport() *http.Transport {
	t, ok := http.DefaultTransport.(*http.Transport)
	if !ok { // somebody replaced it
		t = &http.Transport{Proxy: http.ProxyFromEnvironment, ForceAttemptHTTP2: true}
	}
	t = t.Clone()
	t.DialContext = (&net.Dialer{Timeout: dialTimeout, KeepAlive: 30 * time.Second}).DialContext
	t.MaxIdleConns = 0 // no bound but the next one
	t.MaxIdleConnsPerHost = maxIdlePerHost
	t.IdleConnTimeout = idleTimeout
	return t
}

// Retry says how failed requests are tried again. A zero field has its default.
type Retry struct {
	// Attempts is how often a request is sent at most; 1 means never again.
	// Default: as often as MaxElapsed allows.
	Attempts int
	// MaxElapsed is for how long new attempts begin. Default: 1 minute, longer
	// than a failover of the database takes.
	MaxElapsed time.Duration
	// AttemptTimeout is how long one attempt may take. Default: 40 s, longer
	// than the service takes to answer at its worst.
	AttemptTimeout time.Duration
	// MinDelay and MaxDelay bound the wait before an attempt: it is random
	// between zero and MinDelay, and twice that with each further attempt, up to
	// MaxDelay. Defaults: 50 ms and 2 s.
	MinDelay, MaxDelay time.Duration
	// Stop, once it is closed, lets no further attempt begin: a wait for one ends
	// at once, while a request that is under way is still answered. What had not
	// succeeded by then fails as it last did. Default: never.
	Stop <-chan struct{}
}

func (r Retry) withDefaults() (Retry, error) {
	if min(r.MaxElapsed, r.AttemptTimeout, r.MinDelay, r.MaxDelay) < 0 || r.Attempts < 0 {
		return r, errors.New("a field of Retry is negative")
	}
	set := func(d *time.Duration, value time.Duration) {
		if *d == 0 {
			*d = value
		}
	}
	set(&r.MaxElapsed, time.Minute)
	set(&r.AttemptTimeout, 40*time.Second)
	set(&r.MinDelay, 50*time.Millisecond)
	set(&r.MaxDelay, max(2*time.Second, r.MinDelay))
	return r, nil
}
