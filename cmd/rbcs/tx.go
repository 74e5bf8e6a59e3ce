package main

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"time"

	"github.com/google/uuid"

	"rbcs"
	"rbcs/client"
)

// TxCmd is what the API does with transactions.
type TxCmd struct {
	Submit txSubmit `cmd:"" help:"Submit a transaction."`
	Get    txGet    `cmd:"" help:"Show what is recorded under an ID."`
	List   txList   `cmd:"" help:"List transactions, the latest first."`
}

type txSubmit struct {
	apiFlags
	Source      string     `arg:"" help:"The account that pays."`
	Destination string     `arg:"" help:"The account that receives."`
	Amount      string     `arg:"" help:"Plain decimal digits, such as 12.34"`
	ID          string     `name:"id" placeholder:"ID" help:"Unique ID, 1–128 printable ASCII characters (a new UUID, which is printed)."`
	Currency    string     `placeholder:"CODE" help:"The currency, to be sure of it (the source account's)."`
	Timestamp   timeFlag   `placeholder:"TIME" help:"When it happened (now)."`
	Description string     `placeholder:"TEXT" help:"For a person who reads it later."`
	Metadata    jsonObject `placeholder:"JSON" help:"A JSON object to keep with the transaction."`
}

// Help is the long help of the command.
func (txSubmit) Help() string {
	return `An ID moves money at most once, however often it is submitted: to be safe against
a lost answer, choose --id and --timestamp yourself and submit the same again.
A rejection is printed and exits with 1.

Examples:

  rbcs tx submit alice bob 12.34
  rbcs tx submit alice bob 12.34 --id order-42 --timestamp 2026-01-31T12:00:00Z
  rbcs tx submit bank alice 0.5 --currency BTC --description 'first deposit' --json`
}

func (c *txSubmit) Run(ctx context.Context, m *Main) error {
	api, err := c.client()
	if err != nil {
		return err
	}
	defer api.Close()
	t := client.Transaction{
		ID: c.ID, Source: c.Source, Destination: c.Destination, Amount: client.Amount(c.Amount), Currency: c.Currency,
		Timestamp: c.Timestamp.Time, Description: c.Description, Metadata: json.RawMessage(c.Metadata),
	}
	if t.ID == "" {
		id, err := uuid.NewV7()
		if err != nil {
			return fmt.Errorf("make an ID: %w", err)
		}
		t.ID = id.String()
	}
	if t.Timestamp.IsZero() {
		t.Timestamp = time.Now().UTC().Truncate(time.Microsecond)
	}
	result, err := api.Submit(ctx, t)
	if err != nil {
		if rbcs.CodeOf(err) == rbcs.OutcomeUnknown { // the person needs what was made up for them
			err = fmt.Errorf("%w; the same again: --id %s --timestamp %s", err, t.ID, formatTime(t.Timestamp))
		}
		return c.explain(err)
	}
	if err := c.printResult(m, &result); err != nil {
		return err
	}
	if result.Status == rbcs.Rejected {
		return fmt.Errorf("transaction %s is rejected: %s: %s", result.ID, result.Code, result.Detail)
	}
	return nil
}

type txGet struct {
	apiFlags
	ID string `arg:"" name:"id" help:"The transaction's ID."`
}

// Help is the long help of the command.
func (txGet) Help() string {
	return `Examples:

  rbcs tx get order-42
  rbcs tx get order-42 --json`
}

func (c *txGet) Run(ctx context.Context, m *Main) error {
	api, err := c.client()
	if err != nil {
		return err
	}
	defer api.Close()
	result, err := api.Transaction(ctx, c.ID)
	if err != nil {
		return c.explain(err)
	}
	return c.printResult(m, &result)
}

func (f apiFlags) printResult(m *Main, r *client.Result) error {
	rows := [][]string{
		{"id", r.ID},
		{"status", string(r.Status)},
	}
	add := func(name, value string) {
		if value != "" {
			rows = append(rows, []string{name, value})
		}
	}
	if r.Replayed {
		rows[1][1] += " (before: this ID was decided already)"
	}
	add("code", string(r.Code))
	add("detail", r.Detail)
	add("type", string(r.Type))
	add("source", side(r.Source, r.SourceBalance, r.SourceVersion))
	add("destination", side(r.Destination, r.DestinationBalance, r.DestinationVersion))
	add("amount", string(r.Amount)+" "+r.Currency)
	add("timestamp", formatTime(r.Timestamp))
	add("committed at", formatTime(r.CommittedAt))
	add("sequence", strconv.FormatInt(r.Sequence, 10))
	add("description", r.Description)
	add("metadata", string(r.Metadata))
	return printOne(m, f, r, rows)
}

// side describes an account as a transaction left it.
func side(number string, balance client.Amount, version int64) string {
	if version == 0 {
		return number
	}
	return fmt.Sprintf("%s (then %s, version %d)", number, balance, version)
}

type txList struct {
	apiFlags
	Account string   `placeholder:"NUMBER" help:"Only transactions with this account on either side."`
	Status  string   `enum:"posted,rejected," default:"" placeholder:"STATUS" help:"Only posted or rejected ones."`
	From    timeFlag `placeholder:"TIME" help:"Only what was committed at or after this moment."`
	To      timeFlag `placeholder:"TIME" help:"Only what was committed before this moment."`
	Limit   int      `default:"100" placeholder:"N" help:"At most so many (${default})."`
}

// Help is the long help of the command.
func (txList) Help() string {
	return `Examples:

  rbcs tx list
  rbcs tx list --account alice --status rejected --from 2026-01-01
  rbcs tx list --limit 1000000 --json > transactions.ndjson`
}

func (c *txList) Run(ctx context.Context, m *Main) error {
	api, err := c.client()
	if err != nil {
		return err
	}
	defer api.Close()
	list := api.Transactions(ctx, client.TransactionQuery{
		Account: c.Account, Status: rbcs.Status(c.Status), From: c.From.Time, To: c.To.Time, PageSize: pageSize(c.Limit),
	})
	head := []string{"COMMITTED AT", "ID", "STATUS", "SOURCE", "DESTINATION", "AMOUNT", "CURRENCY"}
	return printList(m, c.apiFlags, list, c.Limit, head, func(r *client.Result) []string {
		status := string(r.Status)
		if r.Code != "" {
			status += ": " + string(r.Code)
		}
		return []string{formatTime(r.CommittedAt), r.ID, status, r.Source, r.Destination, string(r.Amount), r.Currency}
	})
}
