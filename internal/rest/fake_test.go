package rest

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"rbcs"
	"rbcs/internal/events"
	"rbcs/internal/telemetry"
	"rbcs/internal/webhook"
)

// fakeEngine answers each transaction as decide says; nil posts it.
type fakeEngine struct {
	decide    func(*rbcs.Transaction) rbcs.Result
	err       error
	got       []*rbcs.Transaction
	previewed int
}

func (e *fakeEngine) Preview(_ context.Context, txs []*rbcs.Transaction) ([]rbcs.Result, error) {
	e.previewed += len(txs)
	return nil, e.err
}

func (e *fakeEngine) Submit(_ context.Context, txs []*rbcs.Transaction) ([]rbcs.Result, error) {
	e.got = append(e.got, txs...)
	if e.err != nil {
		return nil, e.err
	}
	results := make([]rbcs.Result, len(txs))
	for i, t := range txs {
		if e.decide != nil {
			results[i] = e.decide(t)
		} else {
			results[i] = posted(t)
		}
	}
	return results, nil
}

var committed = time.Date(2026, 3, 4, 5, 6, 7, 89_000, time.UTC)

// posted is what a store would record for a transfer in USD.
func posted(t *rbcs.Transaction) rbcs.Result {
	r := rbcs.Result{
		Transaction: *t, Status: rbcs.Posted, Sequence: 7, CommittedAt: committed,
		Source:      rbcs.State{Balance: rbcs.AmountOf(-1234), Version: 3},
		Destination: rbcs.State{Balance: rbcs.AmountOf(1234), Version: 1},
	}
	amount, err := t.Amount.In(2)
	if err != nil {
		panic(err)
	}
	r.Transaction.Currency, r.Transaction.Amount = "USD", rbcs.Decimal{Units: amount, Scale: 2}
	return r
}

// rejected is what a store would record for a transfer without funds.
func rejected(t *rbcs.Transaction, code rbcs.Code) rbcs.Result {
	r := posted(t)
	r.Status, r.Code, r.Source, r.Destination = rbcs.Rejected, code, rbcs.State{}, rbcs.State{}
	if code == rbcs.InsufficientFunds {
		r.Shortfall = rbcs.Shortfall{
			Available: rbcs.AmountOf(100), Overdraft: rbcs.AmountOf(50), Needed: rbcs.AmountOf(1234), Short: rbcs.AmountOf(1084),
		}
	}
	return r
}

// noIntake is a queue whose store is away.
type noIntake struct{}

func (noIntake) Enqueue(context.Context, []*rbcs.Transaction) ([]rbcs.IntakeResult, error) {
	return nil, rbcs.Errorf(rbcs.Unavailable, "the database is away")
}

func (noIntake) Wake() {}

// fakeStore fails every read with err. What it does not implement must not be called.
type fakeStore struct {
	rbcs.Store
	err error
}

func (s *fakeStore) Account(context.Context, string) (rbcs.Account, error) {
	return rbcs.Account{}, s.err
}

func (s *fakeStore) Transaction(context.Context, string) (rbcs.Record, error) {
	return rbcs.Record{}, s.err
}

func (s *fakeStore) Intake(context.Context, string) (rbcs.IntakeEntry, error) {
	return rbcs.IntakeEntry{}, s.err
}

func (s *fakeStore) Intakes(context.Context, rbcs.IntakeQuery) ([]rbcs.IntakeEntry, error) {
	return nil, s.err
}

func (s *fakeStore) DiscardIntake(context.Context, rbcs.IntakeAction) ([]*rbcs.Error, error) {
	return nil, s.err
}

func (s *fakeStore) Totals(context.Context, string) ([]rbcs.Total, error) { return nil, s.err }

func (s *fakeStore) Webhooks(context.Context) ([]rbcs.Webhook, error) { return nil, s.err }

func (s *fakeStore) Log(context.Context, int64, int) (rbcs.LogPage, error) {
	return rbcs.LogPage{}, s.err
}

func (s *fakeStore) CreateAccounts(context.Context, []rbcs.NewAccount) ([]rbcs.AccountResult, error) {
	return nil, s.err
}

// newHandler is the interface over a store and an engine, with their faults if any.
func newHandler(t testing.TB, store rbcs.Store, engine Submitter, change ...func(*Config)) http.Handler {
	t.Helper()
	currencies, err := rbcs.NewCurrencies(rbcs.Currency{Code: "POINTS", Decimals: 0})
	if err != nil {
		t.Fatal(err)
	}
	cfg := Config{
		Store: store, Engine: engine, Currencies: currencies, Version: "test",
		Logger: slog.New(slog.DiscardHandler), Metrics: telemetry.NewMetrics("test"),
	}
	cfg.Events, cfg.Webhooks = events.New(store, events.Config{Logger: cfg.Logger}), &Webhooks{
		ValidateURL: func(s string) error { return webhook.ValidateURL(s, false) }, NewSecret: webhook.NewSecret,
	}
	cfg.Intake = noIntake{}
	for _, f := range change {
		f(&cfg)
	}
	h, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// call sends one request. header is pairs of names and values; a body is JSON unless they say otherwise.
func call(h http.Handler, method, target, body string, header ...string) *httptest.ResponseRecorder {
	var reader io.Reader
	if body != "" {
		reader = strings.NewReader(body)
	}
	r := httptest.NewRequest(method, target, reader)
	if body != "" {
		r.Header.Set("Content-Type", jsonType)
	}
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

// object decodes an answer that must be a JSON object.
func object(t testing.TB, body []byte) map[string]any {
	t.Helper()
	var m map[string]any
	dec := json.NewDecoder(bytes.NewReader(body))
	dec.UseNumber()
	if err := dec.Decode(&m); err != nil {
		t.Fatalf("%v in %s", err, body)
	}
	return m
}

const validTx = `{"id":"t1","source":"a","destination":"b","amount":"12.34","timestamp":"2026-01-02T03:04:05Z"}`
