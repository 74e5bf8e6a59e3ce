package rest

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"rbcs"
)

// TestNoBalanceIsDatedBeforeItsLastChange, also where this machine's clock is behind the database's.
func TestNoBalanceIsDatedBeforeItsLastChange(t *testing.T) {
	c := newService(t, func(c *Config) { c.Now = func() time.Time { return committed.AddDate(-20, 0, 0) } })
	c.account("bank", `,"overdraft":"unlimited"`)
	c.account("a", "")
	posted := c.want(201, "POST", postPath, postPath, transfer("1", "bank", "a", "5"))
	now := c.want(200, "GET", "/v1/accounts/{number}/balance", "/v1/accounts/a/balance", "")
	if now["as_of"].(string) < posted["committed_at"].(string) {
		t.Errorf("as of %s, before %s", now["as_of"], posted["committed_at"])
	}
}

// cached is a reader that answers as a cache does.
type cached struct {
	rbcs.BalanceReader
	numbers []string // what it was asked for
}

func (c *cached) Balances(ctx context.Context, numbers []string) ([]rbcs.BalanceReading, error) {
	c.numbers = append(c.numbers, numbers...)
	readings, err := c.BalanceReader.Balances(ctx, numbers)
	for i := range readings {
		readings[i].Cached = readings[i].Err == nil
	}
	return readings, err
}

// TestReadsGoThroughTheCache, but for those that say that they must not, and those of the past.
func TestReadsGoThroughTheCache(t *testing.T) {
	cache := &cached{}
	c := newService(t, func(c *Config) {
		cache.BalanceReader = c.Store
		c.Balances = cache
	})
	c.account("bank", `,"overdraft":"unlimited"`)
	c.account("a", "")
	posted := c.want(201, "POST", postPath, postPath, transfer("1", "bank", "a", "5"))
	for query, servedBy := range map[string]string{
		"": "cache", "?min_version=1": "cache", "?consistency=strong": "store", "?at=" + posted["committed_at"].(string): "store",
	} {
		got := c.want(200, "GET", pathOfBalance, "/v1/accounts/a/balance"+query, "")
		wantMembers(t, got, map[string]string{"number": "a", "currency": "USD", "balance": "5.00", "available": "5.00", "held": "0.00", "version": "1", "served_by": servedBy})
	}
	c.want(404, "GET", pathOfBalance, "/v1/accounts/nobody/balance", "")
	if got := strings.Join(cache.numbers, " "); got != "a a nobody" {
		t.Errorf("the cache was asked for %s", got)
	}
}

// TestManyBalances are answered in the order asked for, also twice, and each for itself.
func TestManyBalances(t *testing.T) {
	const path = "/v1/balances/get"
	c := newService(t)
	c.account("bank", `,"overdraft":"unlimited"`)
	c.account("a", "")
	c.want(201, "POST", postPath, postPath, transfer("1", "bank", "a", "5"))
	for _, consistency := range []string{"", `,"consistency":"strong"`} {
		got := c.want(200, "POST", path, path, `{"numbers":["a","nobody","bank","a"]`+consistency+`}`)["balances"].([]any)
		if len(got) != 4 {
			t.Fatalf("%d balances", len(got))
		}
		for i, want := range []map[string]string{
			{"number": "a", "balance": "5.00", "version": "1", "served_by": "store"},
			{"number": "nobody", "status": "error", "code": "not_found", "retryable": "false"},
			{"number": "bank", "balance": "-5.00"},
			{"number": "a", "balance": "5.00"},
		} {
			wantMembers(t, got[i].(map[string]any), want)
		}
	}
	if got := c.want(200, "POST", path, path, `{"numbers":[]}`)["balances"].([]any); len(got) != 0 {
		t.Errorf("%d balances of none", len(got))
	}
	many := func(n int) string { return `{"numbers":["a"` + strings.Repeat(`,"a"`, n-1) + `]}` }
	if got := c.want(200, "POST", path, path, many(MaxBalances))["balances"].([]any); len(got) != MaxBalances {
		t.Errorf("%d balances", len(got))
	}
	c.want(413, "POST", path, path, many(MaxBalances+1))
	for body, pointer := range map[string]string{
		`{}`: "/numbers", `{"numbers":"a"}`: "/numbers", `{"numbers":["a",1]}`: "/numbers/1", `{"numbers":["a/b"]}`: "/numbers/0",
		`{"numbers":["a"],"consistency":"weak"}`: "/consistency", `{"numbers":["a"],"at":"x"}`: "/at",
	} {
		got := c.want(400, "POST", path, path, body)
		if fields := fmt.Sprint(got["errors"]); !strings.Contains(fields, pointer) {
			t.Errorf("%s: %s, want %s", body, fields, pointer)
		}
	}
}
