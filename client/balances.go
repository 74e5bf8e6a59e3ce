package client

import (
	"context"
	"net/http"
	"strconv"

	"rbcs"
)

// BalanceResult is the balance of one account of several.
type BalanceResult struct {
	Balance Balance // where Err is nil
	Err     *Error  // why there is none: [rbcs.NotFound]
}

// Balances returns the balances of up to 1,000 accounts, one result for each in
// the order given. Each is as new as that of [Client.Balance]; together they are
// no snapshot of one moment. An error means that none has a result.
func (c *Client) Balances(ctx context.Context, numbers []string) ([]BalanceResult, error) {
	if len(numbers) == 0 {
		return nil, nil
	}
	body, err := encode(struct {
		Numbers []string `json:"numbers"`
	}{numbers})
	if err != nil {
		return nil, err
	}
	resp, err := c.do(ctx, c.pace(), &request{method: http.MethodPost, path: "/v1/balances/get", body: body})
	if err != nil {
		return nil, err
	}
	var answer struct {
		Balances []struct {
			Balance
			Code   rbcs.Code `json:"code"`
			Detail string    `json:"detail"`
			itemError
		} `json:"balances"`
	}
	if err = resp.decode(&answer); err == nil {
		err = resp.sameLength(len(answer.Balances), len(numbers))
	}
	if err != nil {
		return nil, err
	}
	results := make([]BalanceResult, len(numbers))
	for i, item := range answer.Balances {
		if results[i].Balance = item.Balance; item.Code != "" {
			results[i] = BalanceResult{Err: item.err(item.Code, item.Detail, "/numbers/"+strconv.Itoa(i))}
		}
	}
	return results, nil
}
