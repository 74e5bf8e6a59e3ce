package rbcs

import (
	"errors"
	"fmt"
	"strings"
	"time"
)

// Error is the one error type of the service: what happened, to what, and what
// to do about it. Transports map its Code; nothing else about it is interpreted.
type Error struct {
	Code       Code
	Message    string        // one sentence for the person who reads the answer
	Fields     []FieldError  // what is wrong with which field, where that is known
	RetryAfter time.Duration // when it makes sense to come back; 0 where it is not known
	Away       bool          // of Unavailable and OutcomeUnknown: the database is not there, for nobody; not that it was slow or in conflict
	Err        error         // the cause, for logs; never shown to a client
}

// FieldError points at one field of a request.
type FieldError struct {
	Pointer string // JSON pointer (RFC 6901) into the request: "/amount"
	Message string
}

// Errorf returns an [Error]; %w in the format sets its cause. The text of the
// cause becomes a part of the message, which clients see: a cause that is not
// for them, such as a database's, is set as Err instead.
func Errorf(code Code, format string, args ...any) *Error {
	err := fmt.Errorf(format, args...)
	return &Error{Code: code, Message: err.Error(), Err: errors.Unwrap(err)}
}

// Error returns the code, the message and the fields on one line.
func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString(string(e.Code))
	b.WriteString(": ")
	b.WriteString(e.Message)
	for _, f := range e.Fields {
		b.WriteString("; ")
		b.WriteString(f.Pointer)
		b.WriteString(": ")
		b.WriteString(f.Message)
	}
	return b.String()
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// Retryable reports whether submitting the same request again can succeed.
func (e *Error) Retryable() bool {
	switch e.Code {
	case Overloaded, Unavailable, OutcomeUnknown, VersionNotReached, Internal:
		return true
	default:
		return false
	}
}

// CodeOf returns the code of the [Error] in err's chain, [Internal] where there
// is none, and "" for nil.
func CodeOf(err error) Code {
	var e *Error
	switch {
	case err == nil:
		return ""
	case errors.As(err, &e):
		return e.Code
	}
	return Internal
}
