package testenv

import (
	"context"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"testing"

	"github.com/jackc/pgx/v5"
)

// pgbouncerINI lets in only what a service without session state needs: no
// start-up parameter is ignored, so that one that is sent is refused.
const pgbouncerINI = `[databases]
* = host=%s port=%d user=%s%s
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = %d
unix_socket_dir =
auth_type = any
pool_mode = transaction
default_pool_size = 10
max_client_conn = 200
server_reset_query_always = 0
`

// NewPgBouncer starts a transaction-mode PgBouncer before the server of the
// given DSN. Its URL names the same database and role.
func NewPgBouncer(ctx context.Context, dsn string) (*Server, error) {
	program, err := find("pgbouncer", "pgbouncer", "/usr/sbin")
	if err != nil {
		return nil, err
	}
	config, err := pgx.ParseConfig(dsn)
	if err != nil {
		return nil, fmt.Errorf("testenv: %w", err)
	}
	s, err := newServer("pgbouncer", "postgres")
	if err != nil {
		return nil, err
	}
	port, err := freePort()
	if err != nil {
		return nil, err
	}
	password := ""
	if config.Password != "" {
		password = " password='" + config.Password + "'"
	}
	ini := fmt.Sprintf(pgbouncerINI, config.Host, config.Port, config.User, password, port)
	path := filepath.Join(s.dir, "pgbouncer.ini")
	if err := os.WriteFile(path, []byte(ini), 0o644); err != nil {
		return nil, fmt.Errorf("testenv: %w", err)
	}
	s.argv = []string{program, path}
	u := url.URL{
		Scheme: "postgres", User: url.User(config.User), Host: fmt.Sprintf("127.0.0.1:%d", port),
		Path: "/" + config.Database, RawQuery: "sslmode=disable&default_query_exec_mode=cache_describe",
	}
	s.URL = u.String()
	s.ready = func(ctx context.Context) error {
		return withConn(ctx, s.URL, func(conn *pgx.Conn) error { return conn.Ping(ctx) })
	}
	return s, s.Start(ctx)
}

// PgBouncer starts a transaction-mode PgBouncer of the test's own before the
// database that the DSN names and returns the DSN through it.
func PgBouncer(t testing.TB, dsn string) string {
	t.Helper()
	s, err := NewPgBouncer(t.Context(), dsn)
	return own(t, s, err).URL
}
