package main

import (
	"context"
	"encoding/json"
	"errors"
	"strconv"

	"rbcs"
	"rbcs/client"
)

// AccountCmd is what the API does with accounts.
type AccountCmd struct {
	Create    accountCreate    `cmd:"" help:"Create an account."`
	Get       accountGet       `cmd:"" help:"Show an account."`
	List      accountList      `cmd:"" help:"List accounts by number."`
	Set       accountSet       `cmd:"" help:"Change an account: its status, overdraft or metadata."`
	Freeze    accountFreeze    `cmd:"" help:"Let an account neither send nor receive."`
	Close     accountClose     `cmd:"" help:"Close an account that has nothing and no open holds."`
	Reopen    accountReopen    `cmd:"" help:"Open an account that is frozen or closed."`
	Balance   accountBalance   `cmd:"" help:"Show an account's balance, now or at a moment."`
	History   accountHistory   `cmd:"" help:"List the changes of an account's balance."`
	Statement accountStatement `cmd:"" help:"Say why an account's balance changed: opening balance, changes, closing balance."`
}

type accountCreate struct {
	apiFlags
	Number    string     `arg:"" help:"1–64 of A–Z a–z 0–9 . _ : -"`
	Currency  string     `required:"" placeholder:"CODE" help:"ISO 4217 code, or a currency that the service declares."`
	Overdraft string     `placeholder:"AMOUNT" help:"How far the account may fall below zero: an amount, or unlimited (none)."`
	Metadata  jsonObject `placeholder:"JSON" help:"A JSON object to keep with the account."`
}

// Help is the long help of the command.
func (accountCreate) Help() string {
	return `Where the same account exists already, it is shown: running this again is safe.

Examples:

  rbcs account create alice --currency USD
  rbcs account create bank:fees --currency USD --overdraft unlimited
  rbcs account create acme:42 --currency EUR --overdraft 500.00 --metadata '{"owner": "Acme"}'`
}

func (c *accountCreate) Run(ctx context.Context, m *Main) error {
	api, err := c.client()
	if err != nil {
		return err
	}
	defer api.Close()
	account, err := api.CreateAccount(ctx, client.NewAccount{
		Number: c.Number, Currency: c.Currency, Overdraft: c.Overdraft, Metadata: json.RawMessage(c.Metadata),
	})
	return c.printAccount(m, &account, err)
}

type accountGet struct {
	apiFlags
	Number string `arg:"" help:"The account's number."`
}

// Help is the long help of the command.
func (accountGet) Help() string {
	return `Examples:

  rbcs account get alice
  rbcs account get alice --json --url http://balances:8080`
}

func (c *accountGet) Run(ctx context.Context, m *Main) error {
	api, err := c.client()
	if err != nil {
		return err
	}
	defer api.Close()
	account, err := api.Account(ctx, c.Number)
	return c.printAccount(m, &account, err)
}

type accountSet struct {
	apiFlags
	Number    string     `arg:"" help:"The account's number."`
	Status    string     `enum:"open,frozen,frozen_outgoing,closed," default:"" placeholder:"STATUS" help:"open, frozen (neither sends nor receives), frozen_outgoing (only receives) or closed (as frozen; needs a zero balance)."`
	Overdraft string     `placeholder:"AMOUNT" help:"An amount, 0 for none, or unlimited."`
	Metadata  jsonObject `placeholder:"JSON" help:"A JSON object that replaces the account's; {} for none."`
}

// Help is the long help of the command.
func (accountSet) Help() string {
	return `Examples:

  rbcs account set alice --status frozen
  rbcs account set alice --status open --overdraft 100.00
  rbcs account set alice --status closed`
}

// Validate refuses a change of nothing.
func (c *accountSet) Validate() error {
	if c.Status == "" && c.Overdraft == "" && c.Metadata == nil {
		return errors.New("nothing to change: give --status, --overdraft or --metadata")
	}
	return nil
}

func (c *accountSet) Run(ctx context.Context, m *Main) error {
	api, err := c.client()
	if err != nil {
		return err
	}
	defer api.Close()
	account, err := api.UpdateAccount(ctx, c.Number, client.AccountChange{
		Status: rbcs.AccountStatus(c.Status), Overdraft: c.Overdraft, Metadata: json.RawMessage(c.Metadata),
	})
	return c.printAccount(m, &account, err)
}

func (f apiFlags) printAccount(m *Main, a *client.Account, err error) error {
	if err != nil {
		return f.explain(err)
	}
	rows := [][]string{
		{"number", a.Number},
		{"currency", a.Currency},
		{"status", string(a.Status)},
		{"overdraft", a.Overdraft},
		{"balance", string(a.Balance)},
		{"available", string(a.Available)},
		{"held", string(a.Held)},
		{"received", string(a.Received)},
		{"sent", string(a.Sent)},
		{"version", strconv.FormatInt(a.Version, 10)},
		{"created at", formatTime(a.CreatedAt)},
		{"updated at", formatTime(a.UpdatedAt)},
	}
	if len(a.Metadata) > len("{}") {
		rows = append(rows, []string{"metadata", string(a.Metadata)})
	}
	return printOne(m, f, a, rows)
}

type accountList struct {
	apiFlags
	Prefix   string `placeholder:"PREFIX" help:"Only numbers that begin so, such as acme:"`
	Currency string `placeholder:"CODE" help:"Only accounts of this currency."`
	Status   string `enum:"open,frozen,frozen_outgoing,closed," default:"" placeholder:"STATUS" help:"Only accounts that are open, frozen, frozen_outgoing or closed."`
	Limit    int    `default:"100" placeholder:"N" help:"At most so many (${default})."`
}

// Help is the long help of the command.
func (accountList) Help() string {
	return `Examples:

  rbcs account list
  rbcs account list --prefix acme: --currency EUR --status frozen
  rbcs account list --limit 1000000 --json > accounts.ndjson`
}

func (c *accountList) Run(ctx context.Context, m *Main) error {
	api, err := c.client()
	if err != nil {
		return err
	}
	defer api.Close()
	list := api.Accounts(ctx, client.AccountQuery{
		Prefix: c.Prefix, Currency: c.Currency, Status: rbcs.AccountStatus(c.Status), PageSize: pageSize(c.Limit),
	})
	head := []string{"NUMBER", "CURRENCY", "STATUS", "BALANCE", "AVAILABLE", "OVERDRAFT", "VERSION"}
	return printList(m, c.apiFlags, list, c.Limit, head, func(a *client.Account) []string {
		return []string{
			a.Number, a.Currency, string(a.Status), string(a.Balance), string(a.Available), a.Overdraft, strconv.FormatInt(a.Version, 10),
		}
	})
}

type accountBalance struct {
	apiFlags
	Number     string   `arg:"" help:"The account's number."`
	At         timeFlag `placeholder:"TIME" help:"The balance as it was after the last commit at or before this moment."`
	Strong     bool     `help:"Read the store, past every cache."`
	MinVersion int64    `placeholder:"N" help:"Fail if the account has not reached this version."`
}

// Help is the long help of the command.
func (accountBalance) Help() string {
	return `Examples:

  rbcs account balance alice
  rbcs account balance alice --at 2026-01-31T23:59:59.999999Z`
}

func (c *accountBalance) Run(ctx context.Context, m *Main) error {
	api, err := c.client()
	if err != nil {
		return err
	}
	defer api.Close()
	var opts []client.BalanceOption
	if !c.At.IsZero() {
		opts = append(opts, client.At(c.At.Time))
	}
	if c.Strong {
		opts = append(opts, client.Strong())
	}
	if c.MinVersion > 0 {
		opts = append(opts, client.MinVersion(c.MinVersion))
	}
	b, err := api.Balance(ctx, c.Number, opts...)
	if err != nil {
		return c.explain(err)
	}
	return printOne(m, c.apiFlags, &b, [][]string{
		{"number", b.Number},
		{"balance", string(b.Balance) + " " + b.Currency},
		{"available", string(b.Available) + " " + b.Currency},
		{"held", string(b.Held) + " " + b.Currency},
		{"version", strconv.FormatInt(b.Version, 10)},
		{"as of", formatTime(b.AsOf)},
		{"served by", b.ServedBy},
	})
}
