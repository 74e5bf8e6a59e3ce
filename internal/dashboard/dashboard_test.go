package dashboard

import (
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
)

func TestPages(t *testing.T) {
	for path, title := range map[string]string{"/": "<title>rbcs</title>", "/docs": "<title>rbcs API</title>"} {
		w := httptest.NewRecorder()
		Handler().ServeHTTP(w, httptest.NewRequest("GET", path, nil))
		document, policy := w.Body.String(), w.Header().Get("Content-Security-Policy")
		if w.Code != 200 || !strings.Contains(document, title) || !strings.HasPrefix(w.Header().Get("Content-Type"), "text/html") {
			t.Errorf("%s: status %d, type %s", path, w.Code, w.Header().Get("Content-Type"))
		}
		// Nothing comes from elsewhere, and all that is inline is in the policy.
		if found := regexp.MustCompile(`(?i)(src|href)\s*=\s*["']?(https?:)?//|@import|url\(|https?://`).FindString(document); found != "" {
			t.Errorf("%s loads from elsewhere: %s", path, found)
		}
		for _, tag := range []string{"style", "script"} {
			inline := regexp.MustCompile(`(?s)<`+tag+`>(.*?)</`+tag+`>`).FindAllStringSubmatch(document, -1)
			if len(inline) != 1 || !strings.Contains(policy, tag+"-src "+source(inline[0][1])) {
				t.Errorf("%s: the policy does not fit its %s: %s", path, tag, policy)
			}
		}
		if !strings.Contains(policy, "default-src 'none'") || strings.Contains(policy, "unsafe") {
			t.Errorf("%s: policy %s", path, policy)
		}
		if found := regexp.MustCompile(`innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(|\son[a-z]+="|\sstyle="`).FindString(document); found != "" {
			t.Errorf("%s: %s would make markup of what clients wrote, or break the policy", path, found)
		}
	}
}

func TestNoOtherPage(t *testing.T) {
	w := httptest.NewRecorder()
	Handler().ServeHTTP(w, httptest.NewRequest("GET", "/assets/index.js", nil))
	if w.Code != 404 {
		t.Errorf("status %d", w.Code)
	}
}

// TestThroughAGateway: whose metrics count no transactions, which must not look as if there were none.
func TestThroughAGateway(t *testing.T) {
	w := httptest.NewRecorder()
	Handler().ServeHTTP(w, httptest.NewRequest("GET", "/", nil))
	for _, part := range []string{`id="rates"`, "'rbcs_gateway_instances '", "'rbcs_gateway_instances_ready '", "This is a gateway: "} {
		if !strings.Contains(w.Body.String(), part) {
			t.Errorf("the page has no %s", part)
		}
	}
}

// TestTheQueueIsFound: what is queued or dead is asked for by its ID, since no list of the log has it.
func TestTheQueueIsFound(t *testing.T) {
	w := httptest.NewRecorder()
	Handler().ServeHTTP(w, httptest.NewRequest("GET", "/", nil))
	if !strings.Contains(w.Body.String(), "get('/v1/transactions/' + name)") {
		t.Error("the page does not look into the queue")
	}
}

// TestScriptsFit: the scripts find what they look for on the page, once each, and
// none of them uses another's constants before they are there.
func TestScriptsFit(t *testing.T) {
	w := httptest.NewRecorder()
	Handler().ServeHTTP(w, httptest.NewRequest("GET", "/", nil))
	document := w.Body.String()
	looked := regexp.MustCompile(`(?:\$|alarm)\('([a-z-]+)'`).FindAllStringSubmatch(document, -1)
	for _, id := range looked {
		if n := strings.Count(document, `id="`+id[1]+`"`); n != 1 {
			t.Errorf("the page has %d elements %s", n, id[1])
		}
	}
	if len(looked) < 20 {
		t.Errorf("the scripts look for %d elements only", len(looked))
	}
	if found := regexp.MustCompile(`(?m)^\$\(.*|^el\(.*`).FindString(asset("queue.js")); found != "" {
		t.Errorf("it runs before index.js does: %s", found)
	}
}

// TestQueue: dead letters are listed, opened, replayed and discarded as the API wants it.
func TestQueue(t *testing.T) {
	w := httptest.NewRecorder()
	Handler().ServeHTTP(w, httptest.NewRequest("GET", "/", nil))
	for _, part := range []string{
		"`/v1/intake?state=${state}&limit=${queue.limit}`", "get('/v1/intake/' + encodeURIComponent(id))",
		"send(`/v1/intake/${encodeURIComponent(t.id)}/${verb}`", "post('replay')", "post('discard')", "reason.value.trim()", "confirm(`Discard ",
		`<label for="states">`, `value="dead,retrying"`, "'Content-Type': 'application/json'",
		"rbcs_intake_depth", "rbcs_intake_oldest_seconds ", "hits|misses|marks_met|leases_met|fallbacks|checked|differences",
		`<section id="queue" aria-labelledby="queue-title" hidden>`, `<section id="cache" aria-labelledby="cache-title" hidden>`,
	} {
		if !strings.Contains(w.Body.String(), part) {
			t.Errorf("the page has no %s", part)
		}
	}
}

// TestNarrowAndIdle: on a narrow screen each cell says itself what it is, so that no
// column is out of sight, and a chart without transactions says so.
func TestNarrowAndIdle(t *testing.T) {
	w := httptest.NewRecorder()
	Handler().ServeHTTP(w, httptest.NewRequest("GET", "/", nil))
	for _, part := range []string{
		`class="base"`, `id="idle"`, "td button.link { white-space: normal; overflow-wrap: anywhere;", "No transactions in the last minute.", "dataset.title = title", "className: 'rows'",
		"@media (max-width: 40rem)", ".rows thead { display: none; }", "content: attr(data-title)", ".rows tr { display: flex; flex-wrap: wrap;",
	} {
		if !strings.Contains(w.Body.String(), part) {
			t.Errorf("the page has no %s", part)
		}
	}
}

// TestNothingButItems: a function with a second parameter that has a default gets
// an index there from flatMap or map, and would show it.
func TestNothingButItems(t *testing.T) {
	scripts := asset("index.js") + asset("queue.js") + asset("docs.js")
	for _, f := range regexp.MustCompile(`function (\w+)\(\w+, \w+ = `).FindAllStringSubmatch(scripts, -1) {
		if found := regexp.MustCompile(`\.(flatMap|map)\(` + f[1] + `\)`).FindString(scripts); found != "" {
			t.Errorf("%s passes the index of each item to %s", found, f[1])
		}
	}
	if !strings.Contains(scripts, "flatMap(t => transaction(t))") {
		t.Error("a transaction that is looked up is not shown")
	}
}
