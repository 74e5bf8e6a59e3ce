package main

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"rbcs"
	"rbcs/client"
)

type txHold struct {
	txFlags
	txMove
	ExpiresAt timeFlag      `placeholder:"TIME" help:"When the hold is released by itself (never)."`
	ExpiresIn time.Duration `placeholder:"TIME" help:"The same, from now on: 168h is a week."`
}

// Help is the long help of the command.
func (txHold) Help() string {
	return `A hold lowers what the source has available, not its balance. It is settled once: by
a capture, by a release, or by the service within a second of its time.

Examples:

  rbcs tx hold alice hotel 80.00 --id room-7 --expires-in 168h
  rbcs tx capture room-7 65.50
  rbcs tx release room-7`
}

// Validate checks what the types of the flags do not.
func (c *txHold) Validate() error {
	if c.ExpiresIn < 0 || c.ExpiresIn > 0 && !c.ExpiresAt.IsZero() {
		return errors.New("give --expires-at, or --expires-in with a time greater than zero")
	}
	return nil
}

func (c *txHold) Run(ctx context.Context, m *Main) error {
	return c.run(ctx, m, &c.txFlags, rbcs.Hold, c.ExpiresAt.Time, c.ExpiresIn)
}

// settle submits what refers to another transaction.
type settle func(c *client.Client, ctx context.Context, original string, s client.Settlement, opts ...client.SubmitOption) (client.Result, error)

func (f *txFlags) settle(ctx context.Context, m *Main, call settle, original, amount string) error {
	if err := f.prepare(); err != nil {
		return err
	}
	s := client.Settlement{
		ID: f.ID, Amount: client.Amount(amount), Description: f.Description, Metadata: json.RawMessage(f.Metadata),
	}
	return f.decide(m, "--id "+f.ID, func(api *client.Client, opts ...client.SubmitOption) (client.Result, error) {
		return call(api, ctx, original, s, opts...)
	})
}

type txCapture struct {
	txFlags
	Hold   string `arg:"" help:"The hold's ID."`
	Amount string `arg:"" optional:"" help:"How much to move (all of it)."`
}

// Help is the long help of the command.
func (txCapture) Help() string {
	return `What is not captured is released in the same commit. Two captures at the same time:
one wins, and the other is told which.

Examples:

  rbcs tx capture room-7
  rbcs tx capture room-7 65.50 --id room-7-bill`
}

func (c *txCapture) Run(ctx context.Context, m *Main) error {
	return c.settle(ctx, m, (*client.Client).Capture, c.Hold, c.Amount)
}

type txRelease struct {
	txFlags
	Hold string `arg:"" help:"The hold's ID."`
}

// Help is the long help of the command.
func (txRelease) Help() string {
	return `Examples:

  rbcs tx release room-7
  rbcs tx release room-7 --description 'the guest did not come'`
}

func (c *txRelease) Run(ctx context.Context, m *Main) error {
	return c.settle(ctx, m, (*client.Client).Release, c.Hold, "")
}

type txReverse struct {
	txFlags
	Original string `arg:"" help:"The ID of a posted transfer or capture."`
	Amount   string `arg:"" optional:"" help:"How much to move back (all that is left)."`
}

// Help is the long help of the command.
func (txReverse) Help() string {
	return `A transaction can be reversed in several parts, until its amount is used up. The
account that gives back keeps its limits: it may lack the funds.

Examples:

  rbcs tx reverse order-42
  rbcs tx reverse order-42 5.00 --id order-42-refund-1 --dry-run`
}

func (c *txReverse) Run(ctx context.Context, m *Main) error {
	return c.settle(ctx, m, (*client.Client).Reverse, c.Original, c.Amount)
}
