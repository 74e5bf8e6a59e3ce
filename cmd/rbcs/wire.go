package main

import (
	"context"
	"crypto/rand"
	"fmt"
	"net/http"
	"strings"

	"rbcs"
	"rbcs/internal/dashboard"
	"rbcs/internal/engine"
	"rbcs/internal/events"
	"rbcs/internal/expiry"
	"rbcs/internal/rest"
	"rbcs/internal/telemetry"
	"rbcs/internal/webhook"
)

// wire builds what stands between the HTTP server and the store.
func (s *server) wire(ctx context.Context) (http.Handler, error) {
	declared, err := s.store.DeclareCurrencies(ctx, s.cfg.Currencies)
	if err != nil {
		return nil, fmt.Errorf("--currencies: %w", err)
	}
	currencies, err := rbcs.NewCurrencies(declared...)
	if err != nil {
		return nil, fmt.Errorf("the currencies in the database: %w", err)
	}
	metrics := telemetry.NewMetrics(buildVersion())
	s.feed = events.New(s.store, events.Config{Logger: s.logger})
	s.engine, err = engine.New(s.store, engine.Config{
		MaxBatch: s.cfg.MaxBatch, MaxPending: s.cfg.MaxPending, InFlight: s.cfg.inFlight(),
		Check:     s.store.Check,
		Observe:   func(c engine.Commit) { metrics.Commit(c.Size, c.Duration, c.Code) },
		Committed: s.feed.Wake,
		Cache:     s.engineCache(),
		Logger:    s.logger,
	})
	if err != nil {
		return nil, err
	}
	s.expirer = expiry.New(s.store, s.engine, expiry.Config{Logger: s.logger})
	s.webhooks = webhook.New(s.store, s.feed, webhook.Config{
		Instance: s.claimant(), Encode: rest.AppendRecord, AllowPrivate: s.cfg.WebhookPrivate, UserAgent: "rbcs/" + buildVersion(),
		Observe: func(d webhook.Delivery) { metrics.Delivery(string(d.Outcome), d.Duration) },
		Logger:  s.logger,
	})
	s.intake = s.newIntake(metrics)
	s.gauges(metrics)
	s.cacheMetrics(metrics)
	handler, err := rest.New(rest.Config{
		Store: s.store, Balances: s.balances(), Engine: s.engine, Currencies: currencies, Events: s.feed,
		Webhooks: &rest.Webhooks{
			ValidateURL: func(url string) error { return webhook.ValidateURL(url, s.cfg.WebhookPrivate) },
			NewSecret:   webhook.NewSecret, Wake: s.webhooks.Wake,
		},
		Intake: s.intake,
		Hosts:  s.cfg.Hosts, Logger: s.logger, Metrics: metrics, Dashboard: dashboard.Handler(), Version: buildVersion(), Ready: s.ready,
	})
	if err != nil {
		return nil, err
	}
	return s.leave(handler), nil
}

// claimant names this process among those that deliver webhooks. On PostgreSQL
// instances may have the same name, such as two on one host.
func (s *server) claimant() string {
	if !s.cfg.Store.Postgres() {
		return s.cfg.instance()
	}
	return s.cfg.instance() + "/" + strings.ToLower(rand.Text()[:8])
}

// gauges adds what is asked for at each scrape.
func (s *server) gauges(metrics *telemetry.Metrics) {
	gauge := metrics.Gauge
	gauge("rbcs_pending_transactions", "Transactions that are admitted and not yet answered.",
		func() float64 { return float64(s.engine.Stats().Pending) })
	gauge("rbcs_commits_in_flight", "Commits under way.",
		func() float64 { return float64(s.engine.Stats().InFlight) })
	gauge("rbcs_store_away", "1 while the database is away and transactions are refused at once.", func() float64 {
		if s.engine.Stats().Away {
			return 1
		}
		return 0
	})
	gauge("rbcs_event_readers", "Readers of the committed log: streams, and webhooks that are delivered.",
		func() float64 { return float64(s.feed.Stats().Readers) })
	gauge("rbcs_event_readers_dropped", "Readers that were too slow since the start.",
		func() float64 { return float64(s.feed.Stats().Dropped) })
	gauge("rbcs_event_lag_seconds", "Age of the oldest commit here that is not in the event stream yet; it grows while a forgotten transaction is open in the database.",
		func() float64 { return s.feed.Stats().Lag.Seconds() })
	gauge("rbcs_webhooks_claimed", "Webhooks that this instance delivers.",
		func() float64 { return float64(s.webhooks.Stats().Claimed) })
	gauge("rbcs_webhooks_waiting", "Webhooks that failed and that this instance tries again later.",
		func() float64 { return float64(s.webhooks.Stats().Waiting) })
	gauge("rbcs_webhook_lag_seconds", "Age of the oldest decision that waits for its webhook.",
		func() float64 { return s.webhooks.Stats().Lag.Seconds() })
	gauge("rbcs_holds_overdue", "Holds whose time is over and that could not be released.",
		func() float64 { return float64(s.expirer.Overdue()) })
}
