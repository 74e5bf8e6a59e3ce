package testenv

import (
	"context"
	"crypto/rand"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"
)

// postgresVariable names a running server to use instead of starting one: the
// DSN of a role that may create databases.
const postgresVariable = "RBCS_TEST_POSTGRES"

const debianPostgres = "/usr/lib/postgresql/*/bin"

// NewPostgres starts a PostgreSQL server with an empty cluster. It is as durable
// as the service demands: fsync, full_page_writes and synchronous_commit are on,
// unless a setting ("name=value") says otherwise.
func NewPostgres(ctx context.Context, settings ...string) (*Server, error) {
	initdb, err := find("initdb", "postgresql", debianPostgres)
	if err != nil {
		return nil, err
	}
	s, err := newServer("postgres", "postgres")
	if err != nil {
		return nil, err
	}
	data := filepath.Join(s.dir, "data")
	out, err := s.command(initdb, "-D", data, "-U", "postgres", "-A", "trust", "-E", "UTF8", "--no-locale", "--no-sync").CombinedOutput()
	if err != nil {
		return nil, fmt.Errorf("testenv: initdb: %w\n%s", err, out)
	}
	port, err := freePort()
	if err != nil {
		return nil, err
	}
	s.argv = []string{filepath.Join(filepath.Dir(initdb), "postgres"), "-D", data, "-p", strconv.Itoa(port)}
	settings = append([]string{"listen_addresses=127.0.0.1", "unix_socket_directories=", "max_connections=100"}, settings...)
	for _, setting := range settings {
		s.argv = append(s.argv, "-c", setting)
	}
	s.URL = fmt.Sprintf("postgres://postgres@127.0.0.1:%d/postgres?sslmode=disable", port)
	s.ready = func(ctx context.Context) error { return withConn(ctx, s.URL, func(*pgx.Conn) error { return nil }) }
	return s, s.Start(ctx)
}

// CreateDatabase creates an empty database on the server that the DSN names and
// returns the new database's DSN.
func CreateDatabase(ctx context.Context, dsn string) (string, error) {
	u, err := url.Parse(dsn)
	if err != nil || !strings.HasPrefix(u.Scheme, "postgres") {
		return "", fmt.Errorf("testenv: a DSN is written postgres://user@host:port/database: %w", err)
	}
	name := "rbcs_" + strings.ToLower(rand.Text())
	err = withConn(ctx, dsn, func(conn *pgx.Conn) error {
		_, err := conn.Exec(ctx, "create database "+name)
		return err
	})
	u.Path = "/" + name
	return u.String(), err
}

// DropDatabase drops the database that a DSN of [CreateDatabase] names, and its connections.
func DropDatabase(ctx context.Context, server, dsn string) error {
	u, err := url.Parse(dsn)
	if err != nil {
		return err
	}
	return withConn(ctx, server, func(conn *pgx.Conn) error {
		_, err := conn.Exec(ctx, "drop database "+strings.TrimPrefix(u.Path, "/")+" with (force)")
		return err
	})
}

func withConn(ctx context.Context, dsn string, do func(*pgx.Conn) error) error {
	conn, err := pgx.Connect(ctx, dsn)
	if err != nil {
		return err
	}
	err = do(conn)
	if closeErr := conn.Close(ctx); err == nil {
		err = closeErr
	}
	return err
}

// shared is the server that all tests of this process use.
var shared = sync.OnceValues(func() (string, error) {
	if dsn := os.Getenv(postgresVariable); dsn != "" {
		return dsn, nil
	}
	s, err := NewPostgres(context.Background())
	if err != nil {
		return "", err
	}
	return s.URL, nil // its guard ends it with this process
})

// Postgres returns the DSN of a fresh, empty database on a server that all tests
// of this process share; RBCS_TEST_POSTGRES may name a running one. The database
// is dropped at the end of the test.
func Postgres(t testing.TB) string {
	t.Helper()
	server, err := shared()
	if err != nil {
		t.Fatal(err)
	}
	dsn, err := CreateDatabase(t.Context(), server)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := DropDatabase(context.Background(), server, dsn); err != nil {
			t.Errorf("testenv: drop database: %v", err)
		}
	})
	return dsn
}

// PostgresServer starts a server of the test's own, that it may stop, crash and
// start again. Settings are written "name=value".
func PostgresServer(t testing.TB, settings ...string) *Server {
	t.Helper()
	s, err := NewPostgres(t.Context(), settings...)
	return own(t, s, err)
}

// own fails the test where the server did not start, and else closes it with the test.
func own(t testing.TB, s *Server, err error) *Server {
	t.Helper()
	if s != nil {
		t.Cleanup(func() {
			if err := s.Close(); err != nil {
				t.Error(err)
			}
		})
	}
	if err != nil {
		t.Fatal(err)
	}
	return s
}
