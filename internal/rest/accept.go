package rest

import (
	"mime"
	"net/http"
	"slices"
	"strconv"
	"strings"
)

// chosen returns which of the offered content types the request's Accept prefers:
// by quality, then by place. It is "" where it names none, or prefers a wildcard,
// which leaves the choice to the service.
func chosen(r *http.Request, offered ...string) string {
	best, most := "", 0.0
	for _, accept := range r.Header.Values("Accept") {
		for part := range strings.SplitSeq(accept, ",") {
			contentType, parameters, err := mime.ParseMediaType(part)
			if strings.HasSuffix(contentType, "/*") {
				contentType = ""
			}
			if err != nil || contentType != "" && !slices.Contains(offered, contentType) {
				continue
			}
			quality := 1.0
			if text, ok := parameters["q"]; ok {
				if quality, err = strconv.ParseFloat(text, 64); err != nil || quality > 1 {
					continue
				}
			}
			if quality > most {
				best, most = contentType, quality
			}
		}
	}
	return best
}
