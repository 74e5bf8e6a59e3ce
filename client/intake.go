package client

import (
	"context"
	"iter"
	"net/http"
	"net/url"
	"time"

	"rbcs"
)

// Queue is what a [Result] has of a transaction that is, or was, in the durable
// queue of those that are decided later.
type Queue struct {
	State          rbcs.IntakeState `json:"state,omitempty"`           // where it stands there; "" of what is decided
	AcceptedAt     time.Time        `json:"accepted_at,omitzero"`      // when it was queued
	DueAt          time.Time        `json:"due_at,omitzero"`           // when it is tried next, at the earliest
	ExecuteAt      time.Time        `json:"execute_at,omitzero"`       // as it was submitted
	RetryUntil     time.Time        `json:"retry_until,omitzero"`      // as it was submitted
	FailedAttempts int              `json:"failed_attempts,omitempty"` // since it was queued or replayed
	Attempts       []QueueChange    `json:"attempts,omitempty"`        // what happened there, where it was asked for
}

// QueueChange is one line of what happened to a transaction in the queue.
type QueueChange struct {
	At       time.Time            `json:"at"`
	Kind     rbcs.IntakeEventKind `json:"kind"`
	Instance string               `json:"instance"`
	Actor    string               `json:"actor,omitempty"`
	Code     rbcs.Code            `json:"code,omitempty"`
	Detail   string               `json:"detail,omitempty"` // what failed, or an operator's reason
	NextAt   time.Time            `json:"next_at,omitzero"`
	Omitted  int                  `json:"omitted,omitempty"` // attempts that failed between the line before and this one, and are only counted
}

// The statuses of a [Result] that is not decided.
const (
	StatusQueued    = rbcs.Status(rbcs.IntakeQueued)
	StatusDead      = rbcs.Status(rbcs.IntakeDead)
	StatusDiscarded = rbcs.Status(rbcs.IntakeDiscarded)
)

// Async asks to be answered before the decision: the transaction is queued,
// durably, and [Client.Transaction] tells what became of it. Its result has the
// status [StatusQueued], unless the ID was decided before. Atomic groups cannot be queued.
func Async() SubmitOption {
	return func(r *request) { r.header.Set("Prefer", "respond-async") }
}

const intakePath = "/v1/intake"

// Intake lists what is in the queue in a state, the first due first; "" is
// [rbcs.IntakeWaiting]: all that wait.
func (c *Client) Intake(ctx context.Context, state rbcs.IntakeState, pageSize int) iter.Seq2[Result, error] {
	query := url.Values{}
	set(query, "state", string(state))
	return pages[Result](ctx, c, intakePath, query, pageSize)
}

// IntakeEntry returns one entry of the queue with what happened to it, or fails
// with [rbcs.NotFound]: then it was decided, or never queued.
func (c *Client) IntakeEntry(ctx context.Context, id string) (Result, error) {
	var entry Result
	return entry, c.call(ctx, http.MethodGet, intakePath+"/"+segment(id), nil, nil, &entry)
}

// intakeAction is what an operator says.
type intakeAction struct {
	IDs    []string `json:"ids,omitempty"`
	Reason string   `json:"reason,omitempty"`
}

// ReplayIntake has a dead letter tried again, at once; also what was discarded,
// or waits after a failure. It returns the entry, or the decision if that is quicker.
func (c *Client) ReplayIntake(ctx context.Context, id, reason string) (Result, error) {
	return c.actOn(ctx, id, "replay", reason)
}

// DiscardIntake gives an entry up, for a reason: it is never posted, unless it is
// replayed, and its ID stays taken.
func (c *Client) DiscardIntake(ctx context.Context, id, reason string) (Result, error) {
	return c.actOn(ctx, id, "discard", reason)
}

func (c *Client) actOn(ctx context.Context, id, verb, reason string) (Result, error) {
	var entry Result
	return entry, c.call(ctx, http.MethodPost, intakePath+"/"+segment(id)+"/"+verb, nil, intakeAction{Reason: reason}, &entry)
}

// ReplayIntakes is [Client.ReplayIntake] for up to 1,000 entries. It returns one
// error for each ID, nil where it was done.
func (c *Client) ReplayIntakes(ctx context.Context, ids []string, reason string) ([]*Error, error) {
	return c.actOnAll(ctx, ids, "replay", reason)
}

// DiscardIntakes is [Client.DiscardIntake] for up to 1,000 entries. It returns
// one error for each ID, nil where it was done.
func (c *Client) DiscardIntakes(ctx context.Context, ids []string, reason string) ([]*Error, error) {
	return c.actOnAll(ctx, ids, "discard", reason)
}

func (c *Client) actOnAll(ctx context.Context, ids []string, verb, reason string) ([]*Error, error) {
	var answer struct {
		Results []struct {
			Status rbcs.Status `json:"status"`
			Code   rbcs.Code   `json:"code"`
			Detail string      `json:"detail"`
			itemError
		} `json:"results"`
	}
	if err := c.call(ctx, http.MethodPost, intakePath+"/"+verb, nil, intakeAction{ids, reason}, &answer); err != nil {
		return nil, err
	}
	if len(answer.Results) != len(ids) {
		return nil, rbcs.Errorf(rbcs.OutcomeUnknown, "%d entries have %d results", len(ids), len(answer.Results))
	}
	errs := make([]*Error, len(ids))
	for i := range answer.Results {
		if r := &answer.Results[i]; r.Status == StatusError {
			errs[i] = r.err(r.Code, r.Detail, "")
		}
	}
	return errs, nil
}
