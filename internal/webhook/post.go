package webhook

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"rbcs"
	"rbcs/internal/events"
)

// answer is what came of one request.
type answer struct {
	Delivery
	err        error // nil for a 2xx
	gone       bool  // the receiver wants nothing any more
	retryAfter time.Duration
}

// post sends one event and waits for its answer.
func (d *Deliverer) post(ctx context.Context, w *rbcs.Webhook, e *events.Event) answer {
	ctx, cancel := context.WithTimeout(ctx, d.cfg.Timeout)
	defer cancel()
	now := time.Now()
	request, err := d.request(ctx, w, e, now)
	if err != nil {
		return answer{err: err}
	}
	response, err := d.client.Do(request)
	if err != nil {
		if u, ok := errors.AsType[*url.Error](err); ok {
			err = u.Err // without the URL, which may hold a token
		}
		if errors.Is(err, context.DeadlineExceeded) {
			err = fmt.Errorf("the receiver did not answer within %v", d.cfg.Timeout)
		}
		return answer{err: err}
	}
	_, _ = io.CopyN(io.Discard, response.Body, maxAnswerBytes) // an answer without its end is an answer
	_ = response.Body.Close()
	a := answer{Delivery: Delivery{Status: response.StatusCode}}
	if response.StatusCode < 200 || response.StatusCode > 299 {
		a.err = fmt.Errorf("the receiver answered %d %s", response.StatusCode, http.StatusText(response.StatusCode))
		a.gone = response.StatusCode == http.StatusGone
		a.retryAfter = retryAfter(response, now)
	}
	return a
}

// request builds the signed request for one event.
func (d *Deliverer) request(ctx context.Context, w *rbcs.Webhook, e *events.Event, now time.Time) (*http.Request, error) {
	if err := ValidateURL(w.URL, d.cfg.AllowPrivate); err != nil { // what is allowed may have changed
		return nil, err
	}
	body := d.body(e.Result)
	id := w.ID + "_" + e.ID.String()
	signature, err := Sign(w.Secret, id, now, body)
	if err != nil {
		return nil, err
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, w.URL, bytes.NewReader(body))
	if err != nil {
		return nil, fmt.Errorf("the request cannot be made: %w", err)
	}
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("User-Agent", d.cfg.UserAgent)
	request.Header.Set(HeaderID, id)
	request.Header.Set(HeaderTimestamp, strconv.FormatInt(now.Unix(), 10))
	request.Header.Set(HeaderSignature, signature)
	return request, nil
}

// body returns what is sent for a decision.
func (d *Deliverer) body(r *rbcs.Result) []byte {
	body := append([]byte(`{"type":"`), events.Type(r)...)
	body = append(body, `","timestamp":"`...)
	body = r.CommittedAt.UTC().AppendFormat(body, rbcs.TimeFormat)
	body = append(body, `","data":`...)
	body = d.cfg.Encode(body, r)
	return append(body, '}')
}
