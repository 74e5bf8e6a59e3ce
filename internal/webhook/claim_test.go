package webhook_test

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"rbcs"
	"rbcs/internal/webhook"
)

func TestAPauseByAnOperatorHolds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log, store, to := &fakeLog{}, newStore(hook("w1")), &receiver{}
		d := deliver(t, store, log, webhook.Config{Transport: to})
		time.Sleep(time.Second)
		if _, err := store.UpdateWebhook(t.Context(), "w1", rbcs.WebhookChange{Paused: new(true)}); err != nil {
			t.Fatal(err)
		}
		d.Wake()
		time.Sleep(time.Second)
		log.post("a")
		time.Sleep(time.Hour)
		equal(t, to.seen(), "")
	})
}

// TestTakeover: an instance dies between a POST and its record. Another one
// takes over when the lease ends, not earlier, and sends again what is not
// recorded, under the same ID.
func TestTakeover(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log, to := &fakeLog{}, &receiver{}
		shared := newStore(hook("w1"))
		dying := &mortal{fakeStore: shared}
		log.post("a", "b")
		began := time.Now()
		deliver(t, dying, log, webhook.Config{Transport: to})
		time.Sleep(time.Second)
		dying.kill()
		log.post("c", "d")
		time.Sleep(time.Second)
		equal(t, to.seen(), "t1 t2 t3") // and it could not record the last
		if w := shared.get(t, "w1"); w.Cursor != 2 {
			t.Fatalf("recorded %+v", w)
		}
		survivor := &receiver{}
		deliver(t, shared, log, webhook.Config{Transport: survivor, Instance: "two"})
		time.Sleep(15*time.Second - time.Since(began) - time.Millisecond)
		equal(t, survivor.seen(), "")
		time.Sleep(4 * time.Second)
		equal(t, survivor.seen(), "t3 t4")
		if survivor.heads[0].Get("webhook-id") != to.heads[2].Get("webhook-id") {
			t.Errorf("the ID has changed to %s", survivor.heads[0].Get("webhook-id"))
		}
		log.post("e")
		time.Sleep(time.Second)
		equal(t, survivor.seen(), "t3 t4 t5")
	})
}

// mortal is a store that stops answering one instance.
type mortal struct {
	*fakeStore
	dead bool
}

func (m *mortal) kill() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.dead = true
}

func (m *mortal) gone() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.dead {
		return rbcs.Errorf(rbcs.Unavailable, "the database is away")
	}
	return nil
}

func (m *mortal) ClaimWebhooks(ctx context.Context, instance string, lease time.Duration) ([]rbcs.Webhook, error) {
	if err := m.gone(); err != nil {
		return nil, err
	}
	return m.fakeStore.ClaimWebhooks(ctx, instance, lease)
}

func (m *mortal) DeliveredWebhook(ctx context.Context, instance string, w rbcs.Webhook, from int64) (bool, error) {
	if err := m.gone(); err != nil {
		return false, err
	}
	return m.fakeStore.DeliveredWebhook(ctx, instance, w, from)
}

// TestAWorkerEndsBeforeItsLease when the claim cannot be renewed: its request is
// interrupted before another instance may send.
func TestAWorkerEndsBeforeItsLease(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log, to := &fakeLog{}, &receiver{delay: time.Hour}
		store := &mortal{fakeStore: newStore(hook("w1"))}
		var outcomes []webhook.Outcome
		began := time.Now()
		d := deliver(t, store, log, webhook.Config{
			Transport: to, Timeout: time.Hour, Observe: func(a webhook.Delivery) { outcomes = append(outcomes, a.Outcome) },
		})
		synctest.Wait()
		store.kill()
		log.post("a")
		time.Sleep(15*time.Second - time.Since(began) - time.Millisecond)
		synctest.Wait()
		if s := d.Stats(); s.Claimed != 0 {
			t.Errorf("got %+v", s)
		}
		if len(outcomes) != 1 || outcomes[0] != webhook.Interrupted {
			t.Errorf("observed %q", outcomes)
		}
		if w := store.get(t, "w1"); w.Failures != 0 {
			t.Errorf("recorded %+v", w)
		}
	})
}

func TestAnOutageOfTheStoreIsWaitedOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log, store, to := &fakeLog{}, newStore(hook("w1")), &receiver{}
		deliver(t, store, log, webhook.Config{Transport: to})
		time.Sleep(time.Second)
		store.fail(rbcs.Errorf(rbcs.Unavailable, "the database is away"))
		log.post("a", "b")
		before, _ := store.count()
		time.Sleep(time.Minute)
		if after, _ := store.count(); after-before > 21 {
			t.Errorf("%d claims in a minute of an outage", after-before)
		}
		store.fail(nil)
		time.Sleep(5 * time.Second)
		log.post("c")
		time.Sleep(time.Second)
		got := to.seen()
		if w := store.get(t, "w1"); w.Cursor != 3 || got[len(got)-1] != "t3" {
			t.Errorf("got %q, recorded %+v", got, w)
		}
	})
}

// TestReplay: an operator moves the cursor back while deliveries are under way,
// and while there are none.
func TestReplay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log, store, to := &fakeLog{}, newStore(hook("w1")), &receiver{}
		log.post("a", "b", "c", "d")
		deliver(t, store, log, webhook.Config{Transport: to})
		time.Sleep(time.Second)
		back := func(to int64) {
			if _, err := store.UpdateWebhook(t.Context(), "w1", rbcs.WebhookChange{Cursor: &to}); err != nil {
				t.Fatal(err)
			}
		}
		back(2)
		time.Sleep(4 * time.Second)
		equal(t, to.seen(), "t1 t2 t3 t4 t3 t4")

		to.setDelay(time.Second)
		log.post("e") // is being sent when the cursor moves
		time.Sleep(500 * time.Millisecond)
		back(1)
		time.Sleep(time.Minute)
		got := strings.Join(to.seen(), " ")
		if !strings.HasSuffix(got, "t5 t2 t3 t4 t5") {
			t.Errorf("got %q", got)
		}
		back(5) // forward: over what comes next
		log.post("f")
		back(6)
		time.Sleep(time.Minute)
		log.post("g")
		time.Sleep(time.Minute)
		if got := to.seen(); got[len(got)-1] != "t7" || store.get(t, "w1").Cursor != 7 {
			t.Errorf("got %q", got)
		}
	})
}

// TestTheCursorMovesDuringARecord: the record is refused, and the new cursor wins.
func TestTheCursorMovesDuringARecord(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log, store, to := &fakeLog{}, newStore(hook("w1")), &receiver{}
		log.post("a", "b", "c")
		moved := false
		store.deliver = func() {
			if !moved {
				moved = true
				store.mu.Lock()
				store.hooks["w1"].Cursor = 1
				store.mu.Unlock()
			}
		}
		deliver(t, store, log, webhook.Config{Transport: to})
		time.Sleep(5 * time.Second)
		equal(t, to.seen(), "t1 t2 t3 t2 t3")
	})
}

func TestChangesAreFollowed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log, store, to := &fakeLog{}, newStore(hook("w1")), &receiver{}
		d := deliver(t, store, log, webhook.Config{Transport: to})
		log.post("a")
		time.Sleep(time.Second)
		url := "https://elsewhere.example/"
		if _, err := store.UpdateWebhook(t.Context(), "w1", rbcs.WebhookChange{URL: &url}); err != nil {
			t.Fatal(err)
		}
		if _, err := store.CreateWebhook(t.Context(), hook("w2")); err != nil {
			t.Fatal(err)
		}
		d.Wake()
		time.Sleep(time.Second)
		log.post("b")
		time.Sleep(time.Second)
		if err := store.DeleteWebhook(t.Context(), "w2"); err != nil {
			t.Fatal(err)
		}
		time.Sleep(4 * time.Second)
		log.post("c")
		time.Sleep(time.Second)
		synctest.Wait()
		count := map[string]int{}
		for _, u := range to.urls {
			count[u]++
		}
		if count["https://receiver.example/w1"] != 1 || count[url] != 2 || count["https://receiver.example/w2"] != 2 {
			t.Errorf("got %v", count)
		}
	})
}

func TestStopLetsARequestEndAndRecordsIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log, store, to := &fakeLog{}, newStore(hook("w1")), &receiver{delay: 5 * time.Second}
		log.post("a", "b")
		d := deliver(t, store, log, webhook.Config{Transport: to})
		time.Sleep(time.Second)
		if err := d.Stop(t.Context()); err != nil {
			t.Fatal(err)
		}
		equal(t, to.seen(), "t1")
		if w := store.get(t, "w1"); w.Cursor != 1 {
			t.Errorf("recorded %+v", w)
		}
		if next, err := store.ClaimWebhooks(t.Context(), "another", time.Minute); err != nil || len(next) != 1 {
			t.Errorf("another instance can claim %v at once, error %v", next, err)
		}
	})
}

func TestAnImpatientStopInterrupts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log, store, to := &fakeLog{}, newStore(hook("w1")), &receiver{delay: 5 * time.Second}
		log.post("a")
		d := deliver(t, store, log, webhook.Config{Transport: to})
		time.Sleep(time.Second)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := d.Stop(ctx); rbcs.CodeOf(err) != rbcs.Unavailable {
			t.Errorf("got %v", err)
		}
		before := time.Now()
		if err := d.Stop(t.Context()); err != nil || time.Since(before) != 0 {
			t.Errorf("got %v after %v", err, time.Since(before))
		}
		if w := store.get(t, "w1"); w.Cursor != 0 || w.Failures != 0 {
			t.Errorf("recorded %+v", w)
		}
	})
}
