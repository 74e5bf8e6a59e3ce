// Package dashboard serves two pages that need nothing from elsewhere: the
// state of an instance at /, and the reference of its API at /docs. Both read
// the public API with the browser of whoever looks, so that they can show no
// more than that person may see.
//
// Each page is one document. Its content security policy allows exactly its own
// script and style, by their hashes, and requests to its own origin.
package dashboard

import (
	"crypto/sha256"
	"embed"
	"encoding/base64"
	"net/http"
	"strings"
)

//go:embed assets
var assets embed.FS

// Handler serves / and /docs.
func Handler() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /{$}", newPage("index", "queue.js", "index.js"))
	mux.Handle("GET /docs", newPage("docs", "docs.js"))
	return mux
}

// page is a document and the policy that fits it.
type page struct {
	document []byte
	policy   string
}

// newPage puts a page together, its scripts in their order. It panics where an
// asset is missing, which a test would see.
func newPage(name string, scripts ...string) page {
	style, script := asset("style.css"), ""
	for _, s := range scripts {
		script += asset(s)
	}
	document := strings.NewReplacer("/*style*/", style, "/*script*/", script).Replace(asset(name + ".html"))
	return page{[]byte(document), strings.Join([]string{
		"default-src 'none'", "connect-src 'self'", "script-src " + source(script), "style-src " + source(style),
		"base-uri 'none'", "form-action 'none'", "frame-ancestors 'none'",
	}, "; ")}
}

func asset(name string) string {
	b, err := assets.ReadFile("assets/" + name)
	if err != nil {
		panic(err)
	}
	return string(b)
}

// source names an inline text in a content security policy.
func source(text string) string {
	sum := sha256.Sum256([]byte(text))
	return "'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'"
}

func (p page) ServeHTTP(w http.ResponseWriter, _ *http.Request) {
	header := w.Header()
	header.Set("Content-Type", "text/html; charset=utf-8")
	header.Set("Content-Security-Policy", p.policy)
	header.Set("Referrer-Policy", "no-referrer")
	header.Set("X-Content-Type-Options", "nosniff")
	_, _ = w.Write(p.document) // a browser that went away is nobody's fault
}
