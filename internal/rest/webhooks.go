package rest

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"rbcs"
	"rbcs/internal/events"
)

// Webhooks is what registering webhooks needs beside the store.
type Webhooks struct {
	ValidateURL func(url string) error // an [rbcs.Error] or any other says what is wrong with it
	NewSecret   func() string
	Wake        func() // called after a webhook was created or changed; nil for nothing
}

const pathOfWebhook = "/v1/webhooks/{id}"

// registerWebhooks serves the registration of webhooks, if there is something to deliver them.
func (s *server) registerWebhooks(api huma.API) {
	if s.Webhooks == nil {
		return
	}
	for op, handler := range map[*postOperation]http.HandlerFunc{
		postWebhookOperation(): s.postWebhook, patchWebhookOperation(): s.patchWebhook, deleteWebhookOperation(): s.deleteWebhook,
	} {
		describePost(api, *op)
		s.mux.HandleFunc(op.method+" "+op.path, handler)
	}
	huma.Register(api, readOperation("list-webhooks", "/v1/webhooks", "List webhooks", "All of them, by ID; never their secrets."),
		s.listWebhooks)
	huma.Register(api, readOperation("get-webhook", pathOfWebhook, "Get a webhook",
		"With how far it is delivered, and what failed since the last success."), s.getWebhook)
}

func (s *server) postWebhook(w http.ResponseWriter, r *http.Request) {
	var wanted newWebhook
	err := s.decodeOnly(w, r, min(s.MaxBody, maxSingleBody), func(d *decoder) (err error) {
		wanted, err = d.newWebhook(s.Webhooks.ValidateURL)
		return err
	})
	if err != nil {
		s.fail(w, r, err)
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), s.RequestTimeout)
	defer cancel()
	hook := wanted.Webhook
	hook.Secret = s.Webhooks.NewSecret()
	end, err := events.End(ctx, s.Store)
	if err == nil {
		if !wanted.hasCursor {
			hook.Cursor = end
		}
		err = checkCursor(hook.Cursor, end)
	}
	secret := hook.Secret
	if err == nil {
		hook, err = s.Store.CreateWebhook(ctx, hook)
	}
	if err != nil {
		s.fail(w, r, err)
		return
	}
	s.wakeWebhooks()
	view := webhookOf(&hook)
	view.Secret = secret
	sendJSON(w, http.StatusCreated, view)
}

// checkCursor refuses a place behind the end of the log: what comes until there would be left out.
func checkCursor(cursor, end int64) error {
	if cursor > end {
		return invalid("/cursor", "the log ends at the sequence %d", end)
	}
	return nil
}

func (s *server) wakeWebhooks() {
	if s.Webhooks.Wake != nil {
		s.Webhooks.Wake()
	}
}

func (s *server) patchWebhook(w http.ResponseWriter, r *http.Request) {
	var change rbcs.WebhookChange
	id := r.PathValue("id")
	err := checkWebhookID(id)
	if err == nil {
		err = s.decodeOnly(w, r, min(s.MaxBody, maxSingleBody), func(d *decoder) (err error) {
			change, err = d.webhookChange(s.Webhooks.ValidateURL)
			return err
		})
	}
	ctx, cancel := context.WithTimeout(r.Context(), s.RequestTimeout)
	defer cancel()
	if err == nil && change.Cursor != nil {
		var end int64
		if end, err = events.End(ctx, s.Store); err == nil {
			err = checkCursor(*change.Cursor, end)
		}
	}
	var hook rbcs.Webhook
	if err == nil {
		hook, err = s.Store.UpdateWebhook(ctx, id, change)
	}
	if err != nil {
		s.fail(w, r, err)
		return
	}
	s.wakeWebhooks()
	sendJSON(w, http.StatusOK, webhookOf(&hook))
}

func (s *server) deleteWebhook(w http.ResponseWriter, r *http.Request) {
	id := r.PathValue("id")
	err := checkWebhookID(id)
	if err == nil {
		_, err = switches(r)
	}
	if err == nil {
		ctx, cancel := context.WithTimeout(r.Context(), s.RequestTimeout)
		defer cancel()
		err = s.Store.DeleteWebhook(ctx, id)
	}
	if err != nil {
		s.fail(w, r, err)
		return
	}
	s.wakeWebhooks()
	w.WriteHeader(http.StatusNoContent)
}

type webhookInput struct {
	ID string `path:"id" maxLength:"128" doc:"The webhook's ID."`
}

type webhookOutput struct{ Body Webhook }

func (s *server) getWebhook(ctx context.Context, in *webhookInput) (*webhookOutput, error) {
	if err := checkWebhookID(in.ID); err != nil {
		return nil, s.refuse(ctx, err)
	}
	hook, err := s.Store.Webhook(ctx, in.ID)
	if err != nil {
		return nil, s.refuse(ctx, err)
	}
	return &webhookOutput{webhookOf(&hook)}, nil
}

// checkWebhookID refuses what cannot be an ID, before a store sees it.
func checkWebhookID(id string) error {
	if err := rbcs.ValidateID(id); err != nil {
		return invalid("/id", "%s", err)
	}
	return nil
}

type webhookListOutput struct{ Body WebhookList }

// listWebhooks needs no pages: there are at most [rbcs.MaxWebhooks].
func (s *server) listWebhooks(ctx context.Context, _ *struct{}) (*webhookListOutput, error) {
	hooks, err := s.Store.Webhooks(ctx)
	if err != nil {
		return nil, s.refuse(ctx, err)
	}
	out := &webhookListOutput{WebhookList{Webhooks: make([]Webhook, len(hooks))}}
	for i := range hooks {
		out.Body.Webhooks[i] = webhookOf(&hooks[i])
	}
	return out, nil
}

// newWebhook is a webhook as a client asks for it.
type newWebhook struct {
	rbcs.Webhook
	hasCursor bool // else it begins at the end of the log
}

var webhookMembers = []string{"url", "account", "prefix", "cursor"}

// newWebhook reads and checks the body of a POST.
func (d *decoder) newWebhook(validate func(string) error) (newWebhook, error) {
	var hook newWebhook
	err := d.document(d.body, func() error {
		seen, err := d.object("a webhook", webhookMembers, func(name int) (err error) {
			switch webhookMembers[name] {
			case "url":
				hook.URL, err = d.url(validate)
			case "account":
				hook.Account, err = d.number("/account")
			case "prefix":
				hook.Prefix, err = d.number("/prefix")
			case "cursor":
				hook.hasCursor = true
				hook.Cursor, err = d.integer("/cursor")
			}
			return err
		})
		if err == nil && !seen.has(0) {
			d.fault("/url", "the URL is missing")
		}
		return err
	})
	if err != nil {
		return hook, err
	}
	if err := d.invalid(0, "the webhook is invalid"); err != nil {
		return hook, err
	}
	return hook, nil
}

var webhookChangeMembers = []string{"url", "paused", "cursor"}

// webhookChange reads and checks the body of a PATCH.
func (d *decoder) webhookChange(validate func(string) error) (rbcs.WebhookChange, error) {
	var change rbcs.WebhookChange
	err := d.change(webhookChangeMembers, func(name int) error {
		switch webhookChangeMembers[name] {
		case "url":
			url, err := d.url(validate)
			change.URL = &url
			return err
		case "paused":
			paused, err := d.boolean("/paused")
			change.Paused = &paused
			return err
		}
		cursor, err := d.integer("/cursor")
		change.Cursor = &cursor
		return err
	})
	return change, err
}

// url reads the URL of a webhook. It is kept for long, so it is not a part of the body.
func (d *decoder) url(validate func(string) error) (string, error) {
	return d.checked("/url", func(s string) error {
		err := validate(s)
		var e *rbcs.Error
		if !errors.As(err, &e) {
			return err
		}
		if len(e.Fields) > 0 {
			return errors.New(e.Fields[0].Message)
		}
		return errors.New(e.Message)
	})
}

// number reads an account number, or the beginning of one.
func (d *decoder) number(pointer string) (string, error) {
	return d.checked(pointer, rbcs.ValidateNumber)
}

func (d *decoder) checked(pointer string, check func(string) error) (string, error) {
	before := len(d.faults)
	s, err := d.str(pointer)
	if err != nil || len(d.faults) > before {
		return "", err
	}
	if fault := check(s); fault != nil {
		d.fault(pointer, fmt.Sprint(fault))
	}
	return strings.Clone(s), nil
}
