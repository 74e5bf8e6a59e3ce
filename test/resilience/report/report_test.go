package report

import (
	"encoding/xml"
	"errors"
	"io"
	"strings"
	"testing"
	"time"
)

func run() *Run {
	r := &Run{Title: "Resilience", Seed: 7, Command: "go test", Took: 4 * time.Minute, Bin: time.Second}
	for i := range 240 {
		r.Throughput = append(r.Throughput, i%50)
	}
	r.Scenarios = []Scenario{
		{Name: "primary: killed", Start: 0, End: 60 * time.Second, Faults: 2, Requests: 1200, Transactions: 34_567, Recovery: []time.Duration{2 * time.Second, 100 * time.Millisecond}},
		{Name: "together & <more>", Start: time.Minute, End: 4 * time.Minute, Faults: 3, LostData: 5, Anomalous: 3, Anomalies: []string{"one", "two"}},
	}
	for i, name := range []string{"primary: killed", "primary: killed", "network: a & b", "Redis: gone"} {
		at := time.Duration(30+40*i) * time.Second
		r.Events = append(r.Events, Event{name, at, at + 2*time.Second})
	}
	r.Goals = []Goal{{"0 anomalies", "3", false}, {"two faults", "5", true}}
	return r
}

func TestMarkdownTellsEverything(t *testing.T) {
	text := run().Markdown("plot.svg")
	for _, want := range []string{
		"**3 anomalies** in 34,567 transactions under 5 injected faults", "(plot.svg)", "seed 7", "| 0 anomalies | 3 | **missed** |", "| two faults | 5 | met |",
		"| primary: killed | 2 | 1,200 | 34,567 | 0 | 0 | 2.0 s / 2.0 s |", "5 acknowledged transactions were lost in 3 promotions", "- one", "and 1 more",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is not in\n%s", want, text)
		}
	}
}

// TestSVGIsDrawn checks that the plot is XML, with a band for each fault in each panel that shows it.
func TestSVGIsDrawn(t *testing.T) {
	r := run()
	text := r.SVG()
	for decoder := xml.NewDecoder(strings.NewReader(text)); ; {
		if _, err := decoder.Token(); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
	}
	for want, count := range map[string]int{
		"network: a &amp; b": 2, `fill="#d98200"/>`: 2, // both panels show it
		`fill="#7a3fa0"/>`: 2, // before the excerpt
		"The whole run":    1, "An excerpt": 1,
	} {
		if n := strings.Count(text, want); n != count {
			t.Errorf("%q stands %d times in the plot, want %d", want, n, count)
		}
	}
}

func TestNice(t *testing.T) {
	for v, want := range map[float64]float64{0.7: 0.8, 1: 1, 1.2: 1.5, 3: 3, 7: 8, 99: 100, 101: 150} {
		if got := nice(v); got != want {
			t.Errorf("nice(%g) = %g, want %g", v, got, want)
		}
	}
}
