package rest

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"rbcs"
)

// with adds members to a transaction.
func with(tx, members string) string { return strings.Replace(tx, "{", "{"+members+",", 1) }

// eventually reads a transaction until it has a status.
func (c *client) eventually(id, status string) map[string]any {
	c.t.Helper()
	for deadline := time.Now().Add(30 * time.Second); ; {
		got := c.want(200, "GET", "/v1/transactions/{id}", "/v1/transactions/"+id, "")
		if got["status"] == status {
			return got
		}
		if time.Now().After(deadline) {
			c.t.Fatalf("%s is never %s: %v", id, status, got)
		}
	}
}

func TestRespondAsync(t *testing.T) {
	c := newService(t)
	const path = "/v1/transactions"
	c.account("bank", `,"overdraft":"unlimited"`)
	c.account("a", "")
	w := c.do("POST", path, path, with(transfer("t 1/ü", "bank", "a", "10.5"), `"x":1`), preferHeader, respondAsync)
	if w.Code != 400 { // it is checked as any other
		t.Fatalf("%d %s", w.Code, w.Body)
	}
	w = c.do("POST", path, path, with(transfer("t 1/x", "bank", "a", "10.5"), `"description":"d"`), preferHeader, "wait=5, Respond-Async; x=1")
	if w.Code != 202 || w.Header().Get("Location") != "/v1/transactions/t%201%2Fx" || w.Header().Get(appliedHeader) != respondAsync {
		t.Fatalf("%d %v %s", w.Code, w.Header(), w.Body)
	}
	wantMembers(t, object(t, w.Body.Bytes()), map[string]string{
		"id": "t 1/x", "status": "queued", "state": "queued", "amount": "10.5", "description": "d", "type": "transfer", "source": "bank",
	})
	done := c.eventually("t%201%2Fx", "posted")
	wantMembers(t, done, map[string]string{"amount": "10.50", "source_balance": "-10.50", "attempts": "<nil>"})
	again := c.do("POST", path, path, with(transfer("t 1/x", "bank", "a", "10.50"), `"description":"d"`), preferHeader, respondAsync)
	if again.Code != 200 || again.Header().Get(replayedHeader) != "true" || again.Header().Get(appliedHeader) != "" {
		t.Errorf("the same again, decided: %d %v %s", again.Code, again.Header(), again.Body)
	}
	c.want(409, "POST", path, path, transfer("t 1/x", "bank", "a", "10.5"), preferHeader, respondAsync)
	c.want(202, "POST", path, path, transfer("poor", "a", "bank", "99"), preferHeader, respondAsync)
	wantMembers(t, c.eventually("poor", "rejected"), map[string]string{"code": "insufficient_funds"})
	c.want(422, "POST", path, path, transfer("poor", "a", "bank", "99"), preferHeader, respondAsync)
	c.want(200, "POST", path, path+"?dry_run=true", transfer("dry", "bank", "a", "1"), preferHeader, respondAsync)
	c.want(404, "GET", path+"/{id}", path+"/dry", "")
}

func TestSchedule(t *testing.T) {
	c := newService(t, func(cfg *Config) { cfg.Now = func() time.Time { return committed } })
	const path, one = "/v1/transactions", "/v1/transactions/{id}"
	c.account("bank", `,"overdraft":"unlimited"`)
	c.account("a", "")
	far := with(transfer("far", "bank", "a", "1"), `"execute_at":"2035-01-01T00:00:00+01:00","retry_until":"2035-02-01T00:00:00Z"`)
	w := c.do("POST", path, path, far)
	if w.Code != 202 || w.Header().Get(appliedHeader) != "" {
		t.Fatalf("%d %v %s", w.Code, w.Header(), w.Body)
	}
	want := map[string]string{
		"status": "queued", "execute_at": "2034-12-31T23:00:00.000000Z", "retry_until": "2035-02-01T00:00:00.000000Z", "due_at": "2034-12-31T23:00:00.000000Z",
	}
	wantMembers(t, object(t, w.Body.Bytes()), want)
	wantMembers(t, c.want(202, "POST", path, path, far), want)
	if p := c.retry(409, "far"); p["code"] != "not_rejected" || !strings.Contains(fmt.Sprint(p["detail"]), "far waits in the queue") {
		t.Errorf("a retry of what is queued: %v", p)
	}
	wantMembers(t, c.want(200, "GET", one, path+"/far", ""), want)
	conflict := c.want(409, "POST", path, path, strings.Replace(far, "2035-02-01", "2035-02-02", 1))
	wantMembers(t, conflict["errors"].([]any)[0].(map[string]any), map[string]string{"pointer": "/retry_until"})
	conflict = c.want(409, "POST", path, path, transfer("far", "bank", "a", "2")) // at once
	if text := fmt.Sprint(conflict["errors"]); !strings.Contains(text, "/amount") || !strings.Contains(text, "/execute_at") {
		t.Errorf("a direct submission of what is queued: %v", conflict)
	}
	for _, bad := range []struct{ members, pointer string }{
		{`"execute_at":"2046-01-01T00:00:00Z"`, "/execute_at"},
		{`"retry_until":"2046-01-01T00:00:00Z"`, "/retry_until"},
		{`"execute_at":"2030-01-01T00:00:00Z","retry_until":"2030-01-01T00:00:00Z"`, "/retry_until"},
		{`"execute_at":"soon"`, "/execute_at"},
	} {
		answer := c.want(400, "POST", path, path, with(transfer("bad", "bank", "a", "1"), bad.members))
		if got := answer["errors"].([]any)[0].(map[string]any)["pointer"]; got != bad.pointer {
			t.Errorf("%s: %v", bad.members, answer)
		}
	}
	past := with(transfer("past", "bank", "a", "1"), `"execute_at":"2020-01-01T00:00:00Z"`)
	c.want(202, "POST", path, path, past)
	wantMembers(t, c.eventually("past", "posted"), map[string]string{"execute_at": "2020-01-01T00:00:00.000000Z"})
	c.want(200, "POST", path, path, past)
	c.want(409, "POST", path, path, transfer("past", "bank", "a", "1"))
}

func TestRetryUntil(t *testing.T) {
	c := newService(t)
	const path = "/v1/transactions"
	c.account("bank", `,"overdraft":"unlimited"`)
	c.account("a", "")
	patient := with(transfer("patient", "a", "bank", "5"), `"retry_until":"`+time.Now().Add(time.Hour).UTC().Format(time.RFC3339)+`"`)
	c.want(202, "POST", path, path, patient)
	for deadline := time.Now().Add(30 * time.Second); ; {
		got := c.want(200, "GET", path+"/{id}", path+"/patient", "")
		attempts, _ := got["attempts"].([]any)
		if len(attempts) >= 2 {
			wantMembers(t, got, map[string]string{"status": "queued", "state": "retrying", "code": "insufficient_funds"})
			wantMembers(t, attempts[0].(map[string]any), map[string]string{"kind": "refused", "code": "insufficient_funds", "instance": "test"})
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("it is not tried again: %v", got)
		}
	}
	c.want(201, "POST", path, path, transfer("fund", "bank", "a", "5")) // others of the account go first
	done := c.eventually("patient", "posted")
	if attempts, _ := done["attempts"].([]any); len(attempts) < 2 {
		t.Errorf("the attempts are gone: %v", done)
	}
	short := with(transfer("short", "a", "bank", "5"), `"retry_until":"`+time.Now().Add(50*time.Millisecond).UTC().Format(rbcs.TimeFormat)+`"`)
	c.want(202, "POST", path, path, short)
	c.eventually("short", "rejected")
}

// lateStore has a transaction that is decided between two looks at it.
type lateStore struct {
	fakeStore
	looks int
}

func (s *lateStore) Transaction(_ context.Context, id string) (rbcs.Record, error) {
	if s.looks++; s.looks == 1 {
		return rbcs.Record{}, rbcs.Errorf(rbcs.NotFound, "not yet")
	}
	return rbcs.Record{Result: rbcs.Result{Transaction: rbcs.Transaction{ID: id}, Status: rbcs.Posted}}, nil
}

func (*lateStore) Intake(context.Context, string) (rbcs.IntakeEntry, error) {
	return rbcs.IntakeEntry{}, rbcs.Errorf(rbcs.NotFound, "no longer")
}

func (*lateStore) IntakeHistory(context.Context, string) ([]rbcs.IntakeEvent, error) {
	return []rbcs.IntakeEvent{{Kind: rbcs.IntakeWasDiscarded}}, nil
}

// TestDecidedMeanwhile: what happened in the queue is told whenever it is asked.
func TestDecidedMeanwhile(t *testing.T) {
	got := object(t, call(newHandler(t, &lateStore{}, &fakeEngine{}), "GET", "/v1/transactions/t1", "").Body.Bytes())
	if attempts, _ := got["attempts"].([]any); len(attempts) != 1 || got["id"] != "t1" {
		t.Errorf("got %v", got)
	}
}

func TestAsyncBatch(t *testing.T) {
	c := newService(t)
	const path = "/v1/transactions/batch"
	c.account("bank", `,"overdraft":"unlimited"`)
	c.account("a", "")
	later := with(transfer("later", "bank", "a", "1"), `"execute_at":"2035-01-01T00:00:00Z"`)
	list := transfer("now", "bank", "a", "1") + "," + later + "," + transfer("bad/", "", "a", "1") + "," + transfer("later", "bank", "a", "1") + "," + later
	statuses := func(results []any) string {
		var all []string
		for _, r := range results {
			all = append(all, fmt.Sprint(r.(map[string]any)["status"]))
		}
		return strings.Join(all, " ")
	}
	answer := c.want(200, "POST", path, path, `{"transactions":[`+list+`]}`)
	// The direct ones go first: that the third of this ID is queued is told by the second.
	if got := statuses(answer["results"].([]any)); got != "posted error error posted error" {
		t.Errorf("mixed: %s\n%v", got, answer)
	}
	w := c.do("POST", path, path, transfer("n1", "bank", "a", "1")+"\n{\n"+transfer("n2", "a", "bank", "1"), "Content-Type", ndjsonType, preferHeader, respondAsync)
	lines := strings.Split(strings.TrimSpace(w.Body.String()), "\n")
	if w.Code != 202 || w.Header().Get(appliedHeader) != respondAsync || len(lines) != 3 || !strings.Contains(lines[0], `"status":"queued"`) ||
		!strings.Contains(lines[1], `"status":"error"`) {
		t.Errorf("%d %v %s", w.Code, w.Header(), w.Body)
	}
	c.eventually("n2", "posted")
	again := c.want(202, "POST", path, path, `{"transactions":[`+transfer("n1", "bank", "a", "1")+","+transfer("n1", "bank", "a", "2")+`]}`, preferHeader, respondAsync)
	wantMembers(t, again["results"].([]any)[0].(map[string]any), map[string]string{"status": "posted", "replayed": "true"})
	wantMembers(t, again["results"].([]any)[1].(map[string]any), map[string]string{"status": "error", "code": "id_conflict"})
	c.want(400, "POST", path, path+"?atomic=true", `{"transactions":[`+transfer("g", "bank", "a", "1")+`]}`, preferHeader, respondAsync)
	group := c.want(200, "POST", path, path+"?atomic=true", `{"transactions":[`+transfer("g1", "bank", "a", "1")+","+
		with(transfer("g2", "bank", "a", "1"), `"execute_at":"2035-01-01T00:00:00Z"`)+`]}`)
	if got := statuses(group["results"].([]any)); got != "error error" {
		t.Errorf("a group: %v", group)
	}
}

func TestQueueAway(t *testing.T) {
	c := newClient(t, newHandler(t, &fakeStore{}, &fakeEngine{}))
	for _, target := range []string{"/v1/transactions", "/v1/transactions/batch"} {
		body := validTx
		if strings.HasSuffix(target, "batch") {
			body = `{"transactions":[` + body + `]}`
		}
		w := c.do("POST", target, target, body, preferHeader, respondAsync)
		if w.Code != 503 || w.Header().Get("Retry-After") == "" || w.Header().Get("Location") != "" {
			t.Errorf("%s: %d %v %s", target, w.Code, w.Header(), w.Body)
		}
	}
	mixed := c.want(200, "POST", "/v1/transactions/batch", "/v1/transactions/batch", `{"transactions":[`+validTx+`,`+with(validTx, `"retry_until":"2026-05-01T00:00:00Z"`)+`]}`)
	wantMembers(t, mixed["results"].([]any)[1].(map[string]any), map[string]string{"status": "error", "code": "unavailable", "retryable": "true"})
	none := newClient(t, newHandler(t, &fakeStore{}, &fakeEngine{}, func(cfg *Config) { cfg.Intake = nil }))
	none.want(201, "POST", "/v1/transactions", "/v1/transactions", validTx, preferHeader, respondAsync)
	none.want(400, "POST", "/v1/transactions", "/v1/transactions", with(validTx, `"execute_at":"2026-05-01T00:00:00Z"`))
	if w := call(none.h, http.MethodGet, "/v1/intake", ""); w.Code != 404 {
		t.Errorf("%d", w.Code)
	}
}

func TestIntakeOperations(t *testing.T) {
	c := newService(t)
	const path, list, one = "/v1/transactions", "/v1/intake", "/v1/intake/{id}"
	c.account("bank", `,"overdraft":"unlimited"`)
	c.account("a", "")
	for i := range 5 {
		c.want(202, "POST", path, path, with(transfer(fmt.Sprint("q", i), "bank", "a", "1"), fmt.Sprintf(`"execute_at":"2035-01-0%dT00:00:00Z"`, 5-i)))
	}
	if got := c.pages(list, list+"?limit=2", "entries", "id"); got != "q4 q3 q2 q1 q0" {
		t.Errorf("the queue is %s", got)
	}
	patient := with(transfer("patient", "nobody", "a", "1"), `"retry_until":"2035-01-01T00:00:00Z"`)
	c.want(202, "POST", path, path, patient)
	for deadline := time.Now().Add(30 * time.Second); c.pages(list, list+"?state=retrying", "entries", "id") != "patient"; {
		if time.Now().After(deadline) {
			t.Fatal("it is not tried again")
		}
	}
	for _, state := range []string{"", "&state=waiting"} {
		if got := c.pages(list, list+"?limit=2"+state, "entries", "id"); got != "patient q4 q3 q2 q1 q0" {
			t.Errorf("what waits is %s", got)
		}
	}
	if got := c.pages(list, list+"?state=dead", "entries", "id"); got != "" {
		t.Errorf("dead letters: %s", got)
	}
	wantMembers(t, c.want(200, "GET", one, list+"/q1", ""), map[string]string{"id": "q1", "state": "queued", "status": "queued"})
	c.want(404, "GET", one, list+"/none", "")
	c.want(400, "GET", list, list+"?cursor=x", "")
	c.want(400, "POST", one+"/discard", list+"/q1/discard", `{}`)
	wantMembers(t, c.want(200, "POST", one+"/discard", list+"/q1/discard", `{"reason":"a mistake"}`), map[string]string{"status": "discarded", "state": "discarded"})
	gone := c.want(200, "GET", path+"/{id}", path+"/q1", "")
	wantMembers(t, gone["attempts"].([]any)[0].(map[string]any), map[string]string{"kind": "discarded", "detail": "a mistake"})
	c.want(409, "POST", path, path, transfer("q1", "bank", "a", "1"))
	wantMembers(t, c.want(200, "POST", one+"/replay", list+"/q1/replay", `{}`), map[string]string{"status": "queued"})
	unknown := c.want(404, "POST", one+"/replay", list+"/none/replay", `{}`)
	wantMembers(t, unknown, map[string]string{"detail": "there is no transaction none in the queue"})
	c.want(201, "POST", path, path, transfer("a b", "bank", "a", "1"))
	for _, decided := range []map[string]any{
		c.want(404, "GET", one, list+"/a%20b", ""), c.want(404, "POST", one+"/replay", list+"/a%20b/replay", `{}`),
		c.want(200, "POST", list+"/replay", list+"/replay", `{"ids":["a b"]}`)["results"].([]any)[0].(map[string]any),
	} {
		wantMembers(t, decided, map[string]string{
			"code": "not_found", "detail": "the transaction a b is decided, and not in the queue: see GET /v1/transactions/a%20b (rbcs tx get a b)",
		})
	}
	acted := c.want(200, "POST", list+"/discard", list+"/discard", `{"ids":["q0","none","q2"],"reason":"r"}`)
	for i, want := range []string{"discarded", "error", "discarded"} {
		wantMembers(t, acted["results"].([]any)[i].(map[string]any), map[string]string{"status": want})
	}
	c.want(200, "POST", list+"/replay", list+"/replay", `{"ids":["q0"]}`)
	c.want(400, "POST", list+"/replay", list+"/replay", `{}`)
	c.want(400, "POST", list+"/discard", list+"/discard", `{"ids":["q0"]}`)
	if got := c.pages(list, list+"?state=discarded", "entries", "id"); got != "q2" {
		t.Errorf("discarded: %s", got)
	}
	away := newClient(t, newHandler(t, &fakeStore{err: rbcs.Errorf(rbcs.Unavailable, "away")}, &fakeEngine{}))
	away.want(503, "GET", list, list, "")
	away.want(503, "GET", one, list+"/x", "")
	away.want(503, "POST", one+"/discard", list+"/x/discard", `{"reason":"r"}`)
}

// TestOmittedAttempts: a history that counts says so.
func TestOmittedAttempts(t *testing.T) {
	view := queuedView{&rbcs.IntakeEntry{}, []rbcs.IntakeEvent{{Kind: rbcs.IntakeFailed}, {Kind: rbcs.IntakeFailed, Omitted: 237}}}
	text, err := view.MarshalJSON()
	if err != nil {
		t.Fatal(err)
	}
	attempts := object(t, text)["attempts"].([]any)
	for i, want := range []string{"<nil>", "237"} {
		wantMembers(t, attempts[i].(map[string]any), map[string]string{"kind": "failed", "omitted": want})
	}
}
