package postgres

import (
	"context"
	"errors"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgproto3"
)

const preparedSQL = "select count(*) from pg_prepared_statements where name like 'stmtcache%'"

// TestPoolersAreFound: statements are kept prepared where nothing stands between,
// or where the DSN says so, and nowhere else.
func TestPoolersAreFound(t *testing.T) {
	direct := migrated(t)
	const told = "&default_query_exec_mode=cache_statement"
	for _, c := range []struct {
		name, dsn      string
		found, prepare bool
	}{
		{"direct", direct, false, true},
		{"through a pooler", pooled(t, direct), true, false},
		{"through a pooler that is told to know them", pooled(t, direct) + told, false, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := openStore(t, c.dsn)
			if found := s.links.pooled.Load(); found != c.found {
				t.Errorf("a pooler was found: %v", found)
			}
			conn, err := s.pool.Acquire(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Release()
			var prepared int
			if err := conn.QueryRow(t.Context(), preparedSQL).Scan(&prepared); err != nil || (prepared > 0) != c.prepare {
				t.Errorf("%d statements are prepared, %v", prepared, err)
			}
		})
	}
}

// TestTwoInstancesBehindAPooler use the same backends in turn: each statement
// meets those that the other one has used.
func TestTwoInstancesBehindAPooler(t *testing.T) {
	dsn := pooled(t, migrated(t))
	stores := []*Store{openStore(t, dsn), openStore(t, dsn)}
	createAccounts(t, stores[0], 2)
	for i := range 20 {
		s := stores[i%2]
		commitOne(t, s, strings.Repeat("x", i+1))
		if _, err := s.DueHolds(t.Context(), 10); err != nil {
			t.Fatal(err)
		}
		if _, err := s.ClaimWebhooks(t.Context(), s.instance, time.Second); err != nil {
			t.Fatal(err)
		}
	}
}

// TestAPoolerThatIsPutBetween is found by the connections that are made then.
func TestAPoolerThatIsPutBetween(t *testing.T) {
	s := openStore(t, pooled(t, migrated(t)))
	s.links.pooled.Store(false) // as if it had not been there
	s.links.renew()
	createAccounts(t, s, 2)
	commitOne(t, s, "x")
	if !s.links.pooled.Load() {
		t.Error("it was not found")
	}
}

// TestAPoolerThatFallsSilent, as it does while its own server is away, is given up
// like one that cannot be reached.
func TestAPoolerThatFallsSilent(t *testing.T) {
	listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = listener.Close() }()
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go func() {
				client := pgproto3.NewBackend(conn, conn)
				_, err := client.ReceiveStartupMessage()
				client.Send(&pgproto3.AuthenticationOk{})
				client.Send(&pgproto3.BackendKeyData{ProcessID: 1, SecretKey: make([]byte, 4)})
				client.Send(&pgproto3.ReadyForQuery{TxStatus: 'I'})
				err = errors.Join(err, client.Flush())
				for err == nil {
					_, err = client.Receive() // and say nothing
				}
				_ = conn.Close()
			}()
		}
	}()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	dsn := "postgres://x@" + listener.Addr().String() + "/x?sslmode=disable&target_session_attrs=any&connect_timeout=1"
	if _, err := Open(ctx, dsn, Options{Logger: quiet}); err == nil || ctx.Err() != nil {
		t.Errorf("it was waited for: %v", err)
	}
}
