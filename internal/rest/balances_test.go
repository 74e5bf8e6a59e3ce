package rest

import (
	"testing"
	"time"
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
