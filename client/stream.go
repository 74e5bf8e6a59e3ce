package client

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"
)

// maxSilence is how long a stream may be silent: longer than two of the
// service's heartbeats, 15 s each.
const maxSilence = 40 * time.Second

// stream sends a request until its answer begins, and returns the answer's body.
// Reading it fails where nothing comes for maxSilence, or ctx ends.
func (c *Client) stream(ctx context.Context, p *pace, req *request) (io.ReadCloser, *Error) {
	var s *stream
	_, err := p.repeat(ctx, req, func(ctx context.Context, req *request) (_ *response, err *Error, again bool) {
		s, err, again = c.openStream(ctx, req)
		return nil, err, again
	})
	if err != nil {
		return nil, err
	}
	return s, nil
}

// stream is the body of an answer that may go on for long.
type stream struct {
	body   io.ReadCloser
	silent *time.Timer // ends it
	ctx    context.Context
	cancel context.CancelCauseFunc
}

// openStream makes one attempt to begin a stream.
func (c *Client) openStream(outer context.Context, req *request) (_ *stream, _ *Error, again bool) {
	ctx, cancel := context.WithCancelCause(outer)
	s := &stream{ctx: ctx, cancel: cancel}
	s.silent = time.AfterFunc(c.retry.AttemptTimeout, func() { cancel(fmt.Errorf("nothing came for %s", c.retry.AttemptTimeout)) })
	turn, base := c.instances.now()
	defer func() {
		if again {
			c.instances.failed(turn)
		}
	}()
	answer, err := c.open(ctx, base, req) //nolint:bodyclose // read closes it, or who closes the stream
	if err == nil && answer.StatusCode/100 == 2 {
		s.body = answer.Body
		s.silent.Reset(maxSilence)
		return s, nil, false
	}
	defer s.end()
	var resp *response
	if err == nil {
		resp, err = req.read(answer)
	}
	switch {
	case outer.Err() != nil:
		return nil, req.lost(outer.Err()), false
	case ctx.Err() != nil:
		return nil, req.lost(context.Cause(ctx)), true
	case err != nil:
		return nil, req.lost(err), !isUntrusted(err)
	}
	return nil, req.problem(resp), mayPass(resp.status)
}

func (s *stream) end() {
	s.silent.Stop()
	s.cancel(nil)
}

// Read reads what comes next.
func (s *stream) Read(p []byte) (int, error) {
	s.silent.Reset(maxSilence)
	n, err := s.body.Read(p)
	if cause := context.Cause(s.ctx); err != nil && !errors.Is(err, io.EOF) && cause != nil {
		err = cause
	}
	return n, err
}

// Close ends the stream.
func (s *stream) Close() error {
	s.end()
	return s.body.Close()
}
