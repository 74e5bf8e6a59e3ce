package postgres

import (
	"context"
	"errors"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"rbcs"
	"rbcs/internal/testenv"
)

// primaryAndStandby starts a migrated primary and a standby, and returns a DSN that names both.
func primaryAndStandby(t *testing.T) (primary, standby *testenv.Server, dsn string) {
	t.Helper()
	primary = migratedServer(t)
	standby = primary.Standby(t)
	return primary, standby, strings.Replace(primary.URL, "@", "@"+testenv.HostOf(standby.URL)+",", 1)
}

// again repeats what may fail while the database is away.
func again(t *testing.T, do func(context.Context) error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 60*time.Second)
	defer cancel()
	for {
		err := do(ctx)
		if err == nil {
			return
		}
		var known *rbcs.Error
		if !errors.As(err, &known) || !known.Retryable() || ctx.Err() != nil {
			t.Fatal(err)
		}
		select {
		case <-time.After(10 * time.Millisecond):
		case <-ctx.Done():
		}
	}
}

// TestFailover kills the primary and promotes the standby, which stands first in
// the DSN: the store goes on by itself, without a restart.
func TestFailover(t *testing.T) {
	primary, standby, dsn := primaryAndStandby(t)
	s := openStore(t, dsn)
	createAccounts(t, s, 2)
	commitOne(t, s, "before")
	warm(t, s, 4)
	database := named(t, s)
	if err := errors.Join(standby.Follow(t.Context(), primary), primary.Crash()); err != nil {
		t.Fatal(err)
	}
	_, err := s.Commit(t.Context(), []*rbcs.Transaction{transfer("between")})
	var known *rbcs.Error
	if !errors.As(err, &known) || known.Code != unavailable || !known.Away {
		t.Fatalf("with the primary gone: %v", err)
	}
	if err := standby.Promote(t.Context()); err != nil {
		t.Fatal(err)
	}
	promoted := time.Now()
	again(t, func(ctx context.Context) error {
		_, err := s.Commit(ctx, []*rbcs.Transaction{transfer("after")})
		return err
	})
	t.Logf("the first commit %v after the promotion", time.Since(promoted))
	for _, id := range []string{"before", "after"} {
		if r, err := s.Transaction(t.Context(), id); err != nil || r.Status != rbcs.Posted {
			t.Errorf("%s: %+v, %v", id, r.Status, err)
		}
	}
	if err := s.Check(t.Context()); err != nil {
		t.Error(err)
	}
	if after := named(t, s); after != database {
		t.Errorf("the database is called %s after the promotion, %s before", after, database)
	}
}

// warm gives the pool n idle connections.
func warm(t *testing.T, s *Store, n int) {
	t.Helper()
	var held []interface{ Release() }
	for range n {
		conn, err := s.pool.Acquire(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		held = append(held, conn)
	}
	for _, conn := range held {
		conn.Release()
	}
	if got := s.pool.Stat().IdleConns(); got < int32(n) {
		t.Fatalf("%d idle connections, want %d", got, n)
	}
}

// drained waits until the pool has given its old connections up.
func drained(t *testing.T, s *Store) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); s.pool.Stat().TotalConns() > 0; {
		if time.Now().After(deadline) {
			t.Fatalf("%d connections are still there", s.pool.Stat().TotalConns())
		}
	}
}

// TestAStandbyAnswersOnce has a pool whose connections all lead to a standby, as
// behind a pooler after a failover: the first answer gives all of them up.
func TestAStandbyAnswersOnce(t *testing.T) {
	_, standby, _ := primaryAndStandby(t)
	s := openStore(t, standby.URL+"&target_session_attrs=any")
	warm(t, s, 4)
	_, err := s.Commit(t.Context(), []*rbcs.Transaction{transfer("x")})
	wantCode(t, err, unavailable)
	if !strings.Contains(err.Error(), "0A000") {
		t.Errorf("error %v", err)
	}
	drained(t, s)
	for what, ask := range map[string]func() error{
		"Check": func() error { return s.Check(t.Context()) },
		"Database": func() error {
			_, err := s.Database(t.Context())
			return err
		},
		"Balances": func() error {
			_, err := s.Balances(t.Context(), []string{"a:0"})
			return err
		},
		"Cache": func() error {
			_, err := s.Cache(t.Context())
			return err
		},
	} {
		warm(t, s, 4)
		if err := ask(); rbcs.CodeOf(err) != unavailable {
			t.Errorf("%s of a standby: %v", what, err)
		}
		drained(t, s)
	}
	if _, err := Open(t.Context(), standby.URL, Options{Logger: quiet}); rbcs.CodeOf(err) != unavailable {
		t.Errorf("a standby alone is taken: %v", err)
	}
}

// TestOneDeadConnectionSpeaksForAll restarts the server: the first connection
// that turns out to be dead is the only one.
func TestOneDeadConnectionSpeaksForAll(t *testing.T) {
	server := migratedServer(t)
	s := openStore(t, server.URL)
	createAccounts(t, s, 2)
	warm(t, s, 4)
	if err := server.Crash(); err != nil {
		t.Fatal(err)
	}
	if err := server.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	failed := 0
	again(t, func(ctx context.Context) error {
		_, err := s.Account(ctx, "a:0")
		if err != nil {
			failed++
		}
		return err
	})
	if failed > 1 {
		t.Errorf("%d reads met a dead connection, want at most one", failed)
	}
	commitOne(t, s, "x")
}

// TestReadsAreRefusedAtOnceWhileTheServerHangs has a server that takes
// connections and says nothing.
func TestReadsAreRefusedAtOnceWhileTheServerHangs(t *testing.T) {
	server := migrated(t)
	p, dsn := testenv.PostgresProxy(t, server)
	s := openStore(t, dsn+"&connect_timeout=1")
	createAccounts(t, s, 2)
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var attempts atomic.Int64
	go func() {
		for {
			conn, err := silent.Accept()
			if err != nil {
				return
			}
			attempts.Add(1)
			t.Cleanup(func() { _ = conn.Close() })
		}
	}()
	defer func() { _ = silent.Close() }()
	p.Lead(silent.Addr().String())
	p.Cut()
	for away := false; !away; {
		_, err := s.Account(t.Context(), "a:0")
		wantCode(t, err, unavailable)
		s.links.mu.Lock()
		away = s.links.away()
		s.links.mu.Unlock()
	}
	// One of many looks for the server; the others do not wait for it.
	var all sync.WaitGroup
	before := attempts.Load()
	for range 40 {
		all.Go(func() {
			if _, err := s.Account(t.Context(), "a:0"); rbcs.CodeOf(err) != unavailable {
				t.Errorf("error %v", err)
			}
		})
	}
	all.Wait()
	if n := attempts.Load() - before; n > 2 { // one, unless it ended meanwhile
		t.Errorf("%d connections were tried by 40 reads", n)
	}
	p.Lead(testenv.HostOf(server))
	again(t, func(ctx context.Context) error {
		_, err := s.Account(ctx, "a:0")
		return err
	})
}

func TestLinks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := &links{}
		begin := func() error { return l.begin(t.Context(), nil) }
		refused := errors.New("refused")
		for range 2 * awayFailures { // all within no time
			if err := begin(); err != nil {
				t.Fatal(err)
			}
			l.end(refused)
		}
		time.Sleep(awayAfter) // of the bubble: no real time passes
		if err := begin(); err != nil {
			t.Fatalf("the one that looks: %v", err)
		}
		if err := begin(); failure(err).Code != unavailable || !failure(err).Away {
			t.Errorf("a second one: %v", err)
		}
		l.end(refused)
		if err := begin(); err != nil {
			t.Errorf("the next one that looks: %v", err)
		}
		l.end(nil)
		for range 3 {
			if err := begin(); err != nil {
				t.Errorf("the server is back: %v", err)
			}
		}
	})
}
