// Package crash tests the built binary as an operator meets it: killed at any
// moment, stopped under load, and run twice on one database. Everything is
// seen from outside, over HTTP and by the binary's own audit.
package crash

import (
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"time"

	"rbcs/internal/testenv"
)

// startTimeout bounds the wait for an answer, recovery of the database included.
const startTimeout = 20 * time.Second

// serve starts the service and waits until it serves.
func serve(t *testing.T, args ...string) *testenv.Process {
	t.Helper()
	return testenv.Run(t, append([]string{"serve"}, args...)...)
}

// end sends a signal to which the service must end with 0.
func end(t *testing.T, p *testenv.Process, s syscall.Signal) {
	t.Helper()
	if code, err := p.End(s); err != nil || code != 0 {
		t.Errorf("after %s: exit code %d, %v", s, code, err)
	}
}

// verify runs the audit, which must find nothing.
func verify(t *testing.T, store string) {
	t.Helper()
	if err := testenv.Verify(t.Context(), store); err != nil {
		t.Error(err)
	}
}

// client has a connection for every worker, and is patient: a request that is
// never answered fails a test.
var client = &http.Client{
	Timeout:   startTimeout,
	Transport: &http.Transport{MaxIdleConnsPerHost: 64},
}

// answer is what the service said.
type answer struct {
	status int
	body   []byte
	replay bool
}

// post sends a JSON body. Its error means that there was no answer.
func post(url, body string) (answer, error) {
	response, err := client.Post(url, "application/json", strings.NewReader(body))
	if err != nil {
		return answer{}, err
	}
	return read(response)
}

// get returns what is at an address, which must be there.
func get(t *testing.T, url string, into any) {
	t.Helper()
	response, err := client.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	a, err := read(response)
	if err != nil || a.status != http.StatusOK {
		t.Fatalf("GET %s: %d %s %v", url, a.status, a.body, err)
	}
	if err := json.Unmarshal(a.body, into); err != nil {
		t.Fatalf("GET %s: %v in %s", url, err, a.body)
	}
}

func read(response *http.Response) (answer, error) {
	body, err := io.ReadAll(response.Body)
	if closeErr := response.Body.Close(); err == nil {
		err = closeErr
	}
	return answer{response.StatusCode, body, response.Header.Get("Idempotent-Replayed") == "true"}, err
}
