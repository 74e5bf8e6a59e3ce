package main

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"rbcs"
	"rbcs/client"
)

// IntakeCmd is what the API does with the durable queue.
type IntakeCmd struct {
	List    intakeList    `cmd:"" help:"List what waits in the queue, or the dead letters."`
	Show    intakeShow    `cmd:"" help:"Show an entry of the queue, with its attempts."`
	Replay  intakeReplay  `cmd:"" help:"Have dead letters tried again."`
	Discard intakeDiscard `cmd:"" help:"Give entries up, for a reason."`
}

type intakeList struct {
	apiFlags
	State string `enum:"waiting,queued,retrying,dead,discarded" default:"waiting" placeholder:"STATE" help:"Those that are waiting (queued or retrying), queued, retrying, dead or discarded (${default})."`
	Limit int    `default:"100" placeholder:"N" help:"At most so many (${default})."`
}

// Help is the long help of the command.
func (intakeList) Help() string {
	return `Lists what waits, the first due first: queued is what was not tried yet, and
retrying what failed and is tried again. Dead letters, which nothing tries again
by itself, and what was discarded are listed with --state. What was decided is
no longer here: rbcs tx get shows it.

Examples:

  rbcs intake list
  rbcs intake list --state retrying
  rbcs intake list --state dead
  rbcs intake list --state dead --json | jq -r .id`
}

func (c *intakeList) Run(ctx context.Context, m *Main) error {
	api, err := c.client()
	if err != nil {
		return err
	}
	defer api.Close()
	list := api.Intake(ctx, rbcs.IntakeState(c.State), pageSize(c.Limit))
	head := []string{"ID", "STATE", "DUE AT", "FAILED", "SOURCE", "DESTINATION", "AMOUNT", "WHY"}
	return printList(m, c.apiFlags, list, c.Limit, head, func(r *client.Result) []string {
		due := ""
		if !r.DueAt.IsZero() {
			due = formatTime(r.DueAt)
		}
		return []string{r.ID, string(r.State), due, strconv.Itoa(r.FailedAttempts), r.Source, r.Destination, string(r.Amount), string(r.Code)}
	})
}

type intakeShow struct {
	apiFlags
	ID string `arg:"" name:"id" help:"The transaction's ID."`
}

// Help is the long help of the command.
func (intakeShow) Help() string {
	return `Examples:

  rbcs intake show order-42
  rbcs intake show order-42 --json`
}

func (c *intakeShow) Run(ctx context.Context, m *Main) error {
	api, err := c.client()
	if err != nil {
		return err
	}
	defer api.Close()
	entry, err := api.IntakeEntry(ctx, c.ID)
	if err != nil {
		return c.explain(err)
	}
	return c.printResult(m, &entry)
}

// intakeIDs are the entries that a command is about.
type intakeIDs struct {
	apiFlags
	IDs []string `arg:"" name:"id" help:"The transactions' IDs."`
}

type intakeReplay struct {
	intakeIDs
	Reason string `placeholder:"TEXT" help:"Why; it is kept."`
}

// Help is the long help of the command.
func (intakeReplay) Help() string {
	return `A dead letter is tried again at once, with its attempts counted anew. What was
discarded can be replayed too, and what waits after a failure.

Examples:

  rbcs intake replay order-42 --reason 'the account is open again'
  rbcs intake list --state dead --json | jq -r .id | xargs rbcs intake replay`
}

func (c *intakeReplay) Run(ctx context.Context, m *Main) error {
	return c.act(m, "queued again", func(api *client.Client) ([]*client.Error, error) { return api.ReplayIntakes(ctx, c.IDs, c.Reason) })
}

type intakeDiscard struct {
	intakeIDs
	Reason string `required:"" placeholder:"TEXT" help:"Why; it is kept."`
}

// Help is the long help of the command.
func (intakeDiscard) Help() string {
	return `What was discarded is never posted, unless it is replayed, and its ID stays taken.

Examples:

  rbcs intake discard order-42 --reason 'paid by other means'`
}

func (c *intakeDiscard) Run(ctx context.Context, m *Main) error {
	return c.act(m, "discarded", func(api *client.Client) ([]*client.Error, error) { return api.DiscardIntakes(ctx, c.IDs, c.Reason) })
}

// acted is what became of one entry, for scripts.
type acted struct {
	ID    string `json:"id"`
	Error string `json:"error,omitempty"`
}

// act does something with the entries, and says of each what became of it.
func (c *intakeIDs) act(m *Main, done string, call func(*client.Client) ([]*client.Error, error)) error {
	api, err := c.client()
	if err != nil {
		return err
	}
	defer api.Close()
	errs, err := call(api)
	if err != nil {
		return c.explain(err)
	}
	failed := 0
	for i, id := range c.IDs {
		a := acted{ID: id}
		if errs[i] != nil {
			a.Error = errs[i].Error()
			failed++
		}
		switch {
		case c.JSON:
			err = printJSON(m.Stdout, a)
		case errs[i] != nil:
			_, err = fmt.Fprintf(m.Stdout, "%s is left as it is: %s\n", id, a.Error)
		default:
			_, err = fmt.Fprintf(m.Stdout, "%s is %s\n", id, done)
		}
		if err != nil {
			return fmt.Errorf("write the answer: %w", err)
		}
	}
	if failed > 0 {
		return fmt.Errorf("%d of %d entries are left as they are", failed, len(c.IDs))
	}
	return nil
}

// queueRows are the rows of a transaction that is, or was, in the queue.
func queueRows(r *client.Result) (rows [][]string) {
	if r.State != "" && string(r.State) != string(r.Status) {
		rows = append(rows, []string{"state", string(r.State)})
	}
	for _, t := range []struct {
		name string
		at   time.Time
	}{{"execute at", r.ExecuteAt}, {"retry until", r.RetryUntil}, {"accepted at", r.AcceptedAt}, {"due at", r.DueAt}} {
		if !t.at.IsZero() {
			rows = append(rows, []string{t.name, formatTime(t.at)})
		}
	}
	for _, a := range r.Attempts {
		line := strings.Join(strings.Fields(strings.Join([]string{string(a.Kind), string(a.Code), a.Detail, a.Actor}, " ")), " ")
		if !a.NextAt.IsZero() {
			line += ", next at " + formatTime(a.NextAt)
		}
		if a.Omitted > 0 {
			line += fmt.Sprintf(" (and %d more before it, not listed)", a.Omitted)
		}
		rows = append(rows, []string{formatTime(a.At), line})
	}
	return rows
}
