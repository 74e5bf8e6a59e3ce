package client_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"rbcs"
	"rbcs/client"
)

// event is one event as the service sends it.
func event(sequence int) string {
	return fmt.Sprintf("id: 1-%d\nevent: transaction\ndata: {\"id\":\"t%d\",\"status\":\"posted\",\"sequence\":%d}\n\n", sequence, sequence, sequence)
}

// place is a comment that only says where the stream is.
func place(sequence int) string { return fmt.Sprintf(":\nid: 1-%d\n\n", sequence) }

func end(code string) string {
	return "retry: 3000\nevent: end\ndata: " + problem(code, "why") + "\n\n"
}

// follow returns the IDs of all events until the stream ends with an error.
func follow(ctx context.Context, c *client.Client, q client.EventQuery) (ids []string, err error) {
	for e, err := range c.Events(ctx, q) {
		if err != nil {
			return ids, err
		}
		ids = append(ids, e.EventID+"="+e.ID)
	}
	return ids, nil
}

// TestEventsAreResumed: whatever cuts the stream, and wherever, the next
// connection begins behind the last whole event.
func TestEventsAreResumed(t *testing.T) {
	whole := event(7)
	for cut := range len(whole) {
		synctest.Test(t, func(t *testing.T) {
			c, s := scripted(t, client.Retry{},
				step{status: 200, body: place(5) + event(6) + whole[:cut]},
				step{status: 200, body: whole + end("invalid_request")},
			)
			ids, err := follow(t.Context(), c, client.EventQuery{})
			if want := []string{"1-6=t6", "1-7=t7"}; !slices.Equal(ids, want) || rbcs.CodeOf(err) != rbcs.InvalidRequest {
				t.Fatalf("cut after %d bytes: got %v, %v", cut, ids, err)
			}
			if got := s.sent[1].header.Get("Last-Event-ID"); got != "1-6" {
				t.Fatalf("cut after %d bytes: resumed behind %q", cut, got)
			}
		})
	}
}

func TestWhatInterruptsEvents(t *testing.T) {
	for name, first := range map[string]step{
		"connection lost":      {status: 200, body: place(5), bodyErr: errReset},
		"the end of the body":  {status: 200, body: place(5)},
		"silence":              {status: 200, body: place(5), hangs: true},
		"a slow reader":        {status: 200, body: place(5) + end("overloaded")},
		"a stop":               {status: 200, body: place(5) + end("unavailable")},
		"an end without words": {status: 200, body: place(5) + "event: end\n\n"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c, s := scripted(t, client.Retry{},
					first, step{err: errRefused}, step{status: 429, retryAfter: "2"}, step{status: 200, body: event(6), hangs: true})
				for e, err := range c.Events(t.Context(), client.EventQuery{After: "1-4", Account: "a", Prefix: "b:"}) {
					if err != nil || e.ID != "t6" || e.EventID != "1-6" || e.Sequence != 6 || e.Status != rbcs.Posted {
						t.Errorf("got %+v, %v", e, err)
					}
					break
				}
				if got := s.sent[0]; got.url != "http://rbcs.test/v1/events?account=a&prefix=b%3A" ||
					got.header.Get("Last-Event-ID") != "1-4" || got.header.Get("Accept") != "text/event-stream" {
					t.Errorf("first %s with %v", got.url, got.header)
				}
				for _, got := range s.sent[1:] {
					if id := got.header.Get("Last-Event-ID"); id != "1-5" {
						t.Errorf("resumed behind %q", id)
					}
				}
				if strings.Contains(first.body, "retry") {
					if wait := s.sent[1].at.Sub(s.sent[0].at); wait < 3*time.Second {
						t.Errorf("it came back after %s, and was told to wait 3 s", wait)
					}
				}
			})
		})
	}
}

func TestWhatEndsEvents(t *testing.T) {
	long := "data: " + strings.Repeat("x", 1<<19) + "\n"
	for _, c := range []struct {
		name string
		last step
		code rbcs.Code
		text string
	}{
		{"a gap", step{status: 200, body: end("invalid_request")}, rbcs.InvalidRequest, "why"},
		{"a position that is refused", step{status: 400, body: problem("invalid_request", "an earlier timeline")}, rbcs.InvalidRequest, "timeline"},
		{"a service without events", step{status: 404}, rbcs.NotFound, "404"},
		{"a line without end", step{status: 200, body: "data: " + strings.Repeat("x", 2<<20)}, rbcs.Internal, "more than"},
		{"an event without end", step{status: 200, body: strings.Repeat(long, 3)}, rbcs.Internal, "more than"},
		{"what is no event", step{status: 200, body: "id: 1-6\nevent: transaction\ndata: {\ndata: ]\n\n"}, rbcs.Internal, "not what the service writes"},
	} {
		t.Run(c.name, func(t *testing.T) {
			cl, _ := scripted(t, client.Retry{}, c.last)
			ids, err := follow(t.Context(), cl, client.EventQuery{})
			if len(ids) != 0 || rbcs.CodeOf(err) != c.code || !strings.Contains(err.Error(), c.text) {
				t.Errorf("got %v, %v", ids, err)
			}
		})
	}
}

// TestEventsGiveUp: an interruption is waited out as long as any request is; the next one has its own time.
func TestEventsGiveUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		refused := step{err: errRefused}
		alive := step{status: 200, body: event(6)}
		c, s := scripted(t, client.Retry{Attempts: 3}, alive, refused, alive, refused, refused)
		ids, err := follow(t.Context(), c, client.EventQuery{After: client.FromBeginning})
		if len(ids) != 2 || rbcs.CodeOf(err) != rbcs.Unavailable {
			t.Errorf("got %v, %v after %d requests", ids, err, len(s.sent))
		}
	})
}

func TestEventsEndWithTheirContext(t *testing.T) {
	for _, wait := range []time.Duration{time.Second, time.Minute} {
		synctest.Test(t, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), wait)
			defer cancel()
			steps := []step{{status: 200, body: event(6), hangs: true}}
			if wait > time.Second { // the silence is noticed before
				steps = append(steps, step{takes: time.Hour})
			}
			c, _ := scripted(t, client.Retry{}, steps...)
			ids, err := follow(ctx, c, client.EventQuery{})
			if len(ids) != 1 || rbcs.CodeOf(err) != rbcs.Unavailable || !strings.Contains(err.Error(), context.DeadlineExceeded.Error()) {
				t.Errorf("got %v, %v", ids, err)
			}
		})
	}
}
