package main

import (
	"context"

	"rbcs/client"
)

type txRetry struct {
	decideFlags
	ID string `arg:"" name:"id" help:"The ID of a rejected transaction."`
}

// Help is the long help of the command.
func (txRetry) Help() string {
	return `A rejected ID never moves money by itself; this decides it again, as it was
submitted. It is safe to repeat: what a retry has posted is not posted again.
Another rejection is printed and exits with 1.

Examples:

  rbcs tx retry order-42
  rbcs tx retry order-42 --dry-run`
}

func (c *txRetry) Run(ctx context.Context, m *Main) error {
	return c.decide(m, "rbcs tx retry "+c.ID, func(api *client.Client, opts ...client.SubmitOption) (client.Result, error) {
		return api.Retry(ctx, c.ID, opts...)
	})
}
