package rest

import (
	"net/http"
	"reflect"
	"strconv"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"rbcs"
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

// tagOf returns what the path is about: "accounts" of "/v1/accounts/{number}".
func tagOf(path string) string {
	tag, _, _ := strings.Cut(strings.TrimPrefix(path, "/v1/"), "/")
	return tag
}

// postOperation describes an operation whose request this package reads itself.
type postOperation struct {
	id, method, path, summary, description string
	switches                               []string                // parameters that are true or false
	headers                                map[string]string       // by name: what they ask for
	params                                 []*huma.Param           // the others
	bodies                                 map[string]reflect.Type // by content type
	answers                                map[int]answer
}

// What the parameters of a path and the switches are, for the document.
var parameterDocs = map[string]string{
	"number":    "The account's number.",
	"id":        "The ID of what this is about.",
	paramDryRun: "true: decide, answer, and record nothing. The answer has dry_run, no sequence, and status 200 where it would be 201.",
	paramAtomic: "true: all of them are posted, or none, as with the member atomic. NDJSON has no other place for it.",
}

// answer is one of an operation's statuses.
type answer struct {
	description string
	contents    map[string]reflect.Type
	replayed    bool // the header may be there
}

// streamResponses describes what a GET answers that writes its body itself.
func streamResponses(description string, schemas map[string]*huma.Schema) map[string]*huma.Response {
	ok := &huma.Response{Description: description, Content: map[string]*huma.MediaType{}}
	for contentType, schema := range schemas {
		ok.Content[contentType] = &huma.MediaType{Schema: schema}
	}
	return map[string]*huma.Response{"200": ok}
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
		Tags:      []string{tagOf(p.path)},
		Responses: map[string]*huma.Response{},
	}
	if p.bodies != nil {
		op.RequestBody = &huma.RequestBody{Required: true, Content: contents(p.bodies)}
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
	for _, part := range strings.Split(p.path, "/") {
		if name, ok := strings.CutPrefix(part, "{"); ok {
			name = strings.TrimSuffix(name, "}")
			op.Parameters = append(op.Parameters, &huma.Param{
				Name: name, In: "path", Required: true, Description: parameterDocs[name],
				Schema: &huma.Schema{Type: huma.TypeString, MaxLength: new(rbcs.MaxIDBytes)},
			})
		}
	}
	op.Parameters = append(op.Parameters, p.params...)
	for name, description := range p.headers {
		op.Parameters = append(op.Parameters, &huma.Param{
			Name: name, In: "header", Description: description, Schema: &huma.Schema{Type: huma.TypeString},
		})
	}
	for _, name := range p.switches {
		op.Parameters = append(op.Parameters, &huma.Param{
			Name: name, In: "query", Description: parameterDocs[name], Schema: &huma.Schema{Type: huma.TypeBoolean, Default: false},
		})
	}
	api.OpenAPI().AddOperation(op)
}

const pathOfAccount = "/v1/accounts/{number}"
