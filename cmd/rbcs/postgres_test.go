package main

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"rbcs"
	"rbcs/internal/testenv"
)

func TestPostgres(t *testing.T) {
	store := testenv.Postgres(t)
	serve := []string{"serve", "--listen", "127.0.0.1:0", "--store", store}
	for _, command := range [][]string{serve, {"verify", "--store", store}} {
		r := run(t, command...)
		r.check(t, exitUsage, ": the database has schema version 0", "rbcs migrate --store")
		if strings.Contains(r.stderr, string(rbcs.InvalidRequest)) {
			t.Errorf("a code is no use here: %s", r.stderr)
		}
	}
	for range 2 { // again is fine
		r := run(t, "migrate", "--store", store)
		r.check(t, exitDone)
		if !strings.HasSuffix(r.stdout, " is up to date\n") {
			t.Errorf("got %q", r.stdout)
		}
	}
	run(t, "migrate", "--store", store, "--service-role", "nobody").check(t, exitFailed, "nobody")

	s := start(t, ServeCmd{Store: StoreName(store)})
	s.ok(t, "account", "create", "bank", "--currency", "USD", "--overdraft", "unlimited")
	s.ok(t, "account", "create", "alice", "--currency", "USD")
	s.ok(t, "tx", "submit", "bank", "alice", "12.34")
	run(t, "verify", "--store", store).check(t, exitDone)
}

// TestPostgresBehindAPooler: two instances share its backends, the DSN says
// nothing of it, and what happens in the background happens.
func TestPostgresBehindAPooler(t *testing.T) {
	store := testenv.Postgres(t)
	run(t, "migrate", "--store", store).check(t, exitDone)
	pooled, found := strings.CutSuffix(testenv.PgBouncer(t, store), "&default_query_exec_mode=cache_describe")
	if !found {
		t.Fatal("the DSN tells nothing of the pooler already")
	}
	delivered := make(chan string, 100)
	hook := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body) // what is cut short has no ID
		delivered <- string(body)
	}))
	defer hook.Close()
	a := funded(t, ServeCmd{Store: StoreName(pooled), Instance: "a", WebhookPrivate: true})
	b := start(t, ServeCmd{Store: StoreName(pooled), Instance: "b", WebhookPrivate: true})
	b.ok(t, "webhook", "create", hook.URL)
	b.ok(t, "tx", "hold", "alice", "bob", "1", "--id", "short", "--expires-in", "1ms")
	for deadline := time.Now().Add(30 * time.Second); !strings.Contains(a.ok(t, "tx", "get", "short"), "expired"); {
		if time.Now().After(deadline) {
			t.Fatal("the hold never expires")
		}
	}
	for late := time.After(30 * time.Second); ; {
		select {
		case body := <-delivered:
			if strings.Contains(body, "rbcs.expiry.short") {
				return
			}
		case <-late:
			t.Fatal("the expiry is never delivered")
		}
	}
}

// TestMigrateWhenServing brings the schema up to date on the way.
func TestMigrateWhenServing(t *testing.T) {
	s := start(t, ServeCmd{Store: StoreName(testenv.Postgres(t)), Migrate: true})
	s.ok(t, "account", "list")
}

func TestUnreachablePostgres(t *testing.T) {
	for _, command := range []string{"serve --listen 127.0.0.1:0", "serve --listen 127.0.0.1:0 --migrate", "verify", "migrate"} {
		r := run(t, append(strings.Fields(command), "--store", "postgres://rbcs:geheim@127.0.0.1:1/rbcs")...)
		r.check(t, exitFailed, "127.0.0.1:1", "unavailable")
		if strings.Contains(r.stderr, "geheim") {
			t.Errorf("%s prints the password: %s", command, r.stderr)
		}
	}
}

func TestMigrateSQLite(t *testing.T) {
	store := sqliteStore(t)
	run(t, "migrate", "--store", string(store)).check(t, exitDone)
	run(t, "verify", "--store", string(store)).check(t, exitDone)
	run(t, "migrate", "--store", string(store), "--service-role", "rbcs").check(t, exitUsage, "--service-role")
	s := start(t, ServeCmd{Store: store})
	run(t, "migrate", "--store", string(s.cfg.Store)).check(t, exitFailed, "another rbcs")
}
