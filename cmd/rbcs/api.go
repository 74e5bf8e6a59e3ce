package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"time"

	"rbcs"
	"rbcs/client"
)

// apiFlags are what the commands have in common that go through the API.
type apiFlags struct {
	URL  string `name:"url" default:"http://127.0.0.1:8080" placeholder:"URL" help:"Where the service is (${default})."`
	JSON bool   `name:"json" help:"Print JSON, for scripts; a list is one object on each line."`
}

// patience is for how long a command tries again what may pass: a person is waiting.
const patience = 2 * time.Second

// client returns a client of the service.
func (f apiFlags) client() (*client.Client, error) {
	c, err := client.New(f.URL, client.WithUserAgent("rbcs-cli"), client.WithRetry(client.Retry{MaxElapsed: patience}))
	if err != nil {
		return nil, usagef("--url: %w", err)
	}
	return c, nil
}

// explain says which service an error is about, if it may be the wrong one.
func (f apiFlags) explain(err error) error {
	if rbcs.CodeOf(err) == rbcs.Unavailable {
		return fmt.Errorf("%w (is `rbcs serve` running at %s?)", err, f.URL)
	}
	return err
}

// jsonObject is a value of --metadata.
type jsonObject json.RawMessage

// UnmarshalText refuses what is not a JSON object.
func (o *jsonObject) UnmarshalText(text []byte) error {
	var object map[string]json.RawMessage
	if err := json.Unmarshal(text, &object); err != nil || object == nil {
		return fmt.Errorf("%q is not a JSON object such as {\"order\": \"42\"}", text)
	}
	*o = jsonObject(text)
	return nil
}

// timeFlag is a moment as a person types it.
type timeFlag struct{ time.Time }

// UnmarshalText reads RFC 3339, or a date, which begins at midnight UTC.
func (t *timeFlag) UnmarshalText(text []byte) (err error) {
	if t.Time, err = rbcs.ParseTime(string(text)); err != nil {
		t.Time, err = time.Parse(time.DateOnly, string(text))
	}
	if err != nil || t.IsZero() {
		return fmt.Errorf("%q is not a time such as 2026-01-31T12:00:00Z, or a date such as 2026-01-31", text)
	}
	return nil
}

// formatTime writes a moment for a person.
func formatTime(t time.Time) string { return t.UTC().Format(rbcs.TimeFormat) }

// collect returns the first items of a list, and whether there are more.
func collect[T any](list iter.Seq2[T, error], limit int) (items []T, more bool, err error) {
	for item, err := range list {
		switch {
		case err != nil:
			return nil, false, err
		case len(items) == limit:
			return items, true, nil
		}
		items = append(items, item)
	}
	return items, false, nil
}

// printList prints the first items of a list: as JSON, or in a table with the
// given head.
func printList[T any](m *Main, f apiFlags, list iter.Seq2[T, error], limit int, head []string, row func(*T) []string) error {
	if limit < 1 {
		return usageError{errors.New("--limit is at least 1")}
	}
	items, more, err := collect(list, limit)
	if err != nil {
		return f.explain(err)
	}
	rows := [][]string{head}
	for i := range items {
		if f.JSON {
			if err := printJSON(m.Stdout, &items[i]); err != nil {
				return err
			}
			continue
		}
		rows = append(rows, row(&items[i]))
	}
	if !f.JSON {
		if err := printTable(m.Stdout, rows); err != nil {
			return err
		}
	}
	if more {
		fmt.Fprintf(m.Stderr, "there are more than %d; --limit shows more\n", limit)
	}
	return nil
}

// printOne prints one thing: as JSON, or as a table of names and values.
func printOne(m *Main, f apiFlags, v any, rows [][]string) error {
	if f.JSON {
		return printJSON(m.Stdout, v)
	}
	return printTable(m.Stdout, rows)
}

// pageSize returns how many items to ask for at once where limit are wanted:
// one more shows whether there are more.
func pageSize(limit int) int { return min(limit+1, 1000) }
