package rest

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"

	"rbcs"
)

const webhooksPath = "/v1/webhooks"

// TestWebhooks goes through the life of a webhook.
func TestWebhooks(t *testing.T) {
	woken := 0
	c := newService(t, func(c *Config) { c.Webhooks.Wake = func() { woken++ } })
	c.account("bank", `,"overdraft":"unlimited"`)
	c.account("a", "")
	c.want(201, "POST", postPath, postPath, transfer("1", "bank", "a", "1"))
	c.want(201, "POST", postPath, postPath, transfer("2", "bank", "a", "1"))

	created := c.want(201, "POST", webhooksPath, webhooksPath, `{"url":"https://example.com/in","prefix":"acme:","account":"a"}`)
	wantMembers(t, created, map[string]string{
		"url": "https://example.com/in", "prefix": "acme:", "account": "a", "cursor": "2", "paused": "false", "failures": "0", "next_at": "<nil>",
	})
	if secret, _ := created["secret"].(string); !strings.HasPrefix(secret, "whsec_") {
		t.Errorf("the secret is %q", secret)
	}
	wantMembers(t, c.want(201, "POST", webhooksPath, webhooksPath, `{"url":"https://example.com/all","cursor":0}`), map[string]string{"cursor": "0"})
	one := webhooksPath + "/" + created["id"].(string)
	got := c.want(200, "GET", pathOfWebhook, one, "")
	if got["secret"] != nil || got["id"] != created["id"] {
		t.Errorf("got %v", got)
	}
	list := c.want(200, "GET", webhooksPath, webhooksPath, "")["webhooks"].([]any)
	if len(list) != 2 || list[0].(map[string]any)["secret"] != nil {
		t.Errorf("listed %v", list)
	}

	changed := c.want(200, "PATCH", pathOfWebhook, one, `{"paused":true,"cursor":1,"url":"https://example.com/other"}`)
	wantMembers(t, changed, map[string]string{"paused": "true", "cursor": "1", "url": "https://example.com/other", "secret": "<nil>", "account": "a"})
	wantMembers(t, c.want(200, "PATCH", pathOfWebhook, one, `{"paused":false}`), map[string]string{"paused": "false", "cursor": "1"})
	for _, body := range []string{`{"cursor":3}`, `{"url":"https://example.com","cursor":3}`} {
		method, path, target := "PATCH", pathOfWebhook, one
		if strings.Contains(body, "url") {
			method, path, target = "POST", webhooksPath, webhooksPath
		}
		p := c.want(400, method, path, target, body)
		wantMembers(t, p["errors"].([]any)[0].(map[string]any), map[string]string{"pointer": "/cursor", "message": "the log ends at the sequence 2"})
	}

	if w := call(c.h, "DELETE", one, ""); w.Code != 204 || w.Body.Len() != 0 {
		t.Errorf("deleted: %d %s", w.Code, w.Body)
	}
	for _, method := range []string{"GET", "DELETE"} {
		wantMembers(t, c.want(404, method, pathOfWebhook, one, ""), map[string]string{"code": "not_found"})
	}
	c.want(404, "PATCH", pathOfWebhook, one, `{"paused":false}`)
	if woken != 5 {
		t.Errorf("whoever delivers was woken %d times, not 5", woken)
	}
}

// TestFailingWebhook: what its deliverer recorded is shown.
func TestFailingWebhook(t *testing.T) {
	view := webhookOf(&rbcs.Webhook{
		ID: "w", Failures: 3, FailingSince: committed, NextAt: committed.Add(1), LastError: "the receiver answered 500", Paused: true,
	})
	if view.FailingSince != formatTime(committed) || view.NextAt == "" || view.LastError == "" || !view.Paused || view.Failures != 3 {
		t.Errorf("shown as %+v", view)
	}
}

// starting is a store that does not know at first what is settled.
type starting struct {
	fakeStore
	asked   int
	created rbcs.Webhook
}

func (s *starting) Log(context.Context, int64, int) (rbcs.LogPage, error) {
	if s.asked++; s.asked < 5 {
		return rbcs.LogPage{}, rbcs.Errorf(rbcs.Unavailable, "what is settled is not known yet")
	}
	return rbcs.LogPage{End: 20, Timeline: 1}, nil
}

func (s *starting) CreateWebhook(_ context.Context, w rbcs.Webhook) (rbcs.Webhook, error) {
	s.created = w
	return w, nil
}

// TestANewWebhookBeginsAtTheEnd also right after the start: never at the beginning, unless it says so.
func TestANewWebhookBeginsAtTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &starting{}
		w := call(newHandler(t, store, &fakeEngine{}), "POST", webhooksPath, `{"url":"https://example.com"}`)
		if w.Code != 201 || store.created.Cursor != 20 {
			t.Errorf("%d %s; created %+v", w.Code, w.Body, store.created)
		}
	})
}

func TestBadWebhooks(t *testing.T) {
	c := newClient(t, newHandler(t, &fakeStore{}, &fakeEngine{}))
	for _, test := range []struct{ method, body, pointer, message string }{
		{"POST", `{}`, "/url", "missing"},
		{"POST", `{"url":"http://example.com"}`, "/url", "https://"},
		{"POST", `{"url":"https://127.0.0.1/"}`, "/url", "private"},
		{"POST", `{"url":7}`, "/url", "must be a string"},
		{"POST", `{"url":"https://example.com","account":"a/b"}`, "/account", "consists of"},
		{"POST", `{"url":"https://example.com","prefix":"a/b"}`, "/prefix", "consists of"},
		{"POST", `{"url":"https://example.com","cursor":"5"}`, "/cursor", "integer"},
		{"POST", `{"url":"https://example.com","cursor":-1}`, "/cursor", "integer"},
		{"POST", `{"url":"https://example.com","cursor":1.5}`, "/cursor", "integer"},
		{"POST", `{"url":"https://example.com","secret":"whsec_"}`, "/secret", "not known"},
		{"PATCH", `{}`, "", "empty"},
		{"PATCH", `{"paused":"yes"}`, "/paused", "true or false"},
		{"PATCH", `{"url":"ftp://example.com"}`, "/url", "neither"},
		{"PATCH", `{"account":"a"}`, "/account", "not known"},
	} {
		path, target := webhooksPath, webhooksPath
		if test.method == "PATCH" {
			path, target = pathOfWebhook, webhooksPath+"/w"
		}
		p := c.want(400, test.method, path, target, test.body)
		field := p["errors"].([]any)[0].(map[string]any)
		if field["pointer"] != test.pointer || !strings.Contains(field["message"].(string), test.message) {
			t.Errorf("%s: %v, want %q at %q", test.body, field, test.message, test.pointer)
		}
	}
	for _, method := range []string{"PATCH", "DELETE"} {
		p := wantProblem(t, call(c.h, method, webhooksPath+"/%00", `{"paused":true}`), 400, rbcs.InvalidRequest)
		wantMembers(t, p["errors"].([]any)[0].(map[string]any), map[string]string{"pointer": "/id"})
		p = wantProblem(t, call(c.h, method, webhooksPath+"/w?force=true", `{"paused":true}`), 400, rbcs.InvalidRequest)
		wantMembers(t, p["errors"].([]any)[0].(map[string]any), map[string]string{"pointer": "/force"})
	}
	for _, body := range []string{"{", `{"cursor":}`} {
		wantProblem(t, call(c.h, "POST", webhooksPath, body), 400, rbcs.InvalidRequest)
		wantProblem(t, call(c.h, "PATCH", webhooksPath+"/w", body), 400, rbcs.InvalidRequest)
	}

	synctest.Test(t, func(t *testing.T) { // it waits a little for the end of the log
		down := newHandler(t, &fakeStore{err: rbcs.Errorf(rbcs.Unavailable, "away")}, &fakeEngine{})
		for _, r := range [][3]string{
			{"POST", webhooksPath, `{"url":"https://example.com"}`},
			{"PATCH", webhooksPath + "/w", `{"cursor":1}`},
			{"GET", webhooksPath, ""},
			{"GET", "/v1/events", ""},
		} {
			wantProblem(t, call(down, r[0], r[1], r[2]), 503, rbcs.Unavailable)
		}
	})
	without := newHandler(t, &fakeStore{}, &fakeEngine{}, func(c *Config) { c.Webhooks, c.Events = nil, nil })
	for _, path := range []string{webhooksPath, "/v1/events"} {
		wantProblem(t, call(without, "GET", path, ""), 404, rbcs.NotFound)
		if strings.Contains(call(without, "GET", "/openapi.json", "").Body.String(), path) {
			t.Errorf("%s is in the document of a service that does not have it", path)
		}
	}
}
