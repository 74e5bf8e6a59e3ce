package postgres

import (
	"bytes"
	"encoding/binary"
	"net"
	"net/url"
	"sync"
	"sync/atomic"
	"testing"
)

// proxy stands between the store and the server. It passes everything on, until
// it is told what to do with the next COMMIT.
type proxy struct {
	listener net.Listener
	server   string
	cancels  atomic.Int64 // cancel requests that came
	onCommit atomic.Pointer[func(client, server net.Conn, message []byte)]
	conns    sync.WaitGroup
}

// startProxy returns a proxy before the server of the DSN, and the DSN through it.
func startProxy(t *testing.T, dsn string) (*proxy, string) {
	t.Helper()
	u, err := url.Parse(dsn)
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &proxy{listener: l, server: u.Host}
	u.Host = l.Addr().String()
	p.conns.Go(p.accept)
	t.Cleanup(func() {
		_ = l.Close()
		p.conns.Wait()
	})
	return p, u.String()
}

func (p *proxy) accept() {
	for {
		client, err := p.listener.Accept()
		if err != nil {
			return
		}
		server, err := net.Dial("tcp", p.server)
		if err != nil {
			_ = client.Close()
			continue
		}
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

func (p *proxy) toServer(client, server net.Conn) {
	defer func() { _, _ = client.Close(), server.Close() }()
	buf := make([]byte, 1<<16)
	for first := true; ; first = false {
		n, err := client.Read(buf)
		if err != nil {
			return
		}
		const cancelRequest = 80877102
		if first && n >= 8 && binary.BigEndian.Uint32(buf[4:]) == cancelRequest {
			p.cancels.Add(1)
		}
		if bytes.Equal(buf[:n], commitMessage) { // it is sent by itself
			if do := p.onCommit.Swap(nil); do != nil {
				(*do)(client, server, buf[:n])
				continue
			}
		}
		if _, err := server.Write(buf[:n]); err != nil {
			return
		}
	}
}
