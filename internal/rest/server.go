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
	idleTimeout       = 120 * time.Second // longer than the 60 s of usual load balancers, who should close first
	maxHeaderBytes    = 16 << 10
)

// NewServer returns a server with sane bounds for what [New] returned. Whoever
// uses it listens, serves and shuts down.
//
// It has no WriteTimeout: the handler bounds its own time, and a timeout of the
// connection would cut off the answer that tells what became of the money.
func NewServer(handler http.Handler, logger *slog.Logger) *http.Server {
	return &http.Server{
		Handler:           handler,
		ReadHeaderTimeout: readHeaderTimeout,
		ReadTimeout:       readTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeaderBytes,
		ErrorLog:          slog.NewLogLogger(logger.Handler(), slog.LevelDebug),
	}
}
