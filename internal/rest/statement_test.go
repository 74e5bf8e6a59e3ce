package rest

import (
	"context"
	"encoding/csv"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"rbcs"
)

const statementPath = "/v1/accounts/{number}/statement"

// cents reads an amount of USD.
func cents(t *testing.T, v any) int64 {
	t.Helper()
	s := fmt.Sprint(v)
	negative := strings.HasPrefix(s, "-")
	d, err := rbcs.ParseDecimal(strings.TrimPrefix(s, "-"))
	if err != nil {
		t.Fatal(s, err)
	}
	n, _ := d.Units.Int64()
	if negative {
		n = -n
	}
	return n
}

// statement asks for one and checks that it adds up. It returns the opening and
// closing balance and the IDs of its lines.
func (c *client) statement(target string) (opening, closing int64, ids []string, next string) {
	c.t.Helper()
	s := c.want(200, "GET", statementPath, target, "")
	opening, closing = cents(c.t, s["opening_balance"]), cents(c.t, s["closing_balance"])
	sum := opening
	for _, l := range s["lines"].([]any) {
		line := l.(map[string]any)
		sum += cents(c.t, line["change"])
		if got := cents(c.t, line["balance"]); got != sum {
			c.t.Errorf("%s: line %v has the balance %d, not %d", target, line["id"], got, sum)
		}
		ids = append(ids, line["id"].(string))
	}
	if sum != closing {
		c.t.Errorf("%s: opens with %d, closes with %d, but the lines lead to %d", target, opening, closing, sum)
	}
	next, _ = s["next_cursor"].(string)
	return opening, closing, ids, next
}

// TestStatement cuts an account's life at every moment of a commit, and a
// microsecond beside it: what two neighbours tell always fits together.
func TestStatement(t *testing.T) {
	c := newService(t)
	c.account("bank", `,"overdraft":"unlimited"`)
	c.account("a", "")
	c.account("idle", "")
	const a = "/v1/accounts/a/statement"
	for _, body := range []string{
		transfer("t1", "bank", "a", "10"), hold("h", "a", "bank", "4", ""), transfer("t2", "a", "bank", "1.23"), transfer("poor", "a", "bank", "99"),
	} {
		call(c.h, "POST", postPath, body)
	}
	c.settle(201, "capture", "h", `{"id":"c","amount":"3"}`)
	c.settle(201, "reverse", "t2", `{"id":"r"}`)

	all := c.want(200, "GET", statementPath, a, "")
	wantMembers(t, all, map[string]string{"number": "a", "currency": "USD", "opening_balance": "0.00", "closing_balance": "7.00", "from": "<nil>", "next_cursor": "<nil>"})
	opening, closing, ids, _ := c.statement(a)
	if got := strings.Join(ids, " "); opening != 0 || closing != 700 || got != "t1 h t2 c r" {
		t.Errorf("%d, %d, %s", opening, closing, got)
	}
	wantMembers(t, all["lines"].([]any)[1].(map[string]any), map[string]string{"change": "0.00", "held": "4.00", "balance": "10.00", "direction": "debit"})

	var cuts []time.Time
	for _, l := range all["lines"].([]any) {
		at, err := time.Parse(time.RFC3339, l.(map[string]any)["committed_at"].(string))
		if err != nil {
			t.Fatal(err)
		}
		cuts = append(cuts, at.Add(-time.Microsecond), at, at.Add(time.Microsecond))
	}
	for _, cut := range cuts {
		at := url.QueryEscape(cut.Format(rbcs.TimeFormat))
		_, before, first, _ := c.statement(a + "?to=" + at)
		after, end, second, _ := c.statement(a + "?from=" + at)
		if before != after || end != 700 || len(first)+len(second) != 5 {
			t.Errorf("at %s: %v to %d, then from %d %v", cut, first, before, after, second)
		}
		balance := c.want(200, "GET", "/v1/accounts/{number}/balance", "/v1/accounts/a/balance?at="+url.QueryEscape(cut.Add(-time.Microsecond).Format(rbcs.TimeFormat)), "")
		if got := cents(t, balance["balance"]); got != after {
			t.Errorf("at %s the statement opens with %d, and the balance before was %d", cut, after, got)
		}
	}

	for target, want := range map[string]string{
		a + "?to=2001-01-01T00:00:00Z": "0 0 []",
		a + "?from=" + url.QueryEscape(time.Now().UTC().Add(clockTolerance/2).Format(time.RFC3339)): "700 700 []",
		"/v1/accounts/idle/statement":                           "0 0 []",
		"/v1/accounts/bank/statement?from=2001-01-01T00:00:00Z": "0 -700 [t1 t2 c r]",
	} {
		opening, closing, ids, _ := c.statement(target)
		if got := fmt.Sprint(opening, closing, ids); got != want {
			t.Errorf("%s: %s, want %s", target, got, want)
		}
	}
	c.want(404, "GET", statementPath, "/v1/accounts/nobody/statement", "")
	for query, pointer := range map[string]string{
		"?from=2990-01-01T00:00:00Z": "/from", "?to=2990-01-01T00:00:00Z": "/to", "?from=2001-01-01T00:00:00Z&to=2990-01-01T00:00:00Z": "/to",
	} { // as a balance at such a time is
		faults := c.want(400, "GET", statementPath, a+query, "")["errors"].([]any)
		if f := faults[0].(map[string]any); f["pointer"] != pointer || !strings.HasPrefix(f["message"].(string), "this moment is not over") {
			t.Errorf("%s: %v", query, faults)
		}
	}

	// In pages, each opens with what the one before closed with.
	last, paged, target := int64(0), []string(nil), a+"?limit=2"
	for {
		opening, closing, ids, next := c.statement(target)
		if opening != last {
			t.Errorf("the page %v opens with %d, and the one before closed with %d", ids, opening, last)
		}
		last, paged = closing, append(paged, ids...)
		if next == "" {
			break
		}
		target = a + "?limit=2&cursor=" + url.QueryEscape(next)
	}
	if got := strings.Join(paged, " "); last != 700 || got != "t1 h t2 c r" {
		t.Errorf("the pages have %s and close with %d", got, last)
	}
}

func TestStatementAsCSV(t *testing.T) {
	c := newService(t)
	c.account("bank", `,"overdraft":"unlimited"`)
	c.account("a", "")
	call(c.h, "POST", postPath, strings.Replace(transfer("=1+1", "bank", "a", "10"), "{", `{"description":"say \"hi\", twice",`, 1))
	call(c.h, "POST", postPath, strings.Replace(transfer("t2", "a", "bank", "2.5"), "{", `{"description":" @home",`, 1))
	w := c.do("GET", statementPath, "/v1/accounts/a/statement", "", "Accept", "text/csv, application/json;q=0.5")
	if got := w.Header().Get("Content-Type"); !strings.HasPrefix(got, "text/csv;") {
		t.Errorf("type %s", got)
	}
	rows, err := csv.NewReader(w.Body).ReadAll()
	if err != nil || len(rows) != 5 {
		t.Fatal(rows, err)
	}
	for i, want := range []string{
		"committed_at type id original direction counterparty change balance held version sequence description",
		" opening_balance      0.00    ",
		" transfer '=1+1  credit bank 10.00 10.00 0.00 1 1 say \"hi\", twice",
		" transfer t2  debit bank -2.50 7.50 0.00 2 2  @home",
		" closing_balance      7.50    ",
	} {
		if i == 2 || i == 3 {
			if _, err := time.Parse(time.RFC3339, rows[i][0]); err != nil {
				t.Error(err)
			}
			rows[i][0] = ""
		}
		if got := strings.Join(rows[i], " "); got != want {
			t.Errorf("row %d is %q, want %q", i, got, want)
		}
	}
}

// TestStatementAsCSVInPages: a page that is not the last one names the next, and
// has no closing balance, so that nobody takes it for the whole.
func TestStatementAsCSVInPages(t *testing.T) {
	c := newService(t)
	c.account("bank", `,"overdraft":"unlimited"`)
	c.account("a", "")
	for i := range 5 {
		call(c.h, "POST", postPath, transfer(fmt.Sprint(i), "bank", "a", "10"))
	}
	target, balances, lines := "/v1/accounts/a/statement?from=2001-01-01T00:00:00Z&limit=2", []string(nil), 0
	for target != "" {
		w := c.do("GET", statementPath, target, "", "Accept", "text/csv")
		rows, err := csv.NewReader(w.Body).ReadAll()
		if err != nil || len(rows) < 4 {
			t.Fatal(target, rows, err)
		}
		first, last := rows[1], rows[len(rows)-1]
		balances = append(balances, first[1]+" "+first[7], last[1]+" "+last[7])
		lines += len(rows) - 3
		link := w.Header().Get("Link")
		target = strings.TrimSuffix(strings.TrimPrefix(link, "<"), `>; rel="next"`)
		if link != "" && (target == link || !strings.HasPrefix(target, "/v1/accounts/a/statement?cursor=")) {
			t.Fatalf("Link: %s", link)
		}
	}
	got := strings.Join(balances, ", ")
	if want := "opening_balance 0.00, carried_forward 20.00, brought_forward 20.00, carried_forward 40.00, brought_forward 40.00, " +
		"closing_balance 50.00"; got != want || lines != 5 {
		t.Errorf("%d lines, with the balances\n%s, want\n%s", lines, got, want)
	}
}

// longStore has an account with a history of n credits of one cent; gap is a
// version that is missing, and fail one whose page cannot be read.
type longStore struct {
	rbcs.Store
	n, gap, fail int64
	grows        bool
	largest      int // page that was asked for
}

func (s *longStore) Account(_ context.Context, number string) (rbcs.Account, error) {
	return rbcs.Account{Number: number, Currency: rbcs.Currency{Code: "USD", Decimals: 2}}, nil
}

func (s *longStore) History(_ context.Context, q rbcs.HistoryQuery) ([]rbcs.Entry, error) {
	s.largest = max(s.largest, q.Limit)
	if s.grows {
		s.n++
	}
	entry := func(version int64) rbcs.Entry {
		t := &rbcs.Transaction{ID: fmt.Sprint("t", version), Type: rbcs.Transfer, Source: "bank", Destination: "a", Amount: rbcs.Decimal{Units: rbcs.AmountOf(1), Scale: 2}}
		if version%1000 == 0 {
			t.Type = rbcs.Capture
		}
		return rbcs.Entry{Result: posted(t), Credit: true, Change: rbcs.AmountOf(1), State: rbcs.State{Balance: rbcs.AmountOf(version), Version: version}}
	}
	if q.Descending {
		return []rbcs.Entry{entry(s.n)}, nil
	}
	var page []rbcs.Entry
	for version := q.After + 1; version <= s.n && len(page) < q.Limit; version++ {
		if version == s.fail {
			return nil, rbcs.Errorf(rbcs.Unavailable, "the database is away")
		}
		if version != s.gap {
			page = append(page, entry(version))
		}
	}
	return page, nil
}

// TestLongStatement: of any length, in pieces of one page, also while the account grows.
func TestLongStatement(t *testing.T) {
	store := &longStore{n: 20_000, grows: true}
	c := newClient(t, newHandler(t, store, &fakeEngine{}))
	opening, closing, ids, _ := c.statement("/v1/accounts/a/statement")
	if opening != 0 || closing != 20_001 || len(ids) != 20_001 || store.largest != statementPage {
		t.Errorf("%d, %d, %d lines, pages of %d", opening, closing, len(ids), store.largest)
	}
}

// TestStatementBreaksOff: one that cannot be ended must not look whole, and one
// that does not add up is not sent.
func TestStatementBreaksOff(t *testing.T) {
	for name, store := range map[string]*longStore{
		"unreadable":     {n: 2000, fail: 1500},
		"gap in a page":  {n: 2000, gap: 700},
		"gap at its end": {n: 2000, gap: 1000},
		"no end":         {n: 2000, gap: 2000},
	} {
		t.Run(name, func(t *testing.T) {
			srv := httptest.NewServer(newHandler(t, store, &fakeEngine{}))
			defer srv.Close()
			res, err := http.Get(srv.URL + "/v1/accounts/a/statement")
			if err == nil {
				defer func() { _ = res.Body.Close() }()
				_, err = fmt.Fscan(res.Body, new(string))
				for err == nil {
					_, err = fmt.Fscan(res.Body, new(string))
				}
			}
			if err == nil || !strings.Contains(err.Error(), "EOF") || err.Error() == "EOF" {
				t.Errorf("it ended with %v", err)
			}
		})
	}
	wantProblem(t, call(newHandler(t, &longStore{n: 2000, fail: 1}, &fakeEngine{}), "GET", "/v1/accounts/a/statement", ""), 503, rbcs.Unavailable)
	wantProblem(t, call(newHandler(t, &longStore{n: 1, gap: 1}, &fakeEngine{}), "GET", "/v1/accounts/a/statement", ""), 500, rbcs.Internal)
}

// TestStatementsAreBounded: beyond so many at once clients come back later.
func TestStatementsAreBounded(t *testing.T) {
	h := newHandler(t, &longStore{n: 10}, &fakeEngine{})
	s := h.(*server)
	for range maxStatements {
		s.statements <- struct{}{}
	}
	wantProblem(t, call(h, "GET", "/v1/accounts/a/statement", ""), 429, rbcs.Overloaded)
	<-s.statements
	for range 2 { // each gives its place back
		if w := call(h, "GET", "/v1/accounts/a/statement", ""); w.Code != 200 {
			t.Error(w.Code, w.Body)
		}
		if w := call(newHandler(t, &fakeStore{err: rbcs.Errorf(rbcs.NotFound, "no")}, &fakeEngine{}), "GET", "/v1/accounts/a/statement", ""); w.Code != 404 {
			t.Error(w.Code)
		}
	}
}

// TestHistoryFilters: what is wanted is found, page by page, and one request
// looks at a bounded part.
func TestHistoryFilters(t *testing.T) {
	c := newService(t)
	const path = "/v1/accounts/{number}/transactions"
	c.account("bank", `,"overdraft":"unlimited"`)
	c.account("a", "")
	c.account("b", "")
	for i, body := range []string{
		transfer("1", "bank", "a", "9"), transfer("2", "a", "b", "1"), hold("3", "a", "bank", "1", ""), transfer("4", "b", "a", "1"), transfer("5", "a", "b", "2"),
	} {
		if w := call(c.h, "POST", postPath, body); w.Code != 201 {
			t.Fatal(i, w.Body)
		}
	}
	c.settle(201, "release", "3", `{"id":"6"}`)
	for query, want := range map[string]string{
		"direction=credit":                          "1 4",
		"direction=debit":                           "2 3 5 6",
		"direction=debit&order=desc":                "6 5 3 2",
		"type=hold":                                 "3",
		"type=transfer&counterparty=b":              "2 4 5",
		"counterparty=b&direction=debit&order=desc": "5 2",
		"type=reversal":                             "",
	} {
		for _, limit := range []string{"1", "2", "100"} {
			if got := c.pages(path, "/v1/accounts/a/transactions?limit="+limit+"&"+query, "transactions", "id"); got != want {
				t.Errorf("%s by %s: %q, want %q", query, limit, got, want)
			}
		}
	}

	long := newClient(t, newHandler(t, &longStore{n: 25_500}, &fakeEngine{}))
	page := long.want(200, "GET", path, "/v1/accounts/a/transactions?type=reversal", "")
	if page["next_cursor"] != cursorOf(ofAccount(cursorAscending, "a"), maxScan) || len(page["transactions"].([]any)) != 0 {
		t.Errorf("one request looked up to %v", page["next_cursor"])
	}
	if got := strings.Fields(long.pages(path, "/v1/accounts/a/transactions?type=capture&limit=7", "transactions", "id")); len(got) != 25 || got[24] != "t25000" {
		t.Errorf("found %v", got)
	}
}

func TestTotals(t *testing.T) {
	c := newService(t)
	const path = "/v1/balances"
	c.account("bank", `,"overdraft":"unlimited"`)
	c.account("acme:1", "")
	c.account("acme:2", "")
	c.want(201, "POST", "/v1/accounts", "/v1/accounts", `{"number":"acme:3","currency":"POINTS"}`)
	c.want(201, "POST", postPath, postPath, transfer("1", "bank", "acme:1", "5"))
	c.want(201, "POST", postPath, postPath, transfer("2", "bank", "acme:2", "2.5"))
	c.want(201, "POST", postPath, postPath, hold("3", "acme:2", "bank", "1", ""))
	list := c.want(200, "GET", path, path+"?prefix=acme:", "")["balances"].([]any)
	if len(list) != 2 {
		t.Fatal(list)
	}
	wantMembers(t, list[0].(map[string]any), map[string]string{"currency": "POINTS", "accounts": "1", "balance": "0", "held": "0", "available": "0"})
	wantMembers(t, list[1].(map[string]any), map[string]string{"currency": "USD", "accounts": "2", "balance": "7.50", "held": "1.00", "available": "6.50"})
	all := c.want(200, "GET", path, path, "")["balances"].([]any)
	wantMembers(t, all[1].(map[string]any), map[string]string{"currency": "USD", "accounts": "3", "balance": "0.00"})
	if none := c.want(200, "GET", path, path+"?prefix=zeta", "")["balances"].([]any); len(none) != 0 {
		t.Error(none)
	}
	w := call(newHandler(t, &fakeStore{err: rbcs.Errorf(rbcs.Unavailable, "away")}, &fakeEngine{}), "GET", path, "")
	wantProblem(t, w, 503, rbcs.Unavailable)
}
