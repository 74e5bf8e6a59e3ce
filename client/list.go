package client

import (
	"context"
	"iter"
	"maps"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"rbcs"
)

// pages lists what stands in the pages at path, one page after the other.
func pages[T any](ctx context.Context, c *Client, path string, query url.Values, size int) iter.Seq2[T, error] {
	if size != 0 {
		query.Set("limit", strconv.Itoa(size))
	}
	return func(yield func(T, error) bool) {
		var none T
		query := maps.Clone(query) // whoever ranges twice starts twice
		for {
			var page struct { // with one of the two lists
				Accounts     []T    `json:"accounts"`
				Transactions []T    `json:"transactions"`
				NextCursor   string `json:"next_cursor"`
			}
			if err := c.call(ctx, http.MethodGet, path, query, nil, &page); err != nil {
				yield(none, err)
				return
			}
			for _, item := range append(page.Accounts, page.Transactions...) {
				if !yield(item, nil) {
					return
				}
			}
			if page.NextCursor == "" {
				return
			}
			query.Set("cursor", page.NextCursor)
		}
	}
}

func set(query url.Values, name, value string) {
	if value != "" {
		query.Set(name, value)
	}
}

func setTime(query url.Values, name string, t time.Time) {
	if !t.IsZero() {
		query.Set(name, formatTime(t))
	}
}

func formatTime(t time.Time) string { return t.UTC().Format(rbcs.TimeFormat) }
