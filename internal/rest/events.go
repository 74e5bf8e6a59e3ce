package rest

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"os"
	"strconv"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"rbcs"
	"rbcs/internal/events"
)

// EventSource is what the stream of events needs: an [events.Feed]. It bounds the
// number of readers, and ends them when the service stops.
type EventSource interface {
	Subscribe(ctx context.Context, after events.Position, filter events.Filter) (*events.Reader, error)
}

// heartbeat is how long a stream is silent at most: less than the idle timeouts
// of usual proxies, and how soon a client that went away is noticed.
const heartbeat = 15 * time.Second

// lastEventID is the header with which a client resumes.
const lastEventID = "Last-Event-ID"

// registerEvents serves the committed log as server-sent events, if there is a source.
func (s *server) registerEvents(api huma.API) {
	if s.Events == nil {
		return
	}
	op := readOperation("stream-events", "/v1/events", "Follow the log",
		"Server-sent events: every recorded decision in the order of the log, none twice and none left out. Each has an id, "+
			"TIMELINE-SEQUENCE, the name transaction, and the decision as its data, as the POST was answered. Send the last id back to "+
			"resume behind it, as EventSource does by itself; a place that the log has not reached is refused. A comment every 15 seconds says that the stream lives; it may carry an id "+
			"too. The last event of a stream that the service ends is named end, with a problem as its data that says why: the reader "+
			"was too slow (overloaded) or the service stops (unavailable): connect again; or the database lost the end of its log "+
			"(invalid_request): the problem says how to go on. A reader that takes nothing for 30 seconds is disconnected: no end can "+
			"reach it, and its stream may break off within an event, which does not count then.")
	op.Responses = streamResponses("The stream", map[string]*huma.Schema{sseType: {Type: huma.TypeString}})
	huma.Register(api, op, s.getEvents)
}

type eventsInput struct {
	Account     string `query:"account" doc:"Only decisions with this account on either side."`
	Prefix      string `query:"prefix" doc:"Only decisions with an account on either side whose number begins with this." example:"acme:"`
	After       string `query:"after" doc:"Begin behind this sequence; 0: at the beginning of the log. From now on, where nothing says where." example:"0"`
	LastEventID string `query:"last_event_id" maxLength:"64" doc:"Resume behind this event. It goes before after."`
	Header      string `header:"Last-Event-ID" maxLength:"64" doc:"The same. It goes before both."`
}

// position returns where the client wants to begin, and what says so.
func (in *eventsInput) position(f *faults) (at events.Position, pointer string) {
	at = events.Tail
	parse := func(name, id string) {
		pointer = name
		var err error
		at, err = events.ParsePosition(id)
		var e *rbcs.Error
		if errors.As(err, &e) {
			err = errors.New(e.Message)
		}
		f.check(pointer, err)
	}
	switch {
	case in.Header != "":
		parse("/"+lastEventID, in.Header)
	case in.LastEventID != "":
		parse("/last_event_id", in.LastEventID)
	case in.After != "":
		pointer = "/after"
		sequence, err := strconv.ParseInt(in.After, 10, 64)
		if err != nil || sequence < 0 {
			f.check(pointer, errWhole)
		}
		at = events.Position{Sequence: sequence}
	}
	return at, pointer
}

// checkReached refuses a place that the log has not reached: a stream from there
// would be silent, and leave out what is committed until then. A decision that
// was committed, but not settled yet, and what another instance knows to be
// settled a moment earlier, are no such places.
func (s *server) checkReached(ctx context.Context, reader *events.Reader, pointer string) error {
	if !reader.Ahead() {
		return nil
	}
	at := reader.Position().Sequence
	newest, err := s.Store.Transactions(ctx, rbcs.TransactionQuery{Limit: 1})
	if err != nil || len(newest) > 0 && newest[0].Sequence >= at {
		return err
	}
	end, err := events.Reach(ctx, s.Store, at)
	if err == nil && end < at {
		err = invalid(pointer, "the log ends at the sequence %d: there is no %d. Resume behind an event that came from this database", end, at)
	}
	return err
}

func (s *server) getEvents(ctx context.Context, in *eventsInput) (*huma.StreamResponse, error) {
	var faults faults
	if in.Account != "" {
		faults.check("/account", rbcs.ValidateNumber(in.Account))
	}
	if in.Prefix != "" {
		faults.check("/prefix", rbcs.ValidateNumber(in.Prefix))
	}
	at, pointer := in.position(&faults)
	if faults != nil {
		return nil, s.refuse(ctx, faults.err())
	}
	reader, err := s.Events.Subscribe(ctx, at, events.Filter{Account: in.Account, Prefix: in.Prefix})
	if err == nil {
		if err = s.checkReached(ctx, reader, pointer); err != nil {
			reader.Close()
		}
	}
	if err != nil {
		return nil, s.refuse(ctx, err)
	}
	return &huma.StreamResponse{Body: func(ctx huma.Context) {
		defer reader.Close()
		r, w := humago.Unwrap(ctx) // whose context is not bounded by the time of a request
		s.Metrics.StreamEnded(s.stream(w, r, reader))
	}}, nil
}

// stream sends events until the client goes away, which is "", or takes nothing
// any more, or the reader ends: then it says why.
func (s *server) stream(w http.ResponseWriter, r *http.Request, reader *events.Reader) rbcs.Code {
	out := newBuffer()
	defer out.free()
	controller := http.NewResponseController(w)
	_ = controller.SetReadDeadline(time.Time{}) // the request was read; it must not end the stream
	w.Header()["Content-Type"] = contentTypes[sseType]
	w.Header().Set("X-Accel-Buffering", "no") // nginx would keep events back
	code := rbcs.Code("")
	flush := func() bool {
		_ = controller.SetWriteDeadline(time.Now().Add(writeTimeout))
		_, err := w.Write(out.b)
		if out.b = out.b[:0]; err == nil {
			err = controller.Flush()
		}
		if errors.Is(err, os.ErrDeadlineExceeded) { // all between here and the client is full: nothing reaches it any more
			reader.Drop()
			code = rbcs.Overloaded
		}
		return err == nil
	}
	// An ID without data is no event: it only makes a client resume here that loses the connection before the first one.
	out.b = appendSilence(out.b, reader.Position())
	for flush() {
		batch, err := nextEvents(r.Context(), reader)
		switch {
		case err == nil && batch == nil:
			out.b = appendSilence(out.b, reader.Position())
		case err == nil:
			for i := range batch {
				out.b = appendEvent(out.b, &batch[i])
			}
			s.Metrics.EventsSent(len(batch))
		case r.Context().Err() != nil:
			return ""
		default:
			p := problemOf(err)
			var e *rbcs.Error
			if errors.As(err, &e) && e.Err != nil { // else it ended as it should: the service stops, or the reader was too slow
				s.logFailure(r.Context(), p, requestOf(r)...)
			}
			out.b = appendEnd(out.b, p)
			flush()
			return rbcs.Code(p.Code)
		}
	}
	return code
}

// nextEvents waits for events; after a heartbeat's time it returns none.
func nextEvents(ctx context.Context, reader *events.Reader) ([]events.Event, error) {
	ctx, cancel := context.WithTimeout(ctx, heartbeat)
	defer cancel()
	batch, err := reader.Next(ctx)
	if errors.Is(err, context.DeadlineExceeded) && rbcs.CodeOf(err) == rbcs.Internal { // of ctx, not one of the reader's own
		return nil, nil
	}
	return batch, err
}

func appendSilence(dst []byte, at events.Position) []byte {
	return append(append(append(dst, ":\nid: "...), at.String()...), "\n\n"...)
}

// appendEvent writes an event. A record is one line.
func appendEvent(dst []byte, e *events.Event) []byte {
	dst = append(append(append(dst, "id: "...), e.ID.String()...), "\nevent: transaction\ndata: "...)
	return append(AppendRecord(dst, e.Result), "\n\n"...)
}

// appendEnd writes the last event of a stream.
func appendEnd(dst []byte, p *Problem) []byte {
	if p.retryAfter > 0 {
		dst = append(strconv.AppendInt(append(dst, "retry: "...), p.retryAfter.Milliseconds(), 10), '\n')
	}
	body, err := json.Marshal(p)
	if err != nil { // strings and integers cannot fail
		panic(err)
	}
	return append(append(append(dst, "event: end\ndata: "...), body...), "\n\n"...)
}
