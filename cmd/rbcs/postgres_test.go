package main

import (
	"strings"
	"testing"

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
