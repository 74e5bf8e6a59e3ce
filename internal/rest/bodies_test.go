package rest

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"

	"rbcs"
)

// TestBodiesAreBoundedTogether: bodies that stall do not fill the memory. What
// is too much is refused at once, a small request still gets in, and room comes
// back when a body was read.
func TestBodiesAreBoundedTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHandler(t, &fakeStore{}, &fakeEngine{}, func(c *Config) { c.MaxBody, c.MaxBodies = 1<<20, 2<<20 })
		batch := `{"transactions":[` + validTx + `]}`
		post := func(body io.Reader, length int64) *httptest.ResponseRecorder {
			r := httptest.NewRequest("POST", "/v1/transactions/batch", body)
			r.Header.Set("Content-Type", jsonType)
			r.ContentLength = length
			w := httptest.NewRecorder()
			h.ServeHTTP(w, r)
			return w
		}
		refused := func(w *httptest.ResponseRecorder) {
			t.Helper()
			wantProblem(t, w, http.StatusTooManyRequests, rbcs.Overloaded)
			if w.Header().Get("Retry-After") == "" || w.Header().Get("Connection") != "close" {
				t.Errorf("headers %v", w.Header())
			}
		}
		const large = 1_000_000
		stalled, rest := io.Pipe()
		done := make(chan *httptest.ResponseRecorder)
		go func() { done <- post(stalled, large) }()
		synctest.Wait() // until it waits for its body

		refused(post(strings.NewReader("never read"), large))
		refused(post(strings.NewReader(strings.Repeat(" ", large)), -1)) // which does not say its length
		if w := call(h, "POST", "/v1/transactions", validTx); w.Code != 201 {
			t.Errorf("a small request: %d %s", w.Code, w.Body)
		}

		if _, err := io.WriteString(rest, batch+strings.Repeat(" ", large-len(batch))); err != nil {
			t.Error(err)
		}
		if err := rest.Close(); err != nil {
			t.Error(err)
		}
		if w := <-done; w.Code != 200 {
			t.Errorf("the one that had stalled: %d %s", w.Code, w.Body)
		}
		for _, length := range []int64{large, -1} {
			if w := post(strings.NewReader(batch+strings.Repeat(" ", large-len(batch))), length); w.Code != 200 {
				t.Errorf("after it: %d %s", w.Code, w.Body)
			}
		}
	})
}
