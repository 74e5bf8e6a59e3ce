package telemetry

import (
	"log/slog"
	"strings"
	"testing"
	"time"
)

func TestDurationsAreReadable(t *testing.T) {
	var out strings.Builder
	logger, err := NewLogger(&out, "info", "json")
	if err != nil {
		t.Fatal(err)
	}
	logger.Info("x", slog.Duration("pause", 843351863), slog.Duration("short", 1234567), slog.Group("g", slog.Duration("long", 90*time.Second)), slog.Int("n", 1))
	for _, want := range []string{`"pause":"843ms"`, `"short":"1.235ms"`, `"g":{"long":"1m30s"}`, `"n":1`} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %s in %s", want, out.String())
		}
	}
}
