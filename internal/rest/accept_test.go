package rest

import (
	"net/http"
	"testing"
)

func TestChosen(t *testing.T) {
	for accept, want := range map[string]string{
		"": "", "*/*": "", "text/*": "", "text/html": "", ";;": "", "application/json-seq": "",
		"text/csv": csvType, "TEXT/CSV": csvType, "text/csv;q=1": csvType, "text/csv; header=present; q=0.1": csvType,
		"application/json, text/csv": jsonType, "text/csv,application/json": csvType,
		"application/json;q=0.5, text/csv": csvType, "text/csv;q=0.2,application/json;q=0.3": jsonType,
		"application/*, text/csv;q=0.1": "", "text/csv, */*;q=0.1": csvType, "text/csv;q=5, application/json;q=0.1": jsonType,
		"text/csv;q=0": "", "text/csv;q=0, application/json": jsonType, "text/csv;q=much": "",
	} {
		r := &http.Request{Header: http.Header{"Accept": {accept}}}
		if got := chosen(r, jsonType, csvType); got != want {
			t.Errorf("Accept: %s chooses %q, not %q", accept, got, want)
		}
	}
	r := &http.Request{Header: http.Header{"Accept": {"text/html", "application/x-ndjson"}}}
	if got := chosen(r, jsonType, ndjsonType); got != ndjsonType {
		t.Errorf("two lines choose %q", got)
	}
}
