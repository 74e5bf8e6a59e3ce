package postgres

import (
	"context"
	"errors"
	"net"
	"os"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
)

// deadPeer is after how long without a sign of life the other side counts as
// dead. It must end a wait for the answer to COMMIT when the server is gone,
// since nothing else does.
const deadPeer = 30 * time.Second

// wire is a connection's socket and what is known about the COMMIT that runs on it.
//
// pgx sends a cancel request, over a connection of its own, whenever one breaks.
// While COMMIT runs that must not happen. It asks RemoteAddr where to send it:
// then the answer is a network that [dial] refuses.
type wire struct {
	net.Conn
	made       time.Time
	heard      atomic.Int64 // when the server last said something: nanoseconds after made
	lost       func(*wire)  // called when it turns out to be dead; nil until it is connected
	committing atomic.Bool
	warning    atomic.Pointer[pgconn.Notice] // the first one during this COMMIT
}

// Read implements [net.Conn].
func (w *wire) Read(p []byte) (int, error) {
	n, err := w.Conn.Read(p)
	if n > 0 {
		w.heard.Store(int64(time.Since(w.made)))
	}
	w.judge(err)
	return n, err
}

// Write implements [net.Conn].
func (w *wire) Write(p []byte) (int, error) {
	n, err := w.Conn.Write(p)
	w.judge(err)
	return n, err
}

// judge tells of a connection that the other side, or the network, has ended.
func (w *wire) judge(err error) {
	if err != nil && !errors.Is(err, os.ErrDeadlineExceeded) && !errors.Is(err, net.ErrClosed) {
		w.gone()
	}
}

// gone tells that the connection is dead, or leads to the wrong server.
func (w *wire) gone() {
	if w.lost != nil {
		w.lost(w)
	}
}

// idle is for how long the server has said nothing.
func (w *wire) idle() time.Duration { return time.Since(w.made) - time.Duration(w.heard.Load()) }

// RemoteAddr implements [net.Conn].
func (w *wire) RemoteAddr() net.Addr {
	if w.committing.Load() {
		return noCancel{}
	}
	return w.Conn.RemoteAddr()
}

// wireOf returns the socket below a connection, through TLS.
func wireOf(conn *pgconn.PgConn) *wire {
	c := conn.Conn()
	if t, ok := c.(interface{ NetConn() net.Conn }); ok {
		c = t.NetConn()
	}
	w, _ := c.(*wire)
	return w
}

// noticed keeps a warning that comes while COMMIT runs.
func noticed(conn *pgconn.PgConn, n *pgconn.Notice) {
	if w := wireOf(conn); w != nil && w.committing.Load() && n.SeverityUnlocalized == "WARNING" {
		w.warning.CompareAndSwap(nil, n)
	}
}

// noCancel is the address of a connection whose backend must not be cancelled.
type noCancel struct{}

func (noCancel) Network() string { return "none" }
func (noCancel) String() string  { return "a backend in COMMIT" }

var errNoCancel = errors.New("postgres: a backend that waits in COMMIT is not cancelled")

func dial(ctx context.Context, network, address string) (net.Conn, error) {
	if network == (noCancel{}).Network() {
		return nil, errNoCancel
	}
	d := net.Dialer{
		KeepAliveConfig: net.KeepAliveConfig{Enable: true, Idle: deadPeer / 2, Interval: deadPeer / 6, Count: 3},
		Control:         setUserTimeout,
	}
	conn, err := d.DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	return &wire{Conn: conn, made: time.Now()}, nil
}
