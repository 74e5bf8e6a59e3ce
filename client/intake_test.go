package client_test

import (
	"slices"
	"testing"
	"time"

	"rbcs"
	"rbcs/client"
)

// decided reads a transaction until it is decided.
func decided(t *testing.T, c *client.Client, id string) client.Result {
	t.Helper()
	return eventually(t,
		func() client.Result { return must[client.Result](t)(c.Transaction(t.Context(), id)) },
		func(r client.Result) bool { return r.Status != client.StatusQueued })
}

// eventually looks until it is done, and returns what it saw then.
func eventually[T any](t *testing.T, look func() T, done func(T) bool) T {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(time.Millisecond) {
		seen := look()
		if done(seen) {
			return seen
		}
		if time.Now().After(deadline) {
			t.Fatalf("it stays %+v", seen)
		}
	}
}

func TestTheQueueOfTheService(t *testing.T) {
	c, ctx := service(t), t.Context()
	must[client.Account](t)(c.CreateAccount(ctx, client.NewAccount{Number: "bank", Currency: "USD", Overdraft: "unlimited"}))
	must[client.Account](t)(c.CreateAccount(ctx, client.NewAccount{Number: "a", Currency: "USD"}))
	pay := func(id string) client.Transaction {
		return client.Transaction{ID: id, Source: "bank", Destination: "a", Amount: "5", Timestamp: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)}
	}
	first := must[client.Result](t)(c.Submit(ctx, pay("now"), client.Async()))
	if first.Status != client.StatusQueued || first.State != rbcs.IntakeQueued || first.AcceptedAt.IsZero() || first.Amount != "5" {
		t.Errorf("%+v", first)
	}
	if r := decided(t, c, "now"); r.Status != rbcs.Posted {
		t.Errorf("%+v", r)
	}
	if r := must[client.Result](t)(c.Submit(ctx, pay("now"), client.Async())); !r.Replayed || r.Status != rbcs.Posted {
		t.Errorf("again: %+v", r)
	}
	batch := must[[]client.Result](t)(c.SubmitBatch(ctx, []client.Transaction{pay("b1"), pay("b2")}, client.Async()))
	if batch[0].Status != client.StatusQueued || batch[1].Err != nil {
		t.Errorf("%+v", batch)
	}
	decided(t, c, "b2")

	far := pay("far")
	far.ExecuteAt, far.RetryUntil = time.Now().Add(24*time.Hour).UTC().Truncate(time.Second), time.Now().Add(48*time.Hour).UTC().Truncate(time.Second)
	queued := must[client.Result](t)(c.Submit(ctx, far))
	if queued.Status != client.StatusQueued || !queued.ExecuteAt.Equal(far.ExecuteAt) || !queued.RetryUntil.Equal(far.RetryUntil) || !queued.DueAt.Equal(far.ExecuteAt) {
		t.Errorf("%+v", queued)
	}
	eventually(t, func() (list []string) { // what was decided leaves the queue a moment later
		for r, err := range c.Intake(ctx, rbcs.IntakeQueued, 1) {
			if err != nil {
				t.Fatal(err)
			}
			list = append(list, r.ID)
		}
		return list
	}, func(list []string) bool { return slices.Equal(list, []string{"far"}) })
	if r := must[client.Result](t)(c.DiscardIntake(ctx, "far", "a mistake")); r.Status != client.StatusDiscarded {
		t.Errorf("%+v", r)
	}
	if r := must[client.Result](t)(c.ReplayIntake(ctx, "far", "")); r.Status != client.StatusQueued {
		t.Errorf("%+v", r)
	}
	errs := must[[]*client.Error](t)(c.DiscardIntakes(ctx, []string{"far", "none"}, "both"))
	if errs[0] != nil || errs[1] == nil || errs[1].Code != rbcs.NotFound {
		t.Errorf("%v", errs)
	}
	entry := must[client.Result](t)(c.IntakeEntry(ctx, "far"))
	if len(entry.Attempts) != 3 || entry.Attempts[0].Kind != rbcs.IntakeWasDiscarded || entry.Attempts[0].Detail != "a mistake" {
		t.Errorf("%+v", entry.Attempts)
	}
	if errs := must[[]*client.Error](t)(c.ReplayIntakes(ctx, []string{"far"}, "")); errs[0] != nil {
		t.Error(errs[0])
	}
	if _, err := c.IntakeEntry(ctx, "now"); rbcs.CodeOf(err) != rbcs.NotFound {
		t.Error(err)
	}
	if _, err := c.SubmitGroup(ctx, []client.Transaction{pay("g")}, client.Async()); rbcs.CodeOf(err) != rbcs.InvalidRequest {
		t.Error(err)
	}
	if _, err := c.DiscardIntakes(ctx, []string{"far"}, ""); rbcs.CodeOf(err) != rbcs.InvalidRequest {
		t.Error(err)
	}
}
