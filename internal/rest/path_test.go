package rest

import (
	"net/url"
	"strings"
	"testing"
)

// TestEveryIDHasAPath: what is a valid ID is found by it, also where a mux would redirect.
func TestEveryIDHasAPath(t *testing.T) {
	c := newService(t)
	c.account("bank", `,"overdraft":"unlimited"`)
	c.account("a", "")
	for _, id := range []string{"/", ".", "..", "a//b", "/a", "a/", "../x", "%2F", "%", "a?b#c", " ", "./."} {
		hold := strings.Replace(transfer(id, "bank", "a", "1"), "{", `{"type":"hold",`, 1)
		c.want(201, "POST", "/v1/transactions", "/v1/transactions", hold)
		escaped := strings.ReplaceAll(url.PathEscape(id), ".", "%2E")
		wantMembers(t, c.want(200, "GET", "/v1/transactions/{id}", "/v1/transactions/"+escaped, ""), map[string]string{"id": id})
		wantMembers(t, c.want(201, "POST", "/v1/transactions/{id}/capture", "/v1/transactions/"+escaped+"/capture", `{"id":"c`+id+`"}`),
			map[string]string{"original": id})
		if got := c.pages("/v1/transactions", "/v1/transactions?status=captured&id="+url.QueryEscape(id), "transactions", "id"); got != id {
			t.Errorf("the list of %q has %q", id, got)
		}
	}
	for _, target := range []string{"/v1/transactions/.", "/v1/transactions/..", "/v1/transactions/%2f"} { // as a client sends it that cleans nothing
		c.want(200, "GET", "/v1/transactions/{id}", target, "")
	}
	wantMembers(t, c.want(400, "GET", "/v1/accounts/{number}", "/v1/accounts/%2F", ""), map[string]string{"code": "invalid_request"})
}

// TestNoRedirect: an answer is never a page of the mux.
func TestNoRedirect(t *testing.T) {
	h := newHandler(t, &fakeStore{}, &fakeEngine{})
	for _, target := range []string{
		"/v1/accounts//balance", "//v1/accounts", "/v1//accounts", "/v1/accounts//", "/v1/./accounts", "/v1/../metrics", "/v1/accounts/", "/.", "/%2F",
	} {
		w := call(h, "GET", target, "")
		wantProblem(t, w, 404, "not_found")
		if w.Header().Get("Location") != "" {
			t.Errorf("%s leads to %s", target, w.Header().Get("Location"))
		}
	}
}

// TestExactFilters: id and number select one, which the other parameters may exclude.
func TestExactFilters(t *testing.T) {
	c := newService(t)
	c.account("bank", `,"overdraft":"unlimited"`)
	c.account("..", "")
	c.want(201, "POST", "/v1/transactions", "/v1/transactions", transfer("..", "bank", "..", "1"))
	for target, want := range map[string]string{
		"id=..":                                "..",
		"id=..&account=bank":                   "..",
		"id=..&from=2020-01-01T00:00:00Z":      "..",
		"id=..&account=other":                  "",
		"id=..&status=rejected":                "",
		"id=..&from=2990-01-01T00:00:00Z":      "",
		"id=..&to=2020-01-01T00:00:00Z":        "",
		"id=nothing":                           "",
		"id=..&cursor=" + cursorOf("t/", 1):    "",
		"id=..&cursor=" + cursorOf("t/", 1000): "..",
	} {
		page := c.want(200, "GET", "/v1/transactions", "/v1/transactions?"+target, "")
		if got := page["transactions"].([]any); len(got) > 0 != (want != "") {
			t.Errorf("%s: %v", target, got)
		}
	}
	for target, want := range map[string]string{
		"number=..":                                "..",
		"number=..&prefix=.&currency=USD":          "..",
		"number=..&status=frozen":                  "",
		"number=..&currency=EUR":                   "",
		"number=..&prefix=b":                       "",
		"number=..&cursor=" + cursorOfNumber(".."): "",
		"number=..&cursor=" + cursorOfNumber("-"):  "..",
		"number=nobody":                            "",
	} {
		page := c.want(200, "GET", "/v1/accounts", "/v1/accounts?"+target, "")
		if got := page["accounts"].([]any); len(got) > 0 != (want != "") {
			t.Errorf("%s: %v", target, got)
		}
	}
	c.want(400, "GET", "/v1/accounts", "/v1/accounts?number=a/b", "")
	c.want(400, "GET", "/v1/transactions", "/v1/transactions?id=%00", "")
}
