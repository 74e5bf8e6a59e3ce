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

// Transaction is a transfer of money, or a hold on it, to submit. Submitting it
// again means sending it unchanged: the ID with other content is a conflict.
type Transaction struct {
	ID          string          `json:"id"`             // unique, chosen by you: 1–128 printable ASCII characters
	Type        rbcs.Type       `json:"type,omitempty"` // [rbcs.Hold] reserves the amount; "" is [rbcs.Transfer]
	Source      string          `json:"source"`
	Destination string          `json:"destination"`
	Amount      Amount          `json:"amount"`
	Currency    string          `json:"currency,omitempty"`   // "" is the source account's
	Timestamp   time.Time       `json:"timestamp"`            // when it happened, in your words
	ExpiresAt   time.Time       `json:"expires_at,omitzero"`  // of a hold: when it is released by itself
	ExecuteAt   time.Time       `json:"execute_at,omitzero"`  // decide it then: it is queued, and the result is [rbcs.IntakeQueued]
	RetryUntil  time.Time       `json:"retry_until,omitzero"` // queue it, and decide again until then what may pass, such as a lack of funds
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

	Original   string    `json:"original,omitempty"` // the ID of what a capture, release, expiry or reversal refers to
	ExpiresAt  time.Time `json:"expires_at,omitzero"`
	SourceHeld Amount    `json:"source_held,omitempty"` // of a hold and what settles it: what the source's open holds came to after it
	Remainder  Amount    `json:"remainder,omitempty"`   // of a capture: the rest, which was released; of a reversal: what is left to reverse
	Account    string    `json:"account,omitempty"`     // of account_not_found, account_frozen, account_closed and overflow: that account
	SettledBy  string    `json:"settled_by,omitempty"`  // of a hold that is settled, or of hold_not_open: the ID of what settled the hold
	Reversed   Amount    `json:"reversed,omitempty"`    // how much of it was reversed until now, where it was asked for
	Attempt    int       `json:"attempt,omitempty"`     // of a decision that a retry made: which one of this ID it is, from 2 on
	Decisions  []Attempt `json:"decisions,omitempty"`   // of an ID that was retried: all decisions about it, where it was asked for
	Group      *Group    `json:"group,omitempty"`       // the atomic group of which it is a member

	// Of insufficient_funds: short = needed − available − overdraft. Of
	// amount_exceeds_hold and amount_exceeds_reversible: needed − available.
	Available Amount `json:"available,omitempty"`
	Overdraft Amount `json:"overdraft,omitempty"`
	Needed    Amount `json:"needed,omitempty"`
	Short     Amount `json:"short,omitempty"`

	Description string          `json:"description,omitempty"`
	Metadata    json.RawMessage `json:"metadata,omitempty"`

	Queue
	Replayed bool   `json:"replayed,omitempty"` // when submitted: the ID had been decided before
	DryRun   bool   `json:"dry_run,omitempty"`  // it was only asked for with [DryRun]: nothing is recorded
	Err      *Error `json:"-"`                  // [Client.SubmitBatch] and [Client.SubmitGroup] only: there is no outcome, and why
}

// Attempt is one of the decisions about an ID: the submission, and one for each explicit retry.
type Attempt struct {
	Attempt     int         `json:"attempt"`
	Status      rbcs.Status `json:"status"`
	Code        rbcs.Code   `json:"code,omitempty"`
	CommittedAt time.Time   `json:"committed_at"`
	Instance    string      `json:"instance,omitempty"` // that committed it
}

// Group is a place in an atomic group.
type Group struct {
	ID       string `json:"id"`
	Position int    `json:"position"` // from 0
	Size     int    `json:"size"`
}

// SubmitOption changes what submitting does.
type SubmitOption func(*request)

const paramDryRun = "dry_run"

// DryRun asks what would become of it, now: the same decision, and nothing is recorded.
func DryRun() SubmitOption { return func(r *request) { r.query.Set(paramDryRun, "true") } }

// submission returns a request to submit something, without its body.
func submission(path string, opts []SubmitOption) *request {
	req := &request{method: http.MethodPost, path: path, query: url.Values{}, header: http.Header{}}
	for _, opt := range opts {
		opt(req)
	}
	return req
}

// Submit submits a transaction and returns its outcome: posted, held or rejected,
// or that it is queued ([Async]).
// An error means that no outcome is known; see the package's documentation.
func (c *Client) Submit(ctx context.Context, t Transaction, opts ...SubmitOption) (Result, error) {
	return c.decide(ctx, "/v1/transactions", t.ID, t, opts)
}

// Settlement is a capture, release or reversal to submit. Its ID is its own, and
// not that of what it refers to.
type Settlement struct {
	ID          string          `json:"id"`
	Amount      Amount          `json:"amount,omitempty"` // "" is all that is left; a release has none
	Description string          `json:"description,omitempty"`
	Metadata    json.RawMessage `json:"metadata,omitempty"` // a JSON object
}

// Capture settles a hold: it moves all or part of the amount, and releases the rest.
func (c *Client) Capture(ctx context.Context, hold string, s Settlement, opts ...SubmitOption) (Result, error) {
	return c.settle(ctx, hold, "capture", s, opts)
}

// Release settles a hold: it gives all of the amount back.
func (c *Client) Release(ctx context.Context, hold string, s Settlement, opts ...SubmitOption) (Result, error) {
	return c.settle(ctx, hold, "release", s, opts)
}

// Reverse moves all or part of a posted transfer or capture back: as often as
// something is left of it. Where there is no such transaction it fails with
// [rbcs.NotFound], and nothing is recorded.
func (c *Client) Reverse(ctx context.Context, original string, s Settlement, opts ...SubmitOption) (Result, error) {
	return c.settle(ctx, original, "reverse", s, opts)
}

// Retry decides a rejected transaction again, as it was submitted. It may be
// rejected again; the result's Attempt says which decision it is. It moves money
// at most once: what a retry has posted is the answer to every later one. Of what
// was not rejected it fails with [rbcs.NotRejected].
func (c *Client) Retry(ctx context.Context, id string, opts ...SubmitOption) (Result, error) {
	return c.decide(ctx, "/v1/transactions/"+segment(id)+"/retry", id, struct{}{}, opts)
}

func (c *Client) settle(ctx context.Context, original, verb string, s Settlement, opts []SubmitOption) (Result, error) {
	return c.decide(ctx, "/v1/transactions/"+segment(original)+"/"+verb, s.ID, s, opts)
}

// decide submits one transaction and reads what was decided.
func (c *Client) decide(ctx context.Context, path, id string, in any, opts []SubmitOption) (Result, error) {
	body, err := encode(in)
	if err != nil {
		return Result{}, err
	}
	req := submission(path, opts)
	req.body = body
	resp, err := c.do(ctx, c.pace(), req)
	var result Result
	switch {
	case err == nil:
		err = resp.decode(&result)
	case resp != nil && resp.status == http.StatusUnprocessableEntity && err.Code != rbcs.InvalidRequest:
		result, err = rejection(resp, id, err)
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

// Transaction returns what is recorded under an ID, with all its attempts, or fails with [rbcs.NotFound].
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
