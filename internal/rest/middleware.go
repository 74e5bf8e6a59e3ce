package rest

import (
	"log/slog"
	"net/http"
	"runtime/debug"
	"strings"
	"time"

	"rbcs"
)

// catchAll is the pattern of everything that has no route.
const catchAll = "/"

// responseWriter remembers the status, for metrics and for the recovery.
type responseWriter struct {
	http.ResponseWriter
	status int // 0: nothing was sent yet
}

func (w *responseWriter) WriteHeader(status int) {
	if w.status == 0 {
		w.status = status
	}
	w.ResponseWriter.WriteHeader(status)
}

func (w *responseWriter) Write(b []byte) (int, error) {
	if w.status == 0 {
		w.status = http.StatusOK
	}
	return w.ResponseWriter.Write(b)
}

// Unwrap is for [http.ResponseController].
func (w *responseWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// Values of headers that every answer has, made once.
var (
	nosniff = []string{"nosniff"}
	noStore = []string{"no-store"} // promise 4: a balance that a cache kept would be stale
)

// ServeHTTP counts, recovers, sets the headers that every answer has, and routes.
func (s *server) ServeHTTP(rw http.ResponseWriter, r *http.Request) {
	start := time.Now()
	w := &responseWriter{ResponseWriter: rw}
	s.Metrics.RequestStarted()
	defer func() {
		if cause := recover(); cause != nil {
			s.recovered(w, r, cause)
		}
		// The mux has set the pattern by now. It is the route's label, so that paths cannot make new series.
		s.Metrics.RequestDone(r.Pattern, w.status, time.Since(start))
	}()
	header := w.Header()
	header["X-Content-Type-Options"] = nosniff
	header["Cache-Control"] = noStore
	if p := s.admit(r); p != nil {
		r.Pattern = catchAll
		s.fail(w, r, p)
		return
	}
	if r = exactPath(r); r.Pattern == catchAll {
		s.fail(w, r, errNoPath)
		return
	}
	s.mux.ServeHTTP(w, r)
}

// recovered answers a request whose handler panicked. Where a part of the answer
// was sent already it breaks the connection, so that nobody takes it for whole.
func (s *server) recovered(w *responseWriter, r *http.Request, cause any) {
	if cause == http.ErrAbortHandler { //nolint:errorlint // net/http's sentinel, compared as net/http does
		panic(cause)
	}
	s.Logger.LogAttrs(r.Context(), slog.LevelError, "a handler panicked",
		append(requestOf(r), slog.Any("panic", cause), slog.String("stack", string(debug.Stack())))...)
	if w.status != 0 {
		panic(http.ErrAbortHandler)
	}
	s.write(w, problemOf(rbcs.Errorf(rbcs.Internal, "the service failed at this request; it is in its log")))
}

var errNoPath = rbcs.Errorf(rbcs.NotFound, "there is nothing at this path; see /openapi.json")

// noRoute answers what no other pattern matched: 405 where another method has a
// route, else 404.
func (s *server) noRoute(w http.ResponseWriter, r *http.Request) {
	var allowed []string
	for _, method := range []string{http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPatch, http.MethodDelete} {
		probe := &http.Request{Method: method, URL: r.URL, Host: r.Host}
		if _, pattern := s.mux.Handler(probe); pattern != catchAll {
			allowed = append(allowed, method)
		}
	}
	if allowed == nil {
		s.fail(w, r, errNoPath)
		return
	}
	allow := strings.Join(allowed, ", ")
	w.Header().Set("Allow", allow)
	s.fail(w, r, refusal(http.StatusMethodNotAllowed, "the method "+shorten(r.Method)+" is not allowed here; use "+allow))
}
