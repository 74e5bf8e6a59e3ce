package rest

import (
	"fmt"
	"net/http/httptest"
	"strings"
	"testing"

	"rbcs"
)

const (
	postPath    = "/v1/transactions"
	batchPath   = "/v1/transactions/batch"
	capturePath = "/v1/transactions/{id}/capture"
	releasePath = "/v1/transactions/{id}/release"
	reversePath = "/v1/transactions/{id}/reverse"
)

// hold is a hold of which only what matters is said.
func hold(id, from, to, amount, rest string) string {
	return strings.Replace(transfer(id, from, to, amount), "{", `{"type":"hold",`+rest, 1)
}

// settle captures, releases or reverses a transaction.
func (c *client) settle(status int, verb, original, body string) map[string]any {
	c.t.Helper()
	return c.want(status, "POST", "/v1/transactions/{id}/"+verb, "/v1/transactions/"+original+"/"+verb, body)
}

func (c *client) current(id string) map[string]any {
	c.t.Helper()
	return c.want(200, "GET", "/v1/transactions/{id}", "/v1/transactions/"+id, "")
}

// TestHoldAndCapture goes through the life of a hold that is captured in part.
func TestHoldAndCapture(t *testing.T) {
	c := newService(t)
	c.account("bank", `,"overdraft":"unlimited"`)
	c.account("a", "")
	c.account("shop", "")
	c.want(201, "POST", postPath, postPath, transfer("t", "bank", "a", "10"))

	held := c.do("POST", postPath, postPath, hold("h", "a", "shop", "8", `"expires_at":"2990-01-02T03:04:05.5+02:00",`))
	wantMembers(t, object(t, held.Body.Bytes()), map[string]string{
		"type": "hold", "status": "held", "amount": "8.00", "source_balance": "10.00", "source_held": "8.00",
		"expires_at": "2990-01-02T01:04:05.500000Z", "destination_balance": "<nil>", "settled_by": "<nil>",
	})
	c.want(422, "POST", postPath, postPath, transfer("poor", "a", "bank", "2.01"))
	wantMembers(t, c.want(200, "GET", "/v1/accounts/{number}", "/v1/accounts/a", ""), map[string]string{"available": "2.00", "held": "8.00"})
	if got := c.current("h"); got["status"] != "held" {
		t.Errorf("the hold is %v", got)
	}

	first := c.do("POST", capturePath, "/v1/transactions/h/capture", `{"id":"c","amount":"5.5","description":"shipped","metadata":{"n":1}}`)
	if first.Code != 201 {
		t.Fatal(first.Code, first.Body)
	}
	captured := object(t, first.Body.Bytes())
	wantMembers(t, captured, map[string]string{
		"id": "c", "type": "capture", "status": "posted", "original": "h", "amount": "5.50", "remainder": "2.50", "currency": "USD",
		"source": "a", "destination": "shop", "source_balance": "4.50", "source_held": "0.00", "destination_balance": "5.50",
		"description": "shipped", "timestamp": captured["committed_at"].(string),
	})
	wantMembers(t, c.current("h"), map[string]string{"status": "captured", "settled_by": "c"})

	// Nothing that comes later changes what was answered first.
	for range 2 {
		again := c.do("POST", capturePath, "/v1/transactions/h/capture", `{"id":"c","amount":"5.50","metadata":{"n":1.0},"description":"shipped"}`)
		if again.Code != 200 || again.Header().Get(replayedHeader) != "true" || again.Body.String() != first.Body.String() {
			t.Errorf("replay %d\n%s\n%s", again.Code, again.Body, first.Body)
		}
		again = c.do("POST", postPath, postPath, hold("h", "a", "shop", "8", `"expires_at":"2990-01-02T01:04:05.5Z",`))
		if again.Code != 200 || again.Body.String() != held.Body.String() {
			t.Errorf("replay %d\n%s\n%s", again.Code, again.Body, held.Body)
		}
	}
	conflict := c.settle(409, "capture", "h", `{"id":"c"}`)
	if got := fmt.Sprint(conflict["errors"]); !strings.Contains(got, "/amount") || !strings.Contains(got, "/description") || !strings.Contains(got, "/metadata") {
		t.Errorf("conflict %v", conflict)
	}
	wantMembers(t, c.settle(409, "release", "h", `{"id":"c"}`), map[string]string{"code": "id_conflict"})

	late := c.settle(422, "capture", "h", `{"id":"c2"}`)
	wantMembers(t, late, map[string]string{
		"code": "hold_not_open", "settled_by": "c", "detail": "the hold h is not open: it was settled by c",
	})
	wantMembers(t, late["transaction"].(map[string]any), map[string]string{"status": "rejected", "original": "h", "settled_by": "c", "source": "a"})
	wantMembers(t, c.settle(422, "release", "h", `{"id":"r2"}`), map[string]string{"code": "hold_not_open", "settled_by": "c"})
}

// TestReleaseAndExpiry: a hold that is given back, by a client and by time.
func TestReleaseAndExpiry(t *testing.T) {
	c := newService(t)
	c.account("a", `,"overdraft":"100"`)
	c.account("b", "")
	c.want(201, "POST", postPath, postPath, hold("h 1", "a", "b", "5", ""))
	released := c.settle(201, "release", "h%201", `{"id":"r","description":"changed my mind"}`)
	wantMembers(t, released, map[string]string{
		"type": "release", "status": "posted", "original": "h 1", "amount": "5.00", "source_held": "0.00", "source_version": "2",
		"destination_version": "<nil>", "remainder": "<nil>",
	})
	wantMembers(t, c.current("h%201"), map[string]string{"status": "released", "settled_by": "r"})
	c.settle(400, "release", "h%201", `{"id":"r3","amount":"5"}`) // always all of it

	c.want(201, "POST", postPath, postPath, hold("due", "a", "b", "5", `"expires_at":"2001-01-01T00:00:00Z",`))
	over := c.settle(422, "capture", "due", `{"id":"c"}`)
	wantMembers(t, over, map[string]string{"code": "hold_not_open", "settled_by": "<nil>"})
	if detail := over["detail"].(string); !strings.Contains(detail, "its time is over") {
		t.Error(detail)
	}
	expiry := &rbcs.Transaction{ID: rbcs.ReservedPrefix + "x", Type: rbcs.Expiry, Original: "due", Source: "a", Destination: "b"}
	if results, err := c.engine.Submit(t.Context(), []*rbcs.Transaction{expiry}); err != nil || results[0].Status != rbcs.Posted {
		t.Fatal(results, err)
	}
	wantMembers(t, c.current("due"), map[string]string{"status": "expired", "settled_by": "rbcs.x"})
	wantMembers(t, c.current("rbcs.x"), map[string]string{"type": "expiry", "status": "posted", "original": "due"})

	for status, ids := range map[string]string{"released": "h 1", "expired": "due", "posted": "rbcs.x r", "rejected": "c", "held": "", "captured": ""} {
		if got := c.pages(postPath, postPath+"?status="+status, "transactions", "id"); got != ids {
			t.Errorf("%s are %q, want %q", status, got, ids)
		}
	}
}

// TestWhatItIs: a rejection says what that is which cannot be settled or reversed.
func TestWhatItIs(t *testing.T) {
	c := newService(t)
	c.account("bank", `,"overdraft":"unlimited"`)
	c.account("a", "")
	c.account("b", "")
	c.want(201, "POST", postPath, postPath, transfer("t", "bank", "a", "9"))
	c.want(201, "POST", postPath, postPath, hold("h", "a", "b", "2", ""))
	c.want(201, "POST", postPath, postPath, hold("h2", "a", "b", "2", ""))
	c.want(201, "POST", postPath, postPath, hold("due", "a", "b", "1", `"expires_at":"2001-01-01T00:00:00Z",`))
	c.want(422, "POST", postPath, postPath, transfer("poor", "a", "b", "99"))
	c.want(422, "POST", postPath, postPath, hold("poor-hold", "a", "b", "99", ""))
	c.settle(201, "release", "h2", `{"id":"r"}`)
	c.settle(201, "reverse", "t", `{"id":"v","amount":"1"}`)
	r := rejected(&rbcs.Transaction{ID: "1", Original: "rbcs.x"}, rbcs.AmountExceedsReversible)
	if r.SettledBy = string(rbcs.Expiry); rejectionDetail(&r) != "the transaction rbcs.x is an expiry: only a posted transfer or capture can be reversed" {
		t.Error(rejectionDetail(&r))
	}
	for i, test := range []struct{ verb, original, body, detail string }{
		{"capture", "t", "", "there is no hold t: that is a transfer"},
		{"release", "v", "", "there is no hold v: that is a reversal"},
		{"release", "none", "", "there is no hold none"},
		{"capture", "poor-hold", "", "the hold poor-hold is not open: it was rejected"},
		{"release", "poor-hold", "", "the hold poor-hold is not open: it was rejected"},
		{"capture", "due", "", "the hold due is not open: its time is over, and it can only be released"},
		{"reverse", "h", "", "the transaction h is a hold: only a posted transfer or capture can be reversed"},
		{"reverse", "v", `,"amount":"0.50"`, "the transaction v is a reversal: only a posted transfer or capture can be reversed"},
		{"reverse", "r", "", "the transaction r is a release: only a posted transfer or capture can be reversed"},
		{"reverse", "poor", "", "the transaction poor was rejected: it moved nothing that could be reversed"},
	} {
		for range 2 { // every replay says the same
			p := c.settle(422, test.verb, test.original, fmt.Sprintf(`{"id":"x%d"%s}`, i, test.body))
			wantMembers(t, p, map[string]string{"detail": test.detail, "settled_by": "<nil>", "account": "<nil>"})
		}
	}
}

// TestOverflowNamesTheAccount whose balance or total would have too many digits.
func TestOverflowNamesTheAccount(t *testing.T) {
	r := rejected(&rbcs.Transaction{ID: "1", Source: "a", Destination: "b", Amount: rbcs.Decimal{Units: rbcs.AmountOf(1)}}, rbcs.Overflow)
	r.SettledBy = "b"
	p := object(t, appendRejection(nil, &r, false))
	wantMembers(t, p, map[string]string{
		"account": "b", "detail": "a balance or a total of the account b would need more than 38 digits: move less, or use another account",
	})
	r.SettledBy = "" // as versions before recorded it
	wantMembers(t, object(t, appendRejection(nil, &r, false)), map[string]string{
		"account": "<nil>", "detail": "a balance or a total of a or b would need more than 38 digits",
	})
}

// TestExpiryOfALongID: what settled_by names can be read, though it is longer than a client's ID.
func TestExpiryOfALongID(t *testing.T) {
	c := newService(t)
	c.account("a", `,"overdraft":"100"`)
	c.account("b", "")
	id := strings.Repeat("h", rbcs.MaxIDBytes)
	c.want(201, "POST", postPath, postPath, hold(id, "a", "b", "5", `"expires_at":"2001-01-01T00:00:00Z",`))
	long := rbcs.ReservedPrefix + "expiry." + id
	expiry := &rbcs.Transaction{ID: long, Type: rbcs.Expiry, Original: id, Source: "a", Destination: "b"}
	if results, err := c.engine.Submit(t.Context(), []*rbcs.Transaction{expiry}); err != nil || results[0].Status != rbcs.Posted {
		t.Fatal(results, err)
	}
	wantMembers(t, c.current(id), map[string]string{"status": "expired", "settled_by": long})
	wantMembers(t, c.current(long), map[string]string{"type": "expiry", "original": id})
	if got := c.pages(postPath, postPath+"?id="+long, "transactions", "id"); got != long {
		t.Errorf("by ?id= there is %q", got)
	}
	c.want(400, "POST", postPath, postPath, transfer(long, "a", "b", "1"))
}

func TestReversals(t *testing.T) {
	c := newService(t)
	c.account("a", `,"overdraft":"100"`)
	c.account("b", "")
	c.want(201, "POST", postPath, postPath, transfer("t", "a", "b", "10"))
	first := c.settle(201, "reverse", "t", `{"id":"r1","amount":"4"}`)
	wantMembers(t, first, map[string]string{
		"type": "reversal", "status": "posted", "original": "t", "source": "b", "destination": "a", "amount": "4.00", "remainder": "6.00",
		"source_balance": "6.00", "source_held": "<nil>",
	})
	wantMembers(t, c.current("t"), map[string]string{"status": "posted", "reversed": "4.00"})
	wantMembers(t, c.settle(422, "reverse", "t", `{"id":"r2","amount":"6.01"}`), map[string]string{"code": "insufficient_funds"})
	c.want(201, "POST", postPath, postPath, transfer("more", "a", "b", "1"))
	wantMembers(t, c.settle(422, "reverse", "t", `{"id":"r3","amount":"6.01"}`), map[string]string{
		"code": "amount_exceeds_reversible", "available": "6.00", "needed": "6.01", "short": "0.01", "overdraft": "<nil>",
		"detail": "of the transaction t, 6.00 USD is left to reverse: the reversal of 6.01 is 0.01 too large",
	})
	wantMembers(t, c.settle(201, "reverse", "t", `{"id":"r4"}`), map[string]string{"amount": "6.00", "remainder": "<nil>"})
	wantMembers(t, c.current("t"), map[string]string{"status": "reversed", "reversed": "10.00"})
	wantMembers(t, c.settle(422, "reverse", "t", `{"id":"r5"}`), map[string]string{
		"code": "amount_exceeds_reversible", "detail": "of the transaction t nothing is left to reverse",
	})
	wantMembers(t, c.settle(200, "reverse", "t", `{"id":"r4"}`), map[string]string{"id": "r4"})
	if got := c.pages(postPath, postPath+"?status=reversed", "transactions", "id"); got != "t" {
		t.Errorf("reversed are %q", got)
	}

	wantMembers(t, c.settle(404, "reverse", "nothing", `{"id":"r6"}`), map[string]string{"code": "not_found"})
	c.want(404, "GET", "/v1/transactions/{id}", "/v1/transactions/r6", "")
	// What has no accounts because it was rejected has none to give back to.
	c.settle(422, "capture", "nothing", `{"id":"c"}`)
	wantMembers(t, c.settle(422, "reverse", "c", `{"id":"r7"}`), map[string]string{
		"code": "account_not_found", "detail": "the transaction c was rejected and has no accounts",
	})
}

// TestBadSettlements: 400, the field, and nothing recorded.
func TestBadSettlements(t *testing.T) {
	engine := &fakeEngine{}
	c := newClient(t, newHandler(t, &fakeStore{}, engine))
	for body, pointer := range map[string]string{
		`{}`:                                 "/id",
		`{"id":"rbcs.c"}`:                    "/id",
		`{"id":"h"}`:                         "/id",
		`{"id":7}`:                           "/id",
		`{"id":"c","amount":5}`:              "/amount",
		`{"id":"c","amount":"0"}`:            "/amount",
		`{"id":"c","amount":"-5"}`:           "/amount",
		`{"id":"c","original":"h"}`:          "/original",
		`{"id":"c","source":"a"}`:            "/source",
		`{"id":"c","description":"a\u0000"}`: "/description",
		`{"id":"c","metadata":[]}`:           "/metadata",
		`{"id":"c","id":"d"}`:                "/id",
		`[]`:                                 "",
	} {
		for _, verb := range []string{"capture", "reverse"} {
			p := c.settle(400, verb, "h", body)
			if fields := p["errors"].([]any); fields[0].(map[string]any)["pointer"] != pointer {
				t.Errorf("%s %s: errors %v, want %q", verb, body, fields, pointer)
			}
		}
	}
	p := c.settle(400, "release", "%00", `{"id":"c"}`)
	wantMembers(t, p["errors"].([]any)[0].(map[string]any), map[string]string{"pointer": "/original"})
	w := call(c.h, "POST", "/v1/transactions/h/capture", "{", "Content-Type", jsonType)
	wantProblem(t, w, 400, rbcs.InvalidRequest)
	if len(engine.got) != 0 {
		t.Error("something reached the engine")
	}
	down := newHandler(t, &fakeStore{err: rbcs.Errorf(rbcs.Unavailable, "the database is away")}, engine)
	wantProblem(t, call(down, "POST", "/v1/transactions/h/capture", `{"id":"c"}`), 503, rbcs.Unavailable)
}

// TestEveryRejection produces each code of the contract, twice, in the order of
// their precedence, and with the same bytes.
func TestEveryRejection(t *testing.T) {
	c := newService(t)
	c.account("a", `,"overdraft":"100"`)
	c.account("b", "")
	c.account("ice", "")
	c.want(200, "PATCH", pathOfAccount, "/v1/accounts/ice", `{"status":"frozen"}`)
	c.account("gone", "")
	c.want(200, "PATCH", pathOfAccount, "/v1/accounts/gone", `{"status":"closed"}`)
	c.want(201, "POST", "/v1/accounts", "/v1/accounts", `{"number":"yen","currency":"JPY"}`)
	for _, number := range []string{"p1", "p2"} {
		c.want(201, "POST", "/v1/accounts", "/v1/accounts", fmt.Sprintf(`{"number":%q,"currency":"POINTS","overdraft":"unlimited"}`, number))
	}
	c.want(201, "POST", postPath, postPath, transfer("most", "p1", "p2", strings.Repeat("9", 38)))
	c.want(201, "POST", postPath, postPath, transfer("t", "a", "b", "1"))
	c.want(201, "POST", postPath, postPath, hold("h", "a", "b", "2", ""))
	c.want(201, "POST", postPath, postPath, hold("h2", "a", "b", "2", ""))
	c.settle(201, "release", "h", `{"id":"r"}`)
	group := fmt.Sprintf(`{"transactions":[%s,%s],"atomic":true}`, transfer("g1", "a", "b", "1"), transfer("g2", "a", "nobody", "1"))
	c.want(200, "POST", batchPath, batchPath, group)

	for code, target := range map[rbcs.Code][2]string{
		rbcs.SameAccount:             {postPath, transfer("1", "a", "a", "1")},
		rbcs.AccountNotFound:         {postPath, transfer("2", "a", "nobody", "1")},
		rbcs.AccountFrozen:           {postPath, transfer("3", "a", "ice", "1")},
		rbcs.AccountClosed:           {postPath, transfer("4", "gone", "a", "1")},
		rbcs.CurrencyMismatch:        {postPath, transfer("5", "a", "yen", "1")},
		rbcs.InsufficientFunds:       {postPath, hold("6", "a", "b", "97.01", "")},
		rbcs.HoldNotFound:            {"/v1/transactions/t/capture", `{"id":"7","amount":"1.2345"}`},
		rbcs.HoldNotOpen:             {"/v1/transactions/h/release", `{"id":"8"}`},
		rbcs.AmountExceedsHold:       {"/v1/transactions/h2/capture", `{"id":"9","amount":"2.50"}`},
		rbcs.AmountExceedsReversible: {"/v1/transactions/h2/reverse", `{"id":"10"}`},
		rbcs.Overflow:                {postPath, transfer("11", "p1", "p2", "1")},
		rbcs.GroupFailed:             {postPath, transfer("g1", "a", "b", "1")},
	} {
		first, again := call(c.h, "POST", target[0], target[1]), call(c.h, "POST", target[0], target[1])
		if code == rbcs.GroupFailed { // alone it is another submission
			wantProblem(t, first, 409, rbcs.IDConflict)
			results := c.want(200, "POST", batchPath, batchPath, group)["results"].([]any)
			wantMembers(t, results[0].(map[string]any), map[string]string{"code": "group_failed", "status": "rejected", "replayed": "true"})
			continue
		}
		p := wantProblem(t, first, 422, code)
		wantProblem(t, again, 422, code)
		if again.Header().Get(replayedHeader) != "true" || again.Body.String() != first.Body.String() {
			t.Errorf("%s is replayed as %v %s\nand was %s", code, again.Header(), again.Body, first.Body)
		}
		id := p["transaction"].(map[string]any)["id"].(string)
		wantMembers(t, c.current(id), map[string]string{"status": "rejected", "code": string(code), "detail": p["detail"].(string)})
	}
	wantMembers(t, c.current("9"), map[string]string{"available": "2.00", "needed": "2.50", "short": "0.50"})
	wantMembers(t, c.current("7"), map[string]string{
		"amount": "1.2345", "original": "t", "currency": "<nil>", "source": "<nil>", "detail": "there is no hold t: that is a transfer",
	})
	wantMembers(t, c.current("g1"), map[string]string{"code": "group_failed", "status": "rejected"})
}

// results are the items of the answer to a batch.
func results(t *testing.T, w *httptest.ResponseRecorder) []map[string]any {
	t.Helper()
	if w.Code != 200 {
		t.Fatal(w.Code, w.Body)
	}
	var list []any
	if w.Header().Get("Content-Type") == ndjsonType {
		list = ndjson(t, w.Body.String())
	} else {
		list = object(t, w.Body.Bytes())["results"].([]any)
	}
	items := make([]map[string]any, len(list))
	for i := range list {
		items[i] = list[i].(map[string]any)
	}
	return items
}
