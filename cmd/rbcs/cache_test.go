package main

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"rbcs/internal/testenv"
)

// get returns the body of what is there.
func (s *server) get(t *testing.T, path string) []byte {
	t.Helper()
	response, err := http.Get(s.URL() + path)
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(response.Body)
	if closeErr := response.Body.Close(); err == nil {
		err = closeErr
	}
	if err != nil || response.StatusCode != http.StatusOK {
		t.Fatalf("%s: %s, %v\n%s", path, response.Status, err, body)
	}
	return body
}

// balance returns a balance and who served it.
func (s *server) balance(t *testing.T, account string) (balance, servedBy string) {
	t.Helper()
	var answer struct {
		Balance  string `json:"balance"`
		ServedBy string `json:"served_by"`
	}
	if err := json.Unmarshal(s.get(t, "/v1/accounts/"+account+"/balance"), &answer); err != nil {
		t.Fatal(err)
	}
	return answer.Balance, answer.ServedBy
}

// cached reads until the cache answers, always with the same balance.
func (s *server) cached(t *testing.T, account, want string) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); ; {
		got, by := s.balance(t, account)
		if got != want {
			t.Fatalf("the balance of %s by the %s is %s, want %s", account, by, got, want)
		}
		switch {
		case by == "cache":
			return
		case time.Now().After(deadline):
			t.Fatalf("the cache never answered:\n%s", s.get(t, "/metrics"))
		}
	}
}

// TestCache has two instances serve from one Redis, which then goes away.
func TestCache(t *testing.T) {
	store, redis := StoreName(testenv.Postgres(t)), testenv.RedisServer(t)
	one := start(t, ServeCmd{Store: store, Migrate: true, Redis: RedisURL(redis.URL)})
	two := start(t, ServeCmd{Store: store, Redis: RedisURL(redis.URL)})
	one.ok(t, "account", "create", "bank", "--currency", "USD", "--overdraft", "unlimited")
	one.ok(t, "account", "create", "alice", "--currency", "USD")
	one.cached(t, "alice", "0.00")
	two.cached(t, "alice", "0.00")
	one.ok(t, "tx", "submit", "bank", "alice", "12.34")
	two.cached(t, "alice", "12.34")
	metrics := string(one.get(t, "/metrics"))
	for _, line := range []string{
		"rbcs_cache_up 1\n", "rbcs_cache_differences_total 0\n", `rbcs_cache_commits_total{confirmed="true"} 1` + "\n",
		`rbcs_cache_fallbacks_total{cause="down"}`, `rbcs_cache_fills_total{outcome="filled"}`, "# TYPE rbcs_cache_hits_total counter\n",
	} {
		if !strings.Contains(metrics, line) {
			t.Errorf("the metrics have no %q", line)
		}
	}
	if err := redis.Stop(); err != nil {
		t.Fatal(err)
	}
	two.ok(t, "tx", "submit", "bank", "alice", "1.00")
	for _, s := range []*server{one, two} {
		if got, by := s.balance(t, "alice"); got != "13.34" || by != "store" {
			t.Errorf("without Redis: %s by the %s", got, by)
		}
		if code := status(s.URL() + "/readyz"); code != http.StatusOK {
			t.Errorf("readiness without Redis: %d", code)
		}
	}
}

// TestImportTurnsTheCacheOff posts past the instances and their cache.
func TestImportTurnsTheCacheOff(t *testing.T) {
	store := StoreName(testenv.Postgres(t))
	s := start(t, ServeCmd{Store: store, Migrate: true, Redis: RedisURL(testenv.Redis(t))})
	s.ok(t, "account", "create", "bank", "--currency", "USD", "--overdraft", "unlimited")
	s.ok(t, "account", "create", "alice", "--currency", "USD")
	s.cached(t, "alice", "0.00")
	const line = `{"id":"x","source":"bank","destination":"alice","amount":"5.00","timestamp":"2026-01-01T00:00:00Z"}` + "\n"
	runWith(t, line, "import", "-", "--store", string(store)).check(t, exitDone)
	if got, by := s.balance(t, "alice"); got != "5.00" || by != "store" {
		t.Errorf("after the import: %s by the %s", got, by)
	}
}

func TestRedisFlags(t *testing.T) {
	const secret = "geheim"
	for args, word := range map[string]string{
		"--redis redis://u:" + secret + "@h:6379":                                           "PostgreSQL",
		"--store postgres://h/d --redis http://u:" + secret + "@h":                          "redis://HOST:PORT",
		"--store postgres://h/d --redis redis://h --redis-timeout -1s":                      "--redis-timeout",
		"--store postgres://h/d --redis redis://h --redis-timeout soon":                     "--redis-timeout",
		"--store sqlite:x.db --redis rediss://s:1?master_set=m&sentinel_password=" + secret: "leave it out",
	} {
		r := run(t, append([]string{"serve"}, strings.Fields(args)...)...)
		r.check(t, exitUsage, word)
		if strings.Contains(r.stderr, secret) {
			t.Errorf("%s: a password is printed: %s", args, r.stderr)
		}
	}
	for url, want := range map[RedisURL]string{
		"redis://u:" + secret + "@h:1/0":                        "redis://u:xxxxx@h:1/0",
		"rediss://s:1?master_set=m&sentinel_password=" + secret: "rediss://s:1?master_set=m&sentinel_password=xxxxx",
	} {
		if got := url.String(); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

// TestRedisAway starts without a Redis that answers, or with a URL that is no good.
func TestRedisAway(t *testing.T) {
	const secret = "geheim"
	store := StoreName(testenv.Postgres(t))
	s := start(t, ServeCmd{Store: store, Migrate: true, Redis: "redis://u:" + secret + "@127.0.0.1:1"})
	s.ok(t, "account", "create", "bank", "--currency", "USD", "--overdraft", "unlimited")
	if got, by := s.balance(t, "bank"); got != "0.00" || by != "store" {
		t.Errorf("%s by the %s", got, by)
	}
	var logged bytes.Buffer
	_, err := startServer(t.Context(), ServeCmd{Store: store, Listen: "127.0.0.1:0", Redis: "redis://u:" + secret + "@h:port"}, &Main{Stdout: io.Discard, Stderr: &logged})
	if err == nil || !strings.Contains(err.Error(), "--redis") || strings.Contains(err.Error()+logged.String(), secret) {
		t.Errorf("error %v\n%s", err, &logged)
	}
}
