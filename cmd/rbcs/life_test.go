package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"rbcs/internal/testenv"
	"rbcs/internal/webhook"
)

// funded starts a service with a bank, alice, who has 100.00, and bob.
func funded(t *testing.T, cfg ServeCmd) *server {
	t.Helper()
	s := start(t, cfg)
	s.ok(t, "account", "create", "bank", "--currency", "USD", "--overdraft", "unlimited")
	s.ok(t, "account", "create", "alice", "--currency", "USD")
	s.ok(t, "account", "create", "bob", "--currency", "USD")
	s.ok(t, "tx", "submit", "bank", "alice", "100", "--id", "deposit")
	return s
}

// shows fails the test where a command does not print all of the words.
func (s *server) shows(t *testing.T, command string, words ...string) {
	t.Helper()
	got := s.ok(t, strings.Fields(command)...)
	for _, word := range words {
		if !strings.Contains(got, word) {
			t.Errorf("%s does not show %q:\n%s", command, word, got)
		}
	}
}

func TestHoldsAtTheTerminal(t *testing.T) {
	s := funded(t, ServeCmd{})
	s.shows(t, "tx hold alice bob 60.00 --id h --dry-run", "held (a dry run: nothing is recorded)", "60.00 USD")
	s.api(t, "tx", "get", "h").check(t, exitFailed, "not_found")
	s.shows(t, "tx hold alice bob 60.00 --id h --expires-in 1h", "held then", "60.00 USD", "expires at")
	s.shows(t, "account balance alice", "40.00 USD", "100.00 USD")
	s.shows(t, "tx list --status held", "hold", "alice")
	s.api(t, "tx", "submit", "alice", "bob", "41", "--dry-run").check(t, exitFailed, "would be rejected", "insufficient_funds")
	s.api(t, "tx", "capture", "h", "60.01").check(t, exitFailed, "amount_exceeds_hold")
	s.shows(t, "tx capture h 45 --id c", "original", "remainder", "15.00 USD")
	s.api(t, "tx", "release", "h").check(t, exitFailed, "hold_not_open", "c")
	s.shows(t, "tx get h", "captured", "settled by", "c")
	s.shows(t, "tx reverse c 20.00", "25.00 USD", "bob")
	s.shows(t, "tx get c", "reversed", "20.00 USD")
	s.shows(t, "tx hold alice bob 1 --id h2 --expires-at 2100-01-01", "2100-01-01T00:00:00.000000Z")
	s.shows(t, "tx release h2 --json", `"original":"h2"`)
	s.shows(t, "account history alice --type reversal --with bob", "20.00", "75.00")
	s.ok(t, "tx", "hold", "alice", "bob", "1")
	if r := run(t, "verify", "--store", string(s.cfg.Store)); !strings.Contains(r.stdout, "HELD") || r.code != exitDone || !strings.Contains(r.stdout, "4 posted, 3 held, of which 1 are open, 2 rejected") {
		t.Errorf("the audit says %s%s", r.stdout, r.stderr)
	}
	s.api(t, "tx", "hold", "alice", "bob", "1", "--expires-at", "2100-01-01", "--expires-in", "1h").check(t, exitUsage, "--expires-in")
	s.api(t, "tx", "hold", "alice", "bob", "1", "--expires-in", "-1h").check(t, exitUsage, "--expires-in")
}

// TestAHoldExpires is the service's own work, which nobody asks for.
func TestAHoldExpires(t *testing.T) {
	s := funded(t, ServeCmd{})
	s.ok(t, "tx", "hold", "alice", "bob", "60", "--id", "h", "--expires-in", "1ms")
	for deadline := time.Now().Add(5 * time.Second); !strings.Contains(s.ok(t, "tx", "get", "h"), "expired"); <-time.After(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("the hold does not expire")
		}
	}
	s.shows(t, "tx get rbcs.expiry.h", "expiry", "posted")
	s.shows(t, "account get alice", "0.00", "100.00")
}

func TestStatusOfAccounts(t *testing.T) {
	s := funded(t, ServeCmd{})
	s.shows(t, "account set alice --status frozen_outgoing", "frozen_outgoing")
	s.shows(t, "account list --status frozen_outgoing", "alice")
	s.shows(t, "account freeze alice", "frozen")
	s.api(t, "tx", "submit", "alice", "bob", "1").check(t, exitFailed, "account_frozen")
	s.api(t, "account", "close", "alice").check(t, exitFailed, "100.00")
	s.shows(t, "account reopen alice", "open")
	s.shows(t, "account close bob", "closed")
	s.api(t, "tx", "submit", "alice", "bob", "1").check(t, exitFailed, "account_closed")
}

func TestStatementsAndSums(t *testing.T) {
	s := funded(t, ServeCmd{})
	s.ok(t, "tx", "submit", "alice", "bob", "12.34", "--id", "one")
	table := s.ok(t, "account", "statement", "alice")
	for i, line := range strings.Split(table, "\n")[2:4] { // short rows stand around them
		if with := strings.Index(table, "WITH"); with < 0 || strings.Index(line, []string{"bank", "bob"}[i]) != with {
			t.Errorf("the columns are not in line:\n%s", table)
		}
	}
	lines := rows(table)
	if len(lines) != 5 || lines[1][1] != "0.00" || lines[2][3] != "100.00" || lines[3][3] != "-12.34" || lines[4][1] != "87.66" {
		t.Errorf("the statement is %q", lines)
	}
	s.shows(t, "account statement alice --from 2020-01-01 --to 2021-01-01", "2020-01-01T00:00:00.000000Z", "opening", "closing", "0.00")
	s.shows(t, "account statement alice --csv", "committed_at,type", ",opening_balance,", ",one,", ",closing_balance,,,,,,87.66,")
	s.shows(t, "account statement alice --json", `"opening_balance":"0.00"`, `"closing_balance":"87.66"`)
	s.api(t, "account", "statement", "alice", "--json", "--csv").check(t, exitUsage, "--csv")
	s.api(t, "account", "statement", "nobody", "--csv").check(t, exitFailed, "nobody")
	s.api(t, "account", "statement", "nobody").check(t, exitFailed, "nobody")

	if sums := rows(s.ok(t, "balances")); len(sums) != 2 || sums[1][0] != "USD" || sums[1][1] != "3" || sums[1][2] != "0.00" {
		t.Errorf("the sums are %q", sums)
	}
	s.shows(t, "balances al --json", `"balance":"87.66"`)
	s.api(t, "balances", "a/").check(t, exitFailed, "/prefix")
}

func TestEventsAtTheTerminal(t *testing.T) {
	s := funded(t, ServeCmd{})
	s.shows(t, "events --after 0-0 --limit 1", "1-1 ", "transfer", "deposit", "bank → alice  100.00 USD  posted")
	s.api(t, "tx", "release", "nothing").check(t, exitFailed)
	s.shows(t, "events --after 0-1 --limit 1", "nothing", "rejected: hold_not_found")
	s.shows(t, "events --after 0-0 --account alice --limit 1 --json", `"event_id":"`, `"id":"deposit"`)
	s.api(t, "events", "--after", "yesterday").check(t, exitFailed, "TIMELINE-SEQUENCE")
	s.api(t, "events", "--limit", "-1").check(t, exitUsage, "--limit")
	run(t, "events", "--url", "ftp://h").check(t, exitUsage, "--url")

	ctx, interrupt := context.WithCancel(t.Context())
	defer interrupt()
	var out, stderr testenv.Log
	done := make(chan int)
	go func() {
		m := Main{Stdout: &out, Stderr: &stderr}
		done <- m.Run(ctx, []string{"events", "--after", "0-0", "--url", s.URL()})
	}()
	for !strings.Contains(out.String(), "live") { // what is committed meanwhile
		s.ok(t, "tx", "submit", "alice", "bob", "1", "--id", "live", "--timestamp", "2026-01-01")
		<-time.After(5 * time.Millisecond)
	}
	interrupt()
	if code := <-done; code != exitDone {
		t.Errorf("Ctrl-C ends it with %d: %s", code, stderr.String())
	}
	if strings.Count(out.String(), "live") != 1 {
		t.Errorf("printed %s", out.String())
	}
}

// TestStopEndsStreams: nobody who follows the log keeps the service from stopping.
func TestStopEndsStreams(t *testing.T) {
	s := funded(t, ServeCmd{})
	response, err := http.Get(s.URL() + "/v1/events?after=0")
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	stream := bufio.NewReader(response.Body)
	for line := ""; !strings.Contains(line, "deposit"); {
		if line, err = stream.ReadString('\n'); err != nil {
			t.Fatal(err)
		}
	}
	began := time.Now()
	stop(t, s)
	if d := time.Since(began); d > 3*time.Second {
		t.Errorf("stopping took %s", d)
	}
	text, err := io.ReadAll(stream)
	if err != nil || !bytes.Contains(text, []byte("event: end\ndata: ")) || !bytes.Contains(text, []byte("unavailable")) {
		t.Errorf("the stream ended with %v after %s", err, text)
	}
}

func TestWebhooksAtTheTerminal(t *testing.T) {
	got := make(chan string, 100)
	var secret string
	receiver := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		if r.URL.Path == "/other" { // another secret's
			return
		}
		if err := webhook.Verify(secret, r.Header, body, time.Now(), time.Minute); err != nil {
			t.Error(err)
		}
		var delivery struct {
			Type string
			Data struct{ ID string }
		}
		if err := json.Unmarshal(body, &delivery); err != nil {
			t.Error(err)
		}
		got <- delivery.Type + " " + delivery.Data.ID
	}))
	defer receiver.Close()
	s := funded(t, ServeCmd{WebhookPrivate: true})
	s.api(t, "webhook", "create", "ftp://h").check(t, exitFailed, "/url")

	var hook struct{ ID, Secret string }
	created := s.ok(t, "webhook", "create", receiver.URL, "--prefix", "al", "--json") // from now on
	if err := json.Unmarshal([]byte(created), &hook); err != nil {
		t.Fatal(err)
	}
	secret = hook.Secret
	s.api(t, "tx", "submit", "alice", "bob", "1000", "--id", "too-much").check(t, exitFailed)
	if first := <-got; first != "transaction.rejected too-much" {
		t.Errorf("delivered %q first", first)
	}
	s.ok(t, "webhook", "replay", hook.ID, "0")
	if first := <-got; first != "transaction.posted deposit" {
		t.Errorf("replayed %q first", first)
	}
	s.shows(t, "webhook pause "+hook.ID, "paused", "al…")
	s.shows(t, "webhook list", hook.ID, "paused", receiver.URL)
	s.shows(t, "webhook list --json", `"paused":true`)
	s.shows(t, "webhook set "+hook.ID+" --target "+receiver.URL+"/v2", "/v2", "paused")
	s.shows(t, "webhook resume "+hook.ID, "active")
	s.shows(t, "webhook get "+hook.ID, "cursor")
	s.shows(t, "webhook create "+receiver.URL+"/other --account bob --prefix b --cursor 0", "bob and b…", "whsec_")
	s.shows(t, "webhook delete "+hook.ID, "deleted")
	s.api(t, "webhook", "delete", hook.ID).check(t, exitFailed, "not_found")
	s.api(t, "webhook", "get", hook.ID).check(t, exitFailed, "not_found")
}

// TestWebhooksStayPublic: without the flag nobody can reach what only this machine reaches.
func TestWebhooksStayPublic(t *testing.T) {
	s := start(t, ServeCmd{})
	for _, url := range []string{"http://example.com/", "https://127.0.0.1/", "https://localhost/", "https://10.0.0.1/", "https://[::1]/"} {
		s.api(t, "webhook", "create", url).check(t, exitFailed, "/url")
	}
}

// TestAHangingReceiverDoesNotHoldTheStop: what it was sent is sent again later.
func TestAHangingReceiverDoesNotHoldTheStop(t *testing.T) {
	asked := make(chan struct{}, 1)
	hangs := make(chan struct{})
	receiver := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		select {
		case asked <- struct{}{}:
		default:
		}
		<-hangs
	}))
	defer receiver.Close()
	defer close(hangs)
	s := funded(t, ServeCmd{WebhookPrivate: true})
	s.ok(t, "webhook", "create", receiver.URL, "--cursor", "0")
	<-asked
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	if err := s.Stop(ctx); err != nil {
		t.Error(err)
	}
}

func TestMetricsOfTheFollowers(t *testing.T) {
	s := funded(t, ServeCmd{})
	response, err := http.Get(s.URL() + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{
		"rbcs_event_lag_seconds 0", "rbcs_event_readers 0", "rbcs_event_readers_dropped 0",
		"rbcs_webhook_lag_seconds 0", "rbcs_webhooks_claimed 0", "rbcs_webhooks_waiting 0", "rbcs_holds_overdue 0",
	} {
		if !bytes.Contains(text, []byte("\n"+name+"\n")) {
			t.Errorf("the metrics have no line %q", name)
		}
	}
}

// TestImportOfHolds: holds keep their type and their time, through a service and straight into a store.
func TestImportOfHolds(t *testing.T) {
	lines := `{"number":"bank","currency":"USD","overdraft":"unlimited"}
{"number":"alice","currency":"USD"}
{"id":"h","type":"hold","source":"bank","destination":"alice","amount":"5","timestamp":"2026-01-01T00:00:00Z","expires_at":"2100-01-01T00:00:00Z"}
`
	file := writeFile(t, lines)
	served := start(t, ServeCmd{})
	store := sqliteStore(t)
	run(t, "import", "--url", served.URL(), file).says(t, exitDone, "held 1")
	run(t, "import", "--store", string(store), file).says(t, exitDone, "held 1")
	for _, s := range []*server{served, start(t, ServeCmd{Store: store})} {
		s.shows(t, "tx get h", "held", "2100-01-01T00:00:00.000000Z")
		run(t, "import", "--url", s.URL(), file).says(t, exitDone, "replayed 1")
	}
}

// TestHosts: what a web page makes a browser send to this machine is refused.
func TestHosts(t *testing.T) {
	for _, c := range []struct {
		hosts []string
		host  string
		want  int
	}{
		{nil, "localhost", http.StatusOK},
		{nil, "evil.example", http.StatusMisdirectedRequest},
		{[]string{"balances.example"}, "balances.example", http.StatusOK},
	} {
		s := start(t, ServeCmd{Hosts: c.hosts})
		request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.URL()+"/v1/accounts", nil)
		if err != nil {
			t.Fatal(err)
		}
		request.Host = c.host
		response, err := http.DefaultClient.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		_ = response.Body.Close()
		if response.StatusCode != c.want {
			t.Errorf("with the hosts %v, %s is answered with %d", c.hosts, c.host, response.StatusCode)
		}
	}
}
