package client

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"rbcs"
)

// Error is how every call fails: with a code of package rbcs, a sentence, the
// fields that are at fault, and when it makes sense to come back.
type Error = rbcs.Error

// maxResponse bounds what is read of an answer: ten thousand results with
// metadata of some kilobytes each, and never all of the memory.
const maxResponse = 64 << 20

// request is what is sent, each time in the same bytes.
type request struct {
	method string
	path   string // escaped, from /v1 on
	query  url.Values
	header http.Header // beside those of every request
	body   []byte      // JSON; nil for none
	once   bool        // it has no ID: sent again after it was done, it does more, or undoes what others did since
}

// changes reports whether the request changes anything. One that does not is never in doubt.
func (r *request) changes() bool {
	return r.method != http.MethodGet && r.query.Get(paramDryRun) != "true"
}

// response is a whole answer.
type response struct {
	req    *request
	status int
	header http.Header
	body   []byte
}

// attempt sends a request once. It fails with what the answer, or the lack of
// one, means, and says whether to try again.
func (c *Client) attempt(ctx context.Context, req *request) (_ *response, _ *Error, again bool) {
	bounded, cancel := context.WithTimeout(ctx, c.retry.AttemptTimeout)
	defer cancel()
	turn, base := c.instances.now()
	defer func() {
		if again {
			c.instances.failed(turn)
		}
	}()
	resp, err := c.send(bounded, base, req)
	switch {
	case err != nil && ctx.Err() != nil:
		return nil, req.lost(ctx.Err()), false
	case errors.Is(err, errTooLong):
		return nil, req.unreadable(err), false
	case err != nil:
		return nil, req.lost(err), !isUntrusted(err)
	case resp.status/100 == 2:
		return resp, nil, false
	}
	return resp, req.problem(resp), mayPass(resp.status)
}

// mayPass reports whether what was answered with a status makes sense to send again.
func mayPass(status int) bool {
	return status == http.StatusTooManyRequests || status == http.StatusRequestTimeout || status >= 500
}

var errTooLong = fmt.Errorf("it has more than %d bytes", maxResponse)

// open sends a request and returns its answer, whose body the caller closes.
func (c *Client) open(ctx context.Context, base string, req *request) (*http.Response, error) {
	target := base + req.path
	if len(req.query) > 0 {
		target += "?" + req.query.Encode()
	}
	r, err := http.NewRequestWithContext(ctx, req.method, target, bytes.NewReader(req.body))
	if err != nil {
		return nil, err
	}
	r.Header.Set("Accept", "application/json, application/problem+json")
	for _, header := range []http.Header{c.header, req.header} {
		for name, values := range header {
			r.Header[name] = values
		}
	}
	r.Header.Set("User-Agent", c.userAgent)
	if req.body != nil {
		r.Header.Set("Content-Type", "application/json")
	}
	return c.http.Do(r)
}

func (c *Client) send(ctx context.Context, base string, req *request) (*response, error) {
	answer, err := c.open(ctx, base, req) //nolint:bodyclose // read closes it
	if err != nil {
		return nil, err
	}
	return req.read(answer)
}

// read reads the whole of an answer.
func (r *request) read(answer *http.Response) (*response, error) {
	defer func() { _ = answer.Body.Close() }() // it is read to its end, or its connection is not used again
	body, err := io.ReadAll(io.LimitReader(answer.Body, maxResponse+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("reading the answer to %s %s: %w", r.method, r.path, err)
	case len(body) > maxResponse:
		return nil, errTooLong
	}
	return &response{r, answer.StatusCode, answer.Header, body}, nil
}

// lost is the error of a request that was not answered.
func (r *request) lost(cause error) *Error {
	switch {
	case unreached(cause), isUntrusted(cause):
		return rbcs.Errorf(rbcs.Unavailable, "the service was not reached: %w", cause)
	case !r.changes():
		return rbcs.Errorf(rbcs.Unavailable, "the service did not answer: %w", cause)
	}
	return rbcs.Errorf(rbcs.OutcomeUnknown, "the service did not answer, and may have done it: %w", cause)
}

// unreadable is the error of a request whose answer says nothing. It was carried out, perhaps.
func (r *request) unreadable(cause error) *Error {
	code := rbcs.OutcomeUnknown
	if !r.changes() {
		code = rbcs.Internal
	}
	return rbcs.Errorf(code, "the answer to %s %s is not what the service writes: %w", r.method, r.path, cause)
}

// isUntrusted reports that the service's certificate was refused. That will not pass.
func isUntrusted(err error) bool {
	_, ok := errors.AsType[*tls.CertificateVerificationError](err)
	return ok
}

// problem makes an error of an answer that is not a success.
func (r *request) problem(resp *response) *Error {
	var p struct {
		Code   rbcs.Code    `json:"code"`
		Detail string       `json:"detail"`
		Errors []fieldError `json:"errors"`
	}
	e := &Error{RetryAfter: retryAfter(resp.header, time.Now())}
	if json.Unmarshal(resp.body, &p) == nil && p.Code != "" {
		e.Code, e.Message, e.Fields = p.Code, p.Detail, fieldsOf(p.Errors, "")
		return e
	}
	// It is not the service that answered, but something on the way to it.
	e.Code = r.codeOf(resp.status)
	e.Message = fmt.Sprintf("%s %s was answered with %d %s", r.method, r.path, resp.status, http.StatusText(resp.status))
	if location := resp.header.Get("Location"); location != "" {
		e.Message += " to " + location + ", which is not followed; use that address"
	} else if text := excerpt(resp.body); text != "" {
		e.Message += ": " + text
	}
	return e
}

// codeOf returns what a status means that came without a code.
func (r *request) codeOf(status int) rbcs.Code {
	switch {
	case status == http.StatusNotFound:
		return rbcs.NotFound
	case status == http.StatusTooManyRequests:
		return rbcs.Overloaded
	case status == http.StatusInternalServerError:
		return rbcs.Internal
	case status >= 500 && !r.changes(), status == http.StatusServiceUnavailable, status == http.StatusRequestTimeout:
		return rbcs.Unavailable
	case status >= 500: // a proxy that waited in vain: the request may have arrived
		return rbcs.OutcomeUnknown
	}
	return rbcs.InvalidRequest
}

// excerpt returns the beginning of an answer as one line.
func excerpt(body []byte) string {
	const limit = 200
	text := strings.Join(strings.Fields(strings.ToValidUTF8(string(body[:min(len(body), 4*limit)]), "")), " ")
	if len(text) <= limit {
		return text
	}
	for limit := limit; ; limit-- {
		if utf8.RuneStart(text[limit]) {
			return text[:limit] + "…"
		}
	}
}

// retryAfter reads the header of that name: seconds, or a date.
func retryAfter(h http.Header, now time.Time) time.Duration {
	value := h.Get("Retry-After")
	if seconds, err := strconv.ParseInt(value, 10, 32); err == nil {
		return time.Duration(max(seconds, 0)) * time.Second
	}
	if at, err := http.ParseTime(value); err == nil {
		return max(at.Sub(now), 0)
	}
	return 0
}

// fieldError is a fault of one field as the service writes it.
type fieldError struct {
	Pointer string `json:"pointer"`
	Message string `json:"message"`
}

// fieldsOf returns the faults with their pointers relative to prefix.
func fieldsOf(list []fieldError, prefix string) []rbcs.FieldError {
	var fields []rbcs.FieldError
	for _, f := range list {
		fields = append(fields, rbcs.FieldError{Pointer: strings.TrimPrefix(f.Pointer, prefix), Message: f.Message})
	}
	return fields
}

// call sends a request and reads its answer into out.
func (c *Client) call(ctx context.Context, method, path string, query url.Values, in, out any) error {
	return c.callWith(ctx, &request{method: method, path: path, query: query}, in, out)
}

func (c *Client) callWith(ctx context.Context, req *request, in, out any) error {
	if in != nil {
		var failure *Error
		if req.body, failure = encode(in); failure != nil {
			return failure
		}
	}
	resp, failure := c.do(ctx, c.pace(), req)
	if failure != nil {
		return failure
	}
	if out == nil {
		return nil
	}
	if failure = resp.decode(out); failure != nil {
		return failure
	}
	return nil
}

func encode(in any) ([]byte, *Error) {
	body, err := json.Marshal(in)
	if err != nil { // metadata that is not JSON, or a year beyond 9999
		return nil, rbcs.Errorf(rbcs.InvalidRequest, "the request cannot be written as JSON: %w", err)
	}
	return body, nil
}

func (r *response) decode(out any) *Error {
	if err := json.Unmarshal(r.body, out); err != nil {
		return r.req.unreadable(err)
	}
	return nil
}

// segment escapes one part of a path. A part that consists of points would be
// taken for a step upward.
func segment(s string) string {
	if strings.Trim(s, ".") == "" {
		return strings.ReplaceAll(s, ".", "%2E")
	}
	return url.PathEscape(s)
}
