package client

import (
	"context"
	"net/http"
	"time"

	"rbcs"
)

// NewWebhook is a webhook to register.
type NewWebhook struct {
	URL     string `json:"url"`
	Account string `json:"account,omitempty"` // only decisions with this account on either side
	Prefix  string `json:"prefix,omitempty"`  // only decisions with an account on either side whose number begins so
	Cursor  *int64 `json:"cursor,omitempty"`  // begin behind this sequence, 0 for all; nil: from now on
}

// Webhook is a registered webhook: how far it is, and what failed since the last success.
type Webhook struct {
	ID           string    `json:"id"`
	URL          string    `json:"url"`
	Secret       string    `json:"secret,omitempty"` // the key of its signatures: only [Client.CreateWebhook] returns it
	Account      string    `json:"account,omitempty"`
	Prefix       string    `json:"prefix,omitempty"`
	CreatedAt    time.Time `json:"created_at"`
	CreatedBy    string    `json:"created_by,omitempty"`
	Cursor       int64     `json:"cursor"` // the sequence up to which everything is delivered
	Paused       bool      `json:"paused"` // by an operator, or after a day of failures
	Failures     int       `json:"failures"`
	FailingSince time.Time `json:"failing_since,omitzero"`
	LastError    string    `json:"last_error,omitempty"`
	NextAt       time.Time `json:"next_at,omitzero"` // when it is tried again
}

// WebhookChange is what to change about a webhook. A field that is zero stays as it is.
type WebhookChange struct {
	URL    string `json:"url,omitempty"`
	Paused *bool  `json:"paused,omitempty"` // false also forgets the failures
	Cursor *int64 `json:"cursor,omitempty"` // deliver again, or not, from behind this sequence
}

const webhooksPath = "/v1/webhooks"

// CreateWebhook registers a webhook, and returns it with its secret: keep it, it
// is not shown again. A webhook has no ID before it is registered, so this is not
// tried again where it may have been done: with [rbcs.OutcomeUnknown] look at
// [Client.Webhooks].
func (c *Client) CreateWebhook(ctx context.Context, w NewWebhook) (Webhook, error) {
	var hook Webhook
	return hook, c.callWith(ctx, &request{method: http.MethodPost, path: webhooksPath, once: true}, w, &hook)
}

// Webhook returns one webhook, or fails with [rbcs.NotFound].
func (c *Client) Webhook(ctx context.Context, id string) (Webhook, error) {
	var hook Webhook
	return hook, c.call(ctx, http.MethodGet, webhookPath(id), nil, nil, &hook)
}

// Webhooks returns all webhooks, by ID.
func (c *Client) Webhooks(ctx context.Context) ([]Webhook, error) {
	var answer struct {
		Webhooks []Webhook `json:"webhooks"`
	}
	err := c.call(ctx, http.MethodGet, webhooksPath, nil, nil, &answer)
	return answer.Webhooks, err
}

// UpdateWebhook changes a webhook, and returns it. As with [Client.UpdateAccount]
// it is not tried again where it may have been done.
func (c *Client) UpdateWebhook(ctx context.Context, id string, change WebhookChange) (Webhook, error) {
	var hook Webhook
	return hook, c.callWith(ctx, &request{method: http.MethodPatch, path: webhookPath(id), once: true}, change, &hook)
}

// DeleteWebhook deletes a webhook, or fails with [rbcs.NotFound].
func (c *Client) DeleteWebhook(ctx context.Context, id string) error {
	p := c.pace()
	_, err := c.do(ctx, p, &request{method: http.MethodDelete, path: webhookPath(id)})
	if err == nil || err.Code == rbcs.NotFound && p.doubt { // an earlier attempt did it
		return nil
	}
	return err
}

func webhookPath(id string) string { return webhooksPath + "/" + segment(id) }
