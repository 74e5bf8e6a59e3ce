package storetest_test

import (
	"context"
	"maps"
	"slices"
	"time"

	"rbcs"
)

// claimed is a webhook and who delivers it.
type claimed struct {
	rbcs.Webhook
	by    string
	until time.Time
}

// webhook finds a webhook.
func (m *memory) webhook(id string) (*claimed, error) {
	if c := m.webhooks[id]; c != nil {
		return c, nil
	}
	return nil, rbcs.Errorf(rbcs.NotFound, "there is no webhook %s", id)
}

func (m *memory) CreateWebhook(ctx context.Context, w rbcs.Webhook) (rbcs.Webhook, error) {
	leave, err := m.enter(ctx)
	if err != nil {
		return rbcs.Webhook{}, err
	}
	defer leave()
	if m.webhooks[w.ID] != nil {
		return rbcs.Webhook{}, rbcs.Errorf(rbcs.IDConflict, "there is a webhook %s already", w.ID)
	}
	if len(m.webhooks) >= rbcs.MaxWebhooks {
		return rbcs.Webhook{}, rbcs.Errorf(rbcs.InvalidRequest, "there are %d webhooks already", rbcs.MaxWebhooks)
	}
	w.CreatedAt = now()
	m.webhooks[w.ID] = &claimed{Webhook: w}
	return w, nil
}

func (m *memory) Webhook(ctx context.Context, id string) (rbcs.Webhook, error) {
	leave, err := m.enter(ctx)
	if err != nil {
		return rbcs.Webhook{}, err
	}
	defer leave()
	c, err := m.webhook(id)
	if err != nil {
		return rbcs.Webhook{}, err
	}
	return c.Webhook, nil
}

func (m *memory) Webhooks(ctx context.Context) (list []rbcs.Webhook, err error) {
	leave, err := m.enter(ctx)
	if err != nil {
		return nil, err
	}
	defer leave()
	for _, id := range slices.Sorted(maps.Keys(m.webhooks)) {
		list = append(list, m.webhooks[id].Webhook)
	}
	return list, nil
}

func (m *memory) UpdateWebhook(ctx context.Context, id string, change rbcs.WebhookChange) (rbcs.Webhook, error) {
	leave, err := m.enter(ctx)
	if err != nil {
		return rbcs.Webhook{}, err
	}
	defer leave()
	c, err := m.webhook(id)
	if err != nil {
		return rbcs.Webhook{}, err
	}
	if change.URL != nil {
		c.URL = *change.URL
	}
	if change.Cursor != nil {
		c.Cursor = *change.Cursor
	}
	if change.Paused != nil {
		if c.Paused = *change.Paused; !c.Paused {
			c.FailingSince, c.Failures, c.LastError, c.NextAt = time.Time{}, 0, "", time.Time{}
		}
	}
	return c.Webhook, nil
}

func (m *memory) DeleteWebhook(ctx context.Context, id string) error {
	leave, err := m.enter(ctx)
	if err != nil {
		return err
	}
	defer leave()
	_, err = m.webhook(id)
	delete(m.webhooks, id)
	return err
}

func (m *memory) ClaimWebhooks(ctx context.Context, instance string, lease time.Duration) (list []rbcs.Webhook, err error) {
	leave, err := m.enter(ctx)
	if err != nil {
		return nil, err
	}
	defer leave()
	for _, id := range slices.Sorted(maps.Keys(m.webhooks)) {
		c, at := m.webhooks[id], now()
		if !c.Paused && !c.NextAt.After(at) && (c.by == instance || !c.until.After(at)) {
			c.by, c.until = instance, at.Add(lease)
			list = append(list, c.Webhook)
		}
	}
	return list, nil
}

func (m *memory) DeliveredWebhook(ctx context.Context, instance string, w rbcs.Webhook, from int64) (bool, error) {
	leave, err := m.enter(ctx)
	if err != nil {
		return false, err
	}
	defer leave()
	c := m.webhooks[w.ID]
	if c == nil || c.by != instance || !c.until.After(now()) || c.Cursor != from {
		return false, nil
	}
	c.Cursor, c.FailingSince, c.Failures, c.LastError, c.NextAt = w.Cursor, w.FailingSince, w.Failures, w.LastError, w.NextAt
	c.Paused = c.Paused || w.Paused // what an operator has paused meanwhile stays so
	return true, nil
}
