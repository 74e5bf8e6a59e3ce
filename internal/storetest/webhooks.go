package storetest

import (
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"rbcs"
)

var webhookTests = []test{
	{"kept", testWebhooks},
	{"changed", testWebhookChanges},
	{"claimed", testWebhookClaims},
	{"lease-ends", testWebhookLease},
	{"delivered", testWebhookDelivered},
	{"cursor-moved", testWebhookCursorMoved},
	{"claimed-together", testWebhooksClaimedTogether},
	{"too-many", testTooManyWebhooks},
}

const webhookSecret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"

// webhook creates a webhook of this test.
func (e *env) webhook(id string) rbcs.Webhook {
	e.t.Helper()
	w, err := e.store.CreateWebhook(e.ctx, rbcs.Webhook{ID: e.name + "-" + id, URL: "https://example.com/" + id, Secret: webhookSecret})
	e.must(err)
	return w
}

// claim claims webhooks, and returns the names of this test's.
func (e *env) claim(instance string, lease time.Duration) string {
	e.t.Helper()
	list, err := e.store.ClaimWebhooks(e.ctx, instance, lease)
	e.must(err)
	var ids []string
	for _, w := range list {
		if id, own := strings.CutPrefix(w.ID, e.name+"-"); own {
			ids = append(ids, id)
		}
	}
	slices.Sort(ids)
	return strings.Join(ids, " ")
}

func compareWebhooks(got, want *rbcs.Webhook) (d differences) {
	g, w := *got, *want
	for _, t := range []struct {
		field string
		g, w  *time.Time
	}{{"created_at", &g.CreatedAt, &w.CreatedAt}, {"failing_since", &g.FailingSince, &w.FailingSince}, {"next_at", &g.NextAt, &w.NextAt}} {
		d.time(t.field, t.g.UTC(), *t.w)
		*t.g, *t.w = time.Time{}, time.Time{}
	}
	differ(&d, "webhook", g, w)
	return d
}

// sameWebhook checks what is stored.
func (e *env) sameWebhook(want rbcs.Webhook) {
	e.t.Helper()
	got, err := e.store.Webhook(e.ctx, want.ID)
	e.must(err)
	if d := compareWebhooks(&got, &want); d != nil {
		e.t.Errorf("%s: %v", want.ID, d)
	}
}

// testWebhooks creates, reads, lists and deletes.
func testWebhooks(e *env) {
	asked := rbcs.Webhook{
		ID: e.name + "-b", URL: "https://example.com/ü?a=1&b=2", Secret: webhookSecret, Account: "acme:1", Prefix: "acme:", CreatedBy: "alice", Cursor: 1 << 40,
	}
	created, err := e.store.CreateWebhook(e.ctx, asked)
	e.must(err)
	asked.CreatedAt = created.CreatedAt
	if d := compareWebhooks(&created, &asked); d != nil || created.CreatedAt.Year() < 2000 {
		e.t.Errorf("created at %v: %v", created.CreatedAt, d)
	}
	e.sameWebhook(asked)
	other := asked
	other.URL = "https://example.com/other"
	_, err = e.store.CreateWebhook(e.ctx, other) // the ID is taken
	e.wantCode(err, rbcs.IDConflict)
	e.sameWebhook(asked)
	a := e.webhook("a")
	list, err := e.store.Webhooks(e.ctx)
	e.must(err)
	if !slices.IsSortedFunc(list, func(a, b rbcs.Webhook) int { return strings.Compare(a.ID, b.ID) }) {
		e.t.Error("the webhooks are not listed by ID")
	}
	list = slices.DeleteFunc(list, func(w rbcs.Webhook) bool { return !strings.HasPrefix(w.ID, e.name+"-") })
	if len(list) != 2 || compareWebhooks(&list[0], &a) != nil || compareWebhooks(&list[1], &asked) != nil {
		e.t.Errorf("the list is %+v", list)
	}
	e.must(e.store.DeleteWebhook(e.ctx, a.ID))
	_, err = e.store.Webhook(e.ctx, a.ID)
	e.wantCode(err, rbcs.NotFound)
	e.wantCode(e.store.DeleteWebhook(e.ctx, a.ID), rbcs.NotFound)
	_, err = e.store.UpdateWebhook(e.ctx, a.ID, rbcs.WebhookChange{})
	e.wantCode(err, rbcs.NotFound)
	e.sameWebhook(asked)
}

// testWebhookChanges changes one thing after the other; to resume forgets the failures.
func testWebhookChanges(e *env) {
	w := e.webhook("w")
	change := func(c rbcs.WebhookChange) {
		e.t.Helper()
		got, err := e.store.UpdateWebhook(e.ctx, w.ID, c)
		e.must(err)
		if d := compareWebhooks(&got, &w); d != nil {
			e.t.Errorf("%+v: %v", c, d)
		}
		e.sameWebhook(w)
	}
	change(rbcs.WebhookChange{})
	w.URL, w.Cursor = "https://example.com/other", 7
	change(rbcs.WebhookChange{URL: &w.URL, Cursor: &w.Cursor})
	e.claim("one", time.Hour)
	from := w.Cursor
	w.Cursor, w.FailingSince, w.Failures, w.LastError, w.NextAt, w.Paused = 9, eventTime, 3, "500", eventTime.Add(time.Hour), true
	if ok, err := e.store.DeliveredWebhook(e.ctx, "one", w, from); err != nil || !ok {
		e.t.Fatalf("delivered: %v, %v", ok, err)
	}
	e.sameWebhook(w)
	change(rbcs.WebhookChange{Paused: new(true)})
	w.Cursor = 0
	change(rbcs.WebhookChange{Cursor: new(int64(0))})
	w.FailingSince, w.Failures, w.LastError, w.NextAt, w.Paused = time.Time{}, 0, "", time.Time{}, false
	change(rbcs.WebhookChange{Paused: new(false)})
	w.Paused = true
	change(rbcs.WebhookChange{Paused: new(true)})
}

// testWebhookClaims: a webhook is delivered by one instance, and neither while
// it is paused nor before its time.
func testWebhookClaims(e *env) {
	for _, id := range []string{"a", "b", "paused", "later"} {
		e.webhook(id)
	}
	_, err := e.store.UpdateWebhook(e.ctx, e.name+"-paused", rbcs.WebhookChange{Paused: new(true)})
	e.must(err)
	expect := func(instance, want string) {
		e.t.Helper()
		if got := e.claim(instance, time.Hour); got != want {
			e.t.Errorf("%s claims %q, want %q", instance, got, want)
		}
	}
	expect("one", "a b later")
	expect("two", "")
	expect("one", "a b later") // renewed
	later, err := e.store.Webhook(e.ctx, e.name+"-later")
	e.must(err)
	later.NextAt = time.Now().Add(time.Hour).UTC().Truncate(time.Microsecond)
	if ok, err := e.store.DeliveredWebhook(e.ctx, "one", later, later.Cursor); err != nil || !ok {
		e.t.Errorf("delivered: %v, %v", ok, err)
	}
	expect("one", "a b")
	e.webhook("c")
	_, err = e.store.UpdateWebhook(e.ctx, e.name+"-paused", rbcs.WebhookChange{Paused: new(false)})
	e.must(err)
	expect("two", "c paused")
	expect("one", "a b")
	e.must(e.store.DeleteWebhook(e.ctx, e.name+"-a"))
	expect("one", "b")
}

// testWebhookLease: when the lease has ended another instance takes over, and
// the first one cannot record anything any more.
func testWebhookLease(e *env) {
	w := e.webhook("w")
	if got := e.claim("one", 100*time.Millisecond); got != "w" {
		e.t.Fatalf("claimed %q", got)
	}
	deadline := time.Now().Add(logPatience)
	for e.claim("two", time.Hour) != "w" {
		if time.Now().After(deadline) {
			e.t.Fatal("the lease never ends")
		}
	}
	w.Cursor = 5
	if ok, err := e.store.DeliveredWebhook(e.ctx, "one", w, 0); err != nil || ok {
		e.t.Errorf("whose lease has ended records: %v, %v", ok, err)
	}
	if ok, err := e.store.DeliveredWebhook(e.ctx, "two", w, 0); err != nil || !ok {
		e.t.Errorf("who has taken over: %v, %v", ok, err)
	}
	if got := e.claim("one", time.Hour); got != "" {
		e.t.Errorf("one claims %q from two", got)
	}
	e.sameWebhook(w)
	if got := e.claim("two", 0); got != "w" {
		e.t.Errorf("two gives %q back", got)
	}
	if got := e.claim("one", time.Hour); got != "w" {
		e.t.Errorf("one claims %q after two gave it back", got)
	}

	const lease = 20 * time.Millisecond
	short := e.webhook("short")
	e.claim("one", lease)
	for began := time.Now(); time.Since(began) < 2*lease; { // and nobody takes over
		e.sameWebhook(short)
	}
	moved := short
	moved.Cursor = 5
	if ok, err := e.store.DeliveredWebhook(e.ctx, "one", moved, 0); err != nil || ok {
		e.t.Errorf("recorded after the end of the lease: %v, %v", ok, err)
	}
	e.sameWebhook(short)
}

// testWebhookDelivered records outcomes; nobody else's claim, nor none, will do.
func testWebhookDelivered(e *env) {
	w := e.webhook("w")
	none := w
	none.ID, w.Cursor = e.name+"-none", 3
	for _, c := range []struct {
		instance string
		w        rbcs.Webhook
	}{{"one", w}, {"one", none}, {"", w}} {
		if ok, err := e.store.DeliveredWebhook(e.ctx, c.instance, c.w, 0); err != nil || ok {
			e.t.Errorf("%q has claimed nothing and records %s: %v, %v", c.instance, c.w.ID, ok, err)
		}
	}
	e.claim("one", time.Hour)
	if ok, err := e.store.DeliveredWebhook(e.ctx, "two", w, 0); err != nil || ok {
		e.t.Errorf("another instance records: %v, %v", ok, err)
	}
	elsewhere := w
	elsewhere.URL, elsewhere.Secret, elsewhere.Account, elsewhere.CreatedBy = "https://example.com/x", "whsec_x", "x", "x" // not of an outcome
	if ok, err := e.store.DeliveredWebhook(e.ctx, "one", elsewhere, 0); err != nil || !ok {
		e.t.Errorf("delivered: %v, %v", ok, err)
	}
	e.sameWebhook(w)
	w.FailingSince, w.Failures, w.LastError, w.NextAt = eventTime, 1, "connection refused ' \" ü", eventTime
	if ok, err := e.store.DeliveredWebhook(e.ctx, "one", w, 3); err != nil || !ok {
		e.t.Errorf("a failure: %v, %v", ok, err)
	}
	e.sameWebhook(w)
	w.FailingSince, w.Failures, w.LastError, w.NextAt, w.Cursor = time.Time{}, 0, "", time.Time{}, 4
	if ok, err := e.store.DeliveredWebhook(e.ctx, "one", w, 3); err != nil || !ok {
		e.t.Errorf("a success: %v, %v", ok, err)
	}
	e.sameWebhook(w)
	e.must(e.store.DeleteWebhook(e.ctx, w.ID))
	if ok, err := e.store.DeliveredWebhook(e.ctx, "one", w, 4); err != nil || ok {
		e.t.Errorf("of a webhook that was deleted meanwhile: %v, %v", ok, err)
	}
}

// testWebhookCursorMoved: what an operator changes under a delivery stays.
func testWebhookCursorMoved(e *env) {
	w := e.webhook("w")
	e.claim("one", time.Hour)
	_, err := e.store.UpdateWebhook(e.ctx, w.ID, rbcs.WebhookChange{Cursor: new(int64(100))})
	e.must(err)
	moved := w
	w.Cursor, moved.Cursor = 8, 100
	if ok, err := e.store.DeliveredWebhook(e.ctx, "one", w, 0); err != nil || ok {
		e.t.Errorf("delivered over a cursor that was moved: %v, %v", ok, err)
	}
	e.sameWebhook(moved)
	moved.Cursor = 101
	if ok, err := e.store.DeliveredWebhook(e.ctx, "one", moved, 100); err != nil || !ok {
		e.t.Errorf("from where it was moved to: %v, %v", ok, err)
	}
	_, err = e.store.UpdateWebhook(e.ctx, w.ID, rbcs.WebhookChange{Paused: new(true)})
	e.must(err)
	moved.Cursor = 102
	if ok, err := e.store.DeliveredWebhook(e.ctx, "one", moved, 101); err != nil || !ok {
		e.t.Errorf("the last delivery before a pause: %v, %v", ok, err)
	}
	moved.Paused = true // by the operator: a success does not resume
	e.sameWebhook(moved)
}

// testWebhooksClaimedTogether has instances claim and deliver at once: no
// webhook is with two of them, and no event is recorded twice.
func testWebhooksClaimedTogether(e *env) {
	const instances, webhooks, rounds = 4, 5, 20
	var owners [webhooks]atomic.Int64 // 1 + the instance
	for i := range webhooks {
		e.webhook(fmt.Sprint(i))
	}
	var steps atomic.Int64
	e.must(together(instances, func(i int) error {
		name := fmt.Sprint(e.name, " instance ", i)
		for range rounds {
			var list []rbcs.Webhook
			_, err := retry(e.ctx, func() (err error) {
				list, err = e.store.ClaimWebhooks(e.ctx, name, time.Hour)
				return err
			})
			if err != nil {
				return err
			}
			for _, w := range list {
				var k int
				if _, err := fmt.Sscanf(w.ID, e.name+"-%d", &k); err != nil {
					continue
				}
				if was := owners[k].Swap(int64(i) + 1); was != 0 && was != int64(i)+1 {
					return fmt.Errorf("%s was claimed by instance %d and then by %d", w.ID, was-1, i)
				}
				from := w.Cursor
				w.Cursor++
				ok := false
				if _, err := retry(e.ctx, func() (err error) {
					ok, err = e.store.DeliveredWebhook(e.ctx, name, w, from)
					return err
				}); err != nil {
					return err
				}
				if ok {
					steps.Add(1)
				}
			}
		}
		return nil
	}))
	var moved int64
	for i := range webhooks {
		w, err := e.store.Webhook(e.ctx, fmt.Sprint(e.name, "-", i))
		e.must(err)
		moved += w.Cursor
	}
	if moved != steps.Load() || moved < webhooks {
		e.t.Errorf("the cursors moved by %d in %d deliveries", moved, steps.Load())
	}
}

// testTooManyWebhooks creates as many as there may be.
func testTooManyWebhooks(e *env) {
	list, err := e.store.Webhooks(e.ctx)
	e.must(err)
	for _, w := range list {
		e.must(e.store.DeleteWebhook(e.ctx, w.ID))
	}
	for i := range rbcs.MaxWebhooks {
		e.webhook(fmt.Sprint(i))
	}
	_, err = e.store.CreateWebhook(e.ctx, rbcs.Webhook{ID: e.name + "-more", URL: "https://example.com", Secret: webhookSecret})
	e.wantCode(err, rbcs.InvalidRequest)
	if list, err = e.store.Webhooks(e.ctx); err != nil || len(list) != rbcs.MaxWebhooks {
		e.t.Errorf("%d webhooks, %v", len(list), err)
	}
	e.must(e.store.DeleteWebhook(e.ctx, e.name+"-7"))
	e.webhook("room again")
}
