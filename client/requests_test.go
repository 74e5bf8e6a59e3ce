package client_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"rbcs"
	"rbcs/client"
)

func TestRequests(t *testing.T) {
	at := time.Date(2026, 3, 1, 13, 0, 0, 1500, time.FixedZone("", 3600))
	for _, c := range []struct {
		name              string
		call              func(*client.Client) error
		method, url, body string
	}{
		{"create", func(c *client.Client) error {
			_, err := c.CreateAccount(t.Context(), client.NewAccount{Number: "a", Currency: "USD"})
			return err
		}, "POST", "/v1/accounts", `{"number":"a","currency":"USD"}`},
		{"create with all", func(c *client.Client) error {
			_, err := c.CreateAccount(t.Context(), client.NewAccount{"a", "USD", client.Unlimited, json.RawMessage(`{"k": 1}`)})
			return err
		}, "POST", "/v1/accounts", `{"number":"a","currency":"USD","overdraft":"unlimited","metadata":{"k":1}}`},
		{"get", func(c *client.Client) error {
			_, err := c.Account(t.Context(), "acme:a")
			return err
		}, "GET", "/v1/accounts/acme:a", ""},
		{"get a number that is a step upward", func(c *client.Client) error {
			_, err := c.Account(t.Context(), "..")
			return err
		}, "GET", "/v1/accounts/%2E%2E", ""},
		{"update", func(c *client.Client) error {
			_, err := c.UpdateAccount(t.Context(), "a", client.AccountChange{Status: rbcs.Frozen, Overdraft: "0"})
			return err
		}, "PATCH", "/v1/accounts/a", `{"status":"frozen","overdraft":"0"}`},
		{"balance", func(c *client.Client) error {
			_, err := c.Balance(t.Context(), "a")
			return err
		}, "GET", "/v1/accounts/a/balance", ""},
		{"balance with all", func(c *client.Client) error {
			_, err := c.Balance(t.Context(), "a", client.Strong(), client.At(at), client.MinVersion(7))
			return err
		}, "GET", "/v1/accounts/a/balance?at=2026-03-01T12%3A00%3A00.000001Z&consistency=strong&min_version=7", ""},
		{"submit", func(c *client.Client) error {
			_, err := c.Submit(t.Context(), order)
			return err
		}, "POST", "/v1/transactions", `{"id":"order-1","source":"alice","destination":"bob","amount":"12.34","timestamp":"2026-03-01T12:00:00Z"}`},
		{"transaction", func(c *client.Client) error {
			_, err := c.Transaction(t.Context(), "a/b c?d#e%")
			return err
		}, "GET", "/v1/transactions/a%2Fb%20c%3Fd%23e%25", ""},
		{"accounts", func(c *client.Client) error {
			for _, err := range c.Accounts(t.Context(), client.AccountQuery{"acme:", "USD", rbcs.Open, 5}) {
				return err
			}
			return nil
		}, "GET", "/v1/accounts?currency=USD&limit=5&prefix=acme%3A&status=open", ""},
		{"transactions", func(c *client.Client) error {
			for _, err := range c.Transactions(t.Context(), client.TransactionQuery{"a", rbcs.Posted, at, at, 0}) {
				return err
			}
			return nil
		}, "GET", "/v1/transactions?account=a&from=2026-03-01T12%3A00%3A00.000001Z&status=posted&to=2026-03-01T12%3A00%3A00.000001Z", ""},
		{"history", func(c *client.Client) error {
			for _, err := range c.History(t.Context(), "a", client.HistoryQuery{Descending: true}) {
				return err
			}
			return nil
		}, "GET", "/v1/accounts/a/transactions?order=desc", ""},
		{"history with all", func(c *client.Client) error {
			for _, err := range c.History(t.Context(), "a", client.HistoryQuery{Type: rbcs.Capture, Direction: "debit", Counterparty: "b"}) {
				return err
			}
			return nil
		}, "GET", "/v1/accounts/a/transactions?counterparty=b&direction=debit&type=capture", ""},
		{"hold, only to see", func(c *client.Client) error {
			hold := order
			hold.Type, hold.ExpiresAt = rbcs.Hold, time.Date(2026, 3, 8, 0, 0, 0, 0, time.UTC)
			_, err := c.Submit(t.Context(), hold, client.DryRun())
			return err
		}, "POST", "/v1/transactions?dry_run=true", `{"id":"order-1","type":"hold","source":"alice","destination":"bob","amount":"12.34","timestamp":"2026-03-01T12:00:00Z","expires_at":"2026-03-08T00:00:00Z"}`},
		{"capture", func(c *client.Client) error {
			_, err := c.Capture(t.Context(), "a/b", client.Settlement{ID: "s", Amount: "5.00", Description: "d", Metadata: json.RawMessage(`{}`)})
			return err
		}, "POST", "/v1/transactions/a%2Fb/capture", `{"id":"s","amount":"5.00","description":"d","metadata":{}}`},
		{"release", func(c *client.Client) error {
			_, err := c.Release(t.Context(), "h", client.Settlement{ID: "s"}, client.DryRun())
			return err
		}, "POST", "/v1/transactions/h/release?dry_run=true", `{"id":"s"}`},
		{"reverse", func(c *client.Client) error {
			_, err := c.Reverse(t.Context(), "t", client.Settlement{ID: "s"})
			return err
		}, "POST", "/v1/transactions/t/reverse", `{"id":"s"}`},
		{"statement", func(c *client.Client) error {
			for _, err := range c.Statement(t.Context(), "a", client.StatementQuery{From: at}) {
				return err
			}
			return nil
		}, "GET", "/v1/accounts/a/statement?from=2026-03-01T12%3A00%3A00.000001Z&limit=1000", ""},
		{"totals", func(c *client.Client) error {
			_, err := c.Totals(t.Context(), "acme:")
			return err
		}, "GET", "/v1/balances?prefix=acme%3A", ""},
		{"webhook", func(c *client.Client) error {
			_, err := c.CreateWebhook(t.Context(), client.NewWebhook{URL: "https://x/", Account: "a", Prefix: "b:", Cursor: new(int64)})
			return err
		}, "POST", "/v1/webhooks", `{"url":"https://x/","account":"a","prefix":"b:","cursor":0}`},
		{"change of a webhook", func(c *client.Client) error {
			_, err := c.UpdateWebhook(t.Context(), "wh_1", client.WebhookChange{Paused: new(bool), Cursor: new(int64(5))})
			return err
		}, "PATCH", "/v1/webhooks/wh_1", `{"paused":false,"cursor":5}`},
		{"delete a webhook", func(c *client.Client) error {
			return c.DeleteWebhook(t.Context(), "wh_1")
		}, "DELETE", "/v1/webhooks/wh_1", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			cl, s := scripted(t, client.Retry{}, step{status: 200, body: "{}"})
			if err := c.call(cl); err != nil {
				t.Fatal(err)
			}
			got := s.sent[0]
			if got.method != c.method || got.url != "http://rbcs.test"+c.url || got.body != c.body {
				t.Errorf("got  %s %s %s\nwant %s %s %s", got.method, got.url, got.body, c.method, c.url, c.body)
			}
			contentType := ""
			if c.body != "" {
				contentType = "application/json"
			}
			if got.header.Get("Content-Type") != contentType || got.header.Get("User-Agent") != "rbcs-go-client" {
				t.Errorf("headers: %v", got.header)
			}
		})
	}
}

func TestPages(t *testing.T) {
	c, s := scripted(t, client.Retry{},
		step{status: 200, body: `{"accounts":[{"number":"a"},{"number":"b"}],"next_cursor":"x+y"}`},
		step{status: 200, body: `{"accounts":[],"next_cursor":"z"}`},
		step{status: 200, body: `{"accounts":[{"number":"c"}]}`},
		step{status: 200, body: `{"accounts":[{"number":"a"},{"number":"b"}],"next_cursor":"x+y"}`},
		step{status: 400, body: problem("invalid_request", "no cursor")},
		step{status: 200, body: `{"accounts":[{"number":"a"},{"number":"b"}],"next_cursor":"x+y"}`},
	)
	list := c.Accounts(t.Context(), client.AccountQuery{})
	var numbers []string
	for a, err := range list {
		if err != nil {
			t.Fatal(err)
		}
		numbers = append(numbers, a.Number)
	}
	if !slices.Equal(numbers, []string{"a", "b", "c"}) {
		t.Errorf("got %v", numbers)
	}
	if s.sent[1].url != "http://rbcs.test/v1/accounts?cursor=x%2By" || s.sent[2].url != "http://rbcs.test/v1/accounts?cursor=z" {
		t.Errorf("asked for %s and %s", s.sent[1].url, s.sent[2].url)
	}
	numbers = nil
	var last error
	for a, err := range list { // again, from the beginning; an error ends it
		numbers, last = append(numbers, a.Number), err
	}
	if !slices.Equal(numbers, []string{"a", "b", ""}) || rbcs.CodeOf(last) != rbcs.InvalidRequest {
		t.Errorf("got %v, %v", numbers, last)
	}
	for range list { // who stops is not given more
		break
	}
}

func TestCreateAccounts(t *testing.T) {
	c, s := scripted(t, client.Retry{}, step{status: 200, body: `{"results":[{"status":"created","account":{"number":"a","status":"open"}},` +
		`{"status":"existing","account":{"number":"b"}},` +
		`{"status":"error","number":"c","code":"account_conflict","detail":"d","retryable":false,"errors":[{"pointer":"/2/currency","message":"m"}]}]}`},
		step{status: 200, body: `{"results":[]}`})
	accounts := []client.NewAccount{{Number: "a", Currency: "USD"}, {Number: "b", Currency: "USD"}, {Number: "c", Currency: "EUR"}}
	results, err := c.CreateAccounts(t.Context(), accounts)
	if err != nil || len(results) != 3 {
		t.Fatal(results, err)
	}
	if r := results[0]; !r.Created || r.Account.Number != "a" || r.Account.Status != rbcs.Open || r.Err != nil {
		t.Errorf("the first: %+v", r)
	}
	if r := results[1]; r.Created || r.Account.Number != "b" || r.Err != nil {
		t.Errorf("the second: %+v", r)
	}
	if r := results[2]; r.Created || r.Err == nil || r.Err.Code != rbcs.AccountConflict || r.Err.Fields[0].Pointer != "/currency" {
		t.Errorf("the third: %+v", r)
	}
	if !strings.HasPrefix(s.sent[0].body, `[{"number":"a"`) {
		t.Errorf("sent %s", s.sent[0].body)
	}
	if _, err := c.CreateAccounts(t.Context(), accounts); rbcs.CodeOf(err) != rbcs.OutcomeUnknown || !strings.Contains(err.Error(), "3 items have 0 results") {
		t.Errorf("without results: %v", err)
	}
}

func TestNew(t *testing.T) {
	for _, url := range []string{"", "localhost:8080", "ftp://host", "http://", "http:///v1", "://", "http://host?x=1", "http://host#x", "http://ho st"} {
		if _, err := client.New(url); err == nil || !strings.Contains(err.Error(), "base URL") {
			t.Errorf("New(%q): %v", url, err)
		}
	}
	if _, err := client.New("http://host", client.WithRetry(client.Retry{MinDelay: -1})); err == nil {
		t.Error("a negative delay was accepted")
	}
	s := &script{t: t, steps: []step{{status: 200, body: "{}"}}}
	c, err := client.New("https://host/balances/", client.WithHTTPClient(s.client()), client.WithUserAgent("shop/1"), client.WithHeader("X-Key", "k"))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := c.Account(t.Context(), "a"); err != nil {
		t.Fatal(err)
	}
	got := s.sent[0]
	if got.url != "https://host/balances/v1/accounts/a" || got.header.Get("User-Agent") != "shop/1" || got.header.Get("X-Key") != "k" {
		t.Errorf("got %s with %v", got.url, got.header)
	}
}

func TestAmountIn(t *testing.T) {
	for _, c := range []struct {
		amount   client.Amount
		decimals int
		want     string
	}{{"12.34", 2, "1234"}, {"-12.3", 2, "-1230"}, {"0.00", 2, "0"}, {"-0.05", 2, "-5"}} {
		if got, err := c.amount.In(c.decimals); err != nil || got.String() != c.want {
			t.Errorf("%s in %d decimals: %s, %v", c.amount, c.decimals, got, err)
		}
	}
	for _, amount := range []client.Amount{"", "-", "--1", "1.234", "-1.234", "1e3"} {
		if got, err := amount.In(2); err == nil || !got.IsZero() {
			t.Errorf("%q: %s, %v", amount, got, err)
		}
	}
}

func TestStatement(t *testing.T) {
	c, s := scripted(t, client.Retry{},
		step{status: 200, body: `{"number":"a","currency":"USD","opening_balance":"1.00","closing_balance":"3.00","lines":[{"id":"x","change":"2.00"}],"next_cursor":"n"}`},
		step{status: 503},
		step{status: 200, body: `{"number":"a","currency":"USD","opening_balance":"3.00","closing_balance":"2.50","lines":[{"id":"y","change":"-0.50"}]}`},
	)
	var lines []string
	var last client.Statement
	for part, err := range c.Statement(t.Context(), "a", client.StatementQuery{PageSize: 1}) {
		if err != nil {
			t.Fatal(err)
		}
		if last.Number != "" && part.Opening != last.Closing {
			t.Errorf("a part opens with %s after one that closed with %s", part.Opening, last.Closing)
		}
		for _, line := range part.Lines {
			lines = append(lines, line.ID+" "+string(line.Change))
		}
		last = part
	}
	if !slices.Equal(lines, []string{"x 2.00", "y -0.50"}) || last.Closing != "2.50" {
		t.Errorf("got %v, closing with %s", lines, last.Closing)
	}
	if s.sent[2].url != "http://rbcs.test/v1/accounts/a/statement?cursor=n&limit=1" {
		t.Errorf("asked for %s", s.sent[2].url)
	}
}

func TestStatementCSV(t *testing.T) {
	const csv = "committed_at,type\r\n,opening_balance\r\n"
	for name, test := range map[string]struct {
		steps []step
		want  string
		code  rbcs.Code
	}{
		"whole":          {[]step{{err: errReset}, {status: 503, retryAfter: "1"}, {status: 200, body: csv}}, csv, ""},
		"broken off":     {[]step{{status: 200, body: csv, bodyErr: errReset}}, csv, rbcs.Unavailable},
		"silent":         {[]step{{status: 200, body: csv, hangs: true}}, csv, rbcs.Unavailable},
		"no account":     {[]step{{status: 404, body: problem("not_found", "no account a")}}, "", rbcs.NotFound},
		"never answered": {[]step{{takes: time.Hour}, {takes: time.Hour}}, "", rbcs.Unavailable},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c, s := scripted(t, client.Retry{}, test.steps...)
				var out strings.Builder
				err := c.StatementCSV(t.Context(), "a", client.StatementQuery{}, &out)
				if out.String() != test.want || rbcs.CodeOf(err) != test.code {
					t.Errorf("got %q, %v", out.String(), err)
				}
				if accept := s.sent[0].header.Get("Accept"); accept != "text/csv" {
					t.Errorf("asked for %s", accept)
				}
			})
		})
	}
}

// TestStatementCSVThatCannotBeWritten: the error is the writer's, and not one of the service.
func TestStatementCSVThatCannotBeWritten(t *testing.T) {
	c, _ := scripted(t, client.Retry{}, step{status: 200, body: "committed_at,type\r\n"})
	if err := c.StatementCSV(t.Context(), "a", client.StatementQuery{}, fullDisk{}); !errors.Is(err, io.ErrShortWrite) || rbcs.CodeOf(err) == rbcs.Unavailable {
		t.Errorf("got %v", err)
	}
}

type fullDisk struct{}

func (fullDisk) Write([]byte) (int, error) { return 0, io.ErrShortWrite }

// TestDoneOnce: what has no ID is not sent again where it may have been done. It
// would make a second webhook, or undo what somebody else has changed since.
func TestDoneOnce(t *testing.T) {
	calls := map[string]func(ctx context.Context, c *client.Client) error{
		"CreateWebhook": func(ctx context.Context, c *client.Client) error {
			_, err := c.CreateWebhook(ctx, client.NewWebhook{URL: "https://x/"})
			return err
		},
		"UpdateWebhook": func(ctx context.Context, c *client.Client) error {
			_, err := c.UpdateWebhook(ctx, "wh_1", client.WebhookChange{Paused: new(bool)})
			return err
		},
		"UpdateAccount": func(ctx context.Context, c *client.Client) error {
			_, err := c.UpdateAccount(ctx, "a", client.AccountChange{Overdraft: "5"})
			return err
		},
	}
	for name, steps := range map[string][]step{
		"lost":               {{err: errReset}},
		"refused, then lost": {{err: errRefused}, {status: 429}, {status: 504}},
	} {
		for call, do := range calls {
			t.Run(call+", "+name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					c, _ := scripted(t, client.Retry{}, steps...)
					if err := do(t.Context(), c); rbcs.CodeOf(err) != rbcs.OutcomeUnknown {
						t.Errorf("got %v", err)
					}
				})
			})
		}
	}
}

func TestAWebhookIsDeletedOnce(t *testing.T) {
	gone := step{status: 404, body: problem("not_found", "no such webhook")}
	for name, test := range map[string]struct {
		steps []step
		code  rbcs.Code
	}{
		"done":                {[]step{{status: 204}}, ""},
		"lost and done":       {[]step{{err: errReset}, gone}, ""},
		"never there":         {[]step{{err: errRefused}, gone}, rbcs.NotFound},
		"lost, then not told": {[]step{{err: errReset}, {status: 409, body: problem("id_conflict", "x")}}, rbcs.IDConflict},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c, _ := scripted(t, client.Retry{}, test.steps...)
				if err := c.DeleteWebhook(t.Context(), "wh_1"); rbcs.CodeOf(err) != test.code {
					t.Errorf("got %v", err)
				}
			})
		})
	}
}
