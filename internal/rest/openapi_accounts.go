package rest

import (
	"net/http"
)

// NewAccount describes an account that is to be created.
type NewAccount struct {
	Number    string   `json:"number" minLength:"1" maxLength:"64" pattern:"^[A-Za-z0-9._:-]+$" example:"acme:users:42"`
	Currency  string   `json:"currency" example:"USD"`
	Overdraft string   `json:"overdraft,omitempty" default:"0" doc:"An amount, or unlimited." example:"500.00"`
	Metadata  Metadata `json:"metadata,omitempty"`
}

// AccountChange describes what a PATCH may change. What is left out stays.
type AccountChange struct {
	Status    string   `json:"status,omitempty" enum:"open,frozen,frozen_outgoing,closed" doc:"Closing needs a zero balance and no holds."`
	Overdraft string   `json:"overdraft,omitempty" doc:"An amount, or unlimited."`
	Metadata  Metadata `json:"metadata,omitempty" doc:"Replaces all of it."`
}

// AccountResult is what became of one account of a batch.
type AccountResult struct {
	Status    string         `json:"status" enum:"created,existing,error"`
	Account   *Account       `json:"account,omitempty"`
	Number    string         `json:"number,omitempty" doc:"Of an error."`
	Code      string         `json:"code,omitempty"`
	Detail    string         `json:"detail,omitempty"`
	Retryable bool           `json:"retryable,omitempty"`
	Errors    []FieldProblem `json:"errors,omitempty"`
}

// AccountResults is one result for each account, in the order given.
type AccountResults struct {
	Results []AccountResult `json:"results"`
}

func postAccountOperation() postOperation {
	return postOperation{
		id: "create-account", method: http.MethodPost, path: "/v1/accounts", summary: "Create an account",
		bodies: jsonBody[NewAccount](),
		answers: map[int]answer{
			201: {description: "Created", contents: jsonBody[Account]()},
			200: {description: "It exists, with the same content", contents: jsonBody[Account]()},
		},
	}
}

func postAccountsOperation() postOperation {
	return postOperation{
		id: "create-accounts", method: http.MethodPost, path: "/v1/accounts/batch", summary: "Create many accounts",
		description: "At most 10,000, in one commit; one that is wrong does not stop the others.",
		bodies:      jsonBody[[]NewAccount](),
		answers:     map[int]answer{200: {description: "One result for each, in the order given", contents: jsonBody[AccountResults]()}},
	}
}

func patchAccountOperation() postOperation {
	return postOperation{
		id: "change-account", method: http.MethodPatch, path: pathOfAccount, summary: "Change an account",
		description: "A frozen account neither sends nor receives, one that is frozen_outgoing receives only; holds on both can be released. A closed one is the " +
			"same, and had nothing when it was closed. Either can be opened again. A smaller overdraft stands at once: nothing lowers available below it any more.",
		bodies:  jsonBody[AccountChange](),
		answers: map[int]answer{200: {description: "The account as it is now", contents: jsonBody[Account]()}},
	}
}
