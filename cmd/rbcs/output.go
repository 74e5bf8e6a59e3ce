package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"
	"text/tabwriter"

	"golang.org/x/term"
)

// quietLogger is for commands that a person runs: they say the rest themselves.
func (m *Main) quietLogger() *slog.Logger {
	return slog.New(slog.NewTextHandler(m.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
}

// isTerminal reports whether a person may be watching what is written to w.
func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

// printJSON writes a value on one line, for scripts.
func printJSON(w io.Writer, v any) error {
	encoder := json.NewEncoder(w)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(v); err != nil {
		return fmt.Errorf("write the answer: %w", err)
	}
	return nil
}

// printTable writes rows in columns; the first row is their head. A row may have fewer
// cells than that.
func printTable(w io.Writer, rows [][]string) error {
	var buf bytes.Buffer
	t := tabwriter.NewWriter(&buf, 0, 0, 2, ' ', 0)
	for _, row := range rows {
		missing := strings.Repeat("\t", max(0, len(rows[0])-len(row))) // a cell that is not there would end its column
		fmt.Fprintln(t, strings.Join(row, "\t")+missing)
	}
	if err := t.Flush(); err != nil {
		return fmt.Errorf("format the table: %w", err)
	}
	for line := range strings.Lines(buf.String()) {
		if _, err := fmt.Fprintln(w, strings.TrimRight(line, " \n")); err != nil {
			return fmt.Errorf("write the table: %w", err)
		}
	}
	return nil
}

// count writes a number of things: "1 account", "2 accounts".
func count(n int64, thing string) string {
	if n == 1 {
		return "1 " + thing
	}
	return thousands(n) + " " + thing + "s"
}
