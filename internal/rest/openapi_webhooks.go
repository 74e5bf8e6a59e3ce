package rest

import (
	"net/http"

	"rbcs"
)

// NewWebhook describes a webhook that is to be registered.
type NewWebhook struct {
	URL     string `json:"url" maxLength:"2048" format:"uri" example:"https://example.com/rbcs"`
	Account string `json:"account,omitempty" maxLength:"64" doc:"Only decisions with this account on either side."`
	Prefix  string `json:"prefix,omitempty" maxLength:"64" doc:"Only decisions with an account on either side whose number begins with this." example:"acme:"`
	Cursor  int64  `json:"cursor,omitempty" minimum:"0" doc:"Begin behind this sequence; 0: at the beginning of the log. From now on, where it is left out."`
}

// WebhookChange describes what a PATCH may change. What is left out stays.
type WebhookChange struct {
	URL    string `json:"url,omitempty" maxLength:"2048" format:"uri"`
	Paused bool   `json:"paused,omitempty" doc:"false: deliver again, and forget the failures."`
	Cursor int64  `json:"cursor,omitempty" minimum:"0" doc:"Deliver again, or not, from behind this sequence."`
}

// Webhook is a registered webhook as clients see it.
type Webhook struct {
	ID           string `json:"id"`
	URL          string `json:"url"`
	Secret       string `json:"secret,omitempty" doc:"The key of the signatures, as Standard Webhooks writes it. It is shown once: in the answer to the POST."`
	Account      string `json:"account,omitempty"`
	Prefix       string `json:"prefix,omitempty"`
	CreatedAt    string `json:"created_at" format:"date-time"`
	CreatedBy    string `json:"created_by,omitempty"`
	Cursor       int64  `json:"cursor" doc:"The sequence up to which everything is delivered."`
	Paused       bool   `json:"paused" doc:"By a PATCH, or after a day of failures."`
	Failures     int    `json:"failures" doc:"Since the last success."`
	FailingSince string `json:"failing_since,omitempty" format:"date-time"`
	LastError    string `json:"last_error,omitempty"`
	NextAt       string `json:"next_at,omitempty" format:"date-time" doc:"When it is tried again."`
}

// WebhookList is all webhooks.
type WebhookList struct {
	Webhooks []Webhook `json:"webhooks"`
}

func webhookOf(w *rbcs.Webhook) Webhook {
	view := Webhook{
		ID: w.ID, URL: w.URL, Account: w.Account, Prefix: w.Prefix, CreatedAt: formatTime(w.CreatedAt), CreatedBy: w.CreatedBy,
		Cursor: w.Cursor, Paused: w.Paused, Failures: w.Failures, LastError: w.LastError,
	}
	if !w.FailingSince.IsZero() {
		view.FailingSince = formatTime(w.FailingSince)
		view.NextAt = formatTime(w.NextAt)
	}
	return view
}

func postWebhookOperation() *postOperation {
	return &postOperation{
		id: "create-webhook", method: http.MethodPost, path: "/v1/webhooks", summary: "Register a webhook",
		description: "Every recorded decision that it asks for is sent to its URL by POST, signed as Standard Webhooks describes, in the " +
			"order of the log and at least once, until it is answered with 2xx. At most 1,000 can be registered.",
		bodies:  jsonBody[NewWebhook](),
		answers: map[int]answer{201: {description: "Registered; keep the secret", contents: jsonBody[Webhook]()}},
	}
}

func patchWebhookOperation() *postOperation {
	return &postOperation{
		id: "change-webhook", method: http.MethodPatch, path: pathOfWebhook, summary: "Change a webhook",
		description: "Pause or resume it, send it elsewhere, or replay: set cursor to the sequence behind which to deliver again.",
		bodies:      jsonBody[WebhookChange](),
		answers:     map[int]answer{200: {description: "The webhook as it is now", contents: jsonBody[Webhook]()}},
	}
}

func deleteWebhookOperation() *postOperation {
	return &postOperation{
		id: "delete-webhook", method: http.MethodDelete, path: pathOfWebhook, summary: "Delete a webhook",
		answers: map[int]answer{204: {description: "Deleted"}},
	}
}
