package main

import (
	"context"
	"errors"
	"fmt"

	"rbcs"
	"rbcs/client"
)

// EventsCmd follows the log.
type EventsCmd struct {
	apiFlags
	After   string `placeholder:"ID" help:"Begin behind this event; 0-0 is the beginning of the log, 0-42 the place behind the sequence 42 (now)."`
	Account string `placeholder:"NUMBER" help:"Only decisions with this account on either side."`
	Prefix  string `placeholder:"PREFIX" help:"Only decisions with an account on either side whose number begins so."`
	Limit   int    `default:"0" placeholder:"N" help:"End after so many (never)."`
}

// Help is the long help of the command.
func (EventsCmd) Help() string {
	return `Every decision as it is committed, in the order of the log, none twice and none left
out, until Ctrl-C. A lost connection is made again behind the last event. The first
column is the event's ID, with which --after goes on.

Examples:

  rbcs events
  rbcs events --after 0-0 --prefix acme: --json
  rbcs events --account alice --limit 1`
}

// Validate checks what the types of the flags do not.
func (c *EventsCmd) Validate() error {
	if c.Limit < 0 {
		return errors.New("--limit is at least 0")
	}
	return nil
}

// Run prints events until ctx ends, which is no failure: nothing else ends it.
func (c *EventsCmd) Run(ctx context.Context, m *Main) error {
	if err := c.reach(ctx); err != nil {
		return err
	}
	api, err := client.New(c.URL, client.WithUserAgent("rbcs-cli")) // as patient as the client is: it outlives a restart
	if err != nil {
		return err
	}
	defer api.Close()
	seen := 0
	for e, err := range api.Events(ctx, client.EventQuery{After: c.After, Account: c.Account, Prefix: c.Prefix}) {
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return c.explain(err)
		}
		if err := c.print(m, &e); err != nil {
			return err
		}
		if seen++; seen == c.Limit {
			return nil
		}
	}
	return nil
}

// reach fails soon where there is no service at all.
func (c *EventsCmd) reach(ctx context.Context) error {
	api, err := c.client()
	if err != nil {
		return err
	}
	defer api.Close()
	if _, _, err := collect(api.Accounts(ctx, client.AccountQuery{PageSize: 1}), 1); err != nil {
		return c.explain(err)
	}
	return nil
}

func (c *EventsCmd) print(m *Main, e *client.Event) error {
	if c.JSON {
		return printJSON(m.Stdout, e)
	}
	status := string(e.Status)
	if e.Status == rbcs.Rejected {
		status += ": " + string(e.Code)
	}
	what := e.ID
	if e.Original != "" {
		what += " of " + e.Original
	}
	between := ""
	if e.Source != "" {
		between = fmt.Sprintf("  %s → %s  %s %s", e.Source, e.Destination, e.Amount, e.Currency)
	}
	_, err := fmt.Fprintf(m.Stdout, "%-8s  %s  %-8s  %s%s  %s\n", e.EventID, formatTime(e.CommittedAt), e.Type, what, between, status)
	if err != nil {
		return fmt.Errorf("write the event: %w", err)
	}
	return nil
}
