package postgres

import (
	"fmt"
	"reflect"
	"sync"
	"testing"
	"time"

	"rbcs"
)

func webhookIDs(list []rbcs.Webhook) string {
	ids := ""
	for _, w := range list {
		ids += w.ID + " "
	}
	return ids
}

// TestWebhooks follows one through its life.
func TestWebhooks(t *testing.T) {
	s := openStore(t, migrated(t))
	ctx := t.Context()
	asked := rbcs.Webhook{ID: "b", URL: "http://b", Secret: "whsec_b", Account: "a:0", Prefix: "a:", CreatedBy: "me", Cursor: 7}
	created, err := s.CreateWebhook(ctx, asked)
	if err != nil {
		t.Fatal(err)
	}
	asked.CreatedAt = created.CreatedAt
	if created != asked || time.Since(created.CreatedAt).Abs() > time.Minute {
		t.Errorf("created %+v, want %+v", created, asked)
	}
	_, err = s.CreateWebhook(ctx, asked)
	wantCode(t, err, rbcs.IDConflict)
	named, err := s.CreateWebhook(ctx, rbcs.Webhook{URL: "http://x", Secret: "whsec_x"})
	if err != nil || named.ID == "" {
		t.Fatalf("%+v, error %v", named, err)
	}
	if err := s.DeleteWebhook(ctx, named.ID); err != nil {
		t.Fatal(err)
	}
	if _, err := s.CreateWebhook(ctx, rbcs.Webhook{ID: "a", URL: "http://a", Secret: "whsec_a"}); err != nil {
		t.Fatal(err)
	}
	if list, err := s.Webhooks(ctx); err != nil || webhookIDs(list) != "a b " || list[1] != created {
		t.Errorf("listed %+v, error %v", list, err)
	}

	claimed, err := s.ClaimWebhooks(ctx, "one", time.Hour)
	if err != nil || webhookIDs(claimed) != "a b " {
		t.Fatalf("claimed %+v, error %v", claimed, err)
	}
	failing := claimed[1]
	if page, err := s.Log(ctx, 0, 1); err != nil || failing.Timeline != page.Timeline {
		t.Errorf("claimed in timeline %d, and the log has %d; error %v", failing.Timeline, page.Timeline, err)
	}
	lost := failing // with a primary that was replaced
	lost.Timeline++
	if ok, err := s.DeliveredWebhook(ctx, "one", lost, 7); ok || err != nil {
		t.Errorf("recorded what was delivered of another log: %v, error %v", ok, err)
	}
	failing.Cursor, failing.Failures, failing.LastError = 9, 2, "no answer"
	failing.FailingSince, failing.NextAt = created.CreatedAt, created.CreatedAt.Add(time.Hour)
	if ok, err := s.DeliveredWebhook(ctx, "one", failing, 7); !ok || err != nil {
		t.Errorf("recorded: %v, error %v", ok, err)
	}
	failing.Timeline = 0
	if got, err := s.Webhook(ctx, "b"); err != nil || got != failing {
		t.Errorf("it is %+v, want %+v; error %v", got, failing, err)
	}
	if claimed, err := s.ClaimWebhooks(ctx, "one", time.Hour); err != nil || webhookIDs(claimed) != "a " {
		t.Errorf("before its time: %+v, error %v", claimed, err)
	}
	moved, err := s.UpdateWebhook(ctx, "b", rbcs.WebhookChange{URL: new("http://new"), Cursor: new(int64(3)), Paused: new(true)})
	if want := failing; err != nil || moved.URL != "http://new" || moved.Cursor != 3 || !moved.Paused || moved.Failures != want.Failures || moved.NextAt != want.NextAt {
		t.Errorf("%+v, error %v", moved, err)
	}
	if ok, err := s.DeliveredWebhook(ctx, "one", failing, 9); ok || err != nil { // its cursor was moved
		t.Errorf("recorded: %v, error %v", ok, err)
	}
	if ok, err := s.DeliveredWebhook(ctx, "one", failing, 3); !ok || err != nil {
		t.Errorf("recorded: %v, error %v", ok, err)
	}
	if got, err := s.Webhook(ctx, "b"); err != nil || !got.Paused { // by an operator, and it stays so
		t.Errorf("%+v, error %v", got, err)
	}
	resumed, err := s.UpdateWebhook(ctx, "b", rbcs.WebhookChange{Paused: new(false)})
	want := asked
	want.URL, want.Cursor = "http://new", 9
	if err != nil || resumed != want {
		t.Errorf("resumed %+v, want %+v; error %v", resumed, want, err)
	}
	if same, err := s.UpdateWebhook(ctx, "b", rbcs.WebhookChange{}); err != nil || same != want {
		t.Errorf("%+v, want %+v; error %v", same, want, err)
	}
	if err := s.DeleteWebhook(ctx, "b"); err != nil {
		t.Error(err)
	}
	_, err = s.Webhook(ctx, "b")
	wantCode(t, err, rbcs.NotFound)
	_, err = s.UpdateWebhook(ctx, "b", rbcs.WebhookChange{})
	wantCode(t, err, rbcs.NotFound)
	wantCode(t, s.DeleteWebhook(ctx, "b"), rbcs.NotFound)
	if ok, err := s.DeliveredWebhook(ctx, "one", failing, 9); ok || err != nil {
		t.Errorf("recorded: %v, error %v", ok, err)
	}
}

// TestLeasesOfWebhooks has one instance at a time, and another one once the lease has ended.
func TestLeasesOfWebhooks(t *testing.T) {
	dsn := migrated(t)
	s := openStore(t, dsn)
	ctx := t.Context()
	const webhooks, instances = 40, 8
	for i := range webhooks {
		if _, err := s.CreateWebhook(ctx, rbcs.Webhook{ID: fmt.Sprint(i), URL: "http://x", Secret: "whsec_x"}); err != nil {
			t.Fatal(err)
		}
	}
	var mu sync.Mutex
	owners := map[string]string{}
	var group sync.WaitGroup
	for i := range instances {
		instance := fmt.Sprint("instance ", i)
		group.Go(func() {
			claimed, err := s.ClaimWebhooks(ctx, instance, time.Hour)
			if err != nil {
				t.Error(err)
			}
			mu.Lock()
			defer mu.Unlock()
			for _, w := range claimed {
				if owner := owners[w.ID]; owner != "" {
					t.Errorf("%s and %s have %s", owner, instance, w.ID)
				}
				owners[w.ID] = instance
			}
		})
	}
	group.Wait()
	if len(owners) != webhooks {
		t.Errorf("%d have an owner", len(owners))
	}
	owned := map[string]int{}
	for _, owner := range owners {
		owned[owner]++
	}
	for owner, n := range owned { // renewed
		if again, err := s.ClaimWebhooks(ctx, owner, time.Hour); err != nil || len(again) != n {
			t.Errorf("%s has %d again, want %d; error %v", owner, len(again), n, err)
		}
	}
	w := rbcs.Webhook{ID: "0", Cursor: 1}
	if ok, err := s.DeliveredWebhook(ctx, "another", w, 0); ok || err != nil {
		t.Errorf("recorded: %v, error %v", ok, err)
	}
	execute(t, connect(t, dsn), "update webhooks set claimed_until = clock_timestamp() where id <> '1'")
	if ok, err := s.DeliveredWebhook(ctx, owners["0"], w, 0); ok || err != nil {
		t.Errorf("recorded after the lease: %v, error %v", ok, err)
	}
	if taken, err := s.ClaimWebhooks(ctx, "another", time.Hour); err != nil || len(taken) != webhooks-1 {
		t.Errorf("%d were taken over, error %v", len(taken), err)
	}
}

// TestWebhooksAreBounded creates the last ones at once.
func TestWebhooksAreBounded(t *testing.T) {
	dsn := migrated(t)
	s := openStore(t, dsn)
	execute(t, connect(t, dsn), `insert into webhooks (id, url, secret, created_at, cursor, failures, paused)
		select 'w' || i, '', '', now(), 0, 0, false from generate_series(1, $1::int) i`, rbcs.MaxWebhooks-3)
	var codes sync.Map
	var group sync.WaitGroup
	for i := range 6 {
		group.Go(func() {
			_, err := s.CreateWebhook(t.Context(), rbcs.Webhook{URL: "http://x", Secret: "whsec_x"})
			codes.Store(i, rbcs.CodeOf(err))
		})
	}
	group.Wait()
	counts := map[any]int{}
	codes.Range(func(_, code any) bool {
		counts[code]++
		return true
	})
	if want := map[any]int{rbcs.Code(""): 3, rbcs.InvalidRequest: 3}; !reflect.DeepEqual(counts, want) {
		t.Errorf("the answers were %v, want %v", counts, want)
	}
}
