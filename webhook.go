package rbcs

import (
	"context"
	"time"
)

// Webhook is a subscription to the committed log that the service delivers by
// HTTP POST, signed as Standard Webhooks describes: in the order of the log, at
// least once.
type Webhook struct {
	ID        string // given by the service
	URL       string
	Secret    string // "whsec_" and the base64 of 24–64 bytes; shown only when it is created
	Account   string // only decisions that name this account; "" for all
	Prefix    string // only decisions that name an account under this prefix; "" for all
	CreatedAt time.Time
	CreatedBy string // the actor

	Cursor       int64     // the sequence up to which everything is delivered
	Timeline     int64     // of the log that Cursor is in: set by a claim, and to record one; otherwise, and where there is only one, 0
	FailingSince time.Time // the first of the failures since the last success; zero for none
	Failures     int       // their number
	LastError    string
	NextAt       time.Time // not delivered to before this time
	Paused       bool      // by an operator, or after a day of failures
}

// WebhookChange is what a client may change about a webhook. A nil field stays as it is.
type WebhookChange struct {
	URL    *string
	Paused *bool  // false also forgets the failures
	Cursor *int64 // deliver again, or not, from behind this sequence
}

// WebhookStore keeps webhooks. Its errors are those of [Store].
type WebhookStore interface {
	CreateWebhook(ctx context.Context, w Webhook) (Webhook, error)
	Webhook(ctx context.Context, id string) (Webhook, error)
	Webhooks(ctx context.Context) ([]Webhook, error) // by ID; their number is bounded by MaxWebhooks
	UpdateWebhook(ctx context.Context, id string, change WebhookChange) (Webhook, error)
	DeleteWebhook(ctx context.Context, id string) error

	// ClaimWebhooks gives webhooks that are not paused and whose NextAt has come
	// to an instance for the time of the lease, on the database's clock. A webhook
	// that another instance has claimed and whose lease has not ended is not among
	// them; one's own claims are renewed, or given back with a lease of zero.
	ClaimWebhooks(ctx context.Context, instance string, lease time.Duration) ([]Webhook, error)

	// DeliveredWebhook records the outcome of a delivery by an instance: Cursor,
	// FailingSince, Failures, LastError, NextAt and Paused of w. It reports false,
	// and records nothing, where the instance's claim has ended, the webhook's
	// cursor was moved since it was claimed, as from says, or the log has another
	// timeline now: what was delivered may have been lost, and the sequence be
	// that of another decision.
	DeliveredWebhook(ctx context.Context, instance string, w Webhook, from int64) (bool, error)
}

// MaxWebhooks bounds the number of webhooks.
const MaxWebhooks = 1000
