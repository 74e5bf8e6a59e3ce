package gateway

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httputil"
	"strings"
	"sync/atomic"
	"time"

	"rbcs"
)

// Bounds of the tries of one request.
const (
	maxTries = 3
	tryUntil = 20 * time.Second // after its beginning no other try begins: clients wait for about 30 s
)

// requestID is the header that follows a request through all logs.
const requestID = "X-Request-Id"

// rewrite makes the request that instances get of the one that came.
func (g *Gateway) rewrite(p *httputil.ProxyRequest) {
	p.Out.URL.Scheme = "http"
	p.Out.URL.RawQuery = p.In.URL.RawQuery // ReverseProxy drops what it cannot parse, which an instance should refuse
	header := p.Out.Header
	delete(header, "Connection")
	delete(header, "Upgrade") // the service upgrades nothing
	delete(header, "Expect")  // the body is here
	if g.BehindProxy {
		for _, name := range []string{"Forwarded", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto"} {
			if values := p.In.Header[name]; values != nil {
				header[name] = values
			}
		}
	}
	g.forward(p.In, header)
	if header[requestID] == nil {
		header[requestID] = []string{g.serial.next()}
	}
}

// forward says on whose behalf the request is sent. What a trusted proxy has
// said of the host and the protocol stays.
func (g *Gateway) forward(in *http.Request, header http.Header) {
	if ip, _, err := net.SplitHostPort(in.RemoteAddr); err == nil {
		if prior := header["X-Forwarded-For"]; len(prior) > 0 {
			ip = strings.Join(prior, ", ") + ", " + ip
		}
		header["X-Forwarded-For"] = []string{ip}
	}
	if header["X-Forwarded-Host"] == nil {
		header["X-Forwarded-Host"] = []string{in.Host}
	}
	if header["X-Forwarded-Proto"] == nil {
		header["X-Forwarded-Proto"] = protoHTTP
	}
}

var protoHTTP = []string{"http"} // the gateway speaks nothing else

// serial makes request IDs: a random part for each gateway, and a number.
type serial struct {
	prefix string
	last   *atomic.Uint64
}

func newSerial() serial {
	var b [8]byte
	for i := range b {
		b[i] = byte(rand.Uint32())
	}
	return serial{hex.EncodeToString(b[:]) + "-", new(atomic.Uint64)}
}

func (s serial) next() string {
	var b [8]byte
	n := s.last.Add(1)
	for i := range b {
		b[i] = byte(n >> (56 - 8*i))
	}
	return s.prefix + hex.EncodeToString(b[:])
}

// resender sends a request to one instance after the other, until there is an
// answer to pass on.
type resender struct{ *Gateway }

// tries is what was learnt while one request was sent.
type tries struct {
	tried      []*instance
	repeatable bool // a second time changes nothing
	inDoubt    bool // an instance may have carried it out, and did not say so
	err        error
	answer     *http.Response // that no other instance would have given; nil: none
}

// RoundTrip implements [http.RoundTripper].
func (g resender) RoundTrip(r *http.Request) (*http.Response, error) {
	x := exchangeOf(r.Context())
	t := tries{repeatable: repeatable(r.Method, r.URL.EscapedPath())}
	for {
		i := g.pool.pick(t.tried)
		if i == nil && t.answer == nil && len(t.tried) < maxTries { // it may have been a connection that was closed just then
			i = g.pool.pick(nil)
		}
		if i == nil || len(t.tried) > 0 && !g.mayResend(x, &t) {
			return t.end(r)
		}
		t.tried = append(t.tried, i)
		if done := g.try(x, i, r, &t); done {
			return t.end(r)
		}
	}
}

// mayResend reports whether a request that was sent before may be sent again.
func (g resender) mayResend(x *exchange, t *tries) bool {
	if len(t.tried) == maxTries || time.Since(x.start) > tryUntil {
		return false
	}
	if !g.budget.withdraw(g.Now()) {
		g.metrics.exhausted.Inc()
		return false
	}
	g.metrics.resent.Inc()
	return true
}

// try sends the request to one instance, and reports whether that was the last try.
func (g resender) try(x *exchange, i *instance, r *http.Request, t *tries) (done bool) {
	response, err := g.send(x, i, r) //nolint:bodyclose // end passes it on, or closes it
	t.answer, t.err = response, err
	if err != nil && r.Context().Err() != nil {
		i.counters[cancelled].Inc()
		return true
	}
	if err != nil {
		i.counters[lost].Inc()
		g.pool.lost(r.Context(), i, err)
		g.Logger.DebugContext(r.Context(), "an instance did not answer", slog.String("instance", i.address), slog.Any("error", err))
		if neverSent(err) {
			return false
		}
		t.inDoubt = true
		return !t.repeatable
	}
	i.counters[outcomeOf(response.StatusCode)].Inc()
	g.pool.answered(i)
	if response.Close { // it is about to stop
		i.probeNow()
	}
	if !t.repeatable {
		return true
	}
	again, doubt := elsewhere(r, response)
	if again { // HTTP/2 does not tell that an instance is about to stop
		i.probeNow()
	}
	t.inDoubt = t.inDoubt || doubt
	return !again
}

// send sends the request to one instance and reads the answer, or its beginning where it is long.
func (g resender) send(x *exchange, i *instance, r *http.Request) (*http.Response, error) {
	i.inFlight.Add(1)
	out := r.WithContext(r.Context())
	u := *r.URL
	u.Host = i.address
	out.URL, out.Host = &u, "" // by its own name: what the client called is in X-Forwarded-Host, and was checked here
	if len(x.body) > 0 {
		body := func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(x.body)), nil }
		out.Body, _ = body()
		if g.HTTP2 { // which begins anew what the instance says it has not looked at; HTTP/1.1 would believe an Idempotency-Key
			out.GetBody = body
		}
	}
	response, err := i.transport.RoundTrip(out)
	if err == nil {
		err = g.hold(x, r, response)
	}
	if err != nil {
		i.inFlight.Add(-1)
		return nil, err
	}
	if _, ok := response.Body.(*held); ok || response.Body == http.NoBody {
		i.inFlight.Add(-1)
	} else {
		response.Body = &counted{ReadCloser: response.Body, instance: i}
	}
	response.Request = r
	return response, nil
}

// counted is the body of an answer that is still coming.
type counted struct {
	io.ReadCloser
	instance *instance
	closed   atomic.Bool
}

// Close closes it, and ends its request.
func (c *counted) Close() error {
	if c.closed.CompareAndSwap(false, true) {
		c.instance.inFlight.Add(-1)
	}
	return c.ReadCloser.Close()
}

// elsewhere reports whether the answer says that this instance could not do it,
// which says nothing about the others: it is stopping, its database is away, or
// it does not know the outcome. Something may have been carried out all the same
// where there is doubt: a batch is answered item by item, and some of them may be posted.
func elsewhere(r *http.Request, response *http.Response) (again, doubt bool) {
	body, ok := response.Body.(*held)
	if !ok {
		return false, false
	}
	switch response.StatusCode {
	case http.StatusOK:
		again = strings.HasSuffix(r.URL.Path, "/batch") && bytes.Contains(body.body, itemRetryable) &&
			(bytes.Contains(body.body, itemUnavailable) || bytes.Contains(body.body, itemUnknown))
		return again, again
	case http.StatusServiceUnavailable:
		var problem struct{ Code rbcs.Code }
		if json.Unmarshal(body.body, &problem) != nil {
			return false, false
		}
		doubt = problem.Code == rbcs.OutcomeUnknown
		return doubt || problem.Code == rbcs.Unavailable, doubt
	}
	return false, false
}

// What an item of a batch has that another instance may do. Metadata that looks
// like it costs a try, and changes nothing.
var (
	itemRetryable   = []byte(`"retryable":true`)
	itemUnavailable = []byte(`"code":"unavailable"`)
	itemUnknown     = []byte(`"code":"outcome_unknown"`)
)

// failure is what a client is told where no instance answered, and why, for the log.
type failure struct {
	problem *rbcs.Error
	reason  string // the label of the metric
	cause   error
}

func (f *failure) Error() string { return f.problem.Error() }

func (f *failure) Unwrap() error { return f.problem }

func newFailure(code rbcs.Code, reason, message string, cause error) *failure {
	return &failure{&rbcs.Error{Code: code, Message: message, RetryAfter: retryAfter}, reason, cause}
}

// end returns the answer, or the error that says what may have become of the request.
func (t *tries) end(r *http.Request) (*http.Response, error) {
	doubt := t.inDoubt && !reads(r.Method, r.URL.EscapedPath())
	switch {
	case t.answer != nil && (!doubt || decides(t.answer.StatusCode)):
		return t.answer, nil
	case t.answer != nil:
		_ = t.answer.Body.Close() // it speaks of the last try only
	case r.Context().Err() != nil:
		return nil, t.err
	}
	switch {
	case doubt && t.repeatable:
		return nil, newFailure(rbcs.OutcomeUnknown, noAnswer,
			"the instance was lost before it answered, and it is not known whether this was carried out; send the same again to learn it", t.err)
	case doubt:
		return nil, newFailure(rbcs.OutcomeUnknown, noAnswer,
			"the instance was lost before it answered, and it is not known whether this was carried out; look before you send it again", t.err)
	case t.err == nil:
		return nil, newFailure(rbcs.Unavailable, noInstance,
			"no instance of the service takes requests at the moment; nothing was changed: try again later", errors.New("no instance is ready"))
	}
	return nil, newFailure(rbcs.Unavailable, noAnswer, "no instance of the service answered; nothing was changed: try again later", t.err)
}

// decides reports whether a status tells the outcome, also of tries before it.
func decides(status int) bool {
	return status < http.StatusInternalServerError && status != http.StatusTooManyRequests
}

// retryAfter is when it makes sense to come back where no instance is left.
const retryAfter = time.Second

// reads reports whether a request changes nothing.
func reads(method, escapedPath string) bool {
	switch method {
	case http.MethodGet, http.MethodHead, http.MethodOptions:
		return true
	}
	return method == http.MethodPost && escapedPath == "/v1/balances/get"
}

// repeatable reports whether a request may be carried out twice: it changes
// nothing, or nothing the second time, since an ID, or an account number, has
// one outcome. Everything that is not listed here is not: POST /v1/webhooks would
// make a second webhook, and PATCH of an account would undo what somebody else
// has changed in between.
func repeatable(method, escapedPath string) bool {
	if reads(method, escapedPath) {
		return true
	}
	if method != http.MethodPost {
		return false
	}
	switch escapedPath {
	case "/v1/transactions", "/v1/transactions/batch", "/v1/accounts", "/v1/accounts/batch":
		return true
	}
	rest, ok := strings.CutPrefix(escapedPath, "/v1/transactions/")
	_, action, _ := strings.Cut(rest, "/")
	return ok && (action == "capture" || action == "release" || action == "reverse")
}
