package rest

import (
	"net/http"
	"net/url"
	"strings"
)

// routes is a mux in which every segment that a client may write is a segment.
//
// [http.ServeMux] redirects what it finds unclean ("." and ".." and nothing
// between two slashes), and takes the segment "%2F" for a slash at the end. But
// ".", ".." and "/" are IDs like any other. So exactPath writes them in another
// way before they come to the mux, and a handler gets them back as they were.
type routes struct {
	http.ServeMux
	patterns []string
}

// slashMark stands for the segment "%2F". It is no ID and no number; where a
// client writes it, two of it come to the handler.
const slashMark = "\x00"

// HandleFunc registers a handler.
func (m *routes) HandleFunc(pattern string, handler func(http.ResponseWriter, *http.Request)) {
	m.patterns = append(m.patterns, pattern)
	m.ServeMux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
		for _, name := range []string{"id", "number"} {
			if r.PathValue(name) == slashMark {
				r.SetPathValue(name, "/")
			}
		}
		handler(w, r)
	})
}

// segments are those that the mux would not take for segments, and how they are written for it.
var segments = map[string]string{".": "%2E", "..": "%2E%2E", "%2F": "%00", "%2f": "%00", "%00": "%00%00"}

// exactPath returns the request as the mux is to see it. One with an empty
// segment has no route: its pattern is catchAll then.
func exactPath(r *http.Request) *http.Request {
	path := r.URL.EscapedPath()
	if !strings.Contains(path, "//") && !strings.Contains(path, "/.") && !strings.Contains(path, "/%") { // as nearly all
		return r
	}
	parts := strings.Split(path, "/")
	for i, part := range parts {
		if written, ok := segments[part]; ok {
			parts[i] = written
		}
	}
	r = r.WithContext(r.Context())
	if strings.Contains(path, "//") {
		r.Pattern = catchAll
		return r
	}
	u := *r.URL
	u.RawPath = strings.Join(parts, "/")
	var err error
	if u.Path, err = url.PathUnescape(u.RawPath); err != nil { // it was escaped well before
		panic(err)
	}
	r.URL = &u
	return r
}
