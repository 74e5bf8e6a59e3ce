package client

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"rbcs"
)

// FromBeginning is the [EventQuery.After] that asks for the whole log. "0-1234"
// asks for what follows the sequence 1234.
const FromBeginning = "0-0"

// EventQuery selects events. Zero values do not restrict.
type EventQuery struct {
	After   string // the EventID behind which to begin, or [FromBeginning]; "": from now on
	Account string // only decisions with this account on either side
	Prefix  string // only decisions with an account on either side whose number begins so
}

// Event is one decision in the committed log.
type Event struct {
	EventID string `json:"event_id"` // its place, to go on behind it
	Result         // as it was recorded
}

// Events follows the committed log: every decision that the query selects, in
// the order of the log, none twice and none left out. It goes on until ctx ends,
// the caller stops, or an error, which is the last thing that it yields.
//
// A connection that is lost, or that the service ends because it stops or because
// the caller was too slow, is made again behind the last event, within the bounds
// of [Retry] for each interruption. [rbcs.InvalidRequest] says that this is not
// possible: the database has lost the end of its log, and the message says how to
// go on.
//
// To go on after a restart of one's own program, keep the EventID together with
// what was made of the event, and begin behind it.
func (c *Client) Events(ctx context.Context, q EventQuery) iter.Seq2[Event, error] {
	query := url.Values{}
	set(query, "account", q.Account)
	set(query, "prefix", q.Prefix)
	return func(yield func(Event, error) bool) {
		f := &follower{client: c, query: query, last: q.After, yield: yield}
		for p := c.pace(); ; {
			alive, pause, cause := f.follow(ctx, p)
			if f.done {
				return
			}
			if alive { // else it is still the same interruption
				p = c.pace()
			}
			if !p.wait(ctx, pause) {
				if ctx.Err() != nil {
					cause = ctx.Err()
				}
				yield(Event{}, rbcs.Errorf(rbcs.Unavailable, "the stream of events broke off behind %q: %w", f.last, cause))
				return
			}
		}
	}
}

// follower is one call of Events.
type follower struct {
	client *Client
	query  url.Values
	last   string // the ID of the last event, or of the place behind which the stream is
	yield  func(Event, error) bool
	done   bool // nothing is yielded any more
}

func (f *follower) fail(err error) {
	f.yield(Event{}, err)
	f.done = true
}

// follow connects and yields what comes. Where it is not done, it returns whether
// anything came, when to connect again, and why it ended.
func (f *follower) follow(ctx context.Context, p *pace) (alive bool, pause time.Duration, cause error) {
	req := &request{method: http.MethodGet, path: "/v1/events", query: f.query, header: http.Header{"Accept": {"text/event-stream"}}}
	if f.last != "" {
		req.header.Set("Last-Event-ID", f.last)
	}
	body, failure := f.client.stream(ctx, p, req)
	if failure != nil {
		f.fail(failure)
		return false, 0, failure
	}
	defer func() { _ = body.Close() }() // it is not read any more
	for b, err := range blocks(body) {
		if errors.Is(err, bufio.ErrTooLong) {
			f.fail(req.unreadable(fmt.Errorf("an event has more than %d bytes", maxEvent)))
			return
		}
		if err != nil {
			return alive, 0, err
		}
		alive = true
		if b.id != "" {
			f.last = b.id
		}
		switch b.event {
		case "transaction":
			event := Event{EventID: f.last}
			if err := json.Unmarshal(b.data, &event.Result); err != nil {
				f.fail(req.unreadable(err))
				return
			}
			f.done = !f.yield(event, nil)
		case "end":
			end := req.problem(&response{status: http.StatusServiceUnavailable, body: b.data})
			if end.Retryable() {
				return alive, b.retry, end
			}
			f.fail(end)
		}
		if f.done {
			return
		}
	}
	return alive, 0, io.ErrUnexpectedEOF
}

// maxEvent bounds one event: a decision with its metadata needs a tenth of it.
const maxEvent = 1 << 20

// block is what stands between two blank lines of a stream of server-sent events.
type block struct {
	id, event string
	data      []byte
	retry     time.Duration
}

// blocks reads the blocks of a stream. What is not closed by a blank line is no
// block: it was cut off. An error, or the end of the stream, ends the list.
func blocks(r io.Reader) iter.Seq2[block, error] {
	return func(yield func(block, error) bool) {
		lines := bufio.NewScanner(r)
		lines.Buffer(nil, maxEvent)
		var b block
		for lines.Scan() {
			line := lines.Bytes()
			if len(line) == 0 {
				if !yield(b, nil) {
					return
				}
				b = block{data: b.data[:0]}
				continue
			}
			name, value, _ := bytes.Cut(line, []byte(":"))
			value = bytes.TrimPrefix(value, []byte(" "))
			switch string(name) {
			case "id":
				b.id = string(value)
			case "event":
				b.event = string(value)
			case "data":
				if len(b.data) > 0 {
					b.data = append(b.data, '\n')
				}
				if b.data = append(b.data, value...); len(b.data) > maxEvent {
					yield(block{}, bufio.ErrTooLong)
					return
				}
			case "retry":
				if ms, err := strconv.ParseUint(string(value), 10, 31); err == nil {
					b.retry = time.Duration(ms) * time.Millisecond
				}
			}
		}
		if err := lines.Err(); err != nil {
			yield(block{}, err)
		}
	}
}
