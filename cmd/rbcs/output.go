package main

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"
	"sync"
	"text/tabwriter"

	"golang.org/x/term"
)

// quietLogger is for commands that a person runs: they say the rest themselves.
func (m *Main) quietLogger() *slog.Logger {
	return slog.New(slog.NewTextHandler(m.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
}

// checkedWriter keeps the first error of its writes: a command whose output is
// lost, on a full disk, has not done what it was asked for.
type checkedWriter struct {
	io.Writer
	mu  sync.Mutex
	err error
}

func (c *checkedWriter) Write(b []byte) (int, error) {
	n, err := c.Writer.Write(b)
	c.mu.Lock()
	c.err = cmp.Or(c.err, err)
	c.mu.Unlock()
	return n, err
}

// fault returns the first error of the writes.
func (c *checkedWriter) fault() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err == nil {
		return nil
	}
	return fmt.Errorf("the output is not whole: %w", c.err)
}

// isTerminal reports whether a person may be watching what is written to w.
func isTerminal(w io.Writer) bool {
	if c, ok := w.(*checkedWriter); ok {
		w = c.Writer
	}
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
