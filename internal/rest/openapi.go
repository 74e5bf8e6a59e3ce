package rest

import (
	"net/http"
	"reflect"
	"strconv"

	"github.com/danielgtaylor/huma/v2"
)

// humaConfig is huma without what would load something from elsewhere: the
// document and its page are served by this package and the dashboard's.
func humaConfig(version string) huma.Config {
	config := huma.DefaultConfig("rbcs: real-time balance calculation", version)
	config.Info.Description = "Accounts, transactions and balances. Amounts are decimal strings, times are RFC 3339 in " +
		"UTC with microseconds. A transaction's ID is chosen by the client and makes it safe to submit it again: it moves " +
		"money once, and every submission gets the same answer. 422 means that a rejection was decided and recorded; a " +
		"request that is wrong in itself is 400, and nothing is recorded."
	config.OpenAPIPath, config.DocsPath, config.SchemasPath = "", "", ""
	config.CreateHooks = nil // no $schema member in answers
	config.RejectUnknownQueryParameters = true
	config.Formats = huma.DefaultFormats
	return config
}

// readOperation describes a GET.
func readOperation(id, path, summary, description string) huma.Operation {
	return huma.Operation{
		OperationID: id, Method: http.MethodGet, Path: path, Summary: summary, Description: description,
		Tags: []string{tagOf(path)},
	}
}

func tagOf(path string) string {
	const accounts = "/v1/accounts"
	if len(path) >= len(accounts) && path[:len(accounts)] == accounts {
		return "accounts"
	}
	return "transactions"
}

// postOperation describes an operation whose body this package reads itself.
type postOperation struct {
	id, method, path, summary, description string
	bodies                                 map[string]reflect.Type // by content type
	answers                                map[int]answer
}

// answer is one of an operation's statuses.
type answer struct {
	description string
	contents    map[string]reflect.Type
	replayed    bool // the header may be there
}

func jsonBody[T any]() map[string]reflect.Type {
	return map[string]reflect.Type{jsonType: reflect.TypeFor[T]()}
}

// describePost adds the operation to the document.
func describePost(api huma.API, p postOperation) {
	registry := api.OpenAPI().Components.Schemas
	contents := func(types map[string]reflect.Type) map[string]*huma.MediaType {
		media := map[string]*huma.MediaType{}
		for name, t := range types {
			media[name] = &huma.MediaType{Schema: registry.Schema(t, true, "")}
		}
		return media
	}
	op := &huma.Operation{
		OperationID: p.id, Method: p.method, Path: p.path, Summary: p.summary, Description: p.description,
		Tags:        []string{tagOf(p.path)},
		RequestBody: &huma.RequestBody{Required: true, Content: contents(p.bodies)},
		Responses:   map[string]*huma.Response{},
	}
	for status, a := range p.answers {
		response := &huma.Response{Description: a.description, Content: contents(a.contents)}
		if a.replayed {
			response.Headers = map[string]*huma.Param{replayedHeader: {
				Description: "true: this is the answer to the first submission, again.",
				Schema:      &huma.Schema{Type: huma.TypeString, Enum: []any{"true"}},
			}}
		}
		op.Responses[strconv.Itoa(status)] = response
	}
	op.Responses["default"] = &huma.Response{
		Description: "An error; nothing was recorded, or what was is said.",
		Content: map[string]*huma.MediaType{
			problemType: {Schema: registry.Schema(reflect.TypeFor[Problem](), true, "")},
		},
	}
	if p.path == pathOfAccount {
		op.Parameters = []*huma.Param{{
			Name: "number", In: "path", Required: true, Description: "The account's number.",
			Schema: &huma.Schema{Type: huma.TypeString, MaxLength: new(64)},
		}}
	}
	api.OpenAPI().AddOperation(op)
}

const pathOfAccount = "/v1/accounts/{number}"

// NewTransaction describes what clients submit.
type NewTransaction struct {
	ID          string   `json:"id" minLength:"1" maxLength:"128" doc:"Chosen by the client, printable ASCII." example:"order-1001"`
	Type        string   `json:"type,omitempty" enum:"transfer" default:"transfer"`
	Source      string   `json:"source" minLength:"1" maxLength:"64" pattern:"^[A-Za-z0-9._:-]+$" example:"acme:users:42"`
	Destination string   `json:"destination" minLength:"1" maxLength:"64" pattern:"^[A-Za-z0-9._:-]+$" example:"acme:shop"`
	Amount      string   `json:"amount" pattern:"^(0|[1-9][0-9]*)(\\.[0-9]+)?$" doc:"Greater than zero, with no more decimals than the currency." example:"12.34"`
	Currency    string   `json:"currency,omitempty" doc:"The source account's, if it is left out." example:"USD"`
	Timestamp   string   `json:"timestamp" format:"date-time" doc:"When it happened, with its zone."`
	Description string   `json:"description,omitempty" maxLength:"1024"`
	Metadata    Metadata `json:"metadata,omitempty"`
}

// NewBatch describes what clients submit together.
type NewBatch struct {
	Transactions []NewTransaction `json:"transactions" maxItems:"10000"`
	Atomic       bool             `json:"atomic,omitempty" enum:"false" doc:"Not supported yet."`
}

// BatchResult describes one result of a batch: a decision as a transaction has
// it, or an error.
type BatchResult struct {
	ID     string `json:"id,omitempty"`
	Type   string `json:"type,omitempty" enum:"transfer"`
	Status string `json:"status" enum:"posted,rejected,error"`
	Code   string `json:"code,omitempty"`
	Detail string `json:"detail,omitempty"`
	Shortfall
	Source             string         `json:"source,omitempty"`
	Destination        string         `json:"destination,omitempty"`
	Amount             string         `json:"amount,omitempty"`
	Currency           string         `json:"currency,omitempty"`
	Timestamp          string         `json:"timestamp,omitempty" format:"date-time"`
	Sequence           int64          `json:"sequence,omitempty"`
	CommittedAt        string         `json:"committed_at,omitempty" format:"date-time"`
	SourceBalance      string         `json:"source_balance,omitempty"`
	DestinationBalance string         `json:"destination_balance,omitempty"`
	SourceVersion      int64          `json:"source_version,omitempty"`
	DestinationVersion int64          `json:"destination_version,omitempty"`
	Description        string         `json:"description,omitempty"`
	Metadata           Metadata       `json:"metadata,omitempty"`
	Replayed           bool           `json:"replayed,omitempty" doc:"The ID had been decided before: this is that decision."`
	Retryable          bool           `json:"retryable,omitempty" doc:"Of an error: the same may succeed later."`
	Errors             []FieldProblem `json:"errors,omitempty" doc:"Of an error: which field, as a pointer into the request, or into the line of NDJSON."`
}

// BatchResults is one result for each transaction, in the order given.
type BatchResults struct {
	Results []BatchResult `json:"results"`
}

// NewAccount describes an account that is to be created.
type NewAccount struct {
	Number    string   `json:"number" minLength:"1" maxLength:"64" pattern:"^[A-Za-z0-9._:-]+$" example:"acme:users:42"`
	Currency  string   `json:"currency" example:"USD"`
	Overdraft string   `json:"overdraft,omitempty" default:"0" doc:"An amount, or unlimited." example:"500.00"`
	Metadata  Metadata `json:"metadata,omitempty"`
}

// AccountChange describes what a PATCH may change. What is left out stays.
type AccountChange struct {
	Status    string   `json:"status,omitempty" enum:"open,frozen,closed" doc:"Closing needs a zero balance and no holds."`
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

func postTransactionOperation() postOperation {
	return postOperation{
		id: "submit-transaction", method: http.MethodPost, path: "/v1/transactions", summary: "Submit a transaction",
		description: "The answer is sent after the commit is on disk. Submitting the same again is safe and gets the same answer.",
		bodies:      jsonBody[NewTransaction](),
		answers: map[int]answer{
			201: {description: "Posted", contents: jsonBody[Transaction]()},
			200: {description: "Posted before: the same answer again", contents: jsonBody[Transaction](), replayed: true},
			422: {
				description: "Rejected: the decision is recorded under the ID",
				contents:    map[string]reflect.Type{problemType: reflect.TypeFor[Problem]()}, replayed: true,
			},
		},
	}
}

func postBatchOperation() postOperation {
	return postOperation{
		id: "submit-batch", method: http.MethodPost, path: "/v1/transactions/batch", summary: "Submit many transactions",
		description: "Each is decided by itself, in the order given; one that is wrong does not stop the others. With " +
			"application/x-ndjson each line is a transaction, and each line of the answer its result.",
		bodies: map[string]reflect.Type{jsonType: reflect.TypeFor[NewBatch](), ndjsonType: reflect.TypeFor[NewTransaction]()},
		answers: map[int]answer{200: {
			description: "One result for each, in the order given",
			contents:    map[string]reflect.Type{jsonType: reflect.TypeFor[BatchResults](), ndjsonType: reflect.TypeFor[BatchResult]()},
		}},
	}
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
		bodies:  jsonBody[AccountChange](),
		answers: map[int]answer{200: {description: "The account as it is now", contents: jsonBody[Account]()}},
	}
}
