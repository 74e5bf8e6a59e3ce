package rest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"rbcs"
	"rbcs/internal/engine"
	"rbcs/internal/events"
	"rbcs/internal/intake"
	"rbcs/internal/sqlite"
)

// service is a client of the interface over the real engine and a real store.
type service struct {
	*client
	store  rbcs.Store
	engine *engine.Engine
	feed   *events.Feed
	logger *slog.Logger
}

func newService(t *testing.T, change ...func(*Config)) *service {
	t.Helper()
	logger := slog.New(slog.DiscardHandler)
	store, err := sqlite.Open(t.Context(), filepath.Join(t.TempDir(), "test.db"), sqlite.Options{Instance: "test", Logger: logger})
	if err != nil {
		t.Fatal(err)
	}
	e, err := engine.New(store, engine.Config{Logger: logger})
	if err != nil {
		t.Fatal(err)
	}
	feed := events.New(store, events.Config{Logger: logger, Poll: 5 * time.Millisecond})
	feed.Start()
	queue := intake.New(store, e, intake.Config{Logger: logger, Interval: 5 * time.Millisecond, Backoff: time.Millisecond, MaxBackoff: 5 * time.Millisecond})
	queue.Start()
	t.Cleanup(func() {
		if err := errors.Join(queue.Stop(context.Background()), feed.Stop(context.Background()), e.Stop(context.Background()), store.Close()); err != nil {
			t.Error(err)
		}
	})
	h := newHandler(t, store, e, append([]func(*Config){func(c *Config) { c.Events, c.Intake = feed, queue }}, change...)...)
	return &service{newClient(t, h), store, e, feed, logger}
}

// want sends a request and checks the status.
func (c *client) want(status int, method, path, target, body string, header ...string) map[string]any {
	c.t.Helper()
	w := c.do(method, path, target, body, header...)
	if w.Code != status {
		c.t.Fatalf("%s %s: status %d, want %d: %s", method, target, w.Code, status, w.Body)
	}
	return object(c.t, w.Body.Bytes())
}

func (c *client) account(number, rest string) map[string]any {
	c.t.Helper()
	return c.want(201, "POST", "/v1/accounts", "/v1/accounts", fmt.Sprintf(`{"number":%q,"currency":"USD"%s}`, number, rest))
}

// transfer is a transaction of which only what matters is said.
func transfer(id, from, to, amount string) string {
	return fmt.Sprintf(`{"id":%q,"source":%q,"destination":%q,"amount":%q,"timestamp":"2026-01-02T03:04:05.5+02:00"}`, id, from, to, amount)
}

// wantMembers compares the members that are named.
func wantMembers(t *testing.T, got map[string]any, want map[string]string) {
	t.Helper()
	for name, value := range want {
		if fmt.Sprint(got[name]) != value {
			t.Errorf("%s is %v, want %s", name, got[name], value)
		}
	}
}

func TestAccounts(t *testing.T) {
	c := newService(t)
	const path, one = "/v1/accounts", "/v1/accounts/{number}"
	created := c.account("acme:a", `,"overdraft":"500","metadata":{"b":1.0,"a":"x"}`)
	wantMembers(t, created, map[string]string{
		"number": "acme:a", "currency": "USD", "status": "open", "overdraft": "500.00", "balance": "0.00", "available": "0.00",
		"held": "0.00", "received": "0.00", "sent": "0.00", "version": "0", "metadata": "map[a:x b:1]",
	})
	same := `{"metadata":{"a":"x","b":1},"overdraft":"500.00","currency":"USD","number":"acme:a"}`
	c.want(200, "POST", path, path, same)
	conflict := c.want(409, "POST", path, path, `{"number":"acme:a","currency":"EUR"}`)
	wantMembers(t, conflict, map[string]string{"code": "account_conflict"})
	if conflict["errors"] == nil {
		t.Error("the conflict names no field")
	}
	c.account("acme:b", `,"overdraft":"unlimited"`)
	c.account("zeta", "")

	batch := c.want(200, "POST", "/v1/accounts/batch", "/v1/accounts/batch",
		`[{"number":"zeta","currency":"USD"},{"number":"new","currency":"POINTS"},{"number":"a/b","currency":"USD"},{"number":"zeta","currency":"EUR"}]`)
	var statuses []string
	for _, r := range batch["results"].([]any) {
		statuses = append(statuses, fmt.Sprint(r.(map[string]any)["status"]))
	}
	if got := strings.Join(statuses, " "); got != "existing created error error" {
		t.Errorf("batch: %s", got)
	}
	wrong := batch["results"].([]any)[2].(map[string]any)
	wantMembers(t, wrong, map[string]string{"number": "a/b", "code": "invalid_request", "retryable": "false"})
	wantMembers(t, wrong["errors"].([]any)[0].(map[string]any), map[string]string{"pointer": "/2/number"})

	wantMembers(t, c.want(200, "GET", one, "/v1/accounts/acme:b", ""), map[string]string{"overdraft": "unlimited"})
	wantMembers(t, c.want(404, "GET", one, "/v1/accounts/nobody", ""), map[string]string{"code": "not_found"})
	changed := c.want(200, "PATCH", one, "/v1/accounts/acme:a", `{"status":"frozen","overdraft":"0","metadata":{}}`)
	wantMembers(t, changed, map[string]string{"status": "frozen", "overdraft": "0.00", "metadata": "map[]"})
	c.want(404, "PATCH", one, "/v1/accounts/nobody", `{"status":"frozen"}`)
	c.want(400, "PATCH", one, "/v1/accounts/acme:a", `{"overdraft":"0.001"}`)

	if got := c.pages(path, "/v1/accounts?limit=1&prefix=acme:", "accounts", "number"); got != "acme:a acme:b" {
		t.Errorf("accounts %s", got)
	}
	if got := c.pages(path, "/v1/accounts?status=frozen&currency=USD", "accounts", "number"); got != "acme:a" {
		t.Errorf("frozen accounts %s", got)
	}
	c.want(200, "PATCH", one, "/v1/accounts/acme:a", `{"status":"frozen_outgoing"}`)
	if got := c.pages(path, "/v1/accounts?status=frozen_outgoing", "accounts", "number"); got != "acme:a" {
		t.Errorf("accounts that nothing leaves: %s", got)
	}
}

// pages follows a list to its end and returns one member of each item.
func (c *client) pages(path, target, list, member string) string {
	c.t.Helper()
	var all []string
	next := target
	for {
		page := c.want(200, "GET", path, next, "")
		for _, item := range page[list].([]any) {
			all = append(all, fmt.Sprint(item.(map[string]any)[member]))
		}
		cursor, more := page["next_cursor"].(string)
		if !more {
			return strings.Join(all, " ")
		}
		next = target + "&cursor=" + url.QueryEscape(cursor)
	}
}

func TestTransactions(t *testing.T) {
	c := newService(t)
	const path = "/v1/transactions"
	c.account("bank", `,"overdraft":"unlimited"`)
	c.account("a", "")

	first := c.do("POST", path, path, strings.Replace(transfer("t 1", "bank", "a", "10.5"), "{", `{"description":"a \"gift\" é","metadata":{"k":[1]},`, 1))
	if first.Code != 201 || first.Header().Get(replayedHeader) != "" {
		t.Fatalf("status %d, headers %v: %s", first.Code, first.Header(), first.Body)
	}
	wantMembers(t, object(t, first.Body.Bytes()), map[string]string{
		"id": "t 1", "type": "transfer", "status": "posted", "source": "bank", "destination": "a", "amount": "10.50", "currency": "USD",
		"timestamp": "2026-01-02T01:04:05.500000Z", "source_balance": "-10.50", "destination_balance": "10.50",
		"source_version": "1", "destination_version": "1", "description": `a "gift" é`, "metadata": "map[k:[1]]",
	})
	c.want(201, "POST", path, path, transfer("t2", "a", "bank", "0.5"))
	again := c.do("POST", path, path, strings.Replace(transfer("t 1", "bank", "a", "10.50"), "{",
		`{"type":"transfer","metadata":{"k":[1.0]},"currency":"USD","description":"a \u0022gift\u0022 \u00e9",`, 1))
	if again.Code != 200 || again.Header().Get(replayedHeader) != "true" || again.Body.String() != first.Body.String() {
		t.Errorf("replay: status %d, headers %v\n%s\n%s", again.Code, again.Header(), again.Body, first.Body)
	}
	conflict := c.want(409, "POST", path, path, transfer("t2", "a", "bank", "0.6"))
	wantMembers(t, conflict, map[string]string{"code": "id_conflict"})
	wantMembers(t, conflict["errors"].([]any)[0].(map[string]any), map[string]string{"pointer": "/amount"})

	if got := c.do("GET", path+"/{id}", path+"/t%201", "").Body.String(); got != first.Body.String() {
		t.Errorf("GET gives %s", got)
	}
	wantMembers(t, c.want(404, "GET", path+"/{id}", path+"/t3", ""), map[string]string{"code": "not_found"})
	if got := c.pages(path, path+"?limit=1&account=a&status=posted&from=2020-01-01T00:00:00Z&to=2990-01-01T00:00:00Z", "transactions", "id"); got != "t2 t 1" {
		t.Errorf("transactions %s", got)
	}
}

func TestRejections(t *testing.T) {
	c := newService(t)
	const path = "/v1/transactions"
	c.account("a", `,"overdraft":"1"`)
	c.account("b", "")
	c.want(201, "POST", "/v1/accounts", "/v1/accounts", `{"number":"yen","currency":"JPY"}`)
	c.account("ice", "")
	c.want(200, "PATCH", "/v1/accounts/{number}", "/v1/accounts/ice", `{"status":"frozen"}`)
	c.account("gone", "")
	c.want(200, "PATCH", "/v1/accounts/{number}", "/v1/accounts/gone", `{"status":"closed"}`)

	for code, body := range map[string]string{
		"same_account":       transfer("same", "a", "a", "1"),
		"account_not_found":  transfer("nowhere", "a", "nobody", "1"),
		"account_frozen":     transfer("frozen", "a", "ice", "1"),
		"account_closed":     transfer("closed", "gone", "a", "1"),
		"currency_mismatch":  transfer("mixed", "a", "yen", "1"),
		"insufficient_funds": transfer("poor", "a", "b", "3.5"),
	} {
		first, again := c.do("POST", path, path, body), c.do("POST", path, path, body)
		p := object(t, first.Body.Bytes())
		if length := first.Header().Get("Content-Length"); !strings.HasSuffix(first.Body.String(), "}\n") || length != fmt.Sprint(first.Body.Len()) {
			t.Errorf("%s: the answer of length %s does not end its line: %q", code, length, first.Body)
		}
		if first.Code != 422 || again.Code != 422 || again.Header().Get(replayedHeader) != "true" || again.Body.String() != first.Body.String() {
			t.Errorf("%s: status %d and %d\n%s\n%s", code, first.Code, again.Code, first.Body, again.Body)
		}
		wantMembers(t, p, map[string]string{"code": code, "status": "422"})
		record := p["transaction"].(map[string]any)
		wantMembers(t, record, map[string]string{"status": "rejected", "code": code, "detail": p["detail"].(string)})
		for _, absent := range []string{"source_balance", "destination_version"} {
			if record[absent] != nil {
				t.Errorf("%s: a rejection has %s", code, absent)
			}
		}
		if code == "insufficient_funds" {
			wantMembers(t, p, map[string]string{
				"available": "0.00", "overdraft": "1.00", "needed": "3.50", "short": "2.50",
				"detail": "the account a has 0.00 USD available and an overdraft of 1.00: 2.50 is short of the 3.50 needed",
			})
		}
		got := c.want(200, "GET", path+"/{id}", path+"/"+record["id"].(string), "")
		wantMembers(t, got, map[string]string{"status": "rejected", "code": code})
	}
	for id, want := range map[string][2]string{
		"nowhere": {"nobody", "there is no account nobody, the destination"},
		"frozen":  {"ice", "the account ice, the destination, is frozen"},
		"closed":  {"gone", "the account gone, the source, is closed"},
	} {
		wantMembers(t, c.want(200, "GET", path+"/{id}", path+"/"+id, ""), map[string]string{"account": want[0], "detail": want[1]})
	}
	unknown := c.want(422, "POST", path, path, transfer("no-source", "nobody", "a", "1.5"))
	wantMembers(t, unknown, map[string]string{"detail": "there is no account nobody, the source", "account": "nobody"})
	if unknown["transaction"].(map[string]any)["currency"] != nil {
		t.Error("a currency was invented")
	}
	c.want(400, "POST", path, path, transfer("too-fine", "a", "b", "1.234"))
	c.want(404, "GET", path+"/{id}", path+"/too-fine", "")
}

func TestBatch(t *testing.T) {
	c := newService(t)
	const path = "/v1/transactions/batch"
	c.account("bank", `,"overdraft":"unlimited"`)
	c.account("a", "")
	items := []string{
		transfer("1", "bank", "a", "5"), transfer("2", "a", "bank", "9"), `{"id":"3","amount":4}`,
		transfer("1", "bank", "a", "5.00"), transfer("1", "bank", "a", "6"), transfer("4", "a", "bank", "5"),
	}
	inJSON := func(i int, p string) string { return fmt.Sprintf("/transactions/%d%s", i, p) }
	inLine := func(_ int, p string) string { return p }
	jsonBody := `{"atomic":false,"transactions":[` + strings.Join(items, ",") + `]}`
	lines := strings.Join(items, "\r\n") + "\n\n"

	first := c.do("POST", path, path, jsonBody)
	if first.Code != http.StatusOK {
		t.Fatal(first.Code, first.Body)
	}
	results := object(t, first.Body.Bytes())["results"].([]any)
	checkResults(t, results, inJSON)
	const mark = `,"replayed":true`
	again := c.do("POST", path, path, jsonBody).Body.String()
	if unmarked := strings.NewReplacer(mark, ""); unmarked.Replace(again) != unmarked.Replace(first.Body.String()) {
		t.Errorf("a replay gives\n%s\nand not\n%s", again, first.Body)
	}
	if once, twice := strings.Count(first.Body.String(), mark), strings.Count(again, mark); once != 1 || twice != 4 {
		t.Errorf("%d, then %d results are marked as replays, not 1 and 4", once, twice)
	}

	out := c.do("POST", path, path, lines, "Content-Type", ndjsonType)
	if out.Header().Get("Content-Type") != ndjsonType {
		t.Errorf("NDJSON in gives %s", out.Header().Get("Content-Type"))
	}
	checkResults(t, ndjson(t, out.Body.String()), inLine)
	mixed := c.do("POST", path, path, lines, "Content-Type", ndjsonType, "Accept", jsonType)
	checkResults(t, object(t, mixed.Body.Bytes())["results"].([]any), inLine)
	mixed = c.do("POST", path, path, jsonBody, "Content-Type", jsonType+"; charset=utf-8", "Accept", ndjsonType)
	checkResults(t, ndjson(t, mixed.Body.String()), inJSON)

	broken := ndjson(t, c.do("POST", path, path, "{\"id\":\n"+transfer("5", "bank", "a", "1"), "Content-Type", ndjsonType).Body.String())
	wantMembers(t, broken[0].(map[string]any), map[string]string{"status": "error", "detail": "line 1: the JSON is broken at byte 6: unexpected end of JSON input"})
	wantMembers(t, broken[1].(map[string]any), map[string]string{"status": "posted", "id": "5"})
	if empty := c.want(200, "POST", path, path, `{"transactions":[]}`); len(empty["results"].([]any)) != 0 {
		t.Errorf("an empty batch gives %v", empty)
	}
}

// checkResults checks the results of TestBatch. pointer makes the pointer of a member of an item.
func checkResults(t *testing.T, results []any, pointer func(item int, member string) string) {
	t.Helper()
	if len(results) != 6 {
		t.Fatalf("%d results for %d items", len(results), 6)
	}
	at := func(i int) map[string]any { return results[i].(map[string]any) }
	wantMembers(t, at(0), map[string]string{"id": "1", "status": "posted", "destination_balance": "5.00"})
	wantMembers(t, at(1), map[string]string{"id": "2", "status": "rejected", "code": "insufficient_funds", "short": "4.00"})
	wantMembers(t, at(2), map[string]string{"id": "3", "status": "error", "code": "invalid_request", "retryable": "false"})
	wantMembers(t, at(2)["errors"].([]any)[0].(map[string]any), map[string]string{"pointer": pointer(2, "/amount")})
	wantMembers(t, at(3), map[string]string{"id": "1", "status": "posted", "sequence": fmt.Sprint(at(0)["sequence"])})
	wantMembers(t, at(4), map[string]string{"id": "1", "status": "error", "code": "id_conflict"})
	wantMembers(t, at(4)["errors"].([]any)[0].(map[string]any), map[string]string{"pointer": pointer(4, "/amount")})
	wantMembers(t, at(5), map[string]string{"id": "4", "status": "posted", "source_balance": "0.00"})
}

func ndjson(t *testing.T, s string) []any {
	t.Helper()
	var list []any
	for line := range strings.Lines(s) {
		var v any
		dec := json.NewDecoder(strings.NewReader(line))
		dec.UseNumber()
		if err := dec.Decode(&v); err != nil {
			t.Fatal(err)
		}
		list = append(list, v)
	}
	return list
}

func TestBalanceAndHistory(t *testing.T) {
	c := newService(t)
	const path, balance, history = "/v1/transactions", "/v1/accounts/{number}/balance", "/v1/accounts/{number}/transactions"
	c.account("bank", `,"overdraft":"unlimited"`)
	c.account("a", "")
	first := c.want(201, "POST", path, path, transfer("1", "bank", "a", "5"))
	c.want(201, "POST", path, path, transfer("2", "a", "bank", "1.25"))

	now := c.want(200, "GET", balance, "/v1/accounts/a/balance?consistency=strong&min_version=2", "")
	wantMembers(t, now, map[string]string{"number": "a", "currency": "USD", "balance": "3.75", "available": "3.75", "held": "0.00", "version": "2", "served_by": "store"})
	if now["as_of"].(string) < first["committed_at"].(string) {
		t.Errorf("as of %s, before %s", now["as_of"], first["committed_at"])
	}
	at := url.QueryEscape(first["committed_at"].(string))
	then := c.want(200, "GET", balance, "/v1/accounts/bank/balance?at=2001-01-01T00:00:00Z", "")
	wantMembers(t, then, map[string]string{"balance": "0.00", "version": "0"})
	wantMembers(t, c.want(200, "GET", balance, "/v1/accounts/a/balance?at="+at, ""), map[string]string{"number": "a", "currency": "USD"})
	early := c.want(409, "GET", balance, "/v1/accounts/a/balance?min_version=3", "")
	wantMembers(t, early, map[string]string{"code": "version_not_reached"})
	c.want(404, "GET", balance, "/v1/accounts/nobody/balance", "")

	if got := c.pages(history, "/v1/accounts/a/transactions?limit=1", "transactions", "change"); got != "5.00 -1.25" {
		t.Errorf("changes %s", got)
	}
	if got := c.pages(history, "/v1/accounts/a/transactions?limit=1&order=desc", "transactions", "balance"); got != "3.75 5.00" {
		t.Errorf("balances %s", got)
	}
	if got := c.pages(history, "/v1/accounts/a/transactions?from=2020-01-01T00:00:00Z", "transactions", "direction"); got != "credit debit" {
		t.Errorf("directions %s", got)
	}
	c.want(404, "GET", history, "/v1/accounts/nobody/transactions", "")
}
