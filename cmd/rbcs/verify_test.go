package main

import (
	"database/sql"
	"encoding/json"
	"strings"
	"testing"

	_ "modernc.org/sqlite"
)

// TestVerify audits a store beside the service that has it open, and again
// after somebody has changed a balance behind its back.
func TestVerify(t *testing.T) {
	s := start(t, ServeCmd{})
	store := string(s.cfg.Store)
	s.ok(t, "account", "create", "bank", "--currency", "USD", "--overdraft", "unlimited")
	s.ok(t, "account", "create", "alice", "--currency", "USD")
	s.ok(t, "tx", "submit", "bank", "alice", "12.34")

	r := run(t, "verify", "--store", store)
	r.check(t, exitDone)
	for _, word := range []string{"2 accounts, 1 transaction (", "USD", "0.00", "OK"} {
		if !strings.Contains(r.stdout, word) {
			t.Errorf("the audit does not say %q: %s", word, r.stdout)
		}
	}
	stop(t, s)

	db, err := sql.Open("sqlite", s.cfg.Store.Path())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := db.ExecContext(t.Context(), `UPDATE accounts SET version = version + 1 WHERE number = 'alice'`); err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	r = run(t, "verify", "--store", store)
	r.check(t, exitFailed, "1 fault")
	if !strings.Contains(r.stdout, "FAULT account alice: version") {
		t.Errorf("the fault is not listed: %s", r.stdout)
	}
	r = run(t, "verify", "--store", store, "--json")
	r.check(t, exitFailed, "1 fault")
	var report verifyReport
	if err := json.Unmarshal([]byte(r.stdout), &report); err != nil || report.OK || report.FaultCount != 1 || report.Faults[0].Account != "alice" {
		t.Errorf("got %+v (%v)", report, err)
	}
}

func TestVerifyOfNothing(t *testing.T) {
	store := sqliteStore(t)
	run(t, "verify", "--store", string(store)).check(t, exitFailed, store.Path()+": there is no such file; name")
	run(t, "verify", "--store", "postgres://u:geheim@127.0.0.1:1/d").check(t, exitFailed, "127.0.0.1")
}
