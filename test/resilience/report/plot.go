package report

import (
	"fmt"
	"html"
	"math"
	"slices"
	"strings"
	"time"
)

// The plot's measures, in pixels.
const (
	plotWidth   = 1180
	marginLeft  = 330 // for the names of the faults
	marginRight = 20
	curveHeight = 190
	laneHeight  = 15
	headHeight  = 46
	axisHeight  = 52
	gap         = 10 // between the curve and the lanes
)

// excerpt is how much of a run the second panel shows.
const excerpt = 90 * time.Second

// SVG draws the throughput over time and, beneath it, a lane for each fault in
// which every injection is a band: first the whole run, then an excerpt of the
// scenario in which faults come together.
func (r *Run) SVG() string {
	panels := []panel{{title: "The whole run", from: 0, to: r.Took, bin: max(r.Bin, (r.Took / 400).Truncate(r.Bin))}}
	if start, end := r.together(); end > start && r.Took > 2*excerpt {
		panels = append(panels, panel{title: "An excerpt, in which faults come together", from: start, to: end, bin: r.Bin})
	}
	height := headHeight
	for i := range panels {
		panels[i].lanes = r.lanes(&panels[i])
		height += panels[i].height()
	}
	var b strings.Builder
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" width="%d" height="%d" font-family="system-ui, sans-serif" font-size="11" fill="#222">
<rect width="100%%" height="100%%" fill="#fff"/>
<text x="16" y="26" font-size="17" font-weight="600">Transactions per second while everything breaks</text>
`, plotWidth, height, plotWidth, height)
	top := headHeight
	for i := range panels {
		r.draw(&b, &panels[i], top)
		top += panels[i].height()
	}
	b.WriteString("</svg>\n")
	return b.String()
}

// panel is a part of the run that is drawn.
type panel struct {
	title    string
	from, to time.Duration
	bin      time.Duration
	lanes    []string // the names of the faults
}

func (p *panel) height() int { return 22 + curveHeight + gap + len(p.lanes)*laneHeight + axisHeight }

// lanes returns the names of the faults in a panel, in the order in which they first came in the run.
func (r *Run) lanes(p *panel) (names []string) {
	for _, e := range r.Events {
		if e.End >= p.from && e.Start <= p.to && !slices.Contains(names, e.Name) {
			names = append(names, e.Name)
		}
	}
	return names
}

// together returns the middle of the scenario with the most kinds of faults.
func (r *Run) together() (start, end time.Duration) {
	most := 1
	for i := range r.Scenarios {
		s := &r.Scenarios[i]
		kinds := map[string]bool{}
		for _, e := range r.Events {
			if e.Start >= s.Start && e.End <= s.End {
				kinds[e.Name] = true
			}
		}
		if len(kinds) > most {
			most = len(kinds)
			start = max(s.Start, (s.Start+s.End-excerpt)/2)
			end = min(s.End, start+excerpt)
		}
	}
	return start, end
}

func (r *Run) draw(b *strings.Builder, p *panel, top int) {
	left, right := float64(marginLeft), float64(plotWidth-marginRight)
	x := func(at time.Duration) float64 {
		at = min(max(at, p.from), p.to)
		return left + (right-left)*float64(at-p.from)/float64(p.to-p.from)
	}
	rates := r.rates(p)
	ceiling := nice(slices.Max(append(rates, 1)))
	curveTop, base := float64(top+22), float64(top+22+curveHeight)
	y := func(rate float64) float64 { return base - (base-curveTop)*rate/ceiling }

	fmt.Fprintf(b, `<text x="16" y="%d" font-size="13" font-weight="600">%s</text>`+"\n", top+12, html.EscapeString(p.title))
	fmt.Fprintf(b, `<text x="16" y="%.0f" fill="#555">transactions decided per second,</text><text x="16" y="%.0f" fill="#555">mean of %g s</text>`+"\n", curveTop+14, curveTop+28, p.bin.Seconds())
	for k := range 5 {
		rate := ceiling * float64(k) / 4
		fmt.Fprintf(b, `<line x1="%.1f" x2="%.1f" y1="%.1f" y2="%.1f" stroke="#e4e4e4"/><text x="%.1f" y="%.1f" text-anchor="end" fill="#555">%s</text>`+"\n",
			left, right, y(rate), y(rate), left-6, y(rate)+4, number(int(rate)))
	}
	fmt.Fprintf(b, `<path fill="#4878a8" fill-opacity=".25" stroke="#2f5f8f" stroke-width="1" d="M%.1f %.1f`, left, base)
	for i, rate := range rates {
		at := p.from + time.Duration(i)*p.bin
		fmt.Fprintf(b, "H%.1fV%.1f", x(at), y(rate))
	}
	fmt.Fprintf(b, "H%.1fV%.1fZ\"/>\n", right, base)
	r.drawLanes(b, p, base+gap, x)
	r.drawTime(b, p, base+gap+float64(len(p.lanes)*laneHeight), curveTop, x)
}

// rates returns the transactions per second of each bin of a panel.
func (r *Run) rates(p *panel) []float64 {
	per := int(p.bin / r.Bin)
	var rates []float64
	for i := int(p.from / r.Bin); i < len(r.Throughput) && time.Duration(i)*r.Bin < p.to; i += per {
		sum := 0
		for _, n := range r.Throughput[i:min(i+per, len(r.Throughput))] {
			sum += n
		}
		rates = append(rates, float64(sum)/p.bin.Seconds())
	}
	return rates
}

// colors of the lanes, by what breaks.
var colors = map[string]string{
	"instance": "#c23b22", "primary": "#7a3fa0", "standby": "#7a3fa0", "network": "#d98200", "locks": "#8a6d3b",
	"Redis": "#2a8f5b", "clients": "#b0267f", "clock": "#2878b5", "SQLite": "#555",
}

func (r *Run) drawLanes(b *strings.Builder, p *panel, base float64, x func(time.Duration) float64) {
	for k, name := range p.lanes {
		top := base + float64(k*laneHeight)
		kind, _, _ := strings.Cut(name, ":")
		kind, _, _ = strings.Cut(kind, " ")
		color := colors[kind]
		if color == "" {
			color = "#333"
		}
		if k%2 == 0 {
			fmt.Fprintf(b, `<rect x="%d" y="%.1f" width="%d" height="%d" fill="#f6f6f6"/>`+"\n", marginLeft, top, plotWidth-marginRight-marginLeft, laneHeight)
		}
		fmt.Fprintf(b, `<text x="%d" y="%.1f" text-anchor="end" fill="%s">%s</text>`+"\n", marginLeft-6, top+laneHeight-4, color, html.EscapeString(name))
		for _, e := range r.Events {
			if e.Name == name && e.End >= p.from && e.Start <= p.to {
				from := x(e.Start)
				fmt.Fprintf(b, `<rect x="%.1f" y="%.1f" width="%.1f" height="%d" fill="%s"/>`+"\n", from, top+2, max(x(e.End)-from, 1.5), laneHeight-4, color)
			}
		}
	}
}

// drawTime draws the axis of time, and where scenarios begin.
func (r *Run) drawTime(b *strings.Builder, p *panel, bottom, curveTop float64, x func(time.Duration) float64) {
	for i := range r.Scenarios {
		if s := r.Scenarios[i].Start; s > p.from && s < p.to {
			fmt.Fprintf(b, `<line x1="%.1f" x2="%.1f" y1="%.1f" y2="%.1f" stroke="#999" stroke-dasharray="2 3"/>`+"\n", x(s), x(s), curveTop, bottom)
		}
	}
	step := time.Second * time.Duration(math.Ceil(nice((p.to-p.from).Seconds()/10)))
	for at := p.from.Truncate(step); at <= p.to; at += step {
		if at < p.from {
			continue
		}
		fmt.Fprintf(b, `<line x1="%.1f" x2="%.1f" y1="%.1f" y2="%.1f" stroke="#555"/><text x="%.1f" y="%.1f" text-anchor="middle" fill="#555">%d</text>`+"\n",
			x(at), x(at), bottom, bottom+4, x(at), bottom+16, int(at.Seconds()))
	}
	fmt.Fprintf(b, `<text x="%d" y="%.1f" text-anchor="middle" fill="#555">seconds since the run began; dashed: a scenario begins</text>`+"\n",
		(marginLeft+plotWidth-marginRight)/2, bottom+32)
}

// nice returns the least round number that is not below v: 1, 1.5, 2, 3, 4, 5, 6, 8, 10, 15, …
func nice(v float64) float64 {
	power := math.Pow(10, math.Floor(math.Log10(v)))
	for _, m := range []float64{1, 1.5, 2, 3, 4, 5, 6, 8, 10} {
		if m*power >= v {
			return m * power
		}
	}
	return v
}
