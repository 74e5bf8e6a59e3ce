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
