// Package telemetry sets up what the service tells its operators: logs through
// slog, and metrics for Prometheus.
package telemetry

import (
	"fmt"
	"io"
	"log/slog"
	"os"
	"time"

	"golang.org/x/term"
)

// NewLogger returns a logger that writes to w. level is debug, info, warn or
// error; format is text, json, or auto: text for a person where w is a terminal,
// JSON otherwise.
func NewLogger(w io.Writer, level, format string) (*slog.Logger, error) {
	var l slog.Level
	if err := l.UnmarshalText([]byte(level)); err != nil {
		return nil, fmt.Errorf("log level %q: write debug, info, warn or error", level)
	}
	f, ok := w.(*os.File)
	terminal := ok && term.IsTerminal(int(f.Fd()))
	options := &slog.HandlerOptions{Level: l, ReplaceAttr: readable}
	switch {
	case format == "text", format == "auto" && terminal:
		return slog.New(slog.NewTextHandler(w, options)), nil
	case format == "json", format == "auto":
		return slog.New(slog.NewJSONHandler(w, options)), nil
	}
	return nil, fmt.Errorf("log format %q: write auto, text or json", format)
}

// readable writes durations as people do, such as 843ms, in JSON too, where they
// would be nanoseconds.
func readable(_ []string, a slog.Attr) slog.Attr {
	if a.Value.Kind() != slog.KindDuration {
		return a
	}
	d := a.Value.Duration()
	unit := time.Microsecond
	if d >= 10*time.Millisecond {
		unit = time.Millisecond
	}
	return slog.String(a.Key, d.Round(unit).String())
}
