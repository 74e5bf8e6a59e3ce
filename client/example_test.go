package client_test

import (
	"context"
	"fmt"
	"log"
	"os"
	"time"

	"rbcs"
	"rbcs/client"
)

// exampleService starts a service with two accounts: alice, who has 100.00, and bob.
func exampleService(ctx context.Context) (*client.Client, func()) {
	dir, err := os.MkdirTemp("", "rbcs-example-")
	if err != nil {
		log.Fatal(err)
	}
	c, stop, err := startService(dir)
	if err != nil {
		log.Fatal(err)
	}
	if _, err := c.CreateAccounts(ctx, []client.NewAccount{
		{Number: "bank", Currency: "USD", Overdraft: client.Unlimited},
		{Number: "alice", Currency: "USD"},
		{Number: "bob", Currency: "USD"},
	}); err != nil {
		log.Fatal(err)
	}
	if _, err := c.Submit(ctx, client.Transaction{
		ID: "deposit-1", Source: "bank", Destination: "alice", Amount: "100.00", Timestamp: time.Now(),
	}); err != nil {
		log.Fatal(err)
	}
	return c, func() {
		if err := stop(); err != nil {
			log.Fatal(err)
		}
		if err := os.RemoveAll(dir); err != nil {
			log.Fatal(err)
		}
	}
}

func ExampleNew() {
	c, err := client.New("http://localhost:8080",
		client.WithUserAgent("shop/1.4"),
		client.WithRetry(client.Retry{MaxElapsed: 10 * time.Second}),
	)
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close()

	_, err = client.New("localhost:8080")
	fmt.Println(err)
	// Output: the base URL "localhost:8080" must begin with http:// or https:// and a host
}

func ExampleClient_Submit() {
	ctx := context.Background()
	c, stop := exampleService(ctx)
	defer stop()

	payment := client.Transaction{
		ID:          "order-1", // the same for every try of this payment
		Source:      "alice",
		Destination: "bob",
		Amount:      "12.34",
		Timestamp:   time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC),
	}
	for range 2 { // the second is a repetition, and moves nothing
		result, err := c.Submit(ctx, payment)
		switch {
		case err != nil: // no outcome is known: submit the same again later
			fmt.Println(err)
			return
		case result.Status == rbcs.Rejected:
			fmt.Println("no:", result.Detail)
		default:
			fmt.Println(result.Status, result.SourceBalance, result.DestinationBalance, result.Replayed)
		}
	}
	// Output:
	// posted 87.66 12.34 false
	// posted 87.66 12.34 true
}

func ExampleClient_Submit_rejected() {
	ctx := context.Background()
	c, stop := exampleService(ctx)
	defer stop()

	result, err := c.Submit(ctx, client.Transaction{
		ID: "order-2", Source: "alice", Destination: "bob", Amount: "100.01", Timestamp: time.Now(),
	})
	fmt.Println(err)
	fmt.Println(result.Status, result.Code, "short of", result.Short)
	// Output:
	// <nil>
	// rejected insufficient_funds short of 0.01
}

func ExampleClient_SubmitBatch() {
	ctx := context.Background()
	c, stop := exampleService(ctx)
	defer stop()

	now := time.Now()
	results, err := c.SubmitBatch(ctx, []client.Transaction{
		{ID: "b-1", Source: "alice", Destination: "bob", Amount: "60.00", Timestamp: now},
		{ID: "b-2", Source: "alice", Destination: "bob", Amount: "60.00", Timestamp: now},
		{ID: "b-3", Source: "alice", Destination: "bob", Amount: "0.001", Timestamp: now},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, r := range results {
		switch {
		case r.Err != nil: // no outcome
			fmt.Println(r.ID, r.Err)
		case r.Status == rbcs.Rejected:
			fmt.Println(r.ID, r.Code)
		default:
			fmt.Println(r.ID, r.Status)
		}
	}
	// Output:
	// b-1 posted
	// b-2 insufficient_funds
	// b-3 invalid_request: the transaction is invalid; /amount: the amount has more decimals than its currency: USD has 2
}

func ExampleClient_Balance() {
	ctx := context.Background()
	c, stop := exampleService(ctx)
	defer stop()

	balance, err := c.Balance(ctx, "alice")
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(balance.Number, balance.Balance, balance.Currency)

	_, err = c.Balance(ctx, "carol")
	fmt.Println(rbcs.CodeOf(err))
	// Output:
	// alice 100.00 USD
	// not_found
}

func ExampleClient_Balances() {
	ctx := context.Background()
	c, stop := exampleService(ctx)
	defer stop()

	results, err := c.Balances(ctx, []string{"alice", "carol"})
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, r := range results {
		if r.Err != nil {
			fmt.Println(r.Err.Code)
			continue
		}
		fmt.Println(r.Balance.Number, r.Balance.Available)
	}
	// Output:
	// alice 100.00
	// not_found
}

func ExampleClient_History() {
	ctx := context.Background()
	c, stop := exampleService(ctx)
	defer stop()

	if _, err := c.Submit(ctx, client.Transaction{
		ID: "order-1", Source: "alice", Destination: "bob", Amount: "12.34", Timestamp: time.Now(),
	}); err != nil {
		fmt.Println(err)
		return
	}
	for entry, err := range c.History(ctx, "alice", client.HistoryQuery{}) {
		if err != nil {
			fmt.Println(err)
			return
		}
		fmt.Println(entry.ID, entry.Direction, entry.Change, entry.Balance)
	}
	// Output:
	// deposit-1 credit 100.00 100.00
	// order-1 debit -12.34 87.66
}

func ExampleClient_Capture() {
	ctx := context.Background()
	c, stop := exampleService(ctx)
	defer stop()

	hold, err := c.Submit(ctx, client.Transaction{
		ID: "room-7", Type: rbcs.Hold, Source: "alice", Destination: "bob", Amount: "80.00", Timestamp: time.Now(),
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(hold.Status, hold.SourceBalance, "of which held:", hold.SourceHeld)

	captured, err := c.Capture(ctx, "room-7", client.Settlement{ID: "room-7-bill", Amount: "65.50"})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(captured.Status, captured.SourceBalance, "released:", captured.Remainder)
	// Output:
	// held 100.00 of which held: 80.00
	// posted 34.50 released: 14.50
}

func ExampleClient_SubmitGroup() {
	ctx := context.Background()
	c, stop := exampleService(ctx)
	defer stop()

	now := time.Now()
	results, err := c.SubmitGroup(ctx, []client.Transaction{
		{ID: "sale-1", Source: "alice", Destination: "bob", Amount: "99.00", Timestamp: now},
		{ID: "sale-1-fee", Source: "alice", Destination: "bank", Amount: "1.01", Timestamp: now},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, r := range results {
		fmt.Println(r.ID, r.Status, r.Code)
	}
	// Output:
	// sale-1 rejected group_failed
	// sale-1-fee rejected insufficient_funds
}

func ExampleClient_Statement() {
	ctx := context.Background()
	c, stop := exampleService(ctx)
	defer stop()

	for part, err := range c.Statement(ctx, "alice", client.StatementQuery{}) {
		if err != nil {
			fmt.Println(err)
			return
		}
		fmt.Println("opening", part.Opening)
		for _, line := range part.Lines {
			fmt.Println(line.ID, line.Change)
		}
		fmt.Println("closing", part.Closing)
	}
	// Output:
	// opening 0.00
	// deposit-1 100.00
	// closing 100.00
}

func ExampleClient_Events() {
	ctx := context.Background()
	c, stop := exampleService(ctx)
	defer stop()

	after := client.FromBeginning // or the last EventID that was kept
	for event, err := range c.Events(ctx, client.EventQuery{After: after}) {
		if err != nil {
			fmt.Println(err)
			return
		}
		fmt.Println(event.Sequence, event.ID, event.Status)
		break // keep event.EventID with what was made of the event
	}
	// Output: 1 deposit-1 posted
}
