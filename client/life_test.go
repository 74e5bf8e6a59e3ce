package client_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"rbcs"
	"rbcs/client"
)

// funded returns a service with a bank, alice, who has 100.00, and bob.
func funded(t *testing.T) *client.Client {
	t.Helper()
	c := service(t)
	must[[]client.AccountResult](t)(c.CreateAccounts(t.Context(), []client.NewAccount{
		{Number: "bank", Currency: "USD", Overdraft: client.Unlimited}, {Number: "alice", Currency: "USD"}, {Number: "bob", Currency: "USD"},
	}))
	post(t, "bank", "alice", "deposit", "100.00", c)
	return c
}

func post(t *testing.T, source, destination, id string, amount client.Amount, c *client.Client) client.Result {
	t.Helper()
	r := must[client.Result](t)(c.Submit(t.Context(), transfer(id, source, destination, amount)))
	if r.Status != rbcs.Posted {
		t.Fatalf("%s: %+v", id, r)
	}
	return r
}

func transfer(id, source, destination string, amount client.Amount) client.Transaction {
	return client.Transaction{ID: id, Source: source, Destination: destination, Amount: amount, Timestamp: order.Timestamp}
}

func hold(id string, amount client.Amount) client.Transaction {
	h := transfer(id, "alice", "bob", amount)
	h.Type = rbcs.Hold
	return h
}

func TestHoldsOfTheService(t *testing.T) {
	c, ctx := funded(t), t.Context()
	result := must[client.Result](t)

	first := hold("hold-1", "60.00")
	first.ExpiresAt = time.Date(2100, 1, 1, 0, 0, 0, 0, time.UTC)
	if r := result(c.Submit(ctx, first)); r.Status != rbcs.Holding || r.Type != rbcs.Hold || r.SourceHeld != "60.00" || !r.ExpiresAt.Equal(first.ExpiresAt) {
		t.Errorf("held %+v", r)
	}
	if b := must[client.Balance](t)(c.Balance(ctx, "alice")); b.Balance != "100.00" || b.Available != "40.00" || b.Held != "60.00" {
		t.Errorf("with a hold: %+v", b)
	}
	if r := result(c.Submit(ctx, hold("hold-2", "40.01"))); r.Status != rbcs.Rejected || r.Code != rbcs.InsufficientFunds || r.Short != "0.01" {
		t.Errorf("held money is spendable: %+v", r)
	}
	if r := result(c.Capture(ctx, "hold-1", client.Settlement{ID: "c-1", Amount: "60.01"})); r.Code != rbcs.AmountExceedsHold || r.Available != "60.00" {
		t.Errorf("captured more than was held: %+v", r)
	}
	captured := result(c.Capture(ctx, "hold-1", client.Settlement{ID: "c-2", Amount: "45.00"}))
	if captured.Status != rbcs.Posted || captured.Original != "hold-1" || captured.Remainder != "15.00" || captured.SourceBalance != "55.00" || captured.SourceHeld != "0.00" {
		t.Errorf("captured %+v", captured)
	}
	if r := result(c.Capture(ctx, "hold-1", client.Settlement{ID: "c-2", Amount: "45"})); !r.Replayed || r.Sequence != captured.Sequence {
		t.Errorf("captured again: %+v", r)
	}
	if r := result(c.Release(ctx, "hold-1", client.Settlement{ID: "r-1"})); r.Code != rbcs.HoldNotOpen || r.SettledBy != "c-2" {
		t.Errorf("released what is captured: %+v", r)
	}
	if r := result(c.Transaction(ctx, "hold-1")); r.Status != rbcs.Captured || r.SettledBy != "c-2" {
		t.Errorf("the hold is now %+v", r)
	}
	if r := result(c.Release(ctx, "nothing", client.Settlement{ID: "r-2"})); r.Code != rbcs.HoldNotFound {
		t.Errorf("released nothing: %+v", r)
	}
	result(c.Submit(ctx, hold("hold-3", "55.00")))
	if r := result(c.Release(ctx, "hold-3", client.Settlement{ID: "r-3"})); r.Status != rbcs.Posted || r.SourceHeld != "0.00" || r.SourceBalance != "55.00" {
		t.Errorf("released %+v", r)
	}
	if r := result(c.Reverse(ctx, "c-2", client.Settlement{ID: "back-1", Amount: "20.00"})); r.Status != rbcs.Posted || r.Source != "bob" || r.Remainder != "25.00" {
		t.Errorf("reversed %+v", r)
	}
	if r := result(c.Reverse(ctx, "c-2", client.Settlement{ID: "back-2"})); r.Amount != "25.00" || r.DestinationBalance != "100.00" {
		t.Errorf("reversed the rest: %+v", r)
	}
	if r := result(c.Reverse(ctx, "c-2", client.Settlement{ID: "back-3"})); r.Code != rbcs.AmountExceedsReversible {
		t.Errorf("reversed too much: %+v", r)
	}
	if r := result(c.Transaction(ctx, "c-2")); r.Status != rbcs.Reversed || r.Reversed != "45.00" {
		t.Errorf("the capture is now %+v", r)
	}
	if _, err := c.Reverse(ctx, "nothing", client.Settlement{ID: "back-4"}); rbcs.CodeOf(err) != rbcs.NotFound {
		t.Errorf("reversed nothing: %v", err)
	}
}

func TestGroupsOfTheService(t *testing.T) {
	c, ctx := funded(t), t.Context()
	results := must[[]client.Result](t)
	through := []client.Transaction{transfer("g-1", "alice", "bob", "70.00"), transfer("g-2", "bob", "bank", "70.00")} // the second needs the first

	dry := results(c.SubmitGroup(ctx, through, client.DryRun()))
	if !dry[0].DryRun || dry[0].Status != rbcs.Posted || dry[1].SourceBalance != "0.00" || dry[0].Sequence != 0 {
		t.Errorf("previewed %+v", dry)
	}
	if _, err := c.Transaction(ctx, "g-1"); rbcs.CodeOf(err) != rbcs.NotFound {
		t.Errorf("a preview is recorded: %v", err)
	}
	for n := range 2 {
		group := results(c.SubmitGroup(ctx, through))
		for i, r := range group {
			if r.Status != rbcs.Posted || r.Group == nil || r.Group.Position != i || r.Group.Size != 2 || r.Replayed != (n > 0) {
				t.Errorf("posted %+v, %v", r, r.Err)
			}
		}
	}
	slices.Reverse(through)
	for _, r := range results(c.SubmitGroup(ctx, through)) {
		if r.Err == nil || r.Err.Code != rbcs.IDConflict {
			t.Errorf("in another order: %+v", r)
		}
	}
	failed := results(c.SubmitGroup(ctx, []client.Transaction{transfer("g-3", "alice", "bob", "30.00"), transfer("g-4", "alice", "bob", "0.01")}))
	if failed[0].Code != rbcs.GroupFailed || failed[1].Code != rbcs.InsufficientFunds {
		t.Errorf("failed %+v", failed)
	}
	malformed := results(c.SubmitGroup(ctx, []client.Transaction{transfer("g-5", "alice", "bob", "1"), transfer("g-6", "alice", "bob", "0")}))
	if malformed[0].Err == nil || malformed[0].Err.Code != rbcs.GroupFailed || malformed[1].Err == nil || malformed[1].Err.Code != rbcs.InvalidRequest {
		t.Errorf("malformed %+v", malformed)
	}
	if r := must[client.Result](t)(c.Submit(ctx, transfer("g-7", "alice", "bob", "31"), client.DryRun())); r.Code != rbcs.InsufficientFunds || !r.DryRun || r.Short != "1.00" {
		t.Errorf("previewed a rejection: %+v", r)
	}
}

func TestStatementsOfTheService(t *testing.T) {
	c, ctx := funded(t), t.Context()
	for i := range 5 {
		post(t, "alice", "bob", fmt.Sprintf("t-%d", i), "7.00", c)
	}
	first := post(t, "bob", "alice", "t-5", "0.50", c)
	var lines []string
	last := client.Statement{Closing: "0.00"}
	for part, err := range c.Statement(ctx, "alice", client.StatementQuery{PageSize: 3}) {
		if err != nil {
			t.Fatal(err)
		}
		if part.Opening != last.Closing || len(part.Lines) > 3 {
			t.Errorf("a part opens with %s after %s, with %d lines", part.Opening, last.Closing, len(part.Lines))
		}
		for _, line := range part.Lines {
			lines = append(lines, string(line.Change)+" → "+string(line.Balance))
		}
		last = part
	}
	if len(lines) != 7 || lines[0] != "100.00 → 100.00" || lines[6] != "0.50 → 65.50" || last.Closing != "65.50" || last.Currency != "USD" {
		t.Errorf("the statement has %v and closes with %s", lines, last.Closing)
	}
	var csv strings.Builder
	if err := c.StatementCSV(ctx, "alice", client.StatementQuery{From: first.CommittedAt}, &csv); err != nil {
		t.Fatal(err)
	}
	if got := csv.String(); !strings.Contains(got, ",opening_balance,,,,,,65.00,") || !strings.Contains(got, ",t-5,") || !strings.Contains(got, ",closing_balance,,,,,,65.50,") {
		t.Errorf("as CSV: %s", got)
	}
	if err := c.StatementCSV(ctx, "nobody", client.StatementQuery{}, &csv); rbcs.CodeOf(err) != rbcs.NotFound {
		t.Errorf("of nobody: %v", err)
	}
	for e, err := range c.History(ctx, "alice", client.HistoryQuery{Direction: "credit", Counterparty: "bob"}) {
		if err != nil || e.ID != "t-5" {
			t.Errorf("filtered: %+v, %v", e, err)
		}
	}
	balances := must[[]client.BalanceResult](t)(c.Balances(ctx, []string{"bob", "nobody", "alice"}))
	if len(balances) != 3 || balances[0].Balance.Number != "bob" || balances[2].Balance.Available != "65.50" || rbcs.CodeOf(balances[1].Err) != rbcs.NotFound {
		t.Errorf("balances: %+v", balances)
	}
	totals := must[[]client.Total](t)(c.Totals(ctx, ""))
	if len(totals) != 1 || totals[0].Currency != "USD" || totals[0].Accounts != 3 || totals[0].Balance != "0.00" || totals[0].AsOf.IsZero() {
		t.Errorf("all accounts: %+v", totals)
	}
	if totals = must[[]client.Total](t)(c.Totals(ctx, "al")); len(totals) != 1 || totals[0].Available != "65.50" {
		t.Errorf("of a prefix: %+v", totals)
	}
}

// TestEventsOfTheService: while others write, every decision comes once and in
// order; a reader that comes back goes on where it was.
func TestEventsOfTheService(t *testing.T) {
	c := funded(t)
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	const writers, each = 4, 50
	var writing sync.WaitGroup
	defer writing.Wait()
	for w := range writers {
		writing.Go(func() {
			for i := range each {
				if _, err := c.Submit(ctx, transfer(fmt.Sprintf("w%d-%d", w, i), "alice", "bob", "0.01")); err != nil {
					t.Error(err)
				}
			}
		})
	}
	after := client.FromBeginning
	var sequence int64
	for seen := 0; seen < 1+writers*each; {
		read := 0
		for e, err := range c.Events(ctx, client.EventQuery{After: after}) {
			if err != nil {
				t.Fatal(err)
			}
			if e.Sequence <= sequence || !strings.HasSuffix(e.EventID, fmt.Sprint("-", e.Sequence)) || e.Status != rbcs.Posted {
				t.Fatalf("after %d came %+v", sequence, e)
			}
			after, sequence = e.EventID, e.Sequence
			if seen++; seen == 1+writers*each {
				break
			}
			if read++; read == 17 { // come back
				break
			}
		}
	}
	for e, err := range c.Events(ctx, client.EventQuery{After: client.FromBeginning, Account: "bank"}) {
		if err != nil || e.ID != "deposit" {
			t.Errorf("filtered: %+v, %v", e, err)
		}
		break
	}
	_, err := follow(ctx, c, client.EventQuery{After: "7-3"})
	var gap *client.Error
	if !errors.As(err, &gap) || gap.Code != rbcs.InvalidRequest || !strings.Contains(gap.Message, "timeline") {
		t.Errorf("behind an event of another timeline: %v", err)
	}
}

func TestWebhooksOfTheService(t *testing.T) {
	c, ctx := funded(t), t.Context()
	hook := must[client.Webhook](t)
	created := hook(c.CreateWebhook(ctx, client.NewWebhook{URL: "https://example.com/rbcs", Prefix: "al", Cursor: new(int64)}))
	if !strings.HasPrefix(created.Secret, "whsec_") || created.Cursor != 0 || created.ID == "" || created.Prefix != "al" || created.CreatedAt.IsZero() {
		t.Errorf("created %+v", created)
	}
	if got := hook(c.Webhook(ctx, created.ID)); got.Secret != "" || got.URL != created.URL {
		t.Errorf("got %+v", got)
	}
	if list := must[[]client.Webhook](t)(c.Webhooks(ctx)); len(list) != 1 || list[0].ID != created.ID {
		t.Errorf("listed %+v", list)
	}
	if got := hook(c.UpdateWebhook(ctx, created.ID, client.WebhookChange{Paused: new(true), Cursor: new(int64(1))})); !got.Paused || got.Cursor != 1 {
		t.Errorf("changed %+v", got)
	}
	if err := c.DeleteWebhook(ctx, created.ID); err != nil {
		t.Error(err)
	}
	if err := c.DeleteWebhook(ctx, created.ID); rbcs.CodeOf(err) != rbcs.NotFound {
		t.Errorf("deleted again: %v", err)
	}
	if _, err := c.CreateWebhook(ctx, client.NewWebhook{URL: "http://127.0.0.1/"}); rbcs.CodeOf(err) != rbcs.InvalidRequest {
		t.Errorf("a private address: %v", err)
	}
}
