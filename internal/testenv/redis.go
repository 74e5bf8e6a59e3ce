package testenv

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"testing"
)

// NewRedis starts an empty Redis server that keeps nothing on disk.
// Arguments such as "--appendonly", "yes" are added to its command line.
func NewRedis(ctx context.Context, args ...string) (*Server, error) {
	program, err := find("redis-server", "redis-server")
	if err != nil {
		return nil, err
	}
	s, err := newServer("redis", "")
	if err != nil {
		return nil, err
	}
	port, err := freePort()
	if err != nil {
		return nil, err
	}
	s.argv = append([]string{
		program, "--bind", "127.0.0.1", "--port", strconv.Itoa(port),
		"--dir", s.dir, "--save", "", "--appendonly", "no",
	}, args...)
	address := net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
	s.URL = "redis://" + address + "/0"
	s.ready = func(ctx context.Context) error { return pingRedis(ctx, address) }
	return s, s.Start(ctx)
}

func pingRedis(ctx context.Context, address string) error {
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", address)
	if err != nil {
		return err
	}
	_, err = conn.Write([]byte("PING\r\n"))
	answer := make([]byte, len("+PONG"))
	if err == nil {
		_, err = conn.Read(answer)
	}
	if err == nil && string(answer) != "+PONG" {
		err = fmt.Errorf("it answered %q", answer)
	}
	return errors.Join(err, conn.Close())
}

// Redis returns the URL of an empty Redis server of the test's own.
func Redis(t testing.TB) string {
	t.Helper()
	return RedisServer(t).URL
}

// RedisServer starts an empty Redis server of the test's own, that it may stop,
// crash and start again.
func RedisServer(t testing.TB, args ...string) *Server {
	t.Helper()
	s, err := NewRedis(t.Context(), args...)
	return own(t, s, err)
}
