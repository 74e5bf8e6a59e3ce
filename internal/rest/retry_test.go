package rest

import (
	"strings"
	"testing"

	"rbcs"
)

const retryPath = "/v1/transactions/{id}/retry"

func (c *client) retry(status int, id string) map[string]any {
	c.t.Helper()
	return c.want(status, "POST", retryPath, "/v1/transactions/"+id+"/retry", "{}")
}

// TestRetry goes through the life of a transaction that is rejected twice.
func TestRetry(t *testing.T) {
	c := newService(t)
	c.account("bank", `,"overdraft":"unlimited"`)
	c.account("a", "")
	c.want(422, "POST", postPath, postPath, transfer("t", "a", "bank", "5"))
	wantMembers(t, c.current("t"), map[string]string{"status": "rejected", "attempt": "<nil>"})
	wantMembers(t, c.retry(422, "t"), map[string]string{"code": "insufficient_funds"})
	wantMembers(t, c.current("t"), map[string]string{"status": "rejected", "attempt": "2"})
	c.want(201, "POST", postPath, postPath, transfer("fund", "bank", "a", "7"))

	dry := c.want(200, "POST", retryPath, "/v1/transactions/t/retry?dry_run=true", "{}")
	wantMembers(t, dry, map[string]string{"status": "posted", "attempt": "3", "dry_run": "true"})
	first := c.do("POST", retryPath, "/v1/transactions/t/retry", "{}")
	if first.Code != 201 {
		t.Fatal(first.Code, first.Body)
	}
	wantMembers(t, object(t, first.Body.Bytes()), map[string]string{"status": "posted", "attempt": "3", "amount": "5.00", "source_balance": "2.00"})
	// A repeated retry, and the same submitted again, get what was posted.
	for _, again := range []struct{ path, target, body string }{
		{retryPath, "/v1/transactions/t/retry", "{}"},
		{postPath, postPath, transfer("t", "a", "bank", "5")},
	} {
		w := c.do("POST", again.path, again.target, again.body)
		if w.Code != 200 || w.Header().Get(replayedHeader) != "true" || w.Body.String() != first.Body.String() {
			t.Errorf("%s: %d\n%s\n%s", again.target, w.Code, w.Body, first.Body)
		}
	}
	attempts := c.current("t")["decisions"].([]any)
	if len(attempts) != 3 {
		t.Fatalf("attempts %v", attempts)
	}
	for i, want := range []map[string]string{
		{"attempt": "1", "status": "rejected", "code": "insufficient_funds", "instance": "test"},
		{"attempt": "2", "status": "rejected", "code": "insufficient_funds"},
		{"attempt": "3", "status": "posted", "code": "<nil>"},
	} {
		wantMembers(t, attempts[i].(map[string]any), want)
	}
	wantMembers(t, c.want(200, "GET", "/v1/accounts/{number}", "/v1/accounts/a", ""), map[string]string{"balance": "2.00"})
}

func TestRetryRefuses(t *testing.T) {
	c := newService(t)
	c.account("bank", `,"overdraft":"unlimited"`)
	c.account("a", "")
	c.want(201, "POST", postPath, postPath, transfer("posted", "bank", "a", "1"))
	c.want(200, "POST", batchPath, batchPath, `{"atomic":true,"transactions":[`+transfer("g", "a", "bank", "9")+`]}`)
	wantMembers(t, c.retry(409, "posted"), map[string]string{"code": "not_rejected"})
	wantMembers(t, c.retry(404, "none"), map[string]string{"code": "not_found"})
	group := c.retry(400, "g")
	if detail := group["detail"].(string); group["code"] != "invalid_request" || !strings.Contains(detail, "atomic group") {
		t.Errorf("a member of a group: %v", group)
	}
	c.retry(404, "rbcs.x")
	for _, body := range []string{"", "[]", `{"id":"x"}`, "{"} {
		if w := call(c.h, "POST", "/v1/transactions/posted/retry", body, "Content-Type", jsonType); w.Code != 400 {
			t.Errorf("the body %q: %d", body, w.Code)
		}
	}
}

// TestRetrySettlement: a capture that came before its hold finds it when it is retried.
func TestRetrySettlement(t *testing.T) {
	c := newService(t)
	c.account("a", `,"overdraft":"100"`)
	c.account("b", "")
	c.settle(422, "capture", "h", `{"id":"c"}`)
	c.want(201, "POST", postPath, postPath, hold("h", "a", "b", "5", ""))
	captured := c.retry(201, "c")
	wantMembers(t, captured, map[string]string{
		"type": "capture", "status": "posted", "original": "h", "amount": "5.00", "attempt": "2", "timestamp": captured["committed_at"].(string),
	})
	wantMembers(t, c.current("h"), map[string]string{"status": "captured", "settled_by": "c"})
	c.want(200, "POST", capturePath, "/v1/transactions/h/capture", `{"id":"c"}`)
}

// TestRetryOfWhatFails: the store does not answer.
func TestRetryOfWhatFails(t *testing.T) {
	for _, code := range []rbcs.Code{rbcs.Unavailable, rbcs.Internal} {
		h := newHandler(t, &fakeStore{err: rbcs.Errorf(code, "x")}, &fakeEngine{})
		if w := call(h, "POST", "/v1/transactions/t/retry", "{}"); w.Code < 500 {
			t.Errorf("%s: %d", code, w.Code)
		}
	}
}
