package rest

import (
	"encoding/json"
	"flag"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write the golden files anew")

// TestOpenAPIGolden: the document changes only on purpose (go test -update).
func TestOpenAPIGolden(t *testing.T) {
	w := call(newHandler(t, &fakeStore{}, &fakeEngine{}), "GET", "/openapi.json", "")
	if w.Code != 200 {
		t.Fatal(w.Code)
	}
	indented, err := json.MarshalIndent(json.RawMessage(w.Body.Bytes()), "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	golden := filepath.Join("testdata", "openapi.json")
	if *update {
		if err := os.WriteFile(golden, append(indented, '\n'), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if string(indented)+"\n" != string(want) {
		t.Errorf("the document differs from %s; look at the difference, then run go test -update", golden)
	}
}

// TestDocumentedMembers: what the decoder takes is what the document says.
func TestDocumentedMembers(t *testing.T) {
	c := newClient(t, newHandler(t, &fakeStore{}, &fakeEngine{}))
	for schema, members := range map[string][]string{
		"NewTransaction": transactionMembers, "NewBatch": batchMembers,
		"NewAccount": accountMembers, "AccountChange": changeMembers,
		"NewSettlement": settlementMembers, "NewRelease": releaseMembers,
		"NewWebhook": webhookMembers, "WebhookChange": webhookChangeMembers,
		"IntakeActions": intakeActionMembers, "IntakeAction": intakeActionMembers[:1],
	} {
		documented := c.resolve(map[string]any{"$ref": "#/components/schemas/" + schema})["properties"].(map[string]any)
		for _, m := range members {
			if documented[m] == nil {
				t.Errorf("%s.%s is not in the document", schema, m)
			}
		}
		if len(documented) != len(members) {
			t.Errorf("%s: the document has %d members, the decoder %d", schema, len(documented), len(members))
		}
	}
}

// client calls a handler and holds every answer against the document.
type client struct {
	t   *testing.T
	h   http.Handler
	doc map[string]any
}

func newClient(t *testing.T, h http.Handler) *client {
	return &client{t, h, object(t, call(h, "GET", "/openapi.json", "").Body.Bytes())}
}

// do sends a request; the operation is found by its path with parameters.
func (c *client) do(method, path, target, body string, header ...string) *httptest.ResponseRecorder {
	c.t.Helper()
	w := call(c.h, method, target, body, header...)
	operation, _ := c.at(c.doc, "paths", path, strings.ToLower(method)).(map[string]any)
	if operation == nil {
		c.t.Fatalf("%s %s is not in the document", method, path)
	}
	responses := operation["responses"].(map[string]any)
	response := responses[fmt.Sprint(w.Code)]
	if response == nil {
		response = responses["default"]
	}
	if w.Header().Get(replayedHeader) != "" && c.at(response, "headers", replayedHeader) == nil {
		c.t.Errorf("%s %s: the header %s is not in the document", method, path, replayedHeader)
	}
	contentType, _, _ := strings.Cut(w.Header().Get("Content-Type"), ";")
	schema := c.at(response, "content", contentType, "schema")
	if schema == nil {
		c.t.Fatalf("%s %s: status %d with %q is not in the document: %s", method, path, w.Code, contentType, w.Body)
	}
	if contentType == csvType {
		return w
	}
	documents := []string{w.Body.String()}
	if contentType == ndjsonType {
		documents = strings.Split(strings.TrimSuffix(w.Body.String(), "\n"), "\n")
	}
	for _, document := range documents {
		c.validate(path, object(c.t, []byte(document)), schema.(map[string]any))
	}
	return w
}

func (c *client) at(v any, keys ...string) any {
	for _, key := range keys {
		m, _ := v.(map[string]any)
		v = m[key]
	}
	return v
}

func (c *client) resolve(schema map[string]any) map[string]any {
	ref, ok := schema["$ref"].(string)
	if !ok {
		return schema
	}
	return c.at(c.doc, strings.Split(strings.TrimPrefix(ref, "#/"), "/")...).(map[string]any)
}

// validate checks types, members, required members and enums.
func (c *client) validate(where string, v any, schema map[string]any) {
	c.t.Helper()
	schema = c.resolve(schema)
	kind := map[string]string{
		"map[string]interface {}": "object", "[]interface {}": "array", "string": "string",
		"json.Number": "integer", "bool": "boolean",
	}[fmt.Sprintf("%T", v)]
	if schema["type"] != kind {
		c.t.Errorf("%s is a %s, the document says %v", where, kind, schema["type"])
		return
	}
	if enum, ok := schema["enum"].([]any); ok && !slices.Contains(enum, v) {
		c.t.Errorf("%s is %v, the document says %v", where, v, enum)
	}
	switch v := v.(type) {
	case []any:
		for i, item := range v {
			c.validate(fmt.Sprintf("%s[%d]", where, i), item, schema["items"].(map[string]any))
		}
	case map[string]any:
		if schema["additionalProperties"] == true {
			return
		}
		for name, member := range v {
			documented, ok := c.at(schema, "properties", name).(map[string]any)
			if !ok {
				c.t.Errorf("%s.%s is not in the document", where, name)
				continue
			}
			c.validate(where+"."+name, member, documented)
		}
		required, _ := schema["required"].([]any)
		for _, name := range required {
			if _, ok := v[name.(string)]; !ok {
				c.t.Errorf("%s.%s is required and missing", where, name)
			}
		}
	}
}
