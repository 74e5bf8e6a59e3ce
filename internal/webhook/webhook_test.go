package webhook_test

import (
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"rbcs"
	"rbcs/internal/webhook"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestDeliversInOrderAndSigned(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log, store, to := &fakeLog{}, newStore(hook("w1")), &receiver{}
		log.post("a", "b", "c")
		d := deliver(t, store, log, webhook.Config{Transport: to})
		time.Sleep(time.Second)
		log.post("a", "b")
		time.Sleep(time.Second)
		equal(t, to.seen(), "t1 t2 t3 t4 t5")
		if w := store.get(t, "w1"); w.Cursor != 5 || w.Failures != 0 {
			t.Errorf("recorded %+v", w)
		}
		for i, id := range []string{"w1_7-1", "w1_7-2", "w1_7-3", "w1_7-4", "w1_7-5"} {
			if got := to.heads[i].Get("webhook-id"); got != id {
				t.Errorf("the ID is %s, want %s", got, id)
			}
			if err := webhook.Verify(secret, to.heads[i], to.bodies[i], to.times[i], time.Minute); err != nil {
				t.Error(err)
			}
		}
		var body struct {
			Type      string
			Timestamp time.Time
			Data      string
		}
		if err := json.Unmarshal(to.bodies[4], &body); err != nil {
			t.Fatal(err)
		}
		if body.Type != "transaction.posted" || !body.Timestamp.Equal(log.results[4].CommittedAt) || body.Data != "t5" {
			t.Errorf("got %+v", body)
		}
		if h := to.heads[0]; h.Get("Content-Type") != "application/json" || h.Get("User-Agent") != "rbcs" {
			t.Errorf("got %v", h)
		}
		if s := d.Stats(); s != (webhook.Stats{Claimed: 1}) {
			t.Errorf("got %+v", s)
		}
	})
}

func TestFiltersMoveTheCursorToo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		account, prefix := hook("w1"), hook("w2")
		account.Account, prefix.Prefix = "acme:1", "acme:"
		log, store, to := &fakeLog{}, newStore(account, prefix), &receiver{}
		deliver(t, store, log, webhook.Config{Transport: to})
		log.post("acme:1", "other", "acme:2", "other", "other")
		time.Sleep(10 * time.Second)
		var got []string
		for i, id := range to.seen() {
			got = append(got, id+strings.TrimPrefix(to.urls[i], "https://receiver.example/"))
		}
		if len(got) != 3 {
			t.Fatalf("got %q", got)
		}
		for _, want := range []string{"t1w1", "t1w2", "t3w2"} {
			if !strings.Contains(strings.Join(got, " "), want) {
				t.Errorf("%s is not in %q", want, got)
			}
		}
		for _, id := range []string{"w1", "w2"} {
			if w := store.get(t, id); w.Cursor != 5 {
				t.Errorf("%s stands at %d", id, w.Cursor)
			}
		}
		// What is only skipped is written once a minute, not with every look.
		_, before := store.count()
		for range 120 {
			log.post("other")
			time.Sleep(time.Second)
		}
		time.Sleep(time.Minute)
		if _, after := store.count(); after-before > 8 {
			t.Errorf("%d writes for nothing delivered", after-before)
		}
		if w := store.get(t, "w1"); w.Cursor != 125 {
			t.Errorf("w1 stands at %d", w.Cursor)
		}
	})
}

func TestALoadIsRecordedNowAndThen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log, store, to := &fakeLog{}, newStore(hook("w1")), &receiver{delay: 10 * time.Millisecond}
		for range 1000 { // 10 s of deliveries
			log.post("a")
		}
		d := deliver(t, store, log, webhook.Config{Transport: to})
		time.Sleep(5 * time.Second)
		if s := d.Stats(); s.Lag != 5*time.Second {
			t.Errorf("the lag is %v", s.Lag)
		}
		if w := store.get(t, "w1"); w.Cursor < 400 {
			t.Errorf("after 5 s it stands at %d", w.Cursor)
		}
		time.Sleep(6 * time.Second)
		if n := len(to.seen()); n != 1000 {
			t.Errorf("%d of 1000 were delivered", n)
		}
		if _, writes := store.count(); writes > 25 {
			t.Errorf("%d writes in 10 s", writes)
		}
		if s := d.Stats(); s.Lag != 0 {
			t.Errorf("the lag is %v", s.Lag)
		}
	})
}

func TestAFailureIsTriedAgainWithBackoff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var outcomes []webhook.Outcome
		log, store, to := &fakeLog{}, newStore(hook("w1")), &receiver{}
		to.answer = func(n int) (*http.Response, error) {
			switch {
			case n == 1:
				return nil, errors.New("connection refused")
			case n <= 8:
				return reply(500), nil
			}
			return reply(204), nil
		}
		log.post("a", "b")
		began := time.Now()
		d := deliver(t, store, log, webhook.Config{
			Transport: to, BackoffBase: time.Second, BackoffMax: 10 * time.Second,
			Observe: func(a webhook.Delivery) { outcomes = append(outcomes, a.Outcome) },
		})
		synctest.Wait()
		if w := store.get(t, "w1"); w.Failures != 1 || w.LastError != "connection refused" ||
			!w.FailingSince.Equal(began) || !w.NextAt.After(began) || w.NextAt.After(began.Add(time.Second)) {
			t.Errorf("recorded %+v", w)
		}
		if s := d.Stats(); s.Waiting != 1 || s.Claimed != 0 {
			t.Errorf("got %+v", s)
		}
		time.Sleep(3 * time.Minute)
		synctest.Wait()
		equal(t, to.seen(), "t1 t1 t1 t1 t1 t1 t1 t1 t1 t2")
		for i := 1; i < 9; i++ {
			limit := min(time.Second<<(i-1), 10*time.Second) + minClaimGap
			if waited := to.times[i].Sub(to.times[i-1]); waited <= 0 || waited > limit {
				t.Errorf("attempt %d came after %v; at most %v", i+1, waited, limit)
			}
			if to.heads[i].Get("webhook-id") != "w1_7-1" {
				t.Errorf("attempt %d has the ID %s", i+1, to.heads[i].Get("webhook-id"))
			}
			if err := webhook.Verify(secret, to.heads[i], to.bodies[i], to.times[i], time.Second); err != nil {
				t.Errorf("attempt %d: %v", i+1, err) // its timestamp is its own
			}
		}
		if w := store.get(t, "w1"); w.Cursor != 2 || w.Failures != 0 || w.LastError != "" || !w.FailingSince.IsZero() || !w.NextAt.IsZero() {
			t.Errorf("recorded %+v", w)
		}
		if len(outcomes) != 10 || outcomes[0] != webhook.Failed || outcomes[9] != webhook.Delivered {
			t.Errorf("observed %q", outcomes)
		}
	})
}

// minClaimGap is how late an attempt may come, because claims are not made faster.
const minClaimGap = 100 * time.Millisecond

func TestRetryAfterIsHonoured(t *testing.T) {
	for _, c := range []struct {
		status      int
		header      string
		least, most time.Duration
	}{
		{429, "90", 90 * time.Second, 92 * time.Second},
		{503, "Sat, 01 Jan 2000 00:02:00 GMT", 2 * time.Minute, 2*time.Minute + time.Second},
		{503, "31536000", 24 * time.Hour, 24*time.Hour + time.Second},
		{503, "soon", 0, 2 * time.Second},
		{503, "Fri, 31 Dec 1999 00:00:00 GMT", 0, 2 * time.Second},
		{500, "90", 0, 2 * time.Second}, // says nothing there
	} {
		synctest.Test(t, func(t *testing.T) {
			log, store, to := &fakeLog{}, newStore(hook("w1")), &receiver{}
			to.answer = always(c.status, "Retry-After", c.header)
			log.post("a")
			deliver(t, store, log, webhook.Config{Transport: to})
			synctest.Wait()
			w := store.get(t, "w1")
			if wait := time.Until(w.NextAt); wait < c.least || wait > c.most {
				t.Errorf("%d %q: waits %v", c.status, c.header, wait)
			}
		})
	}
}

func TestADayOfFailuresPausesAndResumes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log, store, to := &fakeLog{}, newStore(hook("w1")), &receiver{answer: always(500)}
		log.post("a")
		d := deliver(t, store, log, webhook.Config{Transport: to})
		time.Sleep(23 * time.Hour)
		if w := store.get(t, "w1"); w.Paused {
			t.Fatalf("paused early: %+v", w)
		}
		time.Sleep(2*time.Hour + time.Minute)
		w := store.get(t, "w1")
		if !w.Paused || w.LastError != "the receiver answered 500 Internal Server Error" || w.Cursor != 0 {
			t.Fatalf("recorded %+v", w)
		}
		n := len(to.seen())
		if n < 24 || n > 200 {
			t.Errorf("%d attempts in a day", n)
		}
		log.post("b")
		time.Sleep(24 * time.Hour)
		if more := len(to.seen()) - n; more != 0 {
			t.Errorf("%d attempts while paused", more)
		}
		if s := d.Stats(); s != (webhook.Stats{}) {
			t.Errorf("got %+v", s)
		}
		to.mu.Lock()
		to.got, to.answer = nil, nil
		to.mu.Unlock()
		if _, err := store.UpdateWebhook(t.Context(), "w1", rbcs.WebhookChange{Paused: new(false)}); err != nil {
			t.Fatal(err)
		}
		d.Wake()
		time.Sleep(time.Second)
		equal(t, to.seen(), "t1 t2")
	})
}

func TestGonePausesAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log, store, to := &fakeLog{}, newStore(hook("w1")), &receiver{answer: always(410)}
		log.post("a")
		deliver(t, store, log, webhook.Config{Transport: to})
		time.Sleep(time.Hour)
		equal(t, to.seen(), "t1")
		if w := store.get(t, "w1"); !w.Paused || !strings.Contains(w.LastError, "410") {
			t.Errorf("recorded %+v", w)
		}
	})
}

func TestATimeoutIsAFailure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log, store, to := &fakeLog{}, newStore(hook("w1")), &receiver{delay: time.Hour}
		log.post("a")
		deliver(t, store, log, webhook.Config{Transport: to})
		time.Sleep(15*time.Second + time.Millisecond)
		if w := store.get(t, "w1"); w.Failures != 1 || w.LastError != "the receiver did not answer within 15s" {
			t.Errorf("recorded %+v", w)
		}
	})
}

func TestWhatCannotBeSentIsAFailure(t *testing.T) {
	for name, change := range map[string]func(*rbcs.Webhook){
		"secret": func(w *rbcs.Webhook) { w.Secret = "whsec_short" },
		"https":  func(w *rbcs.Webhook) { w.URL = "http://receiver.example/" },
	} {
		synctest.Test(t, func(t *testing.T) {
			w := hook("w1")
			change(&w)
			log, store, to := &fakeLog{}, newStore(w), &receiver{}
			log.post("a")
			deliver(t, store, log, webhook.Config{Transport: to})
			synctest.Wait()
			if w := store.get(t, "w1"); w.Failures != 1 || !strings.Contains(w.LastError, name) || len(to.seen()) != 0 {
				t.Errorf("%s: recorded %+v", name, w)
			}
		})
	}
}

func TestALongErrorIsCut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log, store, to := &fakeLog{}, newStore(hook("w1")), &receiver{}
		to.answer = func(int) (*http.Response, error) { return nil, errors.New(strings.Repeat("ä", 1000)) }
		log.post("a")
		deliver(t, store, log, webhook.Config{Transport: to})
		synctest.Wait()
		if w := store.get(t, "w1"); w.LastError != strings.Repeat("ä", 250) {
			t.Errorf("%d bytes are recorded", len(w.LastError))
		}
	})
}
