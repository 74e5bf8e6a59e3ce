package rest

import (
	"context"
	"encoding/base64"
	"errors"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"rbcs"
)

// Page is what every list takes. A page has at most so many items as a store
// reads in one short transaction. (huma finds embedded structs only where they
// are exported.).
type Page struct {
	Limit  int    `query:"limit" minimum:"1" maximum:"1000" default:"100" doc:"At most so many."`
	Cursor string `query:"cursor" maxLength:"128" doc:"The next_cursor of the page before."`
}

// The parameters that a POST may have.
const (
	paramDryRun = "dry_run"
	paramAtomic = "atomic"
)

// switches reads the parameters of a request that has none but those named,
// each true or false. The result has bit i where names[i] is true.
func switches(r *http.Request, names ...string) (members, error) {
	var on members
	var faults faults
	for name, value := range faults.parameters(r, names...) {
		switch value {
		case "true":
			on |= 1 << slices.Index(names, name)
		case "false":
		default:
			faults.check("/"+name, errors.New("this must be true or false"))
		}
	}
	if faults != nil {
		return 0, faults.err()
	}
	return on, nil
}

// parameters reads the parameters of a request that has none but those named.
func (f *faults) parameters(r *http.Request, names ...string) map[string]string {
	if r.URL.RawQuery == "" { // as nearly all
		return nil
	}
	query, err := url.ParseQuery(r.URL.RawQuery)
	f.check("", err)
	found := make(map[string]string, len(query))
	for _, name := range slices.Sorted(maps.Keys(query)) {
		switch values := query[name]; {
		case !slices.Contains(names, name):
			f.check("/"+escapePointer(name), errNoParameter)
		case len(values) > 1:
			f.check("/"+name, errTwice)
		default:
			found[name] = values[0]
		}
	}
	return found
}

// once refuses what huma would take in part: a query that cannot be read, and a
// parameter that stands twice.
func (s *server) once(ctx huma.Context, next func(huma.Context)) {
	r, w := humago.Unwrap(ctx)
	if r.URL.RawQuery == "" { // as nearly all
		next(ctx)
		return
	}
	var faults faults
	query, err := url.ParseQuery(r.URL.RawQuery)
	faults.check("", err)
	for _, name := range slices.Sorted(maps.Keys(query)) {
		if len(query[name]) > 1 {
			faults.check("/"+escapePointer(name), errTwice)
		}
	}
	if faults != nil {
		s.fail(w, r, faults.err())
		return
	}
	next(ctx)
}

// cut cuts a list that was read with one more than the limit, and reports
// whether there is more.
func cut[T any](list []T, limit int) ([]T, bool) {
	if len(list) > limit {
		return list[:limit], true
	}
	return list, false
}

// refuse makes an error of a read one that huma sends, and logs it.
func (s *server) refuse(ctx context.Context, err error) error {
	p := problemOf(err)
	r, ok := ctx.Value(requestKey{}).(*http.Request)
	if !ok { // every operation of huma's goes through timeout
		panic("rest: a read without its request")
	}
	s.logFailure(ctx, p, requestOf(r)...)
	return p
}

// A cursor is opaque to clients: a kind, so that one list does not take
// another's, and the place behind which to go on. The kind of a list of one
// account's has its number too: see [ofAccount].
const (
	cursorAccounts     = "a"
	cursorTransactions = "t"
	cursorAscending    = "h"
	cursorDescending   = "d"
	cursorStatement    = "s"
	cursorIntake       = "q"
)

// ofAccount makes a kind of cursor that of one account, or of all for "".
func ofAccount(kind, number string) string { return kind + number + "/" }

func cursorOf(kind string, position int64) string {
	return base64.RawURLEncoding.EncodeToString(strconv.AppendInt([]byte(kind), position, 10))
}

func cursorOfNumber(number string) string {
	return base64.RawURLEncoding.EncodeToString([]byte(cursorAccounts + number))
}

var errCursor = errors.New("this is not a cursor of this list; use next_cursor of the page before, for the same account and in the same order")

func cursorText(cursor, kind string) (string, error) {
	raw, err := base64.RawURLEncoding.Strict().DecodeString(cursor)
	text, ok := strings.CutPrefix(string(raw), kind)
	if err != nil || !ok {
		return "", errCursor
	}
	return text, nil
}

// What is wrong with a parameter.
var (
	errWhole       = errors.New("this is a whole number of at least 0")
	errInteger     = errors.New("this is a whole number")
	errNoParameter = errors.New("this request has no such parameter")
	errTwice       = errors.New("this parameter stands twice")
)

// faults collects what is wrong with parameters.
type faults []rbcs.FieldError

func (f *faults) check(pointer string, err error) {
	if err != nil {
		*f = append(*f, rbcs.FieldError{Pointer: pointer, Message: err.Error()})
	}
}

func (f faults) err() error {
	return &rbcs.Error{Code: rbcs.InvalidRequest, Message: "the request is invalid", Fields: f}
}

// time reads a time that may be absent.
func (f *faults) time(pointer, s string) time.Time {
	if s == "" {
		return time.Time{}
	}
	t, err := rbcs.ParseTime(s)
	f.check(pointer, err)
	return t.UTC()
}

func (f *faults) period(from, to string) (start, end time.Time) {
	start, end = f.time("/from", from), f.time("/to", to)
	if !start.IsZero() && !end.IsZero() && !start.Before(end) {
		f.check("/to", errors.New("this is not after from"))
	}
	return start, end
}

// position reads a cursor that may be absent: 0.
func (f *faults) position(cursor, kind string) int64 {
	if cursor == "" {
		return 0
	}
	text, err := cursorText(cursor, kind)
	position, parseErr := strconv.ParseInt(text, 10, 64)
	if err == nil && (parseErr != nil || position < 1) {
		err = errCursor
	}
	f.check("/cursor", err)
	return position
}

// number reads a cursor of accounts that may be absent.
func (f *faults) number(cursor string) string {
	if cursor == "" {
		return ""
	}
	number, err := cursorText(cursor, cursorAccounts)
	if err == nil && rbcs.ValidateNumber(number) != nil {
		err = errCursor
	}
	f.check("/cursor", err)
	return number
}
