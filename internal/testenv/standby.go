package testenv

import (
	"context"
	"fmt"
	"net/url"
	"path/filepath"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// StandbyName is the application_name of a standby's connection to its primary,
// for synchronous_standby_names. Set that (ALTER SYSTEM, pg_reload_conf) once the
// standby streams: a primary that waits for nobody is needed to copy it.
const StandbyName = "standby"

// NewStandby starts a server that follows the PostgreSQL server primary by
// streaming replication, and returns once it streams. It has the primary's
// settings, then its own. It answers reads; [Server.Promote] makes it a primary.
func NewStandby(ctx context.Context, primary *Server, settings ...string) (*Server, error) {
	backup, err := find("pg_basebackup", "postgresql", debianPostgres)
	if err != nil {
		return nil, err
	}
	source, err := url.Parse(primary.URL)
	if err != nil {
		return nil, fmt.Errorf("testenv: %w", err)
	}
	s, err := newServer("standby", "postgres")
	if err != nil {
		return nil, err
	}
	port, err := freePort()
	if err != nil {
		return s, err
	}
	data := filepath.Join(s.dir, "data")
	from := fmt.Sprintf("host=127.0.0.1 port=%s user=postgres application_name=%s", source.Port(), StandbyName)
	out, err := s.command(backup, "-d", from, "-D", data, "-R", "-X", "stream", "-c", "fast", "--no-sync").CombinedOutput()
	if err != nil {
		return s, fmt.Errorf("testenv: pg_basebackup: %w\n%s", err, out)
	}
	s.argv = slices.Clone(primary.argv)
	s.argv[slices.Index(s.argv, "-D")+1] = data
	s.argv[slices.Index(s.argv, "-p")+1] = strconv.Itoa(port)
	for _, setting := range settings {
		s.argv = append(s.argv, "-c", setting)
	}
	source.Host = fmt.Sprintf("127.0.0.1:%d", port)
	s.URL = source.String()
	s.ready = func(ctx context.Context) error { return withConn(ctx, s.URL, func(*pgx.Conn) error { return nil }) }
	if err := s.Start(ctx); err != nil {
		return s, err
	}
	return s, s.poll(ctx, "select exists (select from pg_stat_wal_receiver where status = 'streaming')")
}

// Promote makes a standby a primary and returns once it accepts writes. End the
// old primary first: nothing here keeps both from accepting them.
func (s *Server) Promote(ctx context.Context) error {
	err := withConn(ctx, s.URL, func(conn *pgx.Conn) error {
		_, err := conn.Exec(ctx, "select pg_promote(false)")
		return err
	})
	if err != nil {
		return fmt.Errorf("testenv: promote: %w", err)
	}
	return s.poll(ctx, "select not pg_is_in_recovery()")
}

// poll asks the server the question until the answer is true.
func (s *Server) poll(ctx context.Context, question string) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	return withConn(ctx, s.URL, func(conn *pgx.Conn) error {
		for {
			var yes bool
			if err := conn.QueryRow(ctx, question).Scan(&yes); err != nil {
				return fmt.Errorf("testenv: %s: %w; its log ends with:\n%s", question, err, s.logTail())
			}
			if yes {
				return nil
			}
			select {
			case <-ctx.Done():
				return fmt.Errorf("testenv: %s: %w; its log ends with:\n%s", question, ctx.Err(), s.logTail())
			case <-tick.C:
			}
		}
	})
}

// Follow returns once this standby has replayed all that its primary has written so far.
func (s *Server) Follow(ctx context.Context, primary *Server) error {
	var end string
	err := withConn(ctx, primary.URL, func(conn *pgx.Conn) error {
		return conn.QueryRow(ctx, "select pg_current_wal_flush_lsn()::text").Scan(&end)
	})
	if err != nil {
		return fmt.Errorf("testenv: follow: %w", err)
	}
	return s.poll(ctx, "select pg_last_wal_replay_lsn() >= '"+end+"'")
}

// Standby starts a standby of the test's own that follows this PostgreSQL
// server. Settings are written "name=value" and are added to the primary's.
func (s *Server) Standby(t testing.TB, settings ...string) *Server {
	t.Helper()
	standby, err := NewStandby(t.Context(), s, settings...)
	return own(t, standby, err)
}
