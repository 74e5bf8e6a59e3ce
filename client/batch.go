package client

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"rbcs"
)

// SubmitBatch submits up to 10,000 transactions together and returns one result
// for each in the order given. A transaction without an outcome has its Err set;
// an error means that none has one.
//
// What may pass is sent again, and so later than what stood behind it in the
// batch. It is decided by then whatever came of the rest: where a transaction
// needs another one before it, submit them one after the other.
func (c *Client) SubmitBatch(ctx context.Context, transactions []Transaction, opts ...SubmitOption) ([]Result, error) {
	return c.submitAll(ctx, transactions, submission(batchPath, opts), false)
}

// SubmitGroup submits up to 1,000 transactions that are posted together or not at
// all; each sees what those before it did. Where one is rejected it says why, and
// the others are rejected with [rbcs.GroupFailed]. The group is one outcome under
// the IDs of all its members: submitting it again means sending the same members
// in the same order.
//
// It returns one result for each in the order given. Where nothing was decided
// every one has its Err set; an error means the same of all of them.
func (c *Client) SubmitGroup(ctx context.Context, members []Transaction, opts ...SubmitOption) ([]Result, error) {
	req := submission(batchPath, opts)
	req.query.Set("atomic", "true")
	return c.submitAll(ctx, members, req, true)
}

const batchPath = "/v1/transactions/batch"

// submitAll submits transactions until each has an outcome or none is to be had,
// in requests like the one given.
func (c *Client) submitAll(ctx context.Context, transactions []Transaction, like *request, atomic bool) ([]Result, error) {
	results := make([]Result, len(transactions))
	pending := make([]int, len(transactions)) // which of them still have no outcome
	for i := range pending {
		pending[i] = i
	}
	p := c.pace()
	for first := true; len(pending) > 0; first = false {
		again, retryAfter, err := c.submit(ctx, p, like, transactions, pending, results)
		if err != nil && first {
			return nil, err
		}
		if err != nil {
			for _, i := range pending {
				failure := *err
				results[i].fail(&failure)
			}
			break
		}
		if len(again) == 0 || !p.wait(ctx, retryAfter) {
			break
		}
		if !atomic { // a group is always sent whole
			pending = again
		}
	}
	return results, nil
}

// fail notes why the transaction has no outcome, after the latest of perhaps several attempts.
func (r *Result) fail(err *Error) {
	r.Err = inDoubt(r.Err, err)
	r.Status, r.Code, r.Detail = StatusError, err.Code, err.Message
}

// submit sends the pending ones and notes their results. It returns those that
// make sense to send again, and when.
func (c *Client) submit(
	ctx context.Context, p *pace, like *request, transactions []Transaction, pending []int, results []Result,
) (again []int, _ time.Duration, _ *Error) {
	batch := struct {
		Transactions []Transaction `json:"transactions"`
	}{transactions}
	if len(pending) < len(transactions) {
		batch.Transactions = make([]Transaction, len(pending))
		for k, i := range pending {
			batch.Transactions[k] = transactions[i]
		}
	}
	body, err := encode(batch)
	if err != nil {
		return nil, 0, err
	}
	req := *like
	req.body = body
	resp, err := c.do(ctx, p, &req)
	if err != nil {
		return nil, 0, err
	}
	var answer struct {
		Results []struct {
			Result
			itemError
		} `json:"results"`
	}
	if err = resp.decode(&answer); err == nil {
		err = resp.sameLength(len(answer.Results), len(pending))
	}
	if err != nil {
		return nil, 0, err
	}
	for k, i := range pending {
		item, result := &answer.Results[k], &results[i]
		if item.Status != StatusError {
			*result = item.Result
			continue
		}
		result.ID = transactions[i].ID
		result.fail(item.err(item.Code, item.Detail, "/transactions/"+strconv.Itoa(k)))
		if item.Retryable {
			again = append(again, i)
		}
	}
	return again, retryAfter(resp.header, time.Now()), nil
}

// itemError is what the item of a batch that has no outcome says beside its code and detail.
type itemError struct {
	Retryable bool         `json:"retryable"`
	Errors    []fieldError `json:"errors"`
}

// err returns the error, whose fields point into the item that stands at prefix in the batch.
func (e *itemError) err(code rbcs.Code, detail, prefix string) *Error {
	return &Error{Code: code, Message: detail, Fields: fieldsOf(e.Errors, prefix)}
}

// sameLength checks that a batch was answered item by item.
func (r *response) sameLength(results, items int) *Error {
	if results != items {
		return r.req.unreadable(fmt.Errorf("%d items have %d results", items, results))
	}
	return nil
}
