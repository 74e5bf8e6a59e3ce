package main

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"
)

// print prints what became of the lines.
func (s *importSummary) print(w io.Writer) {
	elapsed := time.Since(s.start)
	fmt.Fprintf(w, "%s lines in %s, %s/s\n", thousands(s.lines), elapsed.Round(time.Millisecond), rate(s.lines, elapsed))
	row := func(what string, n int64, more string) {
		if n > 0 {
			fmt.Fprintf(w, "  %-18s %12s%s\n", what, thousands(n), more)
		}
	}
	row("accounts created", s.created, "")
	row("accounts known", s.existing, "")
	row("posted", s.posted, "")
	row("held", s.held, "")
	row("replayed", s.replayed, "   (decided before; no money moved)")
	var rejected int64
	var codes []string
	for _, code := range slices.Sorted(maps.Keys(s.rejected)) {
		rejected += s.rejected[code]
		codes = append(codes, fmt.Sprintf("%s %s", code, thousands(s.rejected[code])))
	}
	row("rejected", rejected, "   ("+strings.Join(codes, ", ")+")")
	row("refused", s.refused, "")
	row("not recorded", s.absent, "   (nothing of them was decided)")
	row("outcome unknown", s.unknown, "   (the answer was lost)")
}

// clearLine returns what removes a progress bar before something else is printed.
func clearLine(w io.Writer) string {
	if isTerminal(w) {
		return "\r\x1b[K"
	}
	return ""
}
