package crash

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"rbcs/internal/testenv"
	"rbcs/internal/webhook"
)

// takeover is longer than the lease of an instance that is gone.
const takeover = time.Minute

// TestWebhookOutlivesItsInstance kills the instance that delivers a webhook in
// the middle of it: the other one goes on, everything arrives, and in order.
func TestWebhookOutlivesItsInstance(t *testing.T) {
	store := testenv.Postgres(t)
	instances := []*testenv.Process{
		serve(t, "--store", store, "--listen", "127.0.0.1:0", "--instance", "a", "--webhook-private", "--migrate"),
		serve(t, "--store", store, "--listen", "127.0.0.1:0", "--instance", "b", "--webhook-private"),
	}
	createAccounts(t, instances[0].URL)
	r := newReceiver(t)
	a, err := post(instances[0].URL+"/v1/webhooks", fmt.Sprintf(`{"url":%q,"cursor":0}`, r.url))
	if err != nil || a.status != http.StatusCreated {
		t.Fatalf("%d %s %v", a.status, a.body, err)
	}
	if err := json.Unmarshal(a.body, &r.hook); err != nil {
		t.Fatal(err)
	}
	r.open.Unlock()

	busy, idle := claimer(t, instances)
	load := startLoad(t, idle)
	r.await(t, func() bool { return len(r.got) >= 200 })
	if _, err := busy.End(syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	load.await(t, 500)
	load.end()
	all := sequences(t, idle.URL)
	last := all[len(all)-1]
	r.await(t, func() bool { return r.got[len(r.got)-1] == last })
	r.check(t, all)
	verify(t, store)
}

// claimer returns the instance that delivers the webhook, and the other one.
func claimer(t *testing.T, instances []*testenv.Process) (busy, idle *testenv.Process) {
	t.Helper()
	for deadline := time.Now().Add(startTimeout); time.Now().Before(deadline); pause() {
		for i, p := range instances {
			response, err := client.Get(p.URL + "/metrics")
			if err != nil {
				t.Fatal(err)
			}
			if a, err := read(response); err == nil && strings.Contains(string(a.body), "\nrbcs_webhooks_claimed 1\n") {
				return p, instances[1-i]
			}
		}
	}
	t.Fatal("nobody delivers the webhook")
	return nil, nil
}

// receiver is what a webhook is delivered to.
type receiver struct {
	url  string
	hook struct{ ID, Secret string }
	open sync.Mutex // held until the secret is known

	mu     sync.Mutex
	got    []int64 // sequences, as they came
	faults []string
}

func newReceiver(t *testing.T) *receiver {
	r := &receiver{}
	r.open.Lock()
	server := httptest.NewServer(r)
	t.Cleanup(server.Close)
	r.url = server.URL
	return r
}

func (r *receiver) ServeHTTP(_ http.ResponseWriter, request *http.Request) {
	r.open.Lock()
	hook := r.hook
	r.open.Unlock()
	body, err := io.ReadAll(request.Body)
	if err != nil {
		return // its instance was killed
	}
	var delivery struct {
		Type string
		Data struct {
			Sequence int64
			Status   string
		}
	}
	err = json.Unmarshal(body, &delivery)
	if err == nil {
		err = webhook.Verify(hook.Secret, request.Header, body, time.Now(), time.Minute)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	id, sequence := request.Header.Get("webhook-id"), delivery.Data.Sequence
	switch {
	case err != nil:
		r.faults = append(r.faults, err.Error())
	case delivery.Type != "transaction."+delivery.Data.Status || !strings.HasPrefix(id, hook.ID) || !strings.HasSuffix(id, fmt.Sprint("-", sequence)):
		r.faults = append(r.faults, fmt.Sprintf("the delivery %s is %s", id, body))
	}
	r.got = append(r.got, sequence)
}

func (r *receiver) count() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.got)
}

// await waits until what has come fulfils a condition.
func (r *receiver) await(t *testing.T, enough func() bool) {
	t.Helper()
	for deadline := time.Now().Add(takeover); ; pause() {
		r.mu.Lock()
		done := len(r.got) > 0 && enough()
		r.mu.Unlock()
		if done {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("after %s only %d deliveries have come", takeover, r.count())
		}
	}
}

// check fails where not all has come, or not in order: what comes may be the
// next, or begin again at something that has come already.
func (r *receiver) check(t *testing.T, all []int64) {
	t.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, fault := range r.faults {
		t.Error(fault)
	}
	next, furthest, again := 0, 0, 0
	for _, sequence := range r.got {
		if next == len(all) || all[next] != sequence {
			again++
			if next = slices.Index(all, sequence); next < 0 || next > furthest {
				t.Fatalf("the sequence %d came after those up to the %dth of %d", sequence, furthest, len(all))
			}
		}
		next++
		furthest = max(furthest, next)
	}
	if furthest != len(all) {
		t.Errorf("%d of %d decisions were delivered", furthest, len(all))
	}
	t.Logf("%d deliveries of %d decisions; it began again %d times", len(r.got), len(all), again)
}
