package rest

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"rbcs"
)

// tx is validTx with one member replaced; an empty value removes it.
func tx(member, value string) string {
	var b strings.Builder
	b.WriteByte('{')
	for _, m := range [][2]string{
		{"id", `"t1"`},
		{"source", `"a"`},
		{"destination", `"b"`},
		{"amount", `"12.34"`},
		{"timestamp", `"2026-01-02T03:04:05Z"`},
		{member, value},
	} {
		if m[0] == member {
			m[1] = value
			if strings.Contains(b.String(), `"`+member+`"`) {
				continue
			}
		}
		if m[1] != "" {
			if b.Len() > 1 {
				b.WriteByte(',')
			}
			b.WriteString(`"` + m[0] + `":` + m[1])
		}
	}
	return b.String() + "}"
}

// TestBadTransaction is "What bad input gets", for one transaction: 400, the
// field, a clear message, and nothing reaches the engine.
func TestBadTransaction(t *testing.T) {
	tests := map[string]struct{ body, pointer, message string }{
		"unknown member":         {tx("execute_when", `"2027-01-01T00:00:00Z"`), "/execute_when", "not known"},
		"expires_at of transfer": {tx("expires_at", `"2027-01-01T00:00:00Z"`), "/expires_at", "only a hold"},
		"expires_at as number":   {strings.Replace(tx("expires_at", `1767323045`), "{", `{"type":"hold",`, 1), "/expires_at", "must be a string"},
		"expires_at of nowhere":  {strings.Replace(tx("expires_at", `"2027-01-01"`), "{", `{"type":"hold",`, 1), "/expires_at", "RFC 3339"},
		"original":               {tx("original", `"t0"`), "/original", "not known"},
		"odd member":             {tx("a~b/c", `1`), "/a~0b~1c", "not known"},
		"missing id":             {tx("id", ""), "/id", "missing"},
		"missing source":         {tx("source", ""), "/source", "missing"},
		"missing destination":    {tx("destination", ""), "/destination", "missing"},
		"missing amount":         {tx("amount", ""), "/amount", "missing"},
		"missing timestamp":      {tx("timestamp", ""), "/timestamp", "missing"},
		"id of another type":     {tx("id", `7`), "/id", "must be a string"},
		"null":                   {tx("currency", `null`), "/currency", "must be a string"},
		"object as a string":     {tx("source", `{"a":[1,{}]}`), "/source", "must be a string"},
		"number as amount":       {tx("amount", `12.34`), "/amount", "not a number"},
		"negative":               {tx("amount", `"-1"`), "/amount", "sign"},
		"zero":                   {tx("amount", `"0.00"`), "/amount", "greater than zero"},
		"exponent":               {tx("amount", `"1e3"`), "/amount", "exponent"},
		"40 digits":              {tx("amount", `"`+strings.Repeat("9", 40)+`"`), "/amount", "38 digits"},
		"leading zero":           {tx("amount", `"01"`), "/amount", "leading zeros"},
		"empty amount":           {tx("amount", `""`), "/amount", "empty"},
		"19 decimals":            {tx("amount", `"0.`+strings.Repeat("1", 19)+`"`), "/amount", "at most 18"},
		"1.234 USD":              {strings.Replace(tx("amount", `"1.234"`), `{`, `{"currency":"USD",`, 1), "/amount", "USD has 2"},
		"unknown currency":       {tx("currency", `"XXQ"`), "/currency", "not known"},
		"long currency":          {tx("currency", `"`+strings.Repeat("X", 33)+`"`), "/currency", "too long"},
		"NUL in id":              {tx("id", `"a\u0000"`), "/id", "printable"},
		"control in id":          {tx("id", `"a\nb"`), "/id", "printable"},
		"129 characters":         {tx("id", `"`+strings.Repeat("x", 129)+`"`), "/id", "129"},
		"reserved id":            {tx("id", `"rbcs.1"`), "/id", "belong to the service"},
		"lone surrogate":         {tx("id", `"\ud800"`), "/id", "printable"},
		"number with a slash":    {tx("source", `"a/b"`), "/source", "consists of"},
		"65 characters":          {tx("destination", `"`+strings.Repeat("x", 65)+`"`), "/destination", "65"},
		"NUL in description":     {tx("description", `"a\u0000"`), "/description", "control"},
		"long description":       {tx("description", `"`+strings.Repeat("x", 1025)+`"`), "/description", "1025"},
		"timestamp without zone": {tx("timestamp", `"2026-01-02T03:04:05"`), "/timestamp", "RFC 3339"},
		"year 20000":             {tx("timestamp", `"20000-01-02T03:04:05Z"`), "/timestamp", "years 1–9999"},
		"year 10000 in UTC":      {tx("timestamp", `"9999-12-31T23:59:59-01:00"`), "/timestamp", "outside the years"},
		"30 February":            {tx("timestamp", `"2026-02-30T03:04:05Z"`), "/timestamp", "no such day"},
		"month 13":               {tx("timestamp", `"2026-13-01T03:04:05Z"`), "/timestamp", "no such month"},
		"leap second":            {tx("timestamp", `"2026-06-30T23:59:60Z"`), "/timestamp", "no such time of day"},
		"year 0":                 {tx("timestamp", `"0000-01-02T03:04:05Z"`), "/timestamp", "years 1–9999"},
		"the zero time":          {tx("timestamp", `"0001-01-01T01:00:00.0000001+01:00"`), "/timestamp", "have no time"},
		"no timestamp":           {strings.Replace(validTx, `,"timestamp":"2026-01-02T03:04:05Z"`, "", 1), "/timestamp", "the time is missing"},
		"a word as timestamp":    {tx("timestamp", `"now-ish-and-then-some"`), "/timestamp", "RFC 3339"},
		"NUL in metadata":        {tx("metadata", `{"a":"\u0000"}`), "/metadata", "u0000"},
		"half pair in metadata":  {tx("metadata", `{"a":"\ud800"}`), "/metadata", "surrogate"},
		"comma":                  {tx("timestamp", `"2026-01-02T03:04:05,5Z"`), "/timestamp", "RFC 3339"},
		"timestamp as number":    {tx("timestamp", `1767323045`), "/timestamp", "must be a string"},
		"capture":                {tx("type", `"capture"`), "/type", "hold"},
		"metadata not an object": {tx("metadata", `[1]`), "/metadata", "not a JSON object"},
		"duplicate in metadata":  {tx("metadata", `{"a":1,"a":2}`), "/metadata", "stands twice"},
		"large metadata":         {tx("metadata", `{"a":"`+strings.Repeat("x", 16<<10)+`"}`), "/metadata", "at most 16384"},
		"member twice":           {strings.Replace(validTx, "{", `{"id":"t2",`, 1), "/id", "stands twice"},
		"escaped member twice":   {strings.Replace(validTx, "{", `{"\u0069d":"t2",`, 1), "/id", "stands twice"},
		"an array":               {"[" + validTx + "]", "", "is an object"},
		"a string":               {`"x"`, "", "is an object"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			engine := &fakeEngine{}
			w := call(newHandler(t, &fakeStore{}, engine), "POST", "/v1/transactions", test.body)
			p := wantProblem(t, w, 400, rbcs.InvalidRequest)
			fields := p["errors"].([]any)
			if len(fields) != 1 {
				t.Fatalf("faults %v", fields)
			}
			field := fields[0].(map[string]any)
			if field["pointer"] != test.pointer || !strings.Contains(field["message"].(string), test.message) {
				t.Errorf("fault %v, want %q at %q", field, test.message, test.pointer)
			}
			if len(engine.got) != 0 {
				t.Error("it reached the engine")
			}
		})
	}
}

// wantProblem checks that an answer is a whole problem document.
func wantProblem(t *testing.T, w *httptest.ResponseRecorder, status int, code rbcs.Code) map[string]any {
	t.Helper()
	p := object(t, w.Body.Bytes())
	if w.Code != status || w.Header().Get("Content-Type") != problemType {
		t.Fatalf("status %d, type %q, body %s", w.Code, w.Header().Get("Content-Type"), w.Body)
	}
	for name, want := range map[string]string{"code": string(code), "type": problemURN + string(code), "title": titleOf(code)} {
		if p[name] != want {
			t.Errorf("%s is %v, want %v", name, p[name], want)
		}
	}
	if detail, _ := p["detail"].(string); detail == "" {
		t.Error("there is no detail")
	}
	if w.Header().Get("X-Content-Type-Options") != "nosniff" || w.Header().Get("Cache-Control") != "no-store" {
		t.Errorf("headers %v", w.Header())
	}
	return p
}

// TestAllFaultsAtOnce: a client hears of everything in one answer.
func TestAllFaultsAtOnce(t *testing.T) {
	w := call(newHandler(t, &fakeStore{}, &fakeEngine{}), "POST", "/v1/transactions", `{"id":"","amount":1,"x":2,"timestamp":"never"}`)
	p := wantProblem(t, w, 400, rbcs.InvalidRequest)
	var pointers []string
	for _, f := range p["errors"].([]any) {
		pointers = append(pointers, f.(map[string]any)["pointer"].(string))
	}
	if got, want := strings.Join(pointers, " "), "/amount /x /timestamp /id /source /destination"; got != want {
		t.Errorf("faults at %s, want %s", got, want)
	}
}

func TestBrokenBody(t *testing.T) {
	tests := map[string]struct {
		body, detail string
		status       int
		header       []string
	}{
		"cut off":          {body: `{"id":"t1"`, detail: "broken at byte 10", status: 400},
		"bad token":        {body: `{"id":nope}`, detail: "broken at byte 8", status: 400},
		"leading zero":     {body: `{"id":01}`, detail: "broken at byte 8", status: 400},
		"trailing comma":   {body: `{"id":"t1",}`, detail: "broken at byte 12", status: 400},
		"trailing data":    {body: validTx + `{}`, detail: "after top-level value", status: 400},
		"empty":            {body: "", detail: "empty", status: 400, header: []string{"Content-Type", jsonType}},
		"invalid UTF-8":    {body: "{\"id\":\"\xff\"}", detail: "UTF-8 at byte 7", status: 400},
		"control in JSON":  {body: "{\"id\":\"a\x01\"}", detail: "broken at byte 9", status: 400},
		"wrong type":       {body: validTx, detail: "application/json", status: 415, header: []string{"Content-Type", "text/plain"}},
		"no type":          {body: validTx, detail: "application/json", status: 415, header: []string{"Content-Type", ""}},
		"NDJSON for one":   {body: validTx, detail: "application/json", status: 415, header: []string{"Content-Type", ndjsonType}},
		"gzip":             {body: "\x1f\x8b", detail: "content encoding gzip", status: 415, header: []string{"Content-Encoding", "gzip"}},
		"Latin-1":          {body: validTx, detail: "charset ISO-8859-1", status: 415, header: []string{"Content-Type", jsonType + "; charset=ISO-8859-1"}},
		"more than 128 KB": {body: `{"id":"` + strings.Repeat("x", maxSingleBody) + `"}`, detail: "larger than", status: 413},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			w := call(newHandler(t, &fakeStore{}, &fakeEngine{}), "POST", "/v1/transactions", test.body, test.header...)
			p := wantProblem(t, w, test.status, rbcs.InvalidRequest)
			if !strings.Contains(p["detail"].(string), test.detail) {
				t.Errorf("detail %q, want %q", p["detail"], test.detail)
			}
		})
	}
}

// endless is a body that never ends.
type endless struct{ read int }

func (e *endless) Read(b []byte) (int, error) {
	for i := range b {
		b[i] = ' '
	}
	e.read += len(b)
	return len(b), nil
}

// TestLargeBody: 50 MB are refused by their length, or where that is not known as soon as they are too many.
func TestLargeBody(t *testing.T) {
	h := newHandler(t, &fakeStore{}, &fakeEngine{})
	for name, length := range map[string]int64{"announced": 50 << 20, "chunked": -1} {
		t.Run(name, func(t *testing.T) {
			body := &endless{}
			r := httptest.NewRequest("POST", "/v1/transactions/batch", body)
			r.ContentLength = length
			r.Header.Set("Content-Type", jsonType)
			w := httptest.NewRecorder()
			h.ServeHTTP(w, r)
			wantProblem(t, w, 413, rbcs.InvalidRequest)
			if body.read > 2*DefaultMaxBody {
				t.Errorf("%d bytes were read", body.read)
			}
		})
	}
}

// TestBodyThatBreaksOff: a client that stops in the middle is not taken for one that said less.
func TestBodyThatBreaksOff(t *testing.T) {
	body := io.MultiReader(strings.NewReader(validTx), errReader{})
	r := httptest.NewRequest("POST", "/v1/transactions/batch", body)
	r.Header.Set("Content-Type", ndjsonType)
	w := httptest.NewRecorder()
	engine := &fakeEngine{}
	newHandler(t, &fakeStore{}, engine).ServeHTTP(w, r)
	wantProblem(t, w, 400, rbcs.InvalidRequest)
	if len(engine.got) != 0 {
		t.Error("half a body reached the engine")
	}
}

type errReader struct{}

func (errReader) Read([]byte) (int, error) { return 0, errors.New("connection reset") }

func TestBadBatch(t *testing.T) {
	many := strings.Repeat(validTx+",", 10_999) + validTx
	tests := map[string]struct {
		body, detail, pointer string
		status                int
	}{
		"11,000 items":     {`{"transactions":[` + many + `]}`, "at most 10000", "", 413},
		"1,001 in a group": {`{"transactions":[` + many[:1001*(len(validTx)+1)-1] + `],"atomic":true}`, "at most 1000", "", 413},
		"atomic a string":  {`{"transactions":[],"atomic":"no"}`, "invalid", "/atomic", 400},
		"no transactions":  {`{}`, "invalid", "/transactions", 400},
		"an object":        {`{"transactions":{}}`, "invalid", "/transactions", 400},
		"bare array":       {`[]`, "invalid", "", 400},
		"dry_run":          {`{"transactions":[],"dry_run":true}`, "invalid", "/dry_run", 400},
		"twice":            {`{"transactions":[],"transactions":[]}`, "invalid", "/transactions", 400},
		"broken":           {`{"transactions":[{]}`, "broken at byte 19", "", 400},
		"unclosed":         {`{"transactions":[`, "broken at byte 17", "", 400},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			engine := &fakeEngine{}
			w := call(newHandler(t, &fakeStore{}, engine), "POST", "/v1/transactions/batch", test.body)
			p := wantProblem(t, w, test.status, rbcs.InvalidRequest)
			if !strings.Contains(p["detail"].(string), test.detail) {
				t.Errorf("detail %q, want %q", p["detail"], test.detail)
			}
			if test.pointer != "" && p["errors"].([]any)[0].(map[string]any)["pointer"] != test.pointer {
				t.Errorf("errors %v, want %s", p["errors"], test.pointer)
			}
			if len(engine.got) != 0 {
				t.Error("it reached the engine")
			}
		})
	}
	lines := strings.Repeat(validTx+"\n", 11_000)
	w := call(newHandler(t, &fakeStore{}, &fakeEngine{}), "POST", "/v1/transactions/batch", lines, "Content-Type", ndjsonType)
	wantProblem(t, w, 413, rbcs.InvalidRequest)
}

func TestRoutesThatDoNotExist(t *testing.T) {
	h := newHandler(t, &fakeStore{}, &fakeEngine{})
	wantProblem(t, call(h, "GET", "/v2/nothing", ""), 404, rbcs.NotFound)
	wantProblem(t, call(h, "GET", "/", ""), 404, rbcs.NotFound) // no dashboard was handed in
	for path, allow := range map[string]string{
		"/v1/transactions":           "GET, HEAD, POST",
		"/v1/transactions/h/reverse": "POST",
		"/v1/transactions/t1":        "GET, HEAD",
		"/v1/accounts/a":             "GET, HEAD, PATCH",
		"/v1/transactions/batch":     "GET, HEAD, POST",
		"/v1/accounts/a/balance":     "GET, HEAD",
		"/openapi.json":              "GET, HEAD",
		"/v1/accounts/a%2Fb/x/y/z":   "",
	} {
		w := call(h, "PUT", path, "")
		if allow == "" {
			wantProblem(t, w, 404, rbcs.NotFound)
			continue
		}
		wantProblem(t, w, 405, rbcs.InvalidRequest)
		if got := w.Header().Get("Allow"); got != allow {
			t.Errorf("%s allows %q, want %q", path, got, allow)
		}
	}
}

func TestBadParameters(t *testing.T) {
	h := newHandler(t, &fakeStore{}, &fakeEngine{})
	for target, pointer := range map[string]string{
		"/v1/accounts?limit=0":                                   "/limit",
		"/v1/accounts?limit=1001":                                "/limit",
		"/v1/accounts?limit=many":                                "/limit",
		"/v1/accounts?status=lost":                               "/status",
		"/v1/accounts?colour=red":                                "/colour",
		"/v1/accounts?currency=XXQ":                              "/currency",
		"/v1/accounts?prefix=a/b":                                "/prefix",
		"/v1/accounts?cursor=%21":                                "/cursor",
		"/v1/accounts?cursor=" + cursorOf(cursorTransactions, 5): "/cursor",
		"/v1/accounts?cursor=" + cursorOfNumber("a/b"):           "/cursor",
		"/v1/accounts/a%2Fb":                                     "/number",
		"/v1/accounts/a%00":                                      "/number",
		"/v1/transactions/a%00":                                  "/id",
		"/v1/transactions?account=a/b":                           "/account",
		"/v1/transactions?from=yesterday":                        "/from",
		"/v1/transactions?from=2026-01-02T00:00:00Z&to=2026-01-01T00:00:00Z":                            "/to",
		"/v1/transactions?cursor=" + cursorOf(ofAccount(cursorTransactions, ""), 0):                     "/cursor",
		"/v1/transactions?cursor=" + cursorOfNumber("a"):                                                "/cursor",
		"/v1/accounts/a/transactions?order=up":                                                          "/order",
		"/v1/accounts/a/transactions?order=desc&cursor=" + cursorOf(ofAccount(cursorAscending, "a"), 3): "/cursor",
		"/v1/accounts/a/balance?consistency=weak":                                                       "/consistency",
		"/v1/accounts/a/balance?min_version=-1":                                                         "/min_version",
		"/v1/accounts/a/balance?at=2026-01-01":                                                          "/at",
		"/v1/accounts/a/balance?at=9000-01-01T00:00:00Z":                                                "/at",
		"/v1/accounts/a/transactions?type=gift":                                                         "/type",
		"/v1/accounts/a/transactions?direction=up":                                                      "/direction",
		"/v1/accounts/a/transactions?counterparty=a/b":                                                  "/counterparty",
		"/v1/accounts/a/statement?limit=0":                                                              "/limit",
		"/v1/accounts/a/statement?from=2026-01-02T00:00:00Z&to=2026-01-02T00:00:00Z":                    "/to",
		"/v1/accounts/a/statement?cursor=" + cursorOf(ofAccount(cursorAscending, "a"), 3):               "/cursor",
		"/v1/accounts/a%2Fb/statement":                                                                  "/number",
		"/v1/accounts/a/statement?cursor=" + cursorOf(ofAccount(cursorStatement, "b"), 3):               "/cursor",
		"/v1/accounts/a/transactions?cursor=" + cursorOf(ofAccount(cursorAscending, "b"), 3):            "/cursor",
		"/v1/transactions?account=a&cursor=" + cursorOf(ofAccount(cursorTransactions, "b"), 3):          "/cursor",
		"/v1/transactions?account=a&cursor=" + cursorOf(ofAccount(cursorTransactions, ""), 3):           "/cursor",
		"/v1/accounts?limit=5&limit=6":                                                                  "/limit",
		"/v1/transactions?status=held&status=posted":                                                    "/status",
		"/v1/accounts?limit=%zz":                                                                        "",
		"/v1/balances?prefix=a/b":                                                                       "/prefix",
		"/v1/transactions?dry_run=maybe":                                                                "/dry_run",
		"/v1/transactions?dry_run=true&dry_run=true":                                                    "/dry_run",
		"/v1/transactions?atomic=true":                                                                  "/atomic",
		"/v1/transactions?dry_run=%zz":                                                                  "",
		"/v1/transactions/batch?atomic=1":                                                               "/atomic",
		"/v1/transactions/h/capture?atomic=true":                                                        "/atomic",
		"/v1/accounts?dry_run=true":                                                                     "/dry_run",
		"/v1/events?after=-1":                                                                           "/after",
		"/v1/events?after=now":                                                                          "/after",
		"/v1/events?last_event_id=7":                                                                    "/last_event_id",
		"/v1/events?account=a/b":                                                                        "/account",
		"/v1/events?prefix=a/b":                                                                         "/prefix",
		"/v1/events?colour=red":                                                                         "/colour",
		"/v1/webhooks/a%00":                                                                             "/id",
	} {
		method, body := "GET", ""
		if strings.Contains(target, "dry_run") || strings.Contains(target, "atomic") {
			method, body = "POST", validTx
		}
		p := wantProblem(t, call(h, method, target, body), 400, rbcs.InvalidRequest)
		if fields := p["errors"].([]any); fields[0].(map[string]any)["pointer"] != pointer {
			t.Errorf("%s: errors %v, want %s", target, fields, pointer)
		}
	}
}

// TestMetadataIsTheClients: control characters are its own, and come back escaped.
func TestMetadataIsTheClients(t *testing.T) {
	c := newService(t)
	c.account("bank", `,"overdraft":"unlimited"`)
	c.account("a", "")
	const note = `"metadata":{"note":"two\nlines\tand \u001b[31m \u007f"}`
	body := c.do("POST", postPath, postPath, strings.Replace(transfer("t", "bank", "a", "1"), "{", "{"+note+",", 1)).Body.String()
	if want := `"metadata":{"note":"two\nlines\tand \u001b[31m ` + "\x7f" + `"}`; !strings.Contains(body, want) {
		t.Errorf("%s\nwant %s", body, want)
	}
	document := call(c.h, "GET", "/openapi.json", "").Body.String()
	for _, part := range []string{"may have line feeds, tabs and other control characters", "U+0000 and half of a surrogate pair"} {
		if !strings.Contains(document, part) {
			t.Errorf("the document does not say %q", part)
		}
	}
	wantProblem(t, call(c.h, "POST", postPath, strings.Replace(transfer("u", "bank", "a", "1"), "{", `{"metadata":{"note":"\u0000"},`, 1)), 400, rbcs.InvalidRequest)
}

// TestOneDialect: what huma finds wrong with a parameter is said as what this package does.
func TestOneDialect(t *testing.T) {
	h := newHandler(t, &fakeStore{}, &fakeEngine{})
	for target, want := range map[string]string{
		"/v1/accounts?limit=0":                            "this is a whole number of at least 1",
		"/v1/accounts?limit=1001":                         "this is a whole number of at most 1000",
		"/v1/accounts?limit=many":                         "this is a whole number",
		"/v1/accounts/a/balance?min_version=-1":           "this is a whole number of at least 0",
		"/v1/accounts?status=lost":                        "this is one of open, frozen, frozen_outgoing, closed",
		"/v1/accounts?colour=red":                         "this request has no such parameter",
		"/v1/accounts/a/balance?colour=red":               "this request has no such parameter",
		"/v1/accounts?limit=5&limit=6":                    "this parameter stands twice",
		"/v1/accounts?cursor=" + strings.Repeat("a", 129): "this has at most 128 characters",
		"/v1/transactions?status=queued": "this is one of posted, held, rejected, captured, released, expired, reversed; " +
			"what is queued or dead is listed at /v1/intake",
		"/v1/transactions/" + strings.Repeat("%C3%BC", 10): "an ID consists of at most 128 printable ASCII characters",
	} {
		p := wantProblem(t, call(h, "GET", target, ""), 400, rbcs.InvalidRequest)
		if f := p["errors"].([]any)[0].(map[string]any); f["message"] != want {
			t.Errorf("%s: %v, want %s", target, f["message"], want)
		}
	}
	if got := titleOf(rbcs.IDConflict); got != "ID conflict" {
		t.Errorf("title %q", got)
	}
}

func TestBadAccounts(t *testing.T) {
	h := newHandler(t, &fakeStore{}, &fakeEngine{})
	post, patch := http.MethodPost, http.MethodPatch
	tests := []struct{ method, path, body, pointer string }{
		{post, "/v1/accounts", `{"currency":"USD"}`, "/number"},
		{post, "/v1/accounts", `{"number":"a"}`, "/currency"},
		{post, "/v1/accounts", `{"number":"a","currency":"XXQ"}`, "/currency"},
		{post, "/v1/accounts", `{"number":"a","currency":"USD","overdraft":"-1"}`, "/overdraft"},
		{post, "/v1/accounts", `{"number":"a","currency":"USD","overdraft":"1.234"}`, "/overdraft"},
		{post, "/v1/accounts", `{"number":"a","currency":"USD","overdraft":5}`, "/overdraft"},
		{post, "/v1/accounts", `{"number":"a","currency":"USD","balance":"5"}`, "/balance"},
		{post, "/v1/accounts", `{"number":"a","currency":"USD","metadata":3}`, "/metadata"},
		{post, "/v1/accounts", `[]`, ""},
		{post, "/v1/accounts/batch", `{}`, ""},
		{patch, "/v1/accounts/a", `{}`, ""},
		{patch, "/v1/accounts/a", `{"status":"gone"}`, "/status"},
		{patch, "/v1/accounts/a", `{"overdraft":"some"}`, "/overdraft"},
		{patch, "/v1/accounts/a", `{"metadata":[]}`, "/metadata"},
		{patch, "/v1/accounts/a", `{"number":"b"}`, "/number"},
		{patch, "/v1/accounts/a%2Fb", `{"status":"open"}`, "/number"},
	}
	for _, test := range tests {
		p := wantProblem(t, call(h, test.method, test.path, test.body), 400, rbcs.InvalidRequest)
		if fields := p["errors"].([]any); fields[0].(map[string]any)["pointer"] != test.pointer {
			t.Errorf("%s %s: errors %v, want %q", test.path, test.body, fields, test.pointer)
		}
	}
	many := "[" + strings.Repeat(`{"number":"a","currency":"USD"},`, 10_999) + `{"number":"a","currency":"USD"}]`
	wantProblem(t, call(h, post, "/v1/accounts/batch", many), 413, rbcs.InvalidRequest)
	wantProblem(t, call(h, post, "/v1/accounts/batch", `[{]`), 400, rbcs.InvalidRequest)
}
