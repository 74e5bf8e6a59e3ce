package main

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"rbcs/client"
)

// TestAQueueBeforeASmallEngine: what is queued together is decided, also where the
// engine never takes so much at once.
func TestAQueueBeforeASmallEngine(t *testing.T) {
	s := funded(t, ServeCmd{MaxPending: 8})
	api, err := client.New(s.URL())
	if err != nil {
		t.Fatal(err)
	}
	defer api.Close()
	txs := make([]client.Transaction, 30)
	for i := range txs {
		txs[i] = client.Transaction{ID: fmt.Sprint("t", i), Source: "bank", Destination: "alice", Amount: "1", Timestamp: time.Now()}
	}
	if _, err := api.SubmitBatch(t.Context(), txs, client.Async()); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(30 * time.Second); !strings.Contains(s.ok(t, "tx", "get", "t29"), "posted"); {
		if time.Now().After(deadline) {
			t.Fatal("they are never posted")
		}
	}
}

func TestTheQueueAtTheTerminal(t *testing.T) {
	s := funded(t, ServeCmd{})
	s.ok(t, "tx", "submit", "bank", "alice", "1", "--id", "soon", "--async")
	for deadline := time.Now().Add(30 * time.Second); !strings.Contains(s.ok(t, "tx", "get", "soon"), "posted"); {
		if time.Now().After(deadline) {
			t.Fatal("it is never posted")
		}
	}
	s.ok(t, "tx", "submit", "bank", "alice", "1.50", "--id", "later", "--execute-at", "2030-01-31", "--retry-until", "2030-02-01")
	s.shows(t, "tx get later", "queued", "execute at", "2030-01-31T00:00:00.000000Z", "retry until", "1.50\n")
	s.shows(t, "intake list", "later", "queued", "bank", "alice", "1.50")
	s.shows(t, "intake list --json", `"id":"later"`)
	s.ok(t, "tx", "submit", "carol", "alice", "1", "--id", "again", "--retry-until", "2030-02-01") // there is no carol
	for deadline := time.Now().Add(30 * time.Second); !strings.Contains(s.ok(t, "intake", "list"), "retrying"); {
		if time.Now().After(deadline) {
			t.Fatal("what is tried again is never listed")
		}
	}
	s.shows(t, "intake list", "again", "account_not_found", "later", "queued")
	s.shows(t, "intake list --state retrying", "again")
	if got := s.ok(t, "intake", "list", "--state", "queued"); strings.Contains(got, "again") {
		t.Errorf("what is tried again is listed as queued: %s", got)
	}
	s.api(t, "intake", "discard", "later").check(t, exitUsage, "--reason")
	s.ok(t, "intake", "discard", "later", "--reason", "paid in cash")
	s.shows(t, "intake list --state discarded", "later")
	s.shows(t, "intake show later", "discarded", "paid in cash")
	s.shows(t, "intake show later --json", `"state":"discarded"`)
	s.api(t, "tx", "submit", "bank", "alice", "1.50", "--id", "later").check(t, exitFailed, "discarded")
	s.ok(t, "intake", "replay", "later", "--reason", "it was not")
	s.api(t, "intake", "replay", "later", "none").check(t, exitFailed, "1 of 2")
	s.shows(t, "intake replay later --json", `{"id":"later"}`)
	s.api(t, "intake", "show", "none").check(t, exitFailed, "not_found")
	s.api(t, "intake", "show", "soon").check(t, exitFailed, "is decided", "rbcs tx get soon")
	if got := s.api(t, "intake", "replay", "soon"); !strings.Contains(got.stdout, "rbcs tx get soon") {
		t.Errorf("a replay of what is decided says %+v", got)
	}
	s.api(t, "intake", "list", "--limit", "0").check(t, exitUsage, "--limit")

	resp, err := http.Get(s.URL() + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	if err := resp.Body.Close(); err != nil {
		t.Error(err)
	}
	for _, line := range []string{
		`rbcs_intake_depth{state="queued"} 1`, `rbcs_intake_depth{state="dead"} 0`, "rbcs_intake_oldest_seconds 0",
		`rbcs_intake_attempts_total{outcome="posted"} 1`, `rbcs_transactions_total{code="",outcome="queued"} 3`,
	} {
		if !strings.Contains(string(text), line) {
			t.Errorf("the metrics have no %s", line)
		}
	}
}

// TestOmittedAttemptsAtTheTerminal: a history that counts says so.
func TestOmittedAttemptsAtTheTerminal(t *testing.T) {
	var r client.Result
	r.Attempts = []client.QueueChange{{Kind: "failed", Code: "internal"}, {Kind: "failed", Code: "internal", Omitted: 237, NextAt: time.Unix(0, 0)}}
	rows := queueRows(&r)
	if got, want := rows[1][1], "failed internal, next at 1970-01-01T00:00:00.000000Z (and 237 more before it, not listed)"; got != want || rows[0][1] != "failed internal" {
		t.Errorf("%q, want %q; before it %q", got, want, rows[0][1])
	}
}
