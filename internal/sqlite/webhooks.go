package sqlite

import (
	"cmp"
	"context"
	"crypto/rand"
	"slices"
	"strings"
	"time"

	"rbcs"
)

// webhookColumns are what [scanWebhook] reads.
const webhookColumns = `id, url, secret, account, prefix, created_at, created_by,
	cursor, failing_since, failures, last_error, next_at, paused`

const (
	insertWebhook = "INSERT INTO webhooks (" + webhookColumns + `)
		SELECT ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ? WHERE (SELECT count(*) FROM webhooks) < ?
		ON CONFLICT DO NOTHING RETURNING ` + webhookColumns
	selectWebhook  = "SELECT " + webhookColumns + " FROM webhooks WHERE id = ?"
	selectWebhooks = "SELECT " + webhookColumns + " FROM webhooks ORDER BY id"
	updateWebhook  = `UPDATE webhooks SET url = ?2, cursor = ?3, failing_since = ?4, failures = ?5, last_error = ?6,
		next_at = ?7, paused = ?8 WHERE id = ?1`
	deleteWebhook = "DELETE FROM webhooks WHERE id = ? RETURNING id"
	claimWebhooks = `UPDATE webhooks SET claimed_by = ?1, claimed_until = ?3
		WHERE NOT paused AND coalesce(next_at, ?2) <= ?2 AND (claimed_by = ?1 OR coalesce(claimed_until, ?2) <= ?2)
		RETURNING ` + webhookColumns

	// What an operator paused meanwhile stays so.
	deliveredWebhook = `UPDATE webhooks SET cursor = ?5, failing_since = ?6, failures = ?7, last_error = ?8, next_at = ?9,
		paused = max(paused, ?10)
		WHERE id = ?1 AND claimed_by = ?2 AND claimed_until > ?3 AND cursor = ?4 RETURNING id`
)

func scanWebhook(s *stmt) rbcs.Webhook {
	return rbcs.Webhook{
		ID:           s.textAt(0),
		URL:          s.textAt(1),
		Secret:       s.textAt(2),
		Account:      s.textAt(3),
		Prefix:       s.textAt(4),
		CreatedAt:    timeOf(s.intAt(5)),
		CreatedBy:    s.textAt(6),
		Cursor:       s.intAt(7),
		FailingSince: s.timeAt(8),
		Failures:     int(s.intAt(9)),
		LastError:    s.textAt(10),
		NextAt:       s.timeAt(11),
		Paused:       s.intAt(12) != 0,
	}
}

// webhooks returns those that a statement selects or has written.
func (c *conn) webhooks(sql string, args ...any) (list []rbcs.Webhook, err error) {
	s, err := c.stmt(sql)
	if err != nil {
		return nil, err
	}
	s.bind(args...)
	for s.next() {
		list = append(list, scanWebhook(s))
	}
	return list, s.done()
}

// webhook returns one of them, or [rbcs.NotFound].
func (c *conn) webhook(id string) (rbcs.Webhook, error) {
	list, err := c.webhooks(selectWebhook, id)
	switch {
	case err != nil:
		return rbcs.Webhook{}, err
	case len(list) == 0:
		return rbcs.Webhook{}, noWebhook(id)
	}
	return list[0], nil
}

func noWebhook(id string) error { return rbcs.Errorf(rbcs.NotFound, "there is no webhook %s", id) }

// CreateWebhook implements [rbcs.WebhookStore]. It gives an ID where w has none.
func (s *Store) CreateWebhook(ctx context.Context, w rbcs.Webhook) (rbcs.Webhook, error) {
	w.ID = cmp.Or(w.ID, rand.Text())
	var created rbcs.Webhook
	err := s.withWrite(ctx, func(c *writer, now time.Time) error {
		list, err := c.webhooks(insertWebhook,
			w.ID, w.URL, w.Secret, textValue(w.Account), textValue(w.Prefix), micros(now), textValue(w.CreatedBy),
			w.Cursor, timeValue(w.FailingSince), w.Failures, textValue(w.LastError), timeValue(w.NextAt), boolValue(w.Paused),
			rbcs.MaxWebhooks)
		if err != nil {
			return err
		}
		if len(list) == 0 {
			if _, err := c.webhook(w.ID); rbcs.CodeOf(err) != rbcs.NotFound {
				return cmp.Or(err, error(rbcs.Errorf(rbcs.IDConflict, "there is a webhook %s already", w.ID)))
			}
			return rbcs.Errorf(rbcs.InvalidRequest, "there are %d webhooks, and no more are allowed; delete one first", rbcs.MaxWebhooks)
		}
		created = list[0]
		return nil
	})
	return created, err
}

// Webhook implements [rbcs.WebhookStore].
func (s *Store) Webhook(ctx context.Context, id string) (w rbcs.Webhook, err error) {
	err = s.withRead(ctx, func(c *conn) (err error) {
		w, err = c.webhook(id)
		return err
	})
	return w, err
}

// Webhooks implements [rbcs.WebhookStore].
func (s *Store) Webhooks(ctx context.Context) (list []rbcs.Webhook, err error) {
	err = s.withRead(ctx, func(c *conn) (err error) {
		list, err = c.webhooks(selectWebhooks)
		return err
	})
	return list, err
}

// UpdateWebhook implements [rbcs.WebhookStore].
func (s *Store) UpdateWebhook(ctx context.Context, id string, change rbcs.WebhookChange) (rbcs.Webhook, error) {
	var w rbcs.Webhook
	err := s.withWrite(ctx, func(c *writer, _ time.Time) (err error) {
		if w, err = c.webhook(id); err != nil {
			return err
		}
		if change.URL != nil {
			w.URL = *change.URL
		}
		if change.Cursor != nil {
			w.Cursor = *change.Cursor
		}
		if paused := change.Paused; paused != nil {
			w.Paused = *paused
			if !w.Paused {
				w.FailingSince, w.Failures, w.LastError, w.NextAt = time.Time{}, 0, "", time.Time{}
			}
		}
		_, err = c.webhooks(updateWebhook, id, w.URL, w.Cursor, timeValue(w.FailingSince), w.Failures, textValue(w.LastError),
			timeValue(w.NextAt), boolValue(w.Paused))
		return err
	})
	return w, err
}

// DeleteWebhook implements [rbcs.WebhookStore].
func (s *Store) DeleteWebhook(ctx context.Context, id string) error {
	return s.withWrite(ctx, func(c *writer, _ time.Time) error {
		found, err := c.wrote(deleteWebhook, id)
		if err == nil && !found {
			err = noWebhook(id)
		}
		return err
	})
}

// ClaimWebhooks implements [rbcs.WebhookStore]. Where there is nothing to claim
// it writes nothing.
func (s *Store) ClaimWebhooks(ctx context.Context, instance string, lease time.Duration) ([]rbcs.Webhook, error) {
	var list []rbcs.Webhook
	err := s.withWrite(ctx, func(c *writer, now time.Time) (err error) {
		list, err = c.webhooks(claimWebhooks, instance, micros(now), micros(now.Add(lease)))
		return err
	})
	if err != nil {
		return nil, err
	}
	slices.SortFunc(list, func(a, b rbcs.Webhook) int { return strings.Compare(a.ID, b.ID) })
	return list, nil
}

// DeliveredWebhook implements [rbcs.WebhookStore].
func (s *Store) DeliveredWebhook(ctx context.Context, instance string, w rbcs.Webhook, from int64) (bool, error) {
	recorded := false
	err := s.withWrite(ctx, func(c *writer, now time.Time) (err error) {
		recorded, err = c.wrote(deliveredWebhook, w.ID, instance, micros(now), from,
			w.Cursor, timeValue(w.FailingSince), w.Failures, textValue(w.LastError), timeValue(w.NextAt), boolValue(w.Paused))
		return err
	})
	return recorded && err == nil, err
}

// wrote runs a statement that returns the rows it wrote, and reports whether there were any.
func (c *conn) wrote(sql string, args ...any) (bool, error) {
	s, err := c.stmt(sql)
	if err != nil {
		return false, err
	}
	found := false
	for s.bind(args...); s.next(); {
		found = true
	}
	return found, s.done()
}

func timeValue(t time.Time) any {
	if t.IsZero() {
		return nil
	}
	return micros(t)
}

func boolValue(b bool) int {
	if b {
		return 1
	}
	return 0
}
