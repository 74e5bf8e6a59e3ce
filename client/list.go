package client

import (
	"context"
	"iter"
	"maps"
	"net/http"
	"net/url"
	"slices"
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
		type page struct { // with one of the lists
			Accounts     []T    `json:"accounts"`
			Transactions []T    `json:"transactions"`
			Entries      []T    `json:"entries"`
			NextCursor   string `json:"next_cursor"`
		}
		for p, err := range cursor(ctx, c, path, query, func(p *page) string { return p.NextCursor }) {
			if err != nil {
				yield(none, err)
				return
			}
			for _, item := range slices.Concat(p.Accounts, p.Transactions, p.Entries) {
				if !yield(item, nil) {
					return
				}
			}
		}
	}
}

// cursor asks for the pages at path, one after the other; next says which one follows, "" for none.
func cursor[P any](ctx context.Context, c *Client, path string, query url.Values, next func(*P) string) iter.Seq2[P, error] {
	return func(yield func(P, error) bool) {
		query := maps.Clone(query) // whoever ranges twice starts twice
		for {
			var page, none P
			if err := c.call(ctx, http.MethodGet, path, query, nil, &page); err != nil {
				yield(none, err)
				return
			}
			if !yield(page, nil) || next(&page) == "" {
				return
			}
			query.Set("cursor", next(&page))
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
