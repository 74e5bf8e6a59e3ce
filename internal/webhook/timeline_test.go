package webhook_test

import (
	"testing"
	"testing/synctest"
	"time"

	"rbcs/internal/webhook"
)

// TestAPromotionLosesWhatWasDelivered: a standby lacks the last decisions, and
// the database there has an earlier cursor. What stands in their places then is
// delivered too; how far the instance was in the lost log is not recorded.
func TestAPromotionLosesWhatWasDelivered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log, store, to := &fakeLog{}, newStore(hook("w1")), &receiver{}
		store.log = log
		deliver(t, store, log, webhook.Config{Transport: to})
		time.Sleep(2 * time.Second)
		log.post("a")
		time.Sleep(200 * time.Millisecond)
		log.post("b", "c")
		time.Sleep(200 * time.Millisecond)
		equal(t, to.seen(), "t1 t2 t3")
		if w := store.get(t, "w1"); w.Cursor != 1 { // it is too early to record the others
			t.Fatalf("recorded %+v", w)
		}
		log.promote(1)
		time.Sleep(time.Second)
		log.post("d", "e", "f")
		time.Sleep(10 * time.Second)
		equal(t, to.seen(), "t1 t2 t3 t2' t3' t4'")
		if w := store.get(t, "w1"); w.Cursor != 4 {
			t.Errorf("recorded %+v", w)
		}
	})
}

// TestAPromotionDuringADelivery has the attempt's outcome refused.
func TestAPromotionDuringADelivery(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log, store, to := &fakeLog{}, newStore(hook("w1")), &receiver{delay: 2 * time.Second}
		store.log = log
		log.post("a", "b")
		deliver(t, store, log, webhook.Config{Transport: to})
		time.Sleep(time.Second)
		log.promote(0)
		log.post("c", "d", "e")
		time.Sleep(30 * time.Second)
		got := to.seen()
		equal(t, got[len(got)-3:], "t1' t2' t3'")
	})
}

// TestAPromotionThatKeepsAll sends nothing again but what was not recorded.
func TestAPromotionThatKeepsAll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log, store, to := &fakeLog{}, newStore(hook("w1")), &receiver{}
		store.log = log
		log.post("a", "b")
		deliver(t, store, log, webhook.Config{Transport: to})
		time.Sleep(2 * time.Second)
		log.promote(2)
		log.post("c")
		time.Sleep(5 * time.Second)
		equal(t, to.seen(), "t1 t2 t3'")
	})
}
