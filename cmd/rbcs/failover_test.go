package main

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"rbcs"
	"rbcs/client"
	"rbcs/internal/testenv"
)

// TestFailoverOfTheService kills the primary under a running service and
// promotes the standby: meanwhile submissions and reads are refused and the
// service is not ready; then it goes on by itself, and a client that retries has
// seen nothing.
func TestFailoverOfTheService(t *testing.T) {
	primary := testenv.PostgresServer(t)
	run(t, "migrate", "--store", primary.URL).check(t, exitDone)
	standby := primary.Standby(t)
	host := testenv.HostOf(primary.URL)
	s := start(t, ServeCmd{Store: StoreName(strings.Replace(primary.URL, host, host+","+testenv.HostOf(standby.URL), 1))})
	s.ok(t, "account", "create", "bank", "--currency", "USD", "--overdraft", "unlimited")
	s.ok(t, "account", "create", "alice", "--currency", "USD")

	patient, err := client.New(s.URL())
	if err != nil {
		t.Fatal(err)
	}
	defer patient.Close()
	once, err := client.New(s.URL(), client.WithRetry(client.Retry{Attempts: 1}))
	if err != nil {
		t.Fatal(err)
	}
	defer once.Close()
	submit := func(ctx context.Context, c *client.Client, id string) error {
		_, err := c.Submit(ctx, client.Transaction{ID: id, Source: "bank", Destination: "alice", Amount: "1", Timestamp: time.Unix(1, 0).UTC()})
		return err
	}
	if err := submit(t.Context(), patient, "before"); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(standby.Follow(t.Context(), primary), primary.Crash()); err != nil {
		t.Fatal(err)
	}
	hidden := make(chan error, 1)
	go func() { hidden <- submit(t.Context(), patient, "meanwhile") }()
	for !s.engine.Stats().Away {
		short, cancel := context.WithTimeout(t.Context(), time.Second)
		if err := submit(short, once, "refused"); err == nil {
			t.Fatal("posted without a database")
		}
		cancel()
	}
	if err := submit(t.Context(), once, "refused"); rbcs.CodeOf(err) != rbcs.Unavailable {
		t.Errorf("a submission during the outage: %v", err)
	}
	if _, err := once.Account(t.Context(), "alice"); rbcs.CodeOf(err) != rbcs.Unavailable {
		t.Errorf("a read during the outage: %v", err)
	}
	if got := readiness(t, s.URL()); got != http.StatusServiceUnavailable {
		t.Errorf("readiness during the outage: %d", got)
	}
	if err := standby.Promote(t.Context()); err != nil {
		t.Fatal(err)
	}
	promoted := time.Now()
	if err := <-hidden; err != nil {
		t.Errorf("the client did not hide the failover: %v", err)
	}
	t.Logf("the first commit %v after the promotion", time.Since(promoted))
	if got := readiness(t, s.URL()); got != http.StatusOK {
		t.Errorf("readiness afterwards: %d", got)
	}
	a, err := patient.Account(t.Context(), "alice")
	if err != nil || a.Version != 2 && a.Version != 3 { // a submission of the first moments may have waited, and been posted
		t.Errorf("%+v, %v", a, err)
	}
	run(t, "verify", "--store", standby.URL).check(t, exitDone)
}

func readiness(t *testing.T, url string) int {
	t.Helper()
	answer, err := http.Get(url + "/readyz")
	if err != nil {
		t.Fatal(err)
	}
	_ = answer.Body.Close()
	return answer.StatusCode
}
