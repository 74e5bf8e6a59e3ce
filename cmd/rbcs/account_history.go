package main

import (
	"context"
	"errors"
	"strconv"
	"time"

	"rbcs"
	"rbcs/client"
)

type accountHistory struct {
	apiFlags
	Number string   `arg:"" help:"The account's number."`
	From   timeFlag `placeholder:"TIME" help:"Only what was committed at or after this moment."`
	To     timeFlag `placeholder:"TIME" help:"Only what was committed before this moment."`
	Oldest bool     `help:"The oldest first; else the latest."`
	Type   string   `enum:"transfer,hold,capture,release,expiry,reversal," default:"" placeholder:"TYPE" help:"Only what is a transfer, hold, capture, release, expiry or reversal."`
	With   string   `placeholder:"NUMBER" help:"Only what has this account on the other side."`
	Limit  int      `default:"100" placeholder:"N" help:"At most so many (${default})."`
}

// Help is the long help of the command.
func (accountHistory) Help() string {
	return `Examples:

  rbcs account history alice
  rbcs account history alice --from 2026-01-01 --to 2026-02-01 --oldest
  rbcs account history alice --type reversal --with shop`
}

func (c *accountHistory) Run(ctx context.Context, m *Main) error {
	api, err := c.client()
	if err != nil {
		return err
	}
	defer api.Close()
	list := api.History(ctx, c.Number, client.HistoryQuery{
		From: c.From.Time, To: c.To.Time, Descending: !c.Oldest, Type: rbcs.Type(c.Type), Counterparty: c.With,
		PageSize: pageSize(c.Limit),
	})
	return printList(m, c.apiFlags, list, c.Limit, entryHead, entryRow)
}

var entryHead = []string{"COMMITTED AT", "ID", "TYPE", "CHANGE", "BALANCE", "HELD", "VERSION", "WITH"}

func entryRow(e *client.Entry) []string {
	other := e.Source
	if e.Direction == "debit" {
		other = e.Destination
	}
	return []string{
		formatTime(e.CommittedAt), e.ID, string(e.Type), string(e.Change), string(e.Balance), string(e.Held), strconv.FormatInt(e.Version, 10), other,
	}
}

type accountStatement struct {
	apiFlags
	Number string   `arg:"" help:"The account's number."`
	From   timeFlag `placeholder:"TIME" help:"Only what was committed at or after this moment."`
	To     timeFlag `placeholder:"TIME" help:"Only what was committed before this moment."`
	CSV    bool     `name:"csv" help:"Print CSV (RFC 4180)."`
}

// Help is the long help of the command.
func (accountStatement) Help() string {
	return `The opening balance plus the sum of the changes is the closing balance, to the last
digit. With --json every line is a part of the statement, which opens with what the
part before closed with. A statement that is not whole exits with 1.

Examples:

  rbcs account statement alice
  rbcs account statement alice --from 2026-01-01 --to 2026-02-01 --csv > january.csv`
}

// Validate checks what the types of the flags do not.
func (c *accountStatement) Validate() error {
	if c.CSV && c.JSON {
		return errors.New("give --csv or --json, not both")
	}
	return nil
}

func (c *accountStatement) Run(ctx context.Context, m *Main) error {
	api, err := c.client()
	if err != nil {
		return err
	}
	defer api.Close()
	q := client.StatementQuery{From: c.From.Time, To: c.To.Time}
	if c.CSV {
		if err := api.StatementCSV(ctx, c.Number, q, m.Stdout); err != nil {
			return c.explain(err)
		}
		return nil
	}
	rows := [][]string{entryHead}
	balance := func(at time.Time, name string, amount client.Amount) {
		moment := ""
		if !at.IsZero() {
			moment = formatTime(at)
		}
		rows = append(rows, []string{moment, "", name, "", string(amount)})
	}
	closing := client.Amount("")
	for part, err := range api.Statement(ctx, c.Number, q) {
		if err != nil {
			return c.explain(err)
		}
		if c.JSON {
			part.NextCursor = "" // it is of no use on this side
			if err := printJSON(m.Stdout, &part); err != nil {
				return err
			}
			continue
		}
		if closing == "" {
			balance(q.From, "opening", part.Opening)
		}
		for i := range part.Lines {
			rows = append(rows, entryRow(&part.Lines[i]))
		}
		closing = part.Closing
	}
	if c.JSON {
		return nil
	}
	balance(q.To, "closing", closing)
	return printTable(m.Stdout, rows)
}
