package testenv

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/url"
	"sync"
	"sync/atomic"
	"testing"
)

// CommitFault is what a [Proxy] does with a COMMIT instead of passing it on. It
// is called by the goroutine that reads from the client: while it waits, nothing
// more of that connection is passed on.
type CommitFault func(client, server net.Conn, message []byte)

// LoseAnswer has the server commit, and the client never learn of it.
func LoseAnswer(client, server net.Conn, message []byte) {
	_, _ = server.Write(message)
	_ = client.Close() // the server's answer finds no client
}

// LoseCommit closes the connection before the server has seen the COMMIT.
func LoseCommit(client, server net.Conn, _ []byte) {
	_, _ = client.Close(), server.Close()
}

// Proxy stands between a service and a PostgreSQL server, without TLS. It passes
// everything on, until it is told what to do with the next COMMIT.
type Proxy struct {
	OnCommit atomic.Pointer[CommitFault] // what happens to the next COMMIT, once
	Cancels  atomic.Int64                // cancel requests that came

	listener net.Listener
	server   atomic.Pointer[string]
	conns    sync.WaitGroup

	mu   sync.Mutex
	open map[net.Conn]struct{} // from clients
}

// NewProxy returns a proxy before the server of the DSN, and the DSN through it.
func NewProxy(dsn string) (*Proxy, string, error) {
	u, err := url.Parse(dsn)
	if err != nil {
		return nil, "", fmt.Errorf("testenv: %w", err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, "", fmt.Errorf("testenv: %w", err)
	}
	p := &Proxy{listener: l, open: map[net.Conn]struct{}{}}
	p.Lead(u.Host)
	u.Host = l.Addr().String()
	p.conns.Go(p.accept)
	return p, u.String(), nil
}

// PostgresProxy returns a proxy of the test's own.
func PostgresProxy(t testing.TB, dsn string) (*Proxy, string) {
	t.Helper()
	p, through, err := NewProxy(dsn)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	})
	return p, through
}

// Lead makes new connections lead to the server at HOST:PORT.
func (p *Proxy) Lead(address string) { p.server.Store(&address) }

// Cut ends all connections at once.
func (p *Proxy) Cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for conn := range p.open {
		_ = conn.Close() // toServer closes the other side
	}
}

// Close ends the proxy and its connections.
func (p *Proxy) Close() error {
	err := p.listener.Close()
	p.Cut()
	p.conns.Wait()
	if err != nil && !errors.Is(err, net.ErrClosed) {
		return fmt.Errorf("testenv: %w", err)
	}
	return nil
}

func (p *Proxy) accept() {
	for {
		client, err := p.listener.Accept()
		if err != nil {
			p.Cut() // those that were accepted while it was being closed
			return
		}
		server, err := net.Dial("tcp", *p.server.Load())
		if err != nil {
			_ = client.Close()
			continue
		}
		p.mu.Lock()
		p.open[client] = struct{}{}
		p.mu.Unlock()
		p.conns.Go(func() { p.toServer(client, server) })
		p.conns.Go(func() { copyUntilClosed(client, server) })
	}
}

func copyUntilClosed(to, from net.Conn) {
	defer func() { _, _ = to.Close(), from.Close() }()
	buf := make([]byte, 1<<16)
	for {
		n, err := from.Read(buf)
		if err != nil {
			return
		}
		if _, err := to.Write(buf[:n]); err != nil {
			return
		}
	}
}

var commitMessage = []byte("Q\x00\x00\x00\x0bcommit\x00")

func (p *Proxy) toServer(client, server net.Conn) {
	defer func() {
		_, _ = client.Close(), server.Close()
		p.mu.Lock()
		delete(p.open, client)
		p.mu.Unlock()
	}()
	buf := make([]byte, 1<<16)
	for first := true; ; first = false {
		n, err := client.Read(buf)
		if err != nil {
			return
		}
		const cancelRequest = 80877102
		if first && n >= 8 && binary.BigEndian.Uint32(buf[4:]) == cancelRequest {
			p.Cancels.Add(1)
		}
		if bytes.Equal(buf[:n], commitMessage) { // it is sent by itself
			if do := p.OnCommit.Swap(nil); do != nil {
				(*do)(client, server, buf[:n])
				continue
			}
		}
		if _, err := server.Write(buf[:n]); err != nil {
			return
		}
	}
}
