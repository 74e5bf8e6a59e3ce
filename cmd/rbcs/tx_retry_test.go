package main

import "testing"

func TestRetryAtTheTerminal(t *testing.T) {
	s := funded(t, ServeCmd{})
	s.api(t, "tx", "submit", "alice", "bob", "150", "--id", "x").check(t, exitFailed, "insufficient_funds")
	s.api(t, "tx", "retry", "x").check(t, exitFailed, "insufficient_funds")
	s.ok(t, "account", "set", "alice", "--overdraft", "100")
	s.shows(t, "tx retry x --dry-run", "a dry run", "attempt", "3")
	s.shows(t, "tx retry x", "posted", "attempt", "3")
	s.shows(t, "tx retry x", "before: this ID was decided already")
	s.shows(t, "tx get x", "attempt 1", "rejected: insufficient_funds at ", "attempt 3", "posted at ")
	s.api(t, "tx", "retry", "none").check(t, exitFailed, "not_found")
	run(t, "verify", "--store", string(s.cfg.Store)).check(t, exitDone)
}
