package rest

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// TestHostOnLoopback: a page whose name was made to resolve to this machine is refused.
func TestHostOnLoopback(t *testing.T) {
	serve := func(hosts ...string) *httptest.Server {
		srv := httptest.NewServer(newHandler(t, &fakeStore{}, &fakeEngine{}, func(c *Config) { c.Hosts = hosts }))
		t.Cleanup(srv.Close)
		return srv
	}
	none, named, all := serve(), serve("Balance.internal"), serve("*")
	for _, tt := range []struct {
		server *httptest.Server
		host   string
		want   int
	}{
		{none, "localhost", 200},
		{none, "LOCALHOST:8080", 200},
		{none, "127.0.0.1:1", 200},
		{none, "[::1]:8080", 200},
		{none, "[::1]", 200},
		{none, "evil.example", 421},
		{none, "evil.example:8080", 421},
		{none, "localhost.evil.example", 421},
		{none, "127.0.0.1.evil.example", 421},
		{none, "192.0.2.1:8080", 421},
		{named, "balance.internal:8080", 200},
		{named, "localhost", 200},
		{named, "evil.example", 421},
		{all, "evil.example", 200},
	} {
		r, err := http.NewRequestWithContext(t.Context(), "GET", tt.server.URL+"/livez", nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Host = tt.host
		response, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(response.Body)
		response.Body.Close()
		if response.StatusCode != tt.want || tt.want == 421 && response.Header.Get("Content-Type") != problemType {
			t.Errorf("%s: status %d, want %d: %s", tt.host, response.StatusCode, tt.want, body)
		}
	}
}

// TestHostElsewhere: on other addresses any name may stand for the service.
func TestHostElsewhere(t *testing.T) {
	if w := call(newHandler(t, &fakeStore{}, &fakeEngine{}), "GET", "http://balance.example/livez", ""); w.Code != 200 {
		t.Error(w.Code, w.Body)
	}
}

func TestCrossSite(t *testing.T) {
	h := newHandler(t, &fakeStore{}, &fakeEngine{})
	for _, method := range []string{"POST", "PATCH", "DELETE"} {
		w := call(h, method, "/v1/transactions", validTx, "Sec-Fetch-Site", "cross-site")
		if p := wantProblem(t, w, 403, "invalid_request"); !strings.Contains(p["detail"].(string), "another site") {
			t.Error(p)
		}
	}
	for _, site := range []string{"same-origin", "none"} {
		if w := call(h, "POST", "/v1/transactions", `{`, "Sec-Fetch-Site", site); w.Code != 400 {
			t.Errorf("%s: status %d: %s", site, w.Code, w.Body)
		}
	}
	if w := call(h, "GET", "/livez", "", "Sec-Fetch-Site", "cross-site"); w.Code != 200 {
		t.Error(w.Code, w.Body)
	}
}
