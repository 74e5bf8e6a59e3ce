package rest

import (
	"net/http"

	"github.com/danielgtaylor/huma/v2"
)

const pathOfBalance = pathOfAccount + "/balance"

// Balance is a balance at one moment. It stands here for the document; what is
// sent is written by appendBalance.
type Balance struct {
	Number    string `json:"number"`
	Currency  string `json:"currency"`
	Balance   string `json:"balance" example:"12.34"`
	Available string `json:"available" doc:"balance − held" example:"12.34"`
	Held      string `json:"held" example:"0.00"`
	Version   int64  `json:"version" doc:"Grows by one with every change of balance or held."`
	AsOf      string `json:"as_of" format:"date-time" doc:"The moment at which it was read or changed; what is answered is still true when the request comes."`
	ServedBy  string `json:"served_by" enum:"cache,store"`
}

// BalancesQuery asks for many balances.
type BalancesQuery struct {
	Numbers     []string `json:"numbers" maxItems:"1000" doc:"The accounts' numbers."`
	Consistency string   `json:"consistency,omitempty" enum:"strong" doc:"strong: do not answer from a cache."`
}

// BalanceItem is the balance of one account, or why there is none.
type BalanceItem struct {
	Number    string         `json:"number"`
	Currency  string         `json:"currency,omitempty"`
	Balance   string         `json:"balance,omitempty" example:"12.34"`
	Available string         `json:"available,omitempty" example:"12.34"`
	Held      string         `json:"held,omitempty" example:"0.00"`
	Version   int64          `json:"version,omitempty"`
	AsOf      string         `json:"as_of,omitempty" format:"date-time"`
	ServedBy  string         `json:"served_by,omitempty" enum:"cache,store"`
	Status    string         `json:"status,omitempty" enum:"error"`
	Code      string         `json:"code,omitempty" doc:"not_found, where there is no such account."`
	Detail    string         `json:"detail,omitempty"`
	Retryable bool           `json:"retryable,omitempty"`
	Errors    []FieldProblem `json:"errors,omitempty"`
}

// BalanceItems is one item for each number, in the order given.
type BalanceItems struct {
	Balances []BalanceItem `json:"balances"`
}

func getBalanceOperation() postOperation {
	return postOperation{
		id: "get-balance", method: http.MethodGet, path: pathOfBalance, summary: "Get a balance",
		description: "The balance of now, or with at as it was after the last commit at or before that moment. " +
			"It is never older than what any client was told before.",
		params: []*huma.Param{
			{
				Name: paramConsistency, In: "query", Description: "strong: do not answer from a cache.",
				Schema: &huma.Schema{Type: huma.TypeString, Enum: []any{strong}},
			},
			{
				Name: paramMinVersion, In: "query", Description: "Refuse with version_not_reached below this version.",
				Schema: &huma.Schema{Type: huma.TypeInteger, Format: "int64", Minimum: new(0.0)},
			},
			{
				Name: paramAt, In: "query", Description: "The moment of commit that is asked for. RFC 3339 with its zone.",
				Schema: &huma.Schema{Type: huma.TypeString},
			},
		},
		answers: map[int]answer{200: {description: "OK", contents: jsonBody[Balance]()}},
	}
}

func getBalancesOperation() postOperation {
	return postOperation{
		id: "get-balances", method: http.MethodPost, path: "/v1/balances/get", summary: "Get many balances",
		description: "At most 1,000, in the order asked for. Each is as new as a single read's; together they are no snapshot of one moment.",
		bodies:      jsonBody[BalancesQuery](),
		answers:     map[int]answer{200: {description: "One item for each number, in the order given", contents: jsonBody[BalanceItems]()}},
	}
}
