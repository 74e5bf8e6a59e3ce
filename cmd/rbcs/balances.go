package main

import (
	"context"
	"strconv"
)

// BalancesCmd sums accounts.
type BalancesCmd struct {
	apiFlags
	Prefix string `arg:"" optional:"" help:"Only accounts whose number begins so, such as acme: (all)."`
}

// Help is the long help of the command.
func (BalancesCmd) Help() string {
	return `The sums are those of one moment, whatever is committed meanwhile. Over all accounts
every currency sums to zero.

Examples:

  rbcs balances
  rbcs balances acme: --json`
}

// Run prints a line for each currency.
func (c *BalancesCmd) Run(ctx context.Context, m *Main) error {
	api, err := c.client()
	if err != nil {
		return err
	}
	defer api.Close()
	totals, err := api.Totals(ctx, c.Prefix)
	if err != nil {
		return c.explain(err)
	}
	rows := [][]string{{"CURRENCY", "ACCOUNTS", "BALANCE", "AVAILABLE", "HELD", "AS OF"}}
	for i := range totals {
		t := &totals[i]
		if c.JSON {
			if err := printJSON(m.Stdout, t); err != nil {
				return err
			}
			continue
		}
		rows = append(rows, []string{
			t.Currency, strconv.FormatInt(t.Accounts, 10), string(t.Balance), string(t.Available), string(t.Held), formatTime(t.AsOf),
		})
	}
	if c.JSON {
		return nil
	}
	return printTable(m.Stdout, rows)
}
