package main

import (
	"context"

	"rbcs"
	"rbcs/client"
)

// setStatus changes an account's status and prints the account.
func (f apiFlags) setStatus(ctx context.Context, m *Main, number string, status rbcs.AccountStatus) error {
	api, err := f.client()
	if err != nil {
		return err
	}
	defer api.Close()
	account, err := api.UpdateAccount(ctx, number, client.AccountChange{Status: status})
	return f.printAccount(m, &account, err)
}

type accountFreeze struct {
	apiFlags
	Number   string `arg:"" help:"The account's number."`
	Outgoing bool   `help:"Freeze only what leaves the account; it still receives."`
}

// Help is the long help of the command.
func (accountFreeze) Help() string {
	return `A frozen account neither sends nor receives; its holds can still be released.

Examples:

  rbcs account freeze alice
  rbcs account freeze --outgoing alice
  rbcs account reopen alice`
}

func (c *accountFreeze) Run(ctx context.Context, m *Main) error {
	if c.Outgoing {
		return c.setStatus(ctx, m, c.Number, rbcs.FrozenOutgoing)
	}
	return c.setStatus(ctx, m, c.Number, rbcs.Frozen)
}

type accountClose struct {
	apiFlags
	Number string `arg:"" help:"The account's number."`
}

// Help is the long help of the command.
func (accountClose) Help() string {
	return `Only an account with a zero balance and no open holds can be closed.

Examples:

  rbcs account close alice`
}

func (c *accountClose) Run(ctx context.Context, m *Main) error {
	return c.setStatus(ctx, m, c.Number, rbcs.Closed)
}

type accountReopen struct {
	apiFlags
	Number string `arg:"" help:"The account's number."`
}

// Help is the long help of the command.
func (accountReopen) Help() string {
	return `Examples:

  rbcs account reopen alice`
}

func (c *accountReopen) Run(ctx context.Context, m *Main) error {
	return c.setStatus(ctx, m, c.Number, rbcs.Open)
}
