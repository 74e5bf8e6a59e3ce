package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"

	"rbcs"
	"rbcs/client"
)

// TxCmd is what the API does with transactions.
type TxCmd struct {
	Submit  txSubmit  `cmd:"" help:"Submit a transaction."`
	Hold    txHold    `cmd:"" help:"Reserve an amount, to be captured or released later."`
	Capture txCapture `cmd:"" help:"Settle a hold: move all or part of it, release the rest."`
	Release txRelease `cmd:"" help:"Settle a hold: give all of it back."`
	Reverse txReverse `cmd:"" help:"Move all or part of a posted transaction back."`
	Retry   txRetry   `cmd:"" help:"Decide a rejected transaction again."`
	Get     txGet     `cmd:"" help:"Show what is recorded under an ID, and what it is now."`
	List    txList    `cmd:"" help:"List transactions, the latest first."`
}

// txFlags are what all transactions have.
type txFlags struct {
	decideFlags
	ID          string     `name:"id" placeholder:"ID" help:"Unique ID, 1–128 printable ASCII characters (a new UUID, which is printed)."`
	Description string     `placeholder:"TEXT" help:"For a person who reads it later."`
	Metadata    jsonObject `placeholder:"JSON" help:"A JSON object to keep with the transaction."`
}

// decideFlags are what all has that gets something decided.
type decideFlags struct {
	apiFlags
	DryRun bool `help:"Only show what would be decided now; nothing is recorded."`
}

// prepare gives the transaction an ID if it has none.
func (f *txFlags) prepare() error {
	if f.ID != "" {
		return nil
	}
	id, err := uuid.NewV7()
	if err != nil {
		return fmt.Errorf("make an ID: %w", err)
	}
	f.ID = id.String()
	return nil
}

// decide submits what has been prepared and prints what was decided. again is
// what makes the command line the same as this one.
func (f *decideFlags) decide(m *Main, again string, submit func(*client.Client, ...client.SubmitOption) (client.Result, error)) error {
	api, err := f.client()
	if err != nil {
		return err
	}
	defer api.Close()
	var opts []client.SubmitOption
	if f.DryRun {
		opts = append(opts, client.DryRun())
	}
	result, err := submit(api, opts...)
	if err != nil {
		if rbcs.CodeOf(err) == rbcs.OutcomeUnknown { // the person needs what was made up for them
			err = fmt.Errorf("%w; the same again: %s", err, again)
		}
		return f.explain(err)
	}
	if err := f.printResult(m, &result); err != nil {
		return err
	}
	if result.Status == rbcs.Rejected {
		verb := "is"
		if f.DryRun {
			verb = "would be"
		}
		return fmt.Errorf("transaction %s %s rejected: %s: %s", result.ID, verb, result.Code, result.Detail)
	}
	return nil
}

// txMove is what moves or reserves money between two accounts.
type txMove struct {
	Source      string   `arg:"" help:"The account that pays."`
	Destination string   `arg:"" help:"The account that receives."`
	Amount      string   `arg:"" help:"Plain decimal digits, such as 12.34"`
	Currency    string   `placeholder:"CODE" help:"The currency, to be sure of it (the source account's)."`
	Timestamp   timeFlag `placeholder:"TIME" help:"When it happened (now)."`
	ExecuteAt   timeFlag `placeholder:"TIME" help:"Decide it then, not now: it is queued."`
	RetryUntil  timeFlag `placeholder:"TIME" help:"Queue it, and decide again until then what may pass, such as a lack of funds."`
	Async       bool     `help:"Queue it, and do not wait for the decision."`
}

// run submits a transfer or a hold. in says that it expires so long from now on.
func (c *txMove) run(ctx context.Context, m *Main, f *txFlags, kind rbcs.Type, expires time.Time, in time.Duration) error {
	made := map[string]string{} // by pointer, the flag of what follows from now and so is never the same again
	if in > 0 {
		expires = time.Now().UTC().Truncate(time.Microsecond).Add(in)
		made["/expires_at"] = "--expires-at"
	}
	if err := f.prepare(); err != nil {
		return err
	}
	t := client.Transaction{
		ID: f.ID, Type: kind, Source: c.Source, Destination: c.Destination, Amount: client.Amount(c.Amount), Currency: c.Currency,
		Timestamp: c.Timestamp.Time, ExpiresAt: expires, ExecuteAt: c.ExecuteAt.Time, RetryUntil: c.RetryUntil.Time, Description: f.Description, Metadata: json.RawMessage(f.Metadata),
	}
	if t.Timestamp.IsZero() {
		t.Timestamp = time.Now().UTC().Truncate(time.Microsecond)
		made["/timestamp"] = "--timestamp"
	}
	again := fmt.Sprintf("--id %s --timestamp %s", t.ID, formatTime(t.Timestamp))
	if !expires.IsZero() {
		again += " --expires-at " + formatTime(expires)
	}
	if !t.ExecuteAt.IsZero() {
		again += " --execute-at " + formatTime(t.ExecuteAt)
	}
	if !t.RetryUntil.IsZero() {
		again += " --retry-until " + formatTime(t.RetryUntil)
	}
	return f.decide(m, again, func(api *client.Client, opts ...client.SubmitOption) (client.Result, error) {
		if c.Async {
			opts = append(opts, client.Async())
		}
		result, err := api.Submit(ctx, t, opts...)
		return result, howToRepeat(err, made)
	})
}

// howToRepeat says how to repeat what is recorded where a submission differs from
// it only in what was made up for the person.
func howToRepeat(err error, made map[string]string) error {
	e, ok := errors.AsType[*rbcs.Error](err)
	if !ok || e.Code != rbcs.IDConflict || len(e.Fields) == 0 {
		return err
	}
	var flags []string
	for _, f := range e.Fields {
		flag, ok := made[f.Pointer]
		was, found := strings.CutPrefix(f.Message, "recorded as ")
		if !ok || !found {
			return err
		}
		flags = append(flags, flag+" "+strings.Trim(was, `"`))
	}
	return fmt.Errorf("%w; these times follow from now unless you give them: to repeat what is recorded, write %s", err, strings.Join(flags, " "))
}

type txSubmit struct {
	txFlags
	txMove
}

// Help is the long help of the command.
func (txSubmit) Help() string {
	return `An ID moves money at most once, however often it is submitted: to be safe against
a lost answer, choose --id and --timestamp yourself and submit the same again. The
timestamp is a part of what is the same; without the flag it is another one each time.
A rejection is printed and exits with 1.

Examples:

  rbcs tx submit alice bob 12.34
  rbcs tx submit alice bob 12.34 --dry-run
  rbcs tx submit alice bob 12.34 --id order-42 --timestamp 2026-01-31T12:00:00Z
  rbcs tx submit alice bob 12.34 --execute-at 2027-01-31 --retry-until 2027-02-07
  rbcs tx submit bank alice 0.5 --currency BTC --description 'first deposit' --json`
}

func (c *txSubmit) Run(ctx context.Context, m *Main) error {
	return c.run(ctx, m, &c.txFlags, "", time.Time{}, 0)
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
	money := func(name string, amount client.Amount) {
		if amount != "" {
			add(name, strings.TrimSpace(string(amount)+" "+r.Currency)) // what is queued may have no currency yet
		}
	}
	moment := func(name string, t time.Time) {
		if !t.IsZero() {
			add(name, formatTime(t))
		}
	}
	switch {
	case r.Replayed:
		rows[1][1] += " (before: this ID was decided already)"
	case r.DryRun:
		rows[1][1] += " (a dry run: nothing is recorded)"
	}
	add("code", string(r.Code))
	add("detail", r.Detail)
	add("type", string(r.Type))
	add("original", r.Original)
	add("source", side(r.Source, r.SourceBalance, r.SourceVersion))
	add("destination", side(r.Destination, r.DestinationBalance, r.DestinationVersion))
	money("amount", r.Amount)
	money("held then", r.SourceHeld)
	money("remainder", r.Remainder)
	moment("expires at", r.ExpiresAt)
	add("settled by", r.SettledBy)
	money("reversed", r.Reversed)
	if r.Group != nil {
		add("group", fmt.Sprintf("%d of %d, %s", r.Group.Position+1, r.Group.Size, r.Group.ID))
	}
	moment("timestamp", r.Timestamp)
	moment("committed at", r.CommittedAt)
	if r.Sequence > 0 {
		add("sequence", strconv.FormatInt(r.Sequence, 10))
	}
	rows = append(rows, queueRows(r)...)
	if r.Attempt > 0 {
		add("attempt", strconv.Itoa(r.Attempt))
	}
	add("description", r.Description)
	add("metadata", string(r.Metadata))
	for _, d := range r.Decisions {
		outcome := string(d.Status)
		if d.Code != "" {
			outcome += ": " + string(d.Code)
		}
		add(fmt.Sprintf("attempt %d", d.Attempt), fmt.Sprintf("%s at %s by %s", outcome, formatTime(d.CommittedAt), d.Instance))
	}
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
	Status  string   `enum:"posted,held,rejected,captured,released,expired,reversed," default:"" placeholder:"STATUS" help:"Only those that are now posted, held, rejected, captured, released, expired or reversed."`
	From    timeFlag `placeholder:"TIME" help:"Only what was committed at or after this moment."`
	To      timeFlag `placeholder:"TIME" help:"Only what was committed before this moment."`
	Limit   int      `default:"100" placeholder:"N" help:"At most so many (${default})."`
}

// Help is the long help of the command.
func (txList) Help() string {
	return `Examples:

  rbcs tx list
  rbcs tx list --account alice --status rejected --from 2026-01-01
  rbcs tx list --status held
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
	head := []string{"COMMITTED AT", "ID", "TYPE", "STATUS", "SOURCE", "DESTINATION", "AMOUNT", "CURRENCY"}
	return printList(m, c.apiFlags, list, c.Limit, head, func(r *client.Result) []string {
		status := string(r.Status)
		if r.Code != "" {
			status += ": " + string(r.Code)
		}
		return []string{formatTime(r.CommittedAt), r.ID, string(r.Type), status, r.Source, r.Destination, string(r.Amount), r.Currency}
	})
}
