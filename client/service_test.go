package client_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"rbcs"
	"rbcs/client"
	"rbcs/internal/engine"
	"rbcs/internal/events"
	"rbcs/internal/intake"
	"rbcs/internal/rest"
	"rbcs/internal/sqlite"
	"rbcs/internal/webhook"
)

// startService starts the real service on a file in dir. Both returned functions must be called.
func startService(dir string) (c *client.Client, stop func() error, err error) {
	ctx := context.Background()
	currencies, err := rbcs.NewCurrencies(rbcs.Currency{Code: "BTC", Decimals: 8})
	if err != nil {
		return nil, nil, err
	}
	store, err := sqlite.Open(ctx, filepath.Join(dir, "rbcs.db"), sqlite.Options{})
	if err != nil {
		return nil, nil, err
	}
	if _, err = store.DeclareCurrencies(ctx, currencies.Declared()); err != nil {
		return nil, nil, errors.Join(err, store.Close())
	}
	feed := events.New(store, events.Config{})
	eng, err := engine.New(store, engine.Config{Committed: feed.Wake})
	if err != nil {
		return nil, nil, errors.Join(err, store.Close())
	}
	queue := intake.New(store, eng, intake.Config{Interval: 5 * time.Millisecond})
	handler, err := rest.New(rest.Config{
		Store: store, Intake: queue, Engine: eng, Currencies: currencies, Logger: slog.New(slog.DiscardHandler), Events: feed,
		Webhooks: &rest.Webhooks{
			ValidateURL: func(url string) error { return webhook.ValidateURL(url, false) }, NewSecret: webhook.NewSecret,
		},
	})
	if err != nil {
		return nil, nil, errors.Join(err, eng.Stop(ctx), store.Close())
	}
	feed.Start()
	queue.Start()
	server := httptest.NewServer(handler)
	stop = func() error {
		c.Close()
		err := errors.Join(queue.Stop(ctx), feed.Stop(ctx))
		server.Close()
		return errors.Join(err, eng.Stop(ctx), store.Close())
	}
	c, err = client.New(server.URL, quick)
	if err != nil {
		return nil, nil, errors.Join(err, stop())
	}
	return c, stop, nil
}

func service(t *testing.T) *client.Client {
	t.Helper()
	c, stop, err := startService(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := stop(); err != nil {
			t.Error(err)
		}
	})
	return c
}

// must returns what a call returned, and fails the test where it failed.
func must[T any](t *testing.T) func(T, error) T {
	return func(v T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

func TestAccountsOfTheService(t *testing.T) {
	c, ctx := service(t), t.Context()
	account := must[client.Account](t)

	bank := client.NewAccount{Number: "bank", Currency: "USD", Overdraft: client.Unlimited, Metadata: json.RawMessage(`{"b":1,"a":2}`)}
	created := account(c.CreateAccount(ctx, bank))
	if created.Number != "bank" || created.Status != rbcs.Open || created.Overdraft != client.Unlimited || created.Balance != "0.00" ||
		string(created.Metadata) != `{"a":2,"b":1}` || created.CreatedAt.IsZero() {
		t.Errorf("created %+v", created)
	}
	if again := account(c.CreateAccount(ctx, bank)); !again.CreatedAt.Equal(created.CreatedAt) {
		t.Errorf("created again: %+v", again)
	}
	bank.Currency = "EUR"
	_, err := c.CreateAccount(ctx, bank)
	var e *client.Error
	if !errors.As(err, &e) || e.Code != rbcs.AccountConflict || len(e.Fields) == 0 || e.Fields[0].Pointer != "/currency" {
		t.Errorf("with another currency: %v", err)
	}
	results := must[[]client.AccountResult](t)(c.CreateAccounts(ctx, []client.NewAccount{
		{Number: "shop:1", Currency: "USD"}, {Number: "shop/2", Currency: "USD"}, bank, {Number: "shop:1", Currency: "USD"}, {Number: "..", Currency: "BTC"},
	}))
	if !results[0].Created || results[1].Err == nil || results[1].Err.Fields[0].Pointer != "/number" ||
		results[2].Err == nil || results[2].Err.Code != rbcs.AccountConflict || results[3].Err != nil || results[3].Created || !results[4].Created {
		t.Errorf("of five: %+v", results)
	}
	if got := account(c.Account(ctx, "..")); got.Balance != "0.00000000" {
		t.Errorf("an account named by points: %+v", got)
	}
	changed := account(c.UpdateAccount(ctx, "shop:1", client.AccountChange{Status: rbcs.Frozen, Overdraft: "5", Metadata: json.RawMessage(`{"x":1}`)}))
	if changed.Status != rbcs.Frozen || changed.Overdraft != "5.00" || string(changed.Metadata) != `{"x":1}` {
		t.Errorf("changed: %+v", changed)
	}
	if _, err := c.Account(ctx, "nobody"); rbcs.CodeOf(err) != rbcs.NotFound {
		t.Errorf("an unknown account: %v", err)
	}
	var numbers []string
	for a, err := range c.Accounts(ctx, client.AccountQuery{PageSize: 2}) {
		if err != nil {
			t.Fatal(err)
		}
		numbers = append(numbers, a.Number)
	}
	if !slices.Equal(numbers, []string{"..", "bank", "shop:1"}) {
		t.Errorf("listed %v", numbers)
	}
	for a, err := range c.Accounts(ctx, client.AccountQuery{Prefix: "shop:", Currency: "USD", Status: rbcs.Frozen}) {
		if err != nil || a.Number != "shop:1" {
			t.Errorf("selected %s, %v", a.Number, err)
		}
	}
}

func TestTransactionsOfTheService(t *testing.T) {
	c, ctx := service(t), t.Context()
	must[[]client.AccountResult](t)(c.CreateAccounts(ctx, []client.NewAccount{
		{Number: "alice", Currency: "USD", Overdraft: "20"}, {Number: "bob", Currency: "USD"},
	}))
	submit := must[client.Result](t)

	first := submit(c.Submit(ctx, order))
	if first.Status != rbcs.Posted || first.SourceBalance != "-12.34" || first.DestinationBalance != "12.34" || first.SourceVersion != 1 ||
		first.Currency != "USD" || first.Sequence == 0 || first.CommittedAt.IsZero() || !first.Timestamp.Equal(order.Timestamp) || first.Replayed {
		t.Errorf("posted %+v", first)
	}
	again := submit(c.Submit(ctx, order))
	if !again.Replayed || again.Sequence != first.Sequence || again.SourceBalance != first.SourceBalance {
		t.Errorf("replayed %+v", again)
	}
	other := order
	other.Amount, other.Description = "12.35", "rent"
	_, err := c.Submit(ctx, other)
	var e *client.Error
	if !errors.As(err, &e) || e.Code != rbcs.IDConflict || len(e.Fields) != 2 || e.Fields[0].Pointer != "/amount" {
		t.Errorf("with other content: %v", err)
	}
	other.ID, other.Amount = "a/b ?", "7.67"
	rejected := submit(c.Submit(ctx, other))
	if rejected.Status != rbcs.Rejected || rejected.Code != rbcs.InsufficientFunds || rejected.Available != "-12.34" || rejected.Overdraft != "20.00" ||
		rejected.Needed != "7.67" || rejected.Short != "0.01" || rejected.Detail == "" || rejected.Description != "rent" {
		t.Errorf("rejected %+v", rejected)
	}
	recorded := submit(c.Transaction(ctx, "a/b ?"))
	if recorded.Status != rbcs.Rejected || recorded.Sequence != rejected.Sequence || recorded.Short != "0.01" {
		t.Errorf("recorded %+v", recorded)
	}
	_, err = c.Submit(ctx, client.Transaction{ID: "x", Source: "alice", Destination: "bob", Amount: "-1"})
	if !errors.As(err, &e) || e.Code != rbcs.InvalidRequest || len(e.Fields) != 2 {
		t.Errorf("invalid: %v", err)
	}

	var listed []string
	for r, err := range c.Transactions(ctx, client.TransactionQuery{Account: "alice", PageSize: 1}) {
		if err != nil {
			t.Fatal(err)
		}
		listed = append(listed, r.ID)
	}
	if !slices.Equal(listed, []string{"a/b ?", "order-1"}) {
		t.Errorf("listed %v", listed)
	}
	for entry, err := range c.History(ctx, "bob", client.HistoryQuery{Descending: true}) {
		if err != nil || entry.ID != "order-1" || entry.Direction != "credit" || entry.Change != "12.34" || entry.Balance != "12.34" || entry.Version != 1 {
			t.Errorf("the history has %+v, %v", entry, err)
		}
	}
	balance := must[client.Balance](t)(c.Balance(ctx, "alice", client.Strong(), client.MinVersion(1)))
	if balance.Balance != "-12.34" || balance.Available != "-12.34" || balance.Version != 1 || balance.ServedBy == "" {
		t.Errorf("balance %+v", balance)
	}
	if _, err := c.Balance(ctx, "alice", client.MinVersion(2)); rbcs.CodeOf(err) != rbcs.VersionNotReached {
		t.Errorf("a version that is not reached: %v", err)
	}
	before := must[client.Balance](t)(c.Balance(ctx, "alice", client.At(first.CommittedAt.Add(-time.Second))))
	if before.Balance != "0.00" || before.Version != 0 {
		t.Errorf("a second before: %+v", before)
	}
}

// TestABatchOfTheService submits the same batches from many goroutines at once: each ID moves money once.
func TestABatchOfTheService(t *testing.T) {
	const batches, size, submitters = 5, 40, 4
	c, ctx := service(t), t.Context()
	must[[]client.AccountResult](t)(c.CreateAccounts(ctx, []client.NewAccount{
		{Number: "alice", Currency: "USD", Overdraft: client.Unlimited}, {Number: "bob", Currency: "USD"},
	}))
	var wg sync.WaitGroup
	for range submitters {
		wg.Go(func() {
			for b := range batches {
				batch := make([]client.Transaction, size)
				for i := range batch {
					batch[i] = order
					batch[i].ID, batch[i].Amount = fmt.Sprintf("tx-%d-%d", b, i), "0.01"
				}
				results, err := c.SubmitBatch(ctx, batch)
				if err != nil {
					t.Error(err)
				}
				for i, r := range results {
					if r.Status != rbcs.Posted || r.ID != batch[i].ID {
						t.Errorf("result %d: %+v, %v", i, r, r.Err)
					}
				}
			}
		})
	}
	wg.Wait()
	if balance := must[client.Balance](t)(c.Balance(ctx, "bob")); balance.Balance != "2.00" || balance.Version != batches*size {
		t.Errorf("balance %+v", balance)
	}

	mixed := []client.Transaction{order, order, order, order}
	mixed[1].Amount = "1.234"
	mixed[2].Amount = "7"
	mixed[3].ID, mixed[3].Destination = "order-2", "nobody"
	results := must[[]client.Result](t)(c.SubmitBatch(ctx, mixed))
	if r := results[0]; r.Status != rbcs.Posted {
		t.Errorf("valid: %+v, %v", r, r.Err)
	}
	if r := results[1]; r.Err == nil || r.Err.Fields[0].Pointer != "/amount" {
		t.Errorf("invalid: %+v", r)
	}
	if r := results[2]; r.Err == nil || r.Err.Code != rbcs.IDConflict {
		t.Errorf("conflict: %+v", r)
	}
	if r := results[3]; r.Status != rbcs.Rejected || r.Code != rbcs.AccountNotFound {
		t.Errorf("rejected: %+v", r)
	}
}
