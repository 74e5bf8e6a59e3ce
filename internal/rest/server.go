package rest

import (
	"log/slog"
	"net/http"
	"time"
)

// Bounds of a connection: a client that is slower holds a goroutine for nothing.
const (
	readHeaderTimeout = 10 * time.Second
	readTimeout       = 60 * time.Second  // header and body: 16 MB at 300 kB/s
	answerTimeout     = 3 * time.Minute   // from the header to the last byte of the answer
	idleTimeout       = 120 * time.Second // longer than the 60 s of usual load balancers, who should close first
	maxHeaderBytes    = 16 << 10
)

// NewServer returns a server with sane bounds for what [New] returned. Whoever
// uses it listens, serves and shuts down.
//
// Its WriteTimeout is for clients that do not take their answer. It is far longer
// than reading a request and deciding it take together: it must not cut off the
// answer that tells what became of the money. Streams set deadlines of their own.
//
// It speaks HTTP/1.1, and HTTP/2 without TLS to whoever begins with it.
func NewServer(handler http.Handler, logger *slog.Logger) *http.Server {
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	protocols.SetUnencryptedHTTP2(true)
	return &http.Server{
		Handler:           handler,
		Protocols:         protocols,
		ReadHeaderTimeout: readHeaderTimeout,
		ReadTimeout:       readTimeout,
		WriteTimeout:      answerTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeaderBytes,
		ErrorLog:          slog.NewLogLogger(logger.Handler(), slog.LevelDebug),
	}
}
