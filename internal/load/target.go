package load

import (
	"bytes"
	"errors"
	"net"
	"net/url"
	"strings"
	"time"

	"github.com/go-faster/jx"
	"github.com/valyala/fasthttp"

	"rbcs"
)

// target is the service under load.
type target struct {
	host *fasthttp.HostClient
	base string // scheme, host and path prefix
}

// Bounds of one exchange.
const (
	requestTimeout = 40 * time.Second // longer than the service tries
	maxAnswer      = 64 << 20
	connBuffer     = 16 << 10
)

func newTarget(cfg *Config) *target {
	base, err := url.Parse(cfg.URL)
	if err != nil {
		panic(err) // REQUIRES: cfg is valid
	}
	address := base.Host
	if base.Port() == "" {
		address += map[string]string{"http": ":80", "https": ":443"}[base.Scheme]
	}
	return &target{
		base: strings.TrimRight(cfg.URL, "/"),
		host: &fasthttp.HostClient{
			Addr: address, IsTLS: base.Scheme == "https", DialDualStack: true, Name: userAgent,
			MaxConns: cfg.Clients + 1, MaxConnWaitTimeout: requestTimeout,
			MaxIdemponentCallAttempts: 1, // what was not answered is counted, and resolved later
			ReadBufferSize:            connBuffer, WriteBufferSize: connBuffer, MaxResponseBodySize: maxAnswer,
			ReadTimeout: requestTimeout, WriteTimeout: requestTimeout,
		},
	}
}

func (t *target) close() { t.host.CloseIdleConnections() }

// outcome is what became of one transaction.
type outcome struct {
	kind               outcomeKind
	code               rbcs.Code // why it is not posted
	sourceVersion      int64
	destinationVersion int64
}

type outcomeKind uint8

const (
	unknown  outcomeKind = iota // it may or may not be recorded
	posted                      // acknowledged: posted or held
	rejected                    // acknowledged as rejected
	shed                        // certainly not recorded: overloaded, unavailable
	refused                     // certainly not recorded, and wrong: it should not happen in a run
)

// kindOf returns what an error's code says about a transaction.
func kindOf(code rbcs.Code) outcomeKind {
	switch code {
	case rbcs.Overloaded, rbcs.Unavailable:
		return shed
	case rbcs.OutcomeUnknown, rbcs.Internal, "":
		return unknown
	default:
		return refused
	}
}

// exchange is one request and its answer, reused by one client.
type exchange struct {
	request  *fasthttp.Request
	response *fasthttp.Response
	dec      jx.Decoder
	outcomes []outcome
}

func (t *target) newExchange() *exchange {
	return &exchange{request: fasthttp.AcquireRequest(), response: fasthttp.AcquireResponse()}
}

// do sends a request; a nil body means GET. It returns the status, 0 where there is no answer.
func (t *target) do(e *exchange, path string, body []byte) (int, error) {
	e.request.Reset() // else a GET would keep the length of the POST before it
	e.request.SetRequestURI(t.base + path)
	if body != nil {
		e.request.Header.SetMethod(fasthttp.MethodPost)
		e.request.Header.SetContentType("application/json")
		e.request.SetBodyRaw(body)
	}
	if err := t.host.Do(e.request, e.response); err != nil {
		return 0, err
	}
	return e.response.StatusCode(), nil
}

// submit posts a request of so many transactions and returns the outcome of each,
// valid until the next call. A batch is one of more than one.
func (t *target) submit(e *exchange, path string, body []byte, batch int) ([]outcome, int, error) {
	status, err := t.do(e, path, body)
	e.outcomes = e.outcomes[:0]
	switch {
	case err != nil:
	case batch == 1 && status/100 == 2:
		err = e.readItem()
	case status == fasthttp.StatusOK:
		err = e.readResults()
	default:
		e.readProblem(status, batch)
	}
	if len(e.outcomes) != batch { // no answer, or one that cannot be understood
		e.outcomes = append(e.outcomes[:0], make([]outcome, batch)...)
		if neverSent(err) {
			for i := range e.outcomes {
				e.outcomes[i] = outcome{kind: shed, code: rbcs.Unavailable}
			}
		}
	}
	return e.outcomes, status, err
}

// neverSent reports whether a request failed before there was a connection to send it on.
func neverSent(err error) bool {
	var network *net.OpError
	return errors.As(err, &network) && network.Op == "dial" || errors.Is(err, fasthttp.ErrDialTimeout)
}

// readItem reads the answer to a single transaction.
func (e *exchange) readItem() error {
	e.dec.ResetBytes(e.response.Body())
	return e.item(&e.dec)
}

// readResults reads the answer to a batch.
func (e *exchange) readResults() error {
	e.dec.ResetBytes(e.response.Body())
	return e.dec.ObjBytes(func(d *jx.Decoder, key []byte) error {
		if string(key) != "results" {
			return d.Skip()
		}
		return d.Arr(e.item)
	})
}

func (e *exchange) item(d *jx.Decoder) error {
	var o outcome
	failed := false
	err := d.ObjBytes(func(d *jx.Decoder, key []byte) (err error) {
		switch string(key) {
		case "status":
			var status []byte
			status, err = d.StrBytes()
			switch string(status) {
			case string(rbcs.Posted), string(rbcs.Holding):
				o.kind = posted
			case string(rbcs.Rejected):
				o.kind = rejected
			case "error":
				failed = true
			}
		case "code":
			var code string
			code, err = d.Str()
			o.code = rbcs.Code(code)
		case "source_version":
			o.sourceVersion, err = d.Int64()
		case "destination_version":
			o.destinationVersion, err = d.Int64()
		default:
			err = d.Skip()
		}
		return err
	})
	if failed {
		o.kind = kindOf(o.code)
	}
	e.outcomes = append(e.outcomes, o)
	return err
}

// readProblem makes an answer that is no success the outcome of every
// transaction. One without a code is not from the service, but from something
// on the way to it: only 429 says for certain that nothing was recorded then.
func (e *exchange) readProblem(status, batch int) {
	o := outcome{code: e.problemCode()}
	switch {
	case batch == 1 && status == fasthttp.StatusUnprocessableEntity && o.code != rbcs.InvalidRequest && o.code != "":
		o.kind = rejected
	case status == fasthttp.StatusTooManyRequests:
		o.kind = shed
	case status < fasthttp.StatusInternalServerError:
		o.kind = refused
	default:
		o.kind = kindOf(o.code)
	}
	for range batch {
		e.outcomes = append(e.outcomes, o)
	}
}

func (e *exchange) problemCode() (code rbcs.Code) {
	body := bytes.TrimSpace(e.response.Body())
	if len(body) == 0 || body[0] != '{' {
		return ""
	}
	e.dec.ResetBytes(body)
	err := e.dec.ObjBytes(func(d *jx.Decoder, key []byte) error {
		if string(key) != "code" {
			return d.Skip()
		}
		s, err := d.Str()
		code = rbcs.Code(s)
		return err
	})
	if err != nil {
		return ""
	}
	return code
}

// balance reads the version of a balance, and whether a cache served it.
func (e *exchange) balance() (version int64, cached bool, err error) {
	e.dec.ResetBytes(e.response.Body())
	version = -1
	err = e.dec.ObjBytes(func(d *jx.Decoder, key []byte) (err error) {
		switch string(key) {
		case "version":
			version, err = d.Int64()
		case "served_by":
			var by []byte
			by, err = d.StrBytes()
			cached = string(by) == "cache"
		default:
			err = d.Skip()
		}
		return err
	})
	return version, cached, err
}
