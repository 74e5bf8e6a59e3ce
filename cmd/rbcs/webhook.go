package main

import (
	"cmp"
	"context"
	"fmt"
	"strconv"

	"rbcs/client"
)

// WebhookCmd is what the API does with webhooks.
type WebhookCmd struct {
	Create webhookCreate `cmd:"" help:"Register a webhook, and print its secret."`
	Get    webhookGet    `cmd:"" help:"Show a webhook: how far it is, and what failed."`
	List   webhookList   `cmd:"" help:"List webhooks."`
	Set    webhookSet    `cmd:"" help:"Send a webhook elsewhere."`
	Pause  webhookPause  `cmd:"" help:"Deliver nothing to a webhook until it is resumed."`
	Resume webhookResume `cmd:"" help:"Deliver to a webhook again, from where it stopped."`
	Replay webhookReplay `cmd:"" help:"Deliver again what is behind a sequence."`
	Delete webhookDelete `cmd:"" help:"Delete a webhook."`
}

type webhookCreate struct {
	apiFlags
	Target  string `arg:"" name:"target" help:"Where to POST every decision: https://…"`
	Account string `placeholder:"NUMBER" help:"Only decisions with this account on either side."`
	Prefix  string `placeholder:"PREFIX" help:"Only decisions with an account on either side whose number begins so."`
	Cursor  int64  `default:"-1" placeholder:"N" help:"Begin behind this sequence; 0 is the beginning of the log (now)."`
}

// Help is the long help of the command.
func (webhookCreate) Help() string {
	return `The service POSTs each decision, in the order of the log and at least once, until it is
answered with 2xx. Deliveries are signed as Standard Webhooks describes, with the
secret that is printed: keep it, it is not shown again.

Examples:

  rbcs webhook create https://shop.example/rbcs
  rbcs webhook create https://shop.example/rbcs --prefix acme: --cursor 0`
}

func (c *webhookCreate) Run(ctx context.Context, m *Main) error {
	wanted := client.NewWebhook{URL: c.Target, Account: c.Account, Prefix: c.Prefix}
	if c.Cursor >= 0 {
		wanted.Cursor = &c.Cursor
	}
	return c.printWebhook(m, func(api *client.Client) (client.Webhook, error) { return api.CreateWebhook(ctx, wanted) })
}

type webhookGet struct {
	apiFlags
	ID string `arg:"" name:"id" help:"The webhook's ID."`
}

// Help is the long help of the command.
func (webhookGet) Help() string {
	return `Examples:

  rbcs webhook get ID
  rbcs webhook get ID --json`
}

func (c *webhookGet) Run(ctx context.Context, m *Main) error {
	return c.printWebhook(m, func(api *client.Client) (client.Webhook, error) { return api.Webhook(ctx, c.ID) })
}

type webhookSet struct {
	apiFlags
	ID     string `arg:"" name:"id" help:"The webhook's ID."`
	Target string `required:"" placeholder:"URL" help:"The new URL. The secret stays."`
}

// Help is the long help of the command.
func (webhookSet) Help() string {
	return `Examples:

  rbcs webhook set ID --target https://shop.example/v2`
}

func (c *webhookSet) Run(ctx context.Context, m *Main) error {
	return c.update(ctx, m, c.ID, client.WebhookChange{URL: c.Target})
}

type webhookPause struct {
	apiFlags
	ID string `arg:"" name:"id" help:"The webhook's ID."`
}

// Help is the long help of the command.
func (webhookPause) Help() string {
	return `Examples:

  rbcs webhook pause ID`
}

func (c *webhookPause) Run(ctx context.Context, m *Main) error {
	return c.update(ctx, m, c.ID, client.WebhookChange{Paused: new(true)})
}

type webhookResume struct {
	apiFlags
	ID string `arg:"" name:"id" help:"The webhook's ID."`
}

// Help is the long help of the command.
func (webhookResume) Help() string {
	return `This is also how a webhook goes on that was paused after a day of failures, and how one
is tried at once that waits after a failure.

Examples:

  rbcs webhook resume ID`
}

func (c *webhookResume) Run(ctx context.Context, m *Main) error {
	return c.update(ctx, m, c.ID, client.WebhookChange{Paused: new(false)})
}

type webhookReplay struct {
	apiFlags
	ID     string `arg:"" name:"id" help:"The webhook's ID."`
	Behind int64  `arg:"" help:"The sequence behind which to begin; 0 is the beginning of the log."`
}

// Help is the long help of the command.
func (webhookReplay) Help() string {
	return `What is delivered again has the same webhook-id, so that a receiver can tell.

Examples:

  rbcs webhook replay ID 1200
  rbcs webhook replay ID 0`
}

func (c *webhookReplay) Run(ctx context.Context, m *Main) error {
	return c.update(ctx, m, c.ID, client.WebhookChange{Cursor: &c.Behind})
}

type webhookDelete struct {
	apiFlags
	ID string `arg:"" name:"id" help:"The webhook's ID."`
}

// Help is the long help of the command.
func (webhookDelete) Help() string {
	return `Examples:

  rbcs webhook delete ID`
}

func (c *webhookDelete) Run(ctx context.Context, m *Main) error {
	api, err := c.client()
	if err != nil {
		return err
	}
	defer api.Close()
	if err := api.DeleteWebhook(ctx, c.ID); err != nil {
		return c.explain(err)
	}
	if !c.JSON {
		fmt.Fprintf(m.Stdout, "%s is deleted\n", c.ID)
	}
	return nil
}

type webhookList struct{ apiFlags }

// Help is the long help of the command.
func (webhookList) Help() string {
	return `Examples:

  rbcs webhook list
  rbcs webhook list --json`
}

func (c *webhookList) Run(ctx context.Context, m *Main) error {
	api, err := c.client()
	if err != nil {
		return err
	}
	defer api.Close()
	hooks, err := api.Webhooks(ctx)
	if err != nil {
		return c.explain(err)
	}
	rows := [][]string{{"ID", "STATE", "CURSOR", "URL", "FOR"}}
	for i := range hooks {
		h := &hooks[i]
		if c.JSON {
			if err := printJSON(m.Stdout, h); err != nil {
				return err
			}
			continue
		}
		rows = append(rows, []string{h.ID, stateOf(h), strconv.FormatInt(h.Cursor, 10), h.URL, webhookFilter(h)})
	}
	if c.JSON {
		return nil
	}
	return printTable(m.Stdout, rows)
}

func stateOf(h *client.Webhook) string {
	switch {
	case h.Paused:
		return "paused"
	case h.Failures > 0:
		return "failing"
	}
	return "active"
}

func webhookFilter(h *client.Webhook) string {
	switch {
	case h.Account != "" && h.Prefix != "":
		return h.Account + " and " + h.Prefix + "…"
	case h.Prefix != "":
		return h.Prefix + "…"
	}
	return cmp.Or(h.Account, "all")
}

func (f apiFlags) update(ctx context.Context, m *Main, id string, change client.WebhookChange) error {
	return f.printWebhook(m, func(api *client.Client) (client.Webhook, error) { return api.UpdateWebhook(ctx, id, change) })
}

// printWebhook prints the webhook that a call returns.
func (f apiFlags) printWebhook(m *Main, call func(*client.Client) (client.Webhook, error)) error {
	api, err := f.client()
	if err != nil {
		return err
	}
	defer api.Close()
	h, err := call(api)
	if err != nil {
		return f.explain(err)
	}
	rows := [][]string{
		{"id", h.ID},
		{"url", h.URL},
		{"for", webhookFilter(&h)},
		{"state", stateOf(&h)},
		{"cursor", strconv.FormatInt(h.Cursor, 10)},
		{"created at", formatTime(h.CreatedAt)},
	}
	if h.Secret != "" {
		rows = append(rows, []string{"secret", h.Secret})
	}
	if h.Failures > 0 {
		rows = append(rows, []string{"failures", fmt.Sprintf("%d since %s: %s", h.Failures, formatTime(h.FailingSince), h.LastError)},
			[]string{"tried again", formatTime(h.NextAt)})
	}
	return printOne(m, f, &h, rows)
}
