package client

import (
	"context"
	"encoding/json"
	"iter"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"rbcs"
)

// Unlimited is the overdraft of an account that may fall below zero without limit.
const Unlimited = "unlimited"

// NewAccount is an account to create.
type NewAccount struct {
	Number    string          `json:"number"` // 1–64 of A–Z a–z 0–9 . _ : -
	Currency  string          `json:"currency"`
	Overdraft string          `json:"overdraft,omitempty"` // an amount or [Unlimited]; "" is none
	Metadata  json.RawMessage `json:"metadata,omitempty"`  // a JSON object
}

// Account is an account as it is now.
type Account struct {
	Number    string             `json:"number"`
	Currency  string             `json:"currency"`
	Status    rbcs.AccountStatus `json:"status"`
	Overdraft string             `json:"overdraft"` // an amount or [Unlimited]
	Balance   Amount             `json:"balance"`   // received − sent
	Available Amount             `json:"available"` // balance − held
	Held      Amount             `json:"held"`
	Received  Amount             `json:"received"`
	Sent      Amount             `json:"sent"`
	Version   int64              `json:"version"` // grows by one with every change of balance or held
	Metadata  json.RawMessage    `json:"metadata,omitempty"`
	CreatedAt time.Time          `json:"created_at"`
	UpdatedAt time.Time          `json:"updated_at"`
}

// AccountResult is what became of one [NewAccount] of several.
type AccountResult struct {
	Account Account // where Err is nil
	Created bool    // false where the same account existed already
	Err     *Error  // why there is none: its fields point into the [NewAccount]
}

// AccountChange is what to change about an account. A field that is zero stays as it is.
type AccountChange struct {
	Status    rbcs.AccountStatus `json:"status,omitempty"`
	Overdraft string             `json:"overdraft,omitempty"` // an amount or [Unlimited]; "0" is none
	Metadata  json.RawMessage    `json:"metadata,omitempty"`  // replaces all of it; {} is none
}

// CreateAccount creates an account, and returns it. Where the same account
// exists it returns that; where another one has the number it fails with
// [rbcs.AccountConflict] and the fields that differ.
func (c *Client) CreateAccount(ctx context.Context, a NewAccount) (Account, error) {
	var account Account
	return account, c.call(ctx, http.MethodPost, "/v1/accounts", nil, a, &account)
}

// CreateAccounts creates up to 10,000 accounts, and returns one result for each
// in the order given. An error means that none has a result.
func (c *Client) CreateAccounts(ctx context.Context, accounts []NewAccount) ([]AccountResult, error) {
	if len(accounts) == 0 {
		return nil, nil
	}
	body, err := encode(accounts)
	if err != nil {
		return nil, err
	}
	resp, err := c.do(ctx, c.pace(), &request{method: http.MethodPost, path: "/v1/accounts/batch", body: body})
	if err != nil {
		return nil, err
	}
	var answer struct {
		Results []struct {
			Status  string    `json:"status"` // "created", "existing" or "error"
			Account Account   `json:"account"`
			Code    rbcs.Code `json:"code"`
			Detail  string    `json:"detail"`
			itemError
		} `json:"results"`
	}
	if err = resp.decode(&answer); err == nil {
		err = resp.sameLength(len(answer.Results), len(accounts))
	}
	if err != nil {
		return nil, err
	}
	results := make([]AccountResult, len(accounts))
	for i, item := range answer.Results {
		results[i] = AccountResult{Account: item.Account, Created: item.Status == "created"}
		if item.Status == string(StatusError) {
			results[i].Err = item.err(item.Code, item.Detail, "/"+strconv.Itoa(i))
		}
	}
	return results, nil
}

// Account returns one account, or fails with [rbcs.NotFound].
func (c *Client) Account(ctx context.Context, number string) (Account, error) {
	var account Account
	return account, c.call(ctx, http.MethodGet, "/v1/accounts/"+segment(number), nil, nil, &account)
}

// UpdateAccount changes an account, and returns it. It is not tried again where it
// may have been done, since that would undo what somebody else has changed in
// between: with [rbcs.OutcomeUnknown] look at [Client.Account].
func (c *Client) UpdateAccount(ctx context.Context, number string, change AccountChange) (Account, error) {
	var account Account
	return account, c.callWith(ctx, &request{method: http.MethodPatch, path: "/v1/accounts/" + segment(number), once: true}, change, &account)
}

// AccountQuery selects accounts. Zero values do not restrict.
type AccountQuery struct {
	Prefix   string
	Currency string
	Status   rbcs.AccountStatus
	PageSize int // how many are asked for at once; 0: as many as the service likes
}

// Accounts lists accounts by number. It asks for the next page when the one
// before is used up; an error ends the list.
func (c *Client) Accounts(ctx context.Context, q AccountQuery) iter.Seq2[Account, error] {
	query := url.Values{}
	set(query, "prefix", q.Prefix)
	set(query, "currency", q.Currency)
	set(query, "status", string(q.Status))
	return pages[Account](ctx, c, "/v1/accounts", query, q.PageSize)
}

// Balance is the balance of an account at one moment.
type Balance struct {
	Number    string    `json:"number"`
	Currency  string    `json:"currency"`
	Balance   Amount    `json:"balance"`
	Available Amount    `json:"available"`
	Held      Amount    `json:"held"`
	Version   int64     `json:"version"`   // 0 before the first change
	AsOf      time.Time `json:"as_of"`     // the moment that this is true for
	ServedBy  string    `json:"served_by"` // "cache" or "store"
}

// BalanceOption says which balance is asked for. Without one it is that of now,
// which shows every transaction that anybody was told is posted.
type BalanceOption func(url.Values)

// Strong makes the service read the store, past its cache.
func Strong() BalanceOption { return func(q url.Values) { q.Set("consistency", "strong") } }

// At asks for the balance after the last commit at or before t.
func At(t time.Time) BalanceOption { return func(q url.Values) { q.Set("at", formatTime(t)) } }

// MinVersion makes the call fail with [rbcs.VersionNotReached] where the account
// has not reached the version.
func MinVersion(version int64) BalanceOption {
	return func(q url.Values) { q.Set("min_version", strconv.FormatInt(version, 10)) }
}

// Balance returns the balance of an account, or fails with [rbcs.NotFound].
func (c *Client) Balance(ctx context.Context, number string, opts ...BalanceOption) (Balance, error) {
	query := url.Values{}
	for _, opt := range opts {
		opt(query)
	}
	var balance Balance
	return balance, c.call(ctx, http.MethodGet, "/v1/accounts/"+segment(number)+"/balance", query, nil, &balance)
}

// Total is the sum of accounts of one currency.
type Total struct {
	Currency  string    `json:"currency"`
	Accounts  int64     `json:"accounts"` // their number
	Balance   Amount    `json:"balance"`
	Available Amount    `json:"available"`
	Held      Amount    `json:"held"`
	AsOf      time.Time `json:"as_of"` // the moment that this is true for
}

// Totals sums the accounts whose number begins with prefix, "" for all, by
// currency and from one consistent snapshot.
func (c *Client) Totals(ctx context.Context, prefix string) ([]Total, error) {
	query := url.Values{}
	set(query, "prefix", prefix)
	var answer struct {
		Balances []Total `json:"balances"`
	}
	err := c.call(ctx, http.MethodGet, "/v1/balances", query, nil, &answer)
	return answer.Balances, err
}
