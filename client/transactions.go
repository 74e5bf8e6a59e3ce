package client

import (
	"context"
	"encoding/json"
	"iter"
	"net/http"
	"net/url"
	"time"

	"rbcs"
)

// Transaction is a transfer of money to submit. Submitting it again means
// sending it unchanged: the ID with other content is a conflict.
type Transaction struct {
	ID          string          `json:"id"` // unique, chosen by you: 1–128 printable ASCII characters
	Type        rbcs.Type       `json:"type,omitempty"`
	Source      string          `json:"source"`
	Destination string          `json:"destination"`
	Amount      Amount          `json:"amount"`
	Currency    string          `json:"currency,omitempty"` // "" is the source account's
	Timestamp   time.Time       `json:"timestamp"`          // when it happened, in your words
	Description string          `json:"description,omitempty"`
	Metadata    json.RawMessage `json:"metadata,omitempty"` // a JSON object
}

// StatusError is the status of a [Result] that is no outcome: its Err says why.
// All other statuses are those of package rbcs.
const StatusError rbcs.Status = "error"

// Result is the outcome of a transaction.
type Result struct {
	ID          string      `json:"id"`
	Type        rbcs.Type   `json:"type,omitempty"`
	Status      rbcs.Status `json:"status"`
	Code        rbcs.Code   `json:"code,omitempty"`   // why it was rejected; "" otherwise
	Detail      string      `json:"detail,omitempty"` // the same for a person
	Source      string      `json:"source,omitempty"`
	Destination string      `json:"destination,omitempty"`
	Amount      Amount      `json:"amount,omitempty"`
	Currency    string      `json:"currency,omitempty"`
	Timestamp   time.Time   `json:"timestamp,omitzero"`
	Sequence    int64       `json:"sequence,omitempty"` // its place in the log of all transactions
	CommittedAt time.Time   `json:"committed_at,omitzero"`

	// The accounts as this transaction left them; empty where it was rejected.
	SourceBalance      Amount `json:"source_balance,omitempty"`
	DestinationBalance Amount `json:"destination_balance,omitempty"`
	SourceVersion      int64  `json:"source_version,omitempty"`
	DestinationVersion int64  `json:"destination_version,omitempty"`

	// Of insufficient_funds: short = needed − available − overdraft.
	Available Amount `json:"available,omitempty"`
	Overdraft Amount `json:"overdraft,omitempty"`
	Needed    Amount `json:"needed,omitempty"`
	Short     Amount `json:"short,omitempty"`

	Description string          `json:"description,omitempty"`
	Metadata    json.RawMessage `json:"metadata,omitempty"`

	Replayed bool   `json:"replayed,omitempty"` // when submitted: the ID had been decided before
	Err      *Error `json:"-"`                  // [Client.SubmitBatch] only: there is no outcome, and why
}

// Submit submits a transaction and returns its outcome: posted or rejected. An
// error means that no outcome is known; see the package's documentation.
func (c *Client) Submit(ctx context.Context, t Transaction) (Result, error) {
	body, err := encode(t)
	if err != nil {
		return Result{}, err
	}
	resp, err := c.do(ctx, c.pace(), &request{method: http.MethodPost, path: "/v1/transactions", body: body})
	var result Result
	switch {
	case err == nil:
		err = resp.decode(&result)
	case resp != nil && resp.status == http.StatusUnprocessableEntity && err.Code != rbcs.InvalidRequest:
		result, err = rejection(resp, t.ID, err)
	}
	if err != nil {
		return Result{}, err
	}
	result.Replayed = resp.header.Get("Idempotent-Replayed") == "true"
	return result, nil
}

// rejection reads the record of a rejection out of the problem that reports it.
func rejection(resp *response, id string, problem *Error) (Result, *Error) {
	var body struct {
		Transaction Result `json:"transaction"`
	}
	err := resp.decode(&body)
	r := body.Transaction
	r.ID, r.Status, r.Code, r.Detail = id, rbcs.Rejected, problem.Code, problem.Message
	return r, err
}

// Transaction returns what is recorded under an ID, or fails with [rbcs.NotFound].
func (c *Client) Transaction(ctx context.Context, id string) (Result, error) {
	var result Result
	return result, c.call(ctx, http.MethodGet, "/v1/transactions/"+segment(id), nil, nil, &result)
}

// TransactionQuery selects transactions. Zero values do not restrict.
type TransactionQuery struct {
	Account  string // either side
	Status   rbcs.Status
	From     time.Time // committed at or after
	To       time.Time // committed before
	PageSize int       // how many are asked for at once; 0: as many as the service likes
}

// Transactions lists transactions, the latest first. It asks for the next page
// when the one before is used up; an error ends the list.
func (c *Client) Transactions(ctx context.Context, q TransactionQuery) iter.Seq2[Result, error] {
	query := url.Values{}
	set(query, "account", q.Account)
	set(query, "status", string(q.Status))
	setTime(query, "from", q.From)
	setTime(query, "to", q.To)
	return pages[Result](ctx, c, "/v1/transactions", query, q.PageSize)
}

// HistoryQuery selects changes of one account. Zero values do not restrict.
type HistoryQuery struct {
	From       time.Time // committed at or after
	To         time.Time // committed before
	Descending bool      // the latest first
	PageSize   int       // how many are asked for at once; 0: as many as the service likes
}

// Entry is one change of an account: a transaction, seen from that account.
type Entry struct {
	Result
	Direction string `json:"direction"` // "credit" or "debit"
	Change    Amount `json:"change"`    // of the balance, with its sign
	Balance   Amount `json:"balance"`   // of the account after it
	Held      Amount `json:"held"`
	Version   int64  `json:"version"`
}

// History lists the changes of an account's balance. It asks for the next page
// when the one before is used up; an error ends the list.
func (c *Client) History(ctx context.Context, number string, q HistoryQuery) iter.Seq2[Entry, error] {
	query := url.Values{}
	setTime(query, "from", q.From)
	setTime(query, "to", q.To)
	if q.Descending {
		query.Set("order", "desc")
	}
	return pages[Entry](ctx, c, "/v1/accounts/"+segment(number)+"/transactions", query, q.PageSize)
}
