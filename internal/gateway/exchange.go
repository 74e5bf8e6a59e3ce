package gateway

import (
	"bytes"
	"context"
	"errors"
	"io"
	"mime"
	"net/http"
	"sync"
	"time"

	"rbcs"
	"rbcs/internal/rest"
)

// exchange is one request and its answer.
type exchange struct {
	w        http.ResponseWriter
	start    time.Time
	body     []byte // of the request; tries that have failed may still be reading it
	reserved int64  // bytes of the front's, for body and answer
	events   bool   // the answer is a stream of events
}

type exchangeKey struct{}

func exchangeOf(ctx context.Context) *exchange {
	x, _ := ctx.Value(exchangeKey{}).(*exchange)
	return x
}

// bodyStep is in which steps room is reserved for a body that does not say its length.
const bodyStep = 64 << 10

// receive reads the body of the request, so that it can be sent again.
func (g *Gateway) receive(x *exchange, r *http.Request) error {
	err := g.receiveBody(x, r)
	if err != nil {
		x.w.Header().Set("Connection", "close") // the rest is not worth reading
		return err
	}
	r.ContentLength, r.TransferEncoding, r.Trailer = int64(len(x.body)), nil, nil
	r.Body = http.NoBody // the tries have bodies of their own
	return nil
}

func (g *Gateway) receiveBody(x *exchange, r *http.Request) error {
	switch {
	case r.ContentLength == 0:
		return nil
	case r.ContentLength > g.MaxBody:
		return rest.TooLarge(g.MaxBody)
	case r.ContentLength > 0:
		if err := g.reserve(x, r.ContentLength); err != nil {
			return err
		}
		x.body = make([]byte, r.ContentLength)
		_, err := io.ReadFull(r.Body, x.body)
		return broken(err)
	}
	body := io.LimitReader(r.Body, g.MaxBody+1)
	for {
		if err := g.reserve(x, bodyStep); err != nil {
			return err
		}
		read := int64(len(x.body))
		buffer := bytes.NewBuffer(x.body)
		_, err := io.CopyN(buffer, body, bodyStep)
		x.body = buffer.Bytes()
		switch {
		case int64(len(x.body)) > g.MaxBody:
			return rest.TooLarge(g.MaxBody)
		case errors.Is(err, io.EOF):
			g.front.Release(read + bodyStep - int64(len(x.body)))
			x.reserved = int64(len(x.body))
			return nil
		case err != nil:
			return broken(err)
		}
	}
}

// reserve takes room for n more bytes of the exchange.
func (g *Gateway) reserve(x *exchange, n int64) error {
	err := g.front.Reserve(x.reserved, n)
	if err == nil {
		x.reserved += n
	}
	return err
}

// broken is the error of a body that ends too early.
func broken(err error) error {
	if err == nil {
		return nil
	}
	return &rbcs.Error{Code: rbcs.InvalidRequest, Message: "the body could not be read to its end", Err: err}
}

// Bounds of answers.
const (
	maxHeld    = 4 << 20          // as 10,000 items; held whole before it is passed on, so that nothing is passed on in part
	maxUnpaced = 64 << 10         // the connection takes it at once, or the server's WriteTimeout ends it
	pieceTime  = 30 * time.Second // for a client to take one piece; one that does not holds a connection for nothing
	silence    = 45 * time.Second // of an instance in the middle of an answer: it was stopped, or its node is gone. A stream says something every 15 s
)

// hold reads an answer whole where it is small and there is room. An error means
// that the instance died while it answered.
func (g *Gateway) hold(x *exchange, r *http.Request, response *http.Response) error {
	n := response.ContentLength
	if n <= 0 || n > maxHeld || r.Method == http.MethodHead || g.reserve(x, n) != nil {
		return nil
	}
	body := make([]byte, n)
	late := g.closeLate(response.Body)
	_, err := io.ReadFull(response.Body, body)
	late.Stop()
	_ = response.Body.Close() // it was read, or is of no use
	response.Body = &held{Reader: *bytes.NewReader(body), body: body}
	return err
}

// closeLate ends an answer of an instance that falls silent, unless the timer is stopped.
func (g *Gateway) closeLate(body io.Closer) *time.Timer {
	return time.AfterFunc(g.silence, func() { _ = body.Close() })
}

// held is the body of an answer that is here as a whole.
type held struct {
	bytes.Reader
	body []byte
}

// Close does nothing.
func (*held) Close() error { return nil }

// passOn prepares an answer for its client.
func (g *Gateway) passOn(response *http.Response) error {
	x := exchangeOf(response.Request.Context())
	if response.Header[requestID] == nil {
		response.Header[requestID] = response.Request.Header[requestID]
	}
	if 0 <= response.ContentLength && response.ContentLength <= maxUnpaced {
		return nil
	}
	controller := http.NewResponseController(x.w)
	paced := paced{response.Body, g, controller}
	response.Body = &paced
	if mediaType, _, _ := mime.ParseMediaType(response.Header.Get("Content-Type")); mediaType == "text/event-stream" {
		x.events = true
		_ = controller.SetReadDeadline(time.Time{}) // the request was read; its time must not end the stream
		events := &events{paced: paced, ended: g.streams}
		events.forget = context.AfterFunc(g.streams, func() { _ = events.ReadCloser.Close() })
		response.Body = events
	}
	return nil
}

// paced gives the instance and the client time for each piece of an answer.
type paced struct {
	io.ReadCloser
	gateway    *Gateway
	controller *http.ResponseController
}

// Read reads the next piece.
func (p *paced) Read(b []byte) (int, error) {
	late := p.gateway.closeLate(p.ReadCloser)
	n, err := p.ReadCloser.Read(b)
	late.Stop()
	_ = p.controller.SetWriteDeadline(time.Now().Add(pieceTime)) // where that cannot be set there is none
	return n, err
}

// endOfStream is the last event of a stream that the gateway ends, in the words of the service.
const endOfStream = "retry: 1000\nevent: end\ndata: " +
	`{"type":"urn:rbcs:problem:unavailable","title":"Unavailable","status":503,"code":"unavailable",` +
	`"detail":"the gateway is stopping; go on with Last-Event-ID"}` + "\n\n"

// events is a stream of events that ends cleanly when the gateway stops.
type events struct {
	paced
	ended  context.Context
	forget func() bool
	tail   [2]byte // the last bytes that were read
	over   bool
}

// Read reads the next events. After the gateway was told to stop it reads one
// last event, unless another one was cut in the middle: that one is void then.
func (e *events) Read(b []byte) (int, error) {
	if e.over {
		return 0, io.EOF
	}
	n, err := e.paced.Read(b)
	switch n {
	case 0:
	case 1:
		e.tail = [2]byte{e.tail[1], b[0]}
	default:
		e.tail = [2]byte(b[n-2 : n])
	}
	if err == nil || n > 0 || e.ended.Err() == nil {
		return n, err
	}
	e.over = true
	if e.tail != [2]byte{'\n', '\n'} || len(b) < len(endOfStream) {
		return 0, io.EOF
	}
	return copy(b, endOfStream), nil
}

// Close ends the stream.
func (e *events) Close() error {
	e.forget()
	return e.paced.Close()
}

// buffers are what answers are copied through.
type buffers struct{ sync.Pool }

const bufferSize = 32 << 10

func newBuffers() *buffers {
	return &buffers{sync.Pool{New: func() any { return new([bufferSize]byte) }}}
}

// Get returns a buffer.
func (b *buffers) Get() []byte { return b.Pool.Get().(*[bufferSize]byte)[:] }

// Put takes one back.
func (b *buffers) Put(buffer []byte) { b.Pool.Put((*[bufferSize]byte)(buffer)) }
