package client_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"rbcs"
	"rbcs/client"
)

// among returns a client of three instances that are answered with the steps.
func among(t *testing.T, steps ...step) (*client.Client, *script) {
	t.Helper()
	s := &script{t: t, steps: steps}
	c, err := client.New("http://one.test", client.WithInstances("http://two.test/", "http://three.test"), client.WithHTTPClient(s.client()))
	if err != nil {
		t.Fatal(err)
	}
	return c, s
}

// hosts are the instances that were asked, by the order in which they take turns.
func (s *script) hosts() string {
	var names []string
	for _, sent := range s.sent {
		names = append(names, strings.TrimSuffix(strings.TrimPrefix(strings.Split(sent.url, "/v1")[0], "http://"), ".test"))
	}
	return strings.Join(names, " ")
}

// after returns the n instances that follow the first one that was asked.
func (s *script) after(n int) string {
	order := []string{"one", "two", "three"}
	first := strings.Fields(s.hosts())[0]
	at := 0
	for order[at] != first {
		at++
	}
	var names []string
	for i := range n {
		names = append(names, order[(at+i)%3])
	}
	return strings.Join(names, " ")
}

func TestTheNextInstanceIsAskedAtOnceWhereNobodyListens(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, s := among(t, step{err: errRefused}, step{err: errRefused}, step{status: 201, body: posted}, step{status: 201, body: posted})
		begin := time.Now()
		if _, err := c.Submit(t.Context(), order); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(begin); took != 0 {
			t.Errorf("it waited for %v", took)
		}
		if _, err := c.Submit(t.Context(), order); err != nil { // stays with the one that answers
			t.Fatal(err)
		}
		want := s.after(3)
		if got := s.hosts(); got != want+" "+strings.Fields(want)[2] {
			t.Errorf("asked %s, want %s and the last one again", got, want)
		}
		for _, sent := range s.sent[1:] {
			if sent.body != s.sent[0].body {
				t.Errorf("another body: %s", sent.body)
			}
		}
	})
}

func TestAnInstanceThatFailsPassesTheRequestOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, s := among(t,
			step{status: 503, retryAfter: "1", body: problem("unavailable", "stopping")}, step{err: errReset},
			step{err: errRefused}, step{err: errRefused}, step{err: errRefused}, step{status: 201, body: posted},
		)
		if _, err := c.Submit(t.Context(), order); err != nil {
			t.Fatal(err)
		}
		if got, want := s.hosts(), s.after(6); got != want {
			t.Errorf("asked %s, want %s", got, want)
		}
		if pause := s.sent[1].at.Sub(s.sent[0].at); pause < time.Second {
			t.Errorf("Retry-After was not kept: %v", pause)
		}
		if s.sent[4].at.Equal(s.sent[0].at) || !s.sent[4].at.Equal(s.sent[2].at) || s.sent[5].at.Equal(s.sent[4].at) {
			t.Error("all of them are asked once without a pause, and then there is one")
		}
	})
}

// TestInstancesAreReal has one server that is gone and one that answers.
func TestInstancesAreReal(t *testing.T) {
	gone := httptest.NewServer(http.NotFoundHandler())
	gone.Close()
	there := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusCreated)
		_, _ = w.Write([]byte(posted))
	}))
	defer there.Close()
	for range 8 { // each begins with any of them
		c, err := client.New(gone.URL, client.WithInstances(there.URL), client.WithRetry(client.Retry{Attempts: 1}))
		if err != nil {
			t.Fatal(err)
		}
		if r, err := c.Submit(t.Context(), order); err != nil || r.Status != rbcs.Posted {
			t.Errorf("%+v, %v", r, err)
		}
		c.Close()
	}
	if _, err := client.New(there.URL, client.WithInstances("two:8080")); err == nil {
		t.Error("a broken URL is taken")
	}
}

func TestRetryOfARejection(t *testing.T) {
	c := service(t)
	for _, a := range []client.NewAccount{{Number: "bank", Currency: "USD", Overdraft: "unlimited"}, {Number: "alice", Currency: "USD"}, {Number: "bob", Currency: "USD"}} {
		if _, err := c.CreateAccount(t.Context(), a); err != nil {
			t.Fatal(err)
		}
	}
	if r, err := c.Submit(t.Context(), order); err != nil || r.Code != rbcs.InsufficientFunds {
		t.Fatalf("%+v, %v", r, err)
	}
	if r, err := c.Retry(t.Context(), order.ID); err != nil || r.Code != rbcs.InsufficientFunds || r.Attempt != 2 {
		t.Errorf("%+v, %v", r, err)
	}
	fund := client.Transaction{ID: "fund", Source: "bank", Destination: "alice", Amount: "20", Timestamp: time.Now()}
	if _, err := c.Submit(t.Context(), fund); err != nil {
		t.Fatal(err)
	}
	if r, err := c.Retry(t.Context(), order.ID, client.DryRun()); err != nil || r.Status != rbcs.Posted || !r.DryRun {
		t.Errorf("%+v, %v", r, err)
	}
	for _, replayed := range []bool{false, true} {
		if r, err := c.Retry(t.Context(), order.ID); err != nil || r.Status != rbcs.Posted || r.Attempt != 3 || r.Replayed != replayed {
			t.Errorf("%+v, %v", r, err)
		}
	}
	r, err := c.Transaction(t.Context(), order.ID)
	if err != nil || len(r.Decisions) != 3 || r.Decisions[2].Status != rbcs.Posted || r.Decisions[0].Code != rbcs.InsufficientFunds {
		t.Errorf("%+v, %v", r, err)
	}
	if _, err := c.Retry(t.Context(), fund.ID); rbcs.CodeOf(err) != rbcs.NotRejected {
		t.Errorf("a retry of what was posted: %v", err)
	}
}
