package sqlite

import (
	"fmt"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"rbcs"
)

func createWebhook(t *testing.T, s *Store, w rbcs.Webhook) rbcs.Webhook {
	t.Helper()
	created, err := s.CreateWebhook(t.Context(), w)
	if err != nil {
		t.Fatal(err)
	}
	return created
}

func TestWebhooks(t *testing.T) {
	s := openTemp(t)
	s.now = func() time.Time { return morning }
	full := rbcs.Webhook{
		ID: "b", URL: "https://example.com/b", Secret: "whsec_b", Account: "a", Prefix: "p:", CreatedBy: "alice", Cursor: 7,
		FailingSince: morning.Add(-time.Hour), Failures: 3, LastError: "500", NextAt: morning.Add(time.Minute), Paused: true,
	}
	created := createWebhook(t, s, full)
	full.CreatedAt = morning
	if created != full {
		t.Errorf("created %+v, want %+v", created, full)
	}
	lean := createWebhook(t, s, rbcs.Webhook{URL: "https://example.com/", Secret: "whsec_"})
	if lean.ID == "" || lean != (rbcs.Webhook{ID: lean.ID, URL: "https://example.com/", Secret: "whsec_", CreatedAt: morning}) {
		t.Errorf("created %+v", lean)
	}
	// Generated IDs are upper case and sort first.
	if list, err := s.Webhooks(t.Context()); err != nil || !slices.Equal(list, []rbcs.Webhook{lean, full}) {
		t.Errorf("%+v, %v", list, err)
	}

	_, err := s.CreateWebhook(t.Context(), rbcs.Webhook{ID: "b"})
	wantError(t, err, rbcs.IDConflict, "webhook b already")

	full.URL = "https://example.com/new"
	if w, err := s.UpdateWebhook(t.Context(), "b", rbcs.WebhookChange{URL: &full.URL}); err != nil || w != full {
		t.Errorf("%+v, %v", w, err)
	}
	full.Cursor = 2
	full.Paused, full.FailingSince, full.Failures, full.LastError, full.NextAt = false, time.Time{}, 0, "", time.Time{}
	if w, err := s.UpdateWebhook(t.Context(), "b", rbcs.WebhookChange{Paused: new(false), Cursor: &full.Cursor}); err != nil || w != full {
		t.Errorf("%+v, %v", w, err)
	}
	if w, err := s.Webhook(t.Context(), "b"); err != nil || w != full {
		t.Errorf("%+v, %v", w, err)
	}

	if err := s.DeleteWebhook(t.Context(), "b"); err != nil {
		t.Fatal(err)
	}
	_, err = s.Webhook(t.Context(), "b")
	wantError(t, err, rbcs.NotFound, "no webhook b")
	_, err = s.UpdateWebhook(t.Context(), "b", rbcs.WebhookChange{})
	wantError(t, err, rbcs.NotFound, "no webhook b")
	wantError(t, s.DeleteWebhook(t.Context(), "b"), rbcs.NotFound, "no webhook b")
}

func TestTooManyWebhooks(t *testing.T) {
	s := openTemp(t)
	err := s.withWrite(t.Context(), func(w *writer, _ time.Time) error {
		for i := range rbcs.MaxWebhooks {
			if err := w.exec(fmt.Sprintf(`INSERT INTO webhooks (id, url, secret, created_at, cursor, failures, paused)
				VALUES ('%d', '', '', 0, 0, 0, 0)`, i)); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	_, err = s.CreateWebhook(t.Context(), rbcs.Webhook{})
	wantError(t, err, rbcs.InvalidRequest, "1000 webhooks")
	if err := s.DeleteWebhook(t.Context(), "7"); err != nil {
		t.Fatal(err)
	}
	createWebhook(t, s, rbcs.Webhook{})
}

// TestWebhookClaims gives each webhook to one instance at a time, also when the
// instance has died with its process and another opens the file.
func TestWebhookClaims(t *testing.T) {
	path := filepath.Join(t.TempDir(), "rbcs.db")
	s := openAt(t, path)
	clock := morning
	now := func() time.Time { return clock }
	s.now = now
	createWebhook(t, s, rbcs.Webhook{ID: "2"})
	createWebhook(t, s, rbcs.Webhook{ID: "1"})
	createWebhook(t, s, rbcs.Webhook{ID: "paused", Paused: true})
	createWebhook(t, s, rbcs.Webhook{ID: "waits", NextAt: morning.Add(time.Minute)})
	claim := func(instance, want string) {
		t.Helper()
		list, err := s.ClaimWebhooks(t.Context(), instance, 30*time.Second)
		if err != nil {
			t.Fatal(err)
		}
		var ids string
		for _, w := range list {
			ids += w.ID + " "
		}
		if ids != want {
			t.Errorf("after %v %s has %q, want %q", clock.Sub(morning), instance, ids, want)
		}
	}
	claim("x", "1 2 ")
	was := fingerprint(t, s)
	claim("y", "")
	if fingerprint(t, s) != was {
		t.Error("a claim of nothing wrote to the disk")
	}
	clock = morning.Add(20 * time.Second)
	claim("x", "1 2 ") // until 50 s
	clock = morning.Add(50*time.Second - time.Microsecond)
	claim("y", "")

	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = openAt(t, path)
	s.now = now
	claim("y", "")
	clock = morning.Add(50 * time.Second)
	claim("y", "1 2 ")
	claim("x", "")
	clock = morning.Add(time.Minute)
	claim("x", "waits ")
}

// TestDeliveries records a delivery only for who has the claim, and from where
// the webhook still is.
func TestDeliveries(t *testing.T) {
	s := openTemp(t)
	clock := morning
	s.now = func() time.Time { return clock }
	w := createWebhook(t, s, rbcs.Webhook{ID: "w", URL: "u", Cursor: 5})
	delivered := func(instance string, from int64, change func(), want bool) {
		t.Helper()
		before, err := s.Webhook(t.Context(), "w")
		if err != nil {
			t.Fatal(err)
		}
		change()
		recorded, err := s.DeliveredWebhook(t.Context(), instance, w, from)
		if err != nil || recorded != want {
			t.Errorf("recorded: %v, %v; want %v", recorded, err, want)
		}
		if !want {
			w = before
		}
		if is, err := s.Webhook(t.Context(), "w"); err != nil || is != w {
			t.Errorf("the webhook is %+v, %v; want %+v", is, err, w)
		}
	}
	claim := func() {
		t.Helper()
		if list, err := s.ClaimWebhooks(t.Context(), "x", time.Minute); err != nil || len(list) != 1 {
			t.Fatalf("%+v, %v", list, err)
		}
	}
	to := func(cursor int64) func() { return func() { w.Cursor = cursor } }
	delivered("x", 5, to(6), false) // no claim
	claim()
	delivered("y", 5, to(6), false) // another's claim
	delivered("x", 4, to(6), false) // moved meanwhile
	delivered("x", 5, to(6), true)
	delivered("x", 6, func() {
		w.FailingSince, w.Failures, w.LastError, w.NextAt = morning, 2, "timeout", morning.Add(time.Second)
	}, true)
	clock = morning.Add(time.Minute)
	delivered("x", 6, to(7), false) // the lease has ended
	claim()
	delivered("x", 6, func() {
		w.Cursor, w.FailingSince, w.Failures, w.LastError, w.NextAt = 7, time.Time{}, 0, "", time.Time{}
	}, true)

	// An operator moves the cursor: that wins.
	if _, err := s.UpdateWebhook(t.Context(), "w", rbcs.WebhookChange{Cursor: new(int64(1))}); err != nil {
		t.Fatal(err)
	}
	delivered("x", 7, to(8), false)
	// An operator pauses: what was delivered meanwhile is recorded, and it stays paused.
	if _, err := s.UpdateWebhook(t.Context(), "w", rbcs.WebhookChange{Paused: new(true)}); err != nil {
		t.Fatal(err)
	}
	w.Paused = false
	if recorded, err := s.DeliveredWebhook(t.Context(), "x", w, 1); err != nil || !recorded {
		t.Errorf("%v, %v", recorded, err)
	}
	if is, err := s.Webhook(t.Context(), "w"); err != nil || !is.Paused {
		t.Errorf("%+v, %v", is, err)
	}
	if list, err := s.ClaimWebhooks(t.Context(), "x", time.Minute); err != nil || len(list) != 0 {
		t.Errorf("a paused webhook is claimed: %+v, %v", list, err)
	}
	if recorded, err := s.DeliveredWebhook(t.Context(), "x", rbcs.Webhook{ID: "none"}, 0); err != nil || recorded {
		t.Errorf("%v, %v", recorded, err)
	}
}
