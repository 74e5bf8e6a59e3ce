package gateway

import (
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"rbcs"
)

// probes is a pool that is told what its instances answer.
type probes struct {
	*pool
	log strings.Builder
}

func newProbes(addresses ...string) *probes {
	p := &probes{}
	p.pool = newPool(slog.New(slog.NewTextHandler(&p.log, nil)), time.Now, time.Second)
	for _, address := range addresses {
		p.all[address] = newInstance(address)
	}
	return p
}

// tell has the instance answer that it is ready and stands on a database.
func (p *probes) tell(t *testing.T, address, database string) {
	t.Helper()
	p.probed(t.Context(), p.all[address], database, nil)
}

// away has the instance say that it takes no requests.
func (p *probes) away(t *testing.T, address string) {
	t.Helper()
	p.probed(t.Context(), p.all[address], "", notReady(http.StatusServiceUnavailable))
}

// gone has the instance found no longer, as set does.
func (p *probes) gone(t *testing.T, address string) {
	t.Helper()
	delete(p.all, address)
	p.settle(t.Context())
	p.publish()
}

// want compares the pinned database, who takes requests ("a,b") and how many stand on another one.
func (p *probes) want(t *testing.T, database, takers string, strangers int) {
	t.Helper()
	var got []string
	for _, i := range p.takers() {
		got = append(got, i.address)
	}
	slices.Sort(got)
	if list := strings.Join(got, ","); p.database != database || list != takers || p.strangers() != strangers {
		t.Errorf("pinned %q, requests to %q, %d strangers; want %q, %q, %d", p.database, list, p.strangers(), database, takers, strangers)
	}
}

// TestPinsWhatAllAgreeOn, and not what the first one to answer says.
func TestPinsWhatAllAgreeOn(t *testing.T) {
	p := newProbes("a", "b", "c")
	p.tell(t, "a", "one")
	p.want(t, "", "", 0) // the others may say something else
	p.probed(t.Context(), p.all["b"], "", http.ErrHandlerTimeout)
	p.tell(t, "c", "one")
	p.want(t, "", "", 0) // b was slow for once
	p.away(t, "b")
	p.want(t, "one", "", 0)
	p.tell(t, "a", "one")
	p.tell(t, "c", "one")
	p.want(t, "one", "a,c", 0)
	p.tell(t, "b", "two")
	p.tell(t, "b", "two")
	p.want(t, "one", "a,c", 1)
	if strings.Count(p.log.String(), "level=ERROR") != 1 || !strings.Contains(p.log.String(), "instance=b database=two believed=one") {
		t.Errorf("the log says %s", &p.log)
	}
	p.tell(t, "b", "one")
	p.want(t, "one", "a,b,c", 0)
	p.tell(t, "b", "two") // while it took requests
	p.want(t, "one", "a,c", 1)
	if strings.Count(p.log.String(), "level=ERROR") != 2 {
		t.Errorf("the log says %s", &p.log)
	}
}

// TestDisagreementServesNobody: without a past, a gateway does not know who is right.
func TestDisagreementServesNobody(t *testing.T) {
	p := newProbes("a", "b", "c", "old")
	for _, a := range []string{"a", "b"} {
		p.tell(t, a, "one")
	}
	p.tell(t, "old", "") // tells none, as before there was anything to tell
	p.want(t, "", "old", 0)
	p.tell(t, "c", "two")
	p.tell(t, "a", "one")
	p.want(t, "", "old", 2) // b has not answered since
	if !strings.Contains(p.log.String(), "the instances disagree") {
		t.Errorf("the log says %s", &p.log)
	}
	p.tell(t, "c", "one")
	p.want(t, "one", "c,old", 0)
	p.tell(t, "a", "one")
	p.want(t, "one", "a,c,old", 0)
}

// TestAnOutageMovesNobody: the right database is away, and the wrong one is not.
func TestAnOutageMovesNobody(t *testing.T) {
	p := newProbes("a", "b")
	p.tell(t, "a", "one")
	p.tell(t, "b", "one")
	p.tell(t, "a", "one")
	p.want(t, "one", "a,b", 0)
	p.tell(t, "b", "two")
	p.away(t, "a")
	for range 3 {
		p.tell(t, "b", "two")
	}
	p.want(t, "one", "", 1)
	p.tell(t, "a", "one")
	p.want(t, "one", "a", 1)
	p.tell(t, "a", "two") // now all have moved
	p.want(t, "two", "a", 0)
	p.tell(t, "b", "two")
	p.want(t, "two", "a,b", 0)
	if !strings.Contains(p.log.String(), "database=two before=one") {
		t.Errorf("the log says %s", &p.log)
	}
}

// TestReplacedInstances: who is gone tells nothing any more, and who came is asked first.
func TestReplacedInstances(t *testing.T) {
	p := newProbes("a")
	p.tell(t, "a", "one")
	p.all["b"], p.all["c"] = newInstance("b"), newInstance("c")
	p.gone(t, "a")
	p.want(t, "one", "", 0)
	p.tell(t, "b", "two")
	p.want(t, "one", "", 0) // c may be on the database of before
	p.tell(t, "c", "one")
	p.want(t, "one", "c", 0)
	p.tell(t, "b", "two")
	p.want(t, "one", "c", 1)
	p.gone(t, "c")
	p.tell(t, "b", "two")
	p.want(t, "two", "b", 0)
}

// TestForeignInstance is asked over HTTP, gets nothing, and shows in the metrics.
func TestForeignInstance(t *testing.T) {
	a, b, wrong := newFake(t, echo), newFake(t, echo), newFake(t, echo)
	a.database.Store("one")
	b.database.Store("one")
	wrong.database.Store("two")
	u := newGateway(t, Config{}, a, b)
	u.finder.set(a, b, wrong)
	await(t, "the wrong one to be found out", func() bool { return u.pool.strangers() == 1 })
	wrong.awaitProbes(t, 3)
	for range 50 {
		if got := u.do(http.MethodPost, transactions, "x"); got.status != http.StatusCreated {
			t.Fatalf("got %+v", got)
		}
	}
	text := u.do(http.MethodGet, "/metrics", "").body
	if wrong.calls.Load() != 0 || !strings.Contains(text, "\nrbcs_gateway_instances_foreign 1\n") || !strings.Contains(text, "\nrbcs_gateway_instances_ready 2\n") {
		t.Errorf("%d requests went to another database; %s", wrong.calls.Load(), text)
	}
	u.finder.set(wrong) // those that told the first one are gone
	await(t, "the move", func() bool { return u.pool.strangers() == 0 && len(u.pool.takers()) == 1 })
	if got := u.do(http.MethodPost, transactions, "x"); got.status != http.StatusCreated || wrong.calls.Load() != 1 {
		t.Errorf("got %+v, %d requests", got, wrong.calls.Load())
	}
}

// TestStaysReadyWithoutAnInstance, once it had one: it answers by itself, which tells more than a refused connection.
func TestStaysReadyWithoutAnInstance(t *testing.T) {
	a := newFake(t, echo)
	u := newGateway(t, Config{}, a)
	a.notReady.Store(true)
	await(t, "no instance", func() bool { return len(u.pool.takers()) == 0 })
	if got := u.do(http.MethodGet, "/readyz", ""); got.status != http.StatusOK {
		t.Errorf("readiness: got %+v", got)
	}
	if got := u.do(http.MethodPost, transactions, "x"); got.status != http.StatusServiceUnavailable || got.code() != rbcs.Unavailable || got.header.Get("Retry-After") == "" {
		t.Errorf("got %+v", got)
	}
	if text := u.do(http.MethodGet, "/metrics", "").body; !strings.Contains(text, "\nrbcs_gateway_instances_ready 0\n") {
		t.Errorf("nothing to alert on: %s", text)
	}
	u.Drain()
	if got := u.do(http.MethodGet, "/readyz", ""); got.status != http.StatusServiceUnavailable {
		t.Errorf("readiness while it drains: got %+v", got)
	}
}
