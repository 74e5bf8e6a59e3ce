package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"rbcs"
	"rbcs/internal/engine"
	"rbcs/internal/postgres"
	"rbcs/internal/rest"
	"rbcs/internal/sqlite"
	"rbcs/internal/testenv"
)

var transactions = flag.Int("transactions", 1_000_000, "how many transactions the account of BenchmarkHistory has")

// BenchmarkHistory reads the past of one account with a million transactions
// through HTTP: a page of its history, a page of a statement and its balance at a
// moment, each at a place taken at random. A page is to be there in 10 ms.
//
//	go test ./test/load -run '^$' -bench History -benchtime 500x
func BenchmarkHistory(b *testing.B) {
	b.Run("sqlite", func(b *testing.B) {
		store, err := sqlite.Open(b.Context(), filepath.Join(b.TempDir(), "rbcs.db"), sqlite.Options{})
		if err != nil {
			b.Fatal(err)
		}
		benchmarkHistory(b, store)
	})
	b.Run("postgres", func(b *testing.B) {
		dsn := testenv.Postgres(b)
		if err := postgres.Migrate(b.Context(), dsn, postgres.MigrateOptions{}); err != nil {
			b.Fatal(err)
		}
		store, err := postgres.Open(b.Context(), dsn, postgres.Options{})
		if err != nil {
			b.Fatal(err)
		}
		benchmarkHistory(b, store)
	})
}

func benchmarkHistory(b *testing.B, store rbcs.Store) {
	defer store.Close()
	begin, end := fill(b, store)
	currencies, err := rbcs.NewCurrencies()
	if err != nil {
		b.Fatal(err)
	}
	eng, err := engine.New(store, engine.Config{})
	if err != nil {
		b.Fatal(err)
	}
	defer eng.Stop(context.Background())
	handler, err := rest.New(rest.Config{Store: store, Engine: eng, Currencies: currencies, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		b.Fatal(err)
	}
	service := httptest.NewServer(handler)
	defer service.Close()

	somewhere := func() string { // in the account's life
		return url.QueryEscape(begin.Add(rand.N(end.Sub(begin))).Format(rbcs.TimeFormat))
	}
	const page, account = "&limit=100", "/v1/accounts/alice"
	for _, what := range []struct {
		name string
		path func() string
	}{
		{"history latest", func() string { return account + "/transactions?order=desc" + page }},
		{"history", func() string { return account + "/transactions?from=" + somewhere() + page }},
		{"history backward", func() string { return account + "/transactions?order=desc&to=" + somewhere() + page }},
		{"history filtered", func() string { return account + "/transactions?type=reversal&from=" + somewhere() + page }}, // there is none
		{"statement", func() string { return account + "/statement?from=" + somewhere() + page }},
		{"at", func() string { return account + "/balance?at=" + somewhere() }},
	} {
		b.Run(what.name, func(b *testing.B) {
			var took []time.Duration
			for b.Loop() {
				path := what.path()
				start := time.Now()
				ask(b, service.URL+path)
				took = append(took, time.Since(start))
			}
			slices.Sort(took)
			quantile := func(perMille int) float64 {
				return float64(took[(len(took)-1)*perMille/1000].Microseconds()) / 1000
			}
			b.ReportMetric(quantile(500), "p50-ms")
			b.ReportMetric(quantile(990), "p99-ms")
			b.ReportMetric(quantile(1000), "max-ms")
		})
	}
}

func ask(b *testing.B, url string) {
	response, err := http.Get(url)
	if err != nil {
		b.Fatal(err)
	}
	defer response.Body.Close()
	if n, err := io.Copy(io.Discard, response.Body); err != nil || n == 0 || response.StatusCode != http.StatusOK {
		b.Fatalf("%s: %s, %d bytes, %v", url, response.Status, n, err)
	}
}

// fill posts the transactions of alice, and returns when the first and the last were committed.
func fill(b *testing.B, store rbcs.Store) (begin, end time.Time) {
	b.Helper()
	ctx := b.Context()
	usd := rbcs.Currency{Code: "USD", Decimals: 2}
	unlimited := rbcs.Overdraft{Unlimited: true}
	accounts := []rbcs.NewAccount{{Number: "alice", Currency: usd, Overdraft: unlimited}}
	for i := range 100 {
		accounts = append(accounts, rbcs.NewAccount{Number: fmt.Sprintf("other:%02d", i), Currency: usd, Overdraft: unlimited})
	}
	if _, err := store.CreateAccounts(ctx, accounts); err != nil {
		b.Fatal(err)
	}
	const batch = 2000
	now := time.Now().UTC().Truncate(time.Microsecond)
	for done := 0; done < *transactions; done += batch {
		list := make([]*rbcs.Transaction, batch)
		for i := range list {
			n := done + i
			list[i] = &rbcs.Transaction{
				ID: fmt.Sprintf("t-%08d", n), Type: rbcs.Transfer, Source: "alice", Destination: accounts[1+n%100].Number,
				Amount: rbcs.Decimal{Units: rbcs.AmountOf(int64(1 + n%999)), Scale: 2}, Currency: "USD", Timestamp: now,
			}
			if n%3 == 0 {
				list[i].Source, list[i].Destination = list[i].Destination, list[i].Source
			}
		}
		results, err := store.Commit(ctx, list)
		if err != nil {
			b.Fatal(err)
		}
		if begin.IsZero() {
			begin = results[0].CommittedAt
		}
		end = results[batch-1].CommittedAt
	}
	return begin, end
}
