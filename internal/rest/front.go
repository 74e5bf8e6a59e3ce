package rest

import (
	"fmt"
	"net/http"
)

// Front is what stands before every handler of the service, for a gateway to
// put before its own: which hosts are known, and how much may be received at once.
type Front struct{ s server }

// NewFront returns a front of a service that is called by the given names, and
// receives at most maxBodies bytes at a time.
func NewFront(hosts []string, maxBodies int64) *Front {
	f := &Front{server{Config: Config{Hosts: hosts}}}
	f.s.bodies.limit = maxBodies
	return f
}

// Admit refuses what a web page may have made a browser send.
func (f *Front) Admit(r *http.Request) error {
	if p := f.s.admit(r); p != nil {
		return p
	}
	return nil
}

// Reserve takes room for n more bytes of something that has some already, or
// fails with Overloaded. The caller releases what it got.
func (f *Front) Reserve(has, n int64) error { return f.s.bodies.reserve(has, n) }

// Release gives room back.
func (f *Front) Release(n int64) { f.s.bodies.release(n) }

// Reserved returns how many bytes are taken.
func (f *Front) Reserved() int64 { return f.s.bodies.reserved.Load() }

// TooLarge is the error of a body of more than limit bytes.
func TooLarge(limit int64) error {
	return refusal(http.StatusRequestEntityTooLarge, fmt.Sprintf("the body is larger than %d bytes; send less at once", limit))
}

// WriteProblem answers with an error, as the service does.
func WriteProblem(w http.ResponseWriter, err error) {
	header := w.Header()
	header["X-Content-Type-Options"] = nosniff
	header["Cache-Control"] = noStore
	new(server).write(w, problemOf(err))
}
