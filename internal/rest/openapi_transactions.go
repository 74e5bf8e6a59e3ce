package rest

import (
	"net/http"
	"reflect"

	"rbcs"
)

// NewTransaction describes what clients submit.
type NewTransaction struct {
	ID          string   `json:"id" minLength:"1" maxLength:"128" doc:"Chosen by the client, printable ASCII." example:"order-1001"`
	Type        string   `json:"type,omitempty" enum:"transfer,hold" default:"transfer" doc:"A hold reserves the amount on the source, to be captured or released later."`
	Source      string   `json:"source" minLength:"1" maxLength:"64" pattern:"^[A-Za-z0-9._:-]+$" example:"acme:users:42"`
	Destination string   `json:"destination" minLength:"1" maxLength:"64" pattern:"^[A-Za-z0-9._:-]+$" example:"acme:shop"`
	Amount      string   `json:"amount" pattern:"^(0|[1-9][0-9]*)(\\.[0-9]+)?$" doc:"Greater than zero, with no more decimals than the currency." example:"12.34"`
	Currency    string   `json:"currency,omitempty" doc:"The source account's, if it is left out." example:"USD"`
	Timestamp   string   `json:"timestamp" format:"date-time" doc:"When it happened, with its zone."`
	ExpiresAt   string   `json:"expires_at,omitempty" format:"date-time" doc:"Of a hold: when it is released by itself, with its zone. A time that has passed is allowed."`
	ExecuteAt   string   `json:"execute_at,omitempty" format:"date-time" doc:"Decide it then, not now: it is queued durably, and answered with 202. At most ten years ahead."`
	RetryUntil  string   `json:"retry_until,omitempty" format:"date-time" doc:"Queue it, and until then do not record a rejection that may pass, such as insufficient_funds, but decide again. After execute_at."`
	Description string   `json:"description,omitempty" maxLength:"1024" doc:"One line of at most 1,024 bytes, without control characters; longer notes have a place in metadata."`
	Metadata    Metadata `json:"metadata,omitempty"`
}

// NewSettlement describes what clients submit to capture a hold or to reverse a
// transaction.
type NewSettlement struct {
	ID          string   `json:"id" minLength:"1" maxLength:"128" doc:"Chosen by the client, printable ASCII: the ID of this transaction, not of what it refers to." example:"order-1001-capture"`
	Amount      string   `json:"amount,omitempty" pattern:"^(0|[1-9][0-9]*)(\\.[0-9]+)?$" doc:"All that is left, if it is left out." example:"12.34"`
	Description string   `json:"description,omitempty" maxLength:"1024" doc:"One line of at most 1,024 bytes, without control characters; longer notes have a place in metadata."`
	Metadata    Metadata `json:"metadata,omitempty"`
}

// NewRelease describes what clients submit to release a hold.
type NewRelease struct {
	ID          string   `json:"id" minLength:"1" maxLength:"128" doc:"Chosen by the client, printable ASCII: the ID of this transaction, not of the hold." example:"order-1001-release"`
	Description string   `json:"description,omitempty" maxLength:"1024" doc:"One line of at most 1,024 bytes, without control characters; longer notes have a place in metadata."`
	Metadata    Metadata `json:"metadata,omitempty"`
}

// NewBatch describes what clients submit together.
type NewBatch struct {
	Transactions []NewTransaction `json:"transactions" maxItems:"10000"`
	Atomic       bool             `json:"atomic,omitempty" doc:"All of them are posted, or none; at most 1,000 then. The parameter atomic=true says the same."`
}

// BatchResult describes one result of a batch: a decision as a transaction has
// it, or an error.
type BatchResult struct {
	ID     string `json:"id,omitempty"`
	Type   string `json:"type,omitempty" enum:"transfer,hold"`
	Status string `json:"status" enum:"posted,held,rejected,queued,dead,error"`
	Code   string `json:"code,omitempty"`
	Detail string `json:"detail,omitempty"`
	Shortfall
	Decided
	QueueState
	Replayed  bool           `json:"replayed,omitempty" doc:"The ID had been decided before: this is that decision."`
	DryRun    bool           `json:"dry_run,omitempty" doc:"It was asked for with dry_run=true: nothing was recorded."`
	Retryable bool           `json:"retryable,omitempty" doc:"Of an error: the same may succeed later."`
	Errors    []FieldProblem `json:"errors,omitempty" doc:"Of an error: which field, as a pointer into the request, or into the line of NDJSON."`
}

// BatchResults is one result for each transaction, in the order given.
type BatchResults struct {
	Results []BatchResult `json:"results"`
}

func postTransactionOperation() postOperation {
	return postOperation{
		id: "submit-transaction", method: http.MethodPost, path: "/v1/transactions", summary: "Submit a transaction",
		description: "The answer is sent after the commit is on disk. Submitting the same again is safe and gets the same answer. " +
			"With Prefer: respond-async, execute_at or retry_until it is queued durably and answered with 202 before it is decided.",
		headers:  preferParam,
		switches: []string{paramDryRun},
		bodies:   jsonBody[NewTransaction](),
		answers:  acceptedAnswers(decisionAnswers("Posted, or held")),
	}
}

// decisionAnswers are the statuses of the decision about one transaction.
func decisionAnswers(done string) map[int]answer {
	return map[int]answer{
		201: {description: done, contents: jsonBody[Transaction]()},
		200: {description: "Decided before: the same answer again. Or a dry run", contents: jsonBody[Transaction](), replayed: true},
		422: {
			description: "Rejected: the decision is recorded under the ID, unless it was a dry run",
			contents:    map[string]reflect.Type{problemType: reflect.TypeFor[Problem]()}, replayed: true,
		},
	}
}

// preferParam describes the header that asks for the durable queue.
var preferParam = map[string]string{preferHeader: respondAsync + ": queue it durably, and answer with 202 before it is decided."}

// acceptedAnswers adds that of a transaction that was queued.
func acceptedAnswers(answers map[int]answer) map[int]answer {
	answers[202] = answer{description: "Queued, durably: look at its Location", contents: jsonBody[Transaction]()}
	return answers
}

// settlementOperation is a postOperation of one type of transaction.
type settlementOperation struct {
	postOperation
	kind rbcs.Type
}

func settlementOperations() []settlementOperation {
	operation := func(kind rbcs.Type, verb, summary, description, done string, body map[string]reflect.Type) settlementOperation {
		return settlementOperation{kind: kind, postOperation: postOperation{
			id: verb + "-transaction", method: http.MethodPost, path: "/v1/transactions/{id}/" + verb, summary: summary,
			description: description, switches: []string{paramDryRun}, bodies: body, answers: decisionAnswers(done),
		}}
	}
	return []settlementOperation{
		operation(rbcs.Capture, "capture", "Capture a hold",
			"Moves all of what the hold in the path reserves, or a part: the rest is released in the same commit. "+
				"A hold is settled once; a due one can only be released.", "Captured", jsonBody[NewSettlement]()),
		operation(rbcs.Release, "release", "Release a hold", "Gives back all of what the hold in the path reserves.",
			"Released", jsonBody[NewRelease]()),
		operation(rbcs.Reversal, "reverse", "Reverse a transaction",
			"Moves all of what is left of the posted transfer or capture in the path back, or a part, as often as something "+
				"is left. The account that gives back keeps its limits: it may lack the funds. A transaction that does not exist is a 404.",
			"Reversed", jsonBody[NewSettlement]()),
	}
}

func postBatchOperation() postOperation {
	return postOperation{
		id: "submit-batch", method: http.MethodPost, path: "/v1/transactions/batch", summary: "Submit many transactions",
		description: "Each is decided by itself, in the order given; one that is wrong does not stop the others. With " +
			"application/x-ndjson each line is a transaction, and each line of the answer its result. With atomic all are posted, " +
			"or none: the rejected one says why, the others are rejected with group_failed, and the same members in the same " +
			"order replay as one. Where a member is malformed, or has the ID of another, nothing is submitted: it has its " +
			"error, and the others the error group_failed.",
		switches: []string{paramDryRun, paramAtomic},
		bodies:   map[string]reflect.Type{jsonType: reflect.TypeFor[NewBatch](), ndjsonType: reflect.TypeFor[NewTransaction]()},
		headers:  preferParam,
		answers: map[int]answer{
			200: {
				description: "One result for each, in the order given; of what has execute_at or retry_until that it is queued",
				contents:    map[string]reflect.Type{jsonType: reflect.TypeFor[BatchResults](), ndjsonType: reflect.TypeFor[BatchResult]()},
			},
			202: {
				description: "The same, of a batch that is queued as was preferred",
				contents:    map[string]reflect.Type{jsonType: reflect.TypeFor[BatchResults](), ndjsonType: reflect.TypeFor[BatchResult]()},
			},
		},
	}
}
