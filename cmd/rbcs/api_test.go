package main

import (
	"encoding/json"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

// api runs a command against a service.
func (s *server) api(t *testing.T, args ...string) result {
	t.Helper()
	return run(t, append(args, "--url", s.URL())...)
}

// ok runs a command that must succeed and returns its output.
func (s *server) ok(t *testing.T, args ...string) string {
	t.Helper()
	r := s.api(t, args...)
	r.check(t, exitDone)
	return r.stdout
}

// rows returns a table as its cells.
func rows(table string) [][]string {
	var cells [][]string
	for line := range strings.Lines(table) {
		cells = append(cells, regexp.MustCompile(`  +`).Split(strings.TrimSpace(line), -1))
	}
	return cells
}

// TestHowToRepeat: the times that were made up for the person are told.
func TestHowToRepeat(t *testing.T) {
	s := funded(t, ServeCmd{})
	repeat := regexp.MustCompile(`; these times follow from now unless you give them: to repeat what is recorded, write (.*)`)
	for _, test := range []struct {
		command string
		flags   int
	}{
		{"tx submit bank alice 1 --id once", 1},
		{"tx hold bank alice 1 --id kept --timestamp 2026-01-02 --expires-in 1h", 1},
		{"tx hold bank alice 1 --id both --expires-in 1h", 2},
		{"tx submit bank alice 1 --id queued --execute-at 2030-01-31", 1},
	} {
		args := strings.Fields(test.command)
		first := s.ok(t, args...)
		r := s.api(t, args...)
		r.check(t, exitFailed, "id_conflict")
		found := repeat.FindStringSubmatch(r.stderr)
		if found == nil {
			t.Errorf("%s: no word on how to repeat it: %s", test.command, r.stderr)
			continue
		}
		given := strings.Fields(found[1])
		for i := 1; i < len(given); i += 2 {
			if !strings.Contains(first, given[i]) {
				t.Errorf("%s: the first answer does not tell %s: %s", test.command, given[i], first)
			}
		}
		if len(given) != 2*test.flags {
			t.Errorf("%s: to repeat it write %s", test.command, found[1])
		}
		if i := slices.Index(args, "--expires-in"); i > 0 && slices.Contains(given, "--expires-at") {
			args = slices.Delete(args, i, i+2)
		}
		s.ok(t, append(args, given...)...)
	}
	for _, args := range [][]string{
		{"tx", "submit", "bank", "alice", "2", "--id", "once"},
		{"tx", "submit", "bank", "alice", "1", "--id", "once", "--timestamp", "2026-01-02"},
	} {
		if r := s.api(t, args...); r.code != exitFailed || repeat.MatchString(r.stderr) {
			t.Errorf("%v: %s", args, r.stderr)
		}
	}
}

func TestAccountsAndTransactions(t *testing.T) {
	s := start(t, ServeCmd{})
	s.ok(t, "account", "create", "bank", "--currency", "USD", "--overdraft", "unlimited")
	s.ok(t, "account", "create", "acme:1", "--currency", "USD", "--metadata", `{"owner": "Ann"}`)
	s.ok(t, "tx", "submit", "bank", "acme:1", "12.34", "--id", "one", "--timestamp", "2026-01-02T03:04:05Z", "--description", "first")

	again := s.ok(t, "tx", "submit", "bank", "acme:1", "12.34", "--id", "one", "--timestamp", "2026-01-02T03:04:05Z", "--description", "first")
	if !strings.Contains(again, "decided already") {
		t.Errorf("a replay is shown as %s", again)
	}
	s.api(t, "tx", "submit", "bank", "acme:1", "12.35", "--id", "one").check(t, exitFailed, "id_conflict", "/amount", "/timestamp")
	s.api(t, "tx", "submit", "acme:1", "bank", "20", "--id", "two").check(t, exitFailed, "insufficient_funds", "7.66")
	s.api(t, "tx", "submit", "acme:1", "bank", "1.234").check(t, exitFailed, "currency")

	for _, test := range []struct {
		command string
		want    []string
	}{
		{"account get acme:1", []string{"owner", "Ann", "12.34", "open"}},
		{"account list --prefix acme:", []string{"acme:1", "12.34"}},
		{"account list --status frozen", []string{"NUMBER"}},
		{"account balance acme:1 --strong --min-version 1", []string{"12.34 USD", "store"}},
		{"account balance acme:1 --at 2020-01-01T00:00:00Z", []string{"0.00 USD"}},
		{"account history acme:1", []string{"12.34", "one", "bank"}},
		{"account history bank --oldest --from 2026-01-01", []string{"-12.34", "acme:1"}},
		{"tx get one", []string{"posted", "12.34 USD", "first", "then 12.34, version 1"}},
		{"tx get two", []string{"rejected", "insufficient_funds"}},
		{"tx list --account acme:1", []string{"one", "two", "rejected: insufficient_funds"}},
		{"tx list --status posted", []string{"one"}},
		{"account set acme:1 --status frozen", []string{"frozen"}},
		{"account set acme:1 --overdraft 5.00", []string{"5.00"}},
		{"account set acme:1 --status open --metadata {}", []string{"open"}},
	} {
		got := s.ok(t, strings.Fields(test.command)...)
		for _, word := range test.want {
			if !strings.Contains(got, word) {
				t.Errorf("%s does not show %q:\n%s", test.command, word, got)
			}
		}
	}
}

func TestListsSayThatThereIsMore(t *testing.T) {
	s := start(t, ServeCmd{})
	for _, number := range []string{"a", "b", "c"} {
		s.ok(t, "account", "create", number, "--currency", "EUR")
	}
	r := s.api(t, "account", "list", "--limit", "2")
	if got := rows(r.stdout); len(got) != 3 || got[1][0] != "a" || got[2][0] != "b" {
		t.Errorf("got %v", got)
	}
	if !strings.Contains(r.stderr, "more than 2") {
		t.Errorf("the third account is not mentioned: %q", r.stderr)
	}
	if r := s.api(t, "account", "list", "--limit", "3"); r.stderr != "" || len(rows(r.stdout)) != 4 {
		t.Errorf("got %+v", r)
	}
	s.api(t, "tx", "list", "--limit", "0").check(t, exitUsage, "--limit")
}

func TestJSONForScripts(t *testing.T) {
	s := start(t, ServeCmd{})
	s.ok(t, "account", "create", "bank", "--currency", "JPY", "--overdraft", "unlimited")
	s.ok(t, "account", "create", "alice", "--currency", "JPY")
	var posted struct {
		ID        string
		Status    string
		Timestamp time.Time
	}
	if err := json.Unmarshal([]byte(s.ok(t, "tx", "submit", "bank", "alice", "7", "--json")), &posted); err != nil {
		t.Fatal(err)
	}
	if len(posted.ID) != 36 || posted.ID[14] != '7' || posted.Status != "posted" || time.Since(posted.Timestamp).Abs() > time.Minute {
		t.Errorf("without --id and --timestamp a transaction gets a UUIDv7 and the time of now, not %+v", posted)
	}
	for line := range strings.Lines(s.ok(t, "account", "list", "--json")) {
		var account struct{ Number, Balance string }
		if err := json.Unmarshal([]byte(line), &account); err != nil || account.Number == "alice" && account.Balance != "7" {
			t.Errorf("got %s (%v)", line, err)
		}
	}
}

func TestAPIErrors(t *testing.T) {
	s := start(t, ServeCmd{})
	s.ok(t, "account", "create", "alice", "--currency", "USD")
	s.api(t, "account", "create", "alice", "--currency", "EUR").check(t, exitFailed, "account_conflict", "/currency")
	s.api(t, "account", "create", "a/b", "--currency", "USD").check(t, exitFailed, "/number")
	s.api(t, "account", "create", "bob", "--currency", "ABC").check(t, exitFailed, "/currency")
	s.api(t, "account", "get", "nobody").check(t, exitFailed, "nobody")
	s.api(t, "tx", "get", "nothing").check(t, exitFailed, "not_found")
	s.api(t, "tx", "submit", "alice", "alice", "-1").check(t, exitUsage)
	s.api(t, "tx", "submit", "alice", "bob", "1e3").check(t, exitFailed, "/amount", "exponent")
	s.api(t, "account", "set", "alice").check(t, exitUsage, "--status")
	s.api(t, "account", "set", "alice", "--status", "gone").check(t, exitUsage, "--status")
	s.api(t, "account", "create", "bob").check(t, exitUsage, "--currency")
	s.api(t, "account", "create", "bob", "--currency", "USD", "--metadata", "[]").check(t, exitUsage, "JSON object")
	s.api(t, "account", "balance", "alice", "--at", "yesterday").check(t, exitUsage, "not a time")
	s.api(t, "account", "balance", "alice", "--min-version", "9").check(t, exitFailed, "version_not_reached")
	run(t, "account", "list", "--url", "ftp://h").check(t, exitUsage, "--url")
}

func TestNoService(t *testing.T) {
	s := start(t, ServeCmd{})
	stop(t, s)
	s.api(t, "account", "list").check(t, exitFailed, "rbcs serve", s.URL())
	s.api(t, "events").check(t, exitFailed, "rbcs serve", s.URL())
}
