package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"

	"rbcs"
	"rbcs/client"
	"rbcs/internal/engine"
	"rbcs/internal/records"
)

// importTarget is where an import goes. It returns one outcome for each in the
// order given; an error means that none is known.
type importTarget interface {
	createAccounts(ctx context.Context, accounts []*records.Account) ([]importOutcome, error)
	submit(ctx context.Context, transactions []*rbcs.Transaction) ([]importOutcome, error)
	close() error
}

// importOutcome is what became of one line.
type importOutcome struct {
	replayed bool        // it was known, with the same content
	held     bool        // it is a hold
	rejected rbcs.Code   // "" where it was posted or created
	err      *rbcs.Error // it has no outcome
}

func (c *ImportCmd) target(ctx context.Context, m *Main) (importTarget, error) {
	if c.Store == "" || c.URL != "" {
		url := c.URL
		if url == "" {
			url = "http://127.0.0.1:8080"
		}
		api, err := client.New(url, client.WithUserAgent("rbcs-import"), client.WithRetry(client.Retry{MaxElapsed: c.RetryFor, Stop: ctx.Done()}))
		if err != nil {
			return nil, usagef("--url: %w", err)
		}
		return &importService{api, url}, nil
	}
	host, err := os.Hostname()
	if err != nil {
		host = "rbcs"
	}
	inFlight := 1
	if c.Store.Postgres() {
		inFlight = postgresInFlight
	}
	logger := m.quietLogger()
	store, err := openStore(ctx, c.Store, storeOptions{access: c.StoreAccess, instance: host + "/import", inFlight: inFlight, logger: logger})
	if err != nil {
		return nil, err
	}
	t := &importStore{store: store}
	if err := t.init(ctx, c.Currencies, engine.Config{
		InFlight: inFlight, Logger: logger,
		MaxBatch: c.Batch, MaxBatchBytes: maxCommitBytes,
	}); err != nil {
		return nil, errors.Join(err, store.Close())
	}
	return t, nil
}

// maxCommitBytes lets a batch be one commit: nobody waits for anything else, and
// a large commit writes each page of the database once.
const maxCommitBytes = 64 << 20

// importStore imports without a service, on its own engine.
type importStore struct {
	store  rbcs.Store
	known  *rbcs.Currencies
	engine *engine.Engine
}

func (t *importStore) init(ctx context.Context, declared []rbcs.Currency, cfg engine.Config) error {
	all, err := t.store.DeclareCurrencies(ctx, declared)
	if err != nil {
		return fmt.Errorf("--currencies: %w", err)
	}
	if t.known, err = rbcs.NewCurrencies(all...); err != nil {
		return fmt.Errorf("the currencies in the database: %w", err)
	}
	t.engine, err = engine.New(t.store, cfg)
	return err
}

func (t *importStore) createAccounts(ctx context.Context, accounts []*records.Account) ([]importOutcome, error) {
	outcomes := make([]importOutcome, len(accounts))
	var valid []rbcs.NewAccount
	var places []int
	for i, a := range accounts {
		account, err := a.In(t.known)
		if outcomes[i].err = asError(err); err == nil {
			valid, places = append(valid, account), append(places, i)
		}
	}
	if len(valid) == 0 {
		return outcomes, nil
	}
	results, err := t.store.CreateAccounts(ctx, valid)
	if err != nil {
		return nil, err
	}
	for k, r := range results {
		outcomes[places[k]] = importOutcome{replayed: !r.Created, err: r.Err}
	}
	return outcomes, nil
}

func (t *importStore) submit(ctx context.Context, transactions []*rbcs.Transaction) ([]importOutcome, error) {
	outcomes := make([]importOutcome, len(transactions))
	valid := make([]*rbcs.Transaction, 0, len(transactions))
	places := make([]int, 0, len(transactions))
	for i, tx := range transactions {
		err := tx.Prepare(t.known)
		if outcomes[i].err = asError(err); err == nil {
			valid, places = append(valid, tx), append(places, i)
		}
	}
	results, err := t.engine.Submit(ctx, valid)
	if err != nil {
		return nil, err
	}
	for k := range results {
		r := &results[k]
		outcomes[places[k]] = importOutcome{replayed: r.Replayed, held: r.Status == rbcs.Holding, rejected: r.Code, err: r.Err}
	}
	return outcomes, nil
}

func (t *importStore) close() error {
	stop, cancel := context.WithTimeout(context.Background(), stopGrace)
	defer cancel()
	return errors.Join(t.engine.Stop(stop), t.store.Close())
}

// asError returns the error of a validation, nil for nil.
func asError(err error) *rbcs.Error {
	e, _ := errors.AsType[*rbcs.Error](err)
	return e
}

// importService imports through a service.
type importService struct {
	api *client.Client
	url string
}

func (t *importService) createAccounts(ctx context.Context, accounts []*records.Account) ([]importOutcome, error) {
	list := make([]client.NewAccount, len(accounts))
	for i, a := range accounts {
		list[i] = client.NewAccount{Number: a.Number, Currency: a.Currency, Metadata: json.RawMessage(a.Metadata)}
		switch {
		case a.Overdraft.Unlimited:
			list[i].Overdraft = client.Unlimited
		case !a.Overdraft.Limit.Units.IsZero():
			list[i].Overdraft = a.Overdraft.Limit.String()
		}
	}
	results, err := t.api.CreateAccounts(ctx, list)
	if err != nil {
		return nil, t.explain(err)
	}
	outcomes := make([]importOutcome, len(results))
	for i, r := range results {
		outcomes[i] = importOutcome{replayed: !r.Created, err: r.Err}
	}
	return outcomes, nil
}

func (t *importService) submit(ctx context.Context, transactions []*rbcs.Transaction) ([]importOutcome, error) {
	list := make([]client.Transaction, len(transactions))
	for i, tx := range transactions {
		list[i] = client.Transaction{
			ID: tx.ID, Type: tx.Type, Source: tx.Source, Destination: tx.Destination,
			Amount: client.Amount(tx.Amount.String()), Currency: tx.Currency, Timestamp: tx.Timestamp,
			ExpiresAt: tx.ExpiresAt, Description: tx.Description, Metadata: json.RawMessage(tx.Metadata),
		}
	}
	results, err := t.api.SubmitBatch(ctx, list)
	if err != nil {
		return nil, t.explain(err)
	}
	outcomes := make([]importOutcome, len(results))
	for i := range results {
		r := &results[i]
		outcomes[i] = importOutcome{replayed: r.Replayed, held: r.Status == rbcs.Holding, rejected: r.Code, err: r.Err}
	}
	return outcomes, nil
}

func (t *importService) close() error {
	t.api.Close()
	return nil
}

func (t *importService) explain(err error) error { return apiFlags{URL: t.url}.explain(err) }
