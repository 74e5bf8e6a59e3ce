package rest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/validation"

	"rbcs"
)

const (
	jsonType    = "application/json"
	ndjsonType  = "application/x-ndjson"
	csvType     = "text/csv"
	sseType     = "text/event-stream"
	problemType = "application/problem+json"
)

// problemURN begins the type of every problem; the code follows.
const problemURN = "urn:rbcs:problem:"

// Problem is an error as RFC 9457 describes it.
type Problem struct {
	Type   string         `json:"type" doc:"A URN that ends with the code." example:"urn:rbcs:problem:invalid_request"`
	Title  string         `json:"title" doc:"The code in words." example:"Invalid request"`
	Status int            `json:"status" doc:"The HTTP status." example:"400"`
	Code   string         `json:"code" doc:"What happened, for programs." example:"invalid_request"`
	Detail string         `json:"detail" doc:"What happened, to what, and what to do, for a person."`
	Errors []FieldProblem `json:"errors,omitempty" doc:"What is wrong with which field."`

	// The members of a rejection. They are written by appendRejection and stand here for the document.
	*Shortfall
	Account     string       `json:"account,omitempty" doc:"Of account_not_found, account_frozen, account_closed and overflow: which account that is, the source where it is both."`
	SettledBy   string       `json:"settled_by,omitempty" doc:"Of hold_not_open: the ID of what settled the hold."`
	DryRun      bool         `json:"dry_run,omitempty" doc:"It was asked for with dry_run=true: nothing was recorded."`
	Transaction *Transaction `json:"transaction,omitempty" doc:"The decision, where it is a rejection."`

	retryAfter time.Duration
	cause      error // for the log
}

// FieldProblem points at one field.
type FieldProblem struct {
	Pointer string `json:"pointer" doc:"JSON pointer into the request, or / and the name of a parameter." example:"/amount"`
	Message string `json:"message" doc:"What is wrong with it."`
}

// Shortfall explains insufficient_funds, amount_exceeds_hold and amount_exceeds_reversible.
type Shortfall struct {
	Available string `json:"available,omitempty" doc:"Balance less holds, or what is left of the hold or of the original, at the decision."`
	Overdraft string `json:"overdraft,omitempty" doc:"Of insufficient_funds: how far below zero available may go."`
	Needed    string `json:"needed,omitempty" doc:"The amount."`
	Short     string `json:"short,omitempty" doc:"What was missing."`
}

// Error returns the detail. With GetStatus it makes a huma.StatusError.
func (p *Problem) Error() string { return p.Detail }

// GetStatus returns the HTTP status.
func (p *Problem) GetStatus() int { return p.Status }

// ContentType tells huma how a problem is sent.
func (p *Problem) ContentType(string) string { return problemType }

// GetHeaders tells huma which headers go with it.
func (p *Problem) GetHeaders() http.Header {
	if p.retryAfter == 0 {
		return nil
	}
	seconds := int64((p.retryAfter + time.Second - 1) / time.Second)
	return http.Header{"Retry-After": {strconv.FormatInt(seconds, 10)}}
}

// statusOf is the one table from codes to HTTP statuses. All that is not in it
// is a rejection.
func statusOf(code rbcs.Code) int {
	switch code {
	case rbcs.InvalidRequest:
		return http.StatusBadRequest
	case rbcs.NotFound:
		return http.StatusNotFound
	case rbcs.IDConflict, rbcs.AccountConflict, rbcs.NotRejected, rbcs.VersionNotReached:
		return http.StatusConflict
	case rbcs.Overloaded:
		return http.StatusTooManyRequests
	case rbcs.Unavailable, rbcs.OutcomeUnknown:
		return http.StatusServiceUnavailable
	case rbcs.Internal:
		return http.StatusInternalServerError
	}
	return http.StatusUnprocessableEntity
}

// defaultRetryAfter is sent with 429 and 503 where nobody knows better.
const defaultRetryAfter = time.Second

// problemOf makes any error a problem. The cause of an error is never shown.
func problemOf(err error) *Problem {
	var p *Problem
	if errors.As(err, &p) {
		return p
	}
	e := asError(err)
	p = newProblem(e.Code, statusOf(e.Code), detailOf(e))
	p.retryAfter, p.cause = e.RetryAfter, err
	if p.retryAfter == 0 && (p.Status == http.StatusTooManyRequests || p.Status == http.StatusServiceUnavailable) {
		p.retryAfter = defaultRetryAfter
	}
	for _, f := range e.Fields {
		p.Errors = append(p.Errors, FieldProblem(f))
	}
	return p
}

// detailOf returns what a client is told of an error. An infrastructure failure
// that has a cause is told in a sentence of this package's own: its message may
// quote the cause, a driver's text with users, hosts and paths in it, which is
// for the log. Without a cause the message is the service's own words.
func detailOf(e *rbcs.Error) string {
	if e.Err == nil {
		return e.Message
	}
	switch e.Code {
	case rbcs.Unavailable:
		return "the service is stopping, its database is away, or it took too long; nothing was changed: try again later"
	case rbcs.OutcomeUnknown:
		return "it may or may not have been committed; submit the same again to learn it"
	case rbcs.Internal:
		return "the service failed at this request; it is in its log"
	}
	return e.Message
}

// asError finds the [rbcs.Error] in an error, or makes one.
func asError(err error) *rbcs.Error {
	var e *rbcs.Error
	switch {
	case errors.As(err, &e):
		return e
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled):
		return &rbcs.Error{Code: rbcs.Unavailable, Message: "the request took too long; try again", Err: err}
	}
	return &rbcs.Error{Code: rbcs.Internal, Message: "the service failed at this request; it is in its log", Err: err}
}

func newProblem(code rbcs.Code, status int, detail string) *Problem {
	return &Problem{
		Type: problemURN + string(code), Title: titleOf(code), Status: status, Code: string(code), Detail: detail,
	}
}

// refusal is a request that HTTP itself has a status for.
func refusal(status int, detail string) *Problem {
	return newProblem(rbcs.InvalidRequest, status, detail)
}

// titleOf returns the code in words: "Insufficient funds".
func titleOf(code rbcs.Code) string {
	words := strings.ReplaceAll(string(code), "_", " ")
	switch code {
	case "":
		return ""
	case rbcs.IDConflict:
		return "ID conflict"
	}
	return strings.ToUpper(words[:1]) + words[1:]
}

// fail answers with an error. It is where an error is handled, and so where it
// is logged: once, if it is the service's own.
func (s *server) fail(w http.ResponseWriter, r *http.Request, err error) {
	p := problemOf(err)
	s.logFailure(r.Context(), p, requestOf(r)...)
	s.write(w, p)
}

// requestOf are what the log says of a request: also the ID under which a gateway, or
// whatever stands before the service, knows it.
func requestOf(r *http.Request) []slog.Attr {
	attrs := []slog.Attr{slog.String("request", r.Method+" "+r.URL.Path)}
	if id := r.Header.Get("X-Request-Id"); id != "" {
		attrs = append(attrs, slog.String("request_id", id[:min(len(id), maxRequestID)]))
	}
	return attrs
}

// maxRequestID bounds what a client writes into the log.
const maxRequestID = 128

// logFailure logs the service's own failures. When the database is away every
// request fails in the same way: one line a second says that, and the metrics
// say how many.
func (s *server) logFailure(ctx context.Context, p *Problem, request ...slog.Attr) {
	level, message := slog.LevelWarn, "a request was not served"
	switch {
	case p.Status < http.StatusInternalServerError:
		return
	case errors.Is(p.cause, context.Canceled): // the client went away
		level = slog.LevelDebug
	case p.Status == http.StatusInternalServerError:
		level, message = slog.LevelError, "a request failed"
	default:
		if second := s.Now().Unix(); s.warned.Swap(second) == second {
			return
		}
	}
	attrs := slices.Concat(request, []slog.Attr{slog.Any("error", p.cause)})
	var e *rbcs.Error
	if errors.As(p.cause, &e) && e.Err != nil && !strings.Contains(e.Error(), e.Err.Error()) {
		attrs = append(attrs, slog.Any("cause", e.Err))
	}
	s.Logger.LogAttrs(ctx, level, message, attrs...)
}

func (s *server) write(w http.ResponseWriter, p *Problem) {
	body, err := json.Marshal(p)
	if err != nil { // strings and integers cannot fail
		panic(err)
	}
	for name, values := range p.GetHeaders() {
		w.Header()[name] = values
	}
	send(w, p.Status, problemType, body)
}

// contentTypes are the values of that header, made once.
var contentTypes = map[string][]string{
	jsonType: {jsonType}, ndjsonType: {ndjsonType}, problemType: {problemType},
	csvType: {csvType + "; charset=utf-8; header=present"}, sseType: {sseType},
}

// send writes a whole answer of one of the contentTypes. It ends with a newline,
// so that a terminal's prompt does not stick to it; what is empty stays empty.
func send(w http.ResponseWriter, status int, contentType string, body []byte) {
	if len(body) > 0 {
		body = append(body, '\n')
	}
	header := w.Header()
	header["Content-Type"] = contentTypes[contentType]
	header["Content-Length"] = []string{strconv.Itoa(len(body))}
	w.WriteHeader(status)
	_, _ = w.Write(body) // a client that went away can ask again, with the same ID
}

// huma reports what it finds wrong with parameters through these variables of its
// own. They say it as this package does.
func init() {
	huma.DefaultArrayNullable = false
	validation.MsgExpectedOneOf = "this is one of %s"
	validation.MsgExpectedMinimumNumber = "this is a whole number of at least %v"
	validation.MsgExpectedMaximumNumber = "this is a whole number of at most %v"
	validation.MsgExpectedMaxLength = "this has at most %d characters"
	huma.NewError = func(status int, message string, errs ...error) huma.StatusError {
		if status >= http.StatusInternalServerError {
			return problemOf(errors.Join(errs...))
		}
		e := &rbcs.Error{Code: rbcs.InvalidRequest, Message: "the request is invalid"}
		if len(errs) == 0 {
			e.Message = message
		}
		for _, err := range errs {
			var detail huma.ErrorDetailer
			if !errors.As(err, &detail) {
				e.Fields = append(e.Fields, rbcs.FieldError{Message: err.Error()})
				continue
			}
			d := detail.ErrorDetail()
			_, name, _ := strings.Cut(d.Location, ".") // "query.limit"
			e.Fields = append(e.Fields, rbcs.FieldError{Pointer: "/" + escapePointer(name), Message: parameterFault(d)})
		}
		return problemOf(e)
	}
}

// parameterFault says what is wrong with a parameter in this package's words.
func parameterFault(d *huma.ErrorDetail) string {
	switch d.Message {
	case "invalid integer":
		return errInteger.Error()
	case "unknown query parameter":
		return errNoParameter.Error()
	}
	if d.Location == "query.status" && (d.Value == "queued" || d.Value == "dead") {
		return d.Message + "; what is queued or dead is listed at /v1/intake"
	}
	return d.Message
}

// escapePointer makes a name a part of a JSON pointer. It also bounds it: a name comes from a client.
func escapePointer(name string) string {
	return strings.NewReplacer("~", "~0", "/", "~1").Replace(shorten(name))
}

// shorten bounds what is echoed of a client's text.
func shorten(s string) string { return shortenTo(s, 64) }

func shortenTo(s string, limit int) string {
	if len(s) <= limit {
		return s
	}
	return strings.ToValidUTF8(s[:limit], "") + "…"
}

// invalid is the error of one wrong field.
func invalid(pointer, format string, args ...any) *rbcs.Error {
	return &rbcs.Error{
		Code:    rbcs.InvalidRequest,
		Message: "the request is invalid",
		Fields:  []rbcs.FieldError{{Pointer: pointer, Message: fmt.Sprintf(format, args...)}},
	}
}
