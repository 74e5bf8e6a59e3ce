package main

import (
	"fmt"
	"io"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/schollz/progressbar/v3"

	"rbcs/client"
)

// How often progress is shown: to a person, and in a log.
const (
	barInterval  = 100 * time.Millisecond
	lineInterval = 5 * time.Second
)

// progress shows how far something is that takes long: a bar on a terminal,
// else a plain line now and then.
type progress struct {
	what, unit string
	items      atomic.Int64 // done so far; whoever works stores it
	fraction   func(items int64) float64
	stop       chan struct{}
	shown      sync.WaitGroup

	// What the rate is calculated from: only whoever shows it uses these.
	start, last time.Time
	lastItems   int64
	perSecond   int64
}

// progressOn starts to show progress on w until end is called. fraction returns
// how much of the whole is done, 0–1, or less than 0 where that is not known.
func progressOn(w io.Writer, what, unit string, fraction func(items int64) float64) *progress {
	now := time.Now()
	p := &progress{what: what, unit: unit, fraction: fraction, stop: make(chan struct{}), start: now, last: now}
	if isTerminal(w) {
		p.shown.Go(func() { p.bar(w) })
	} else {
		p.shown.Go(func() { p.lines(w) })
	}
	return p
}

// end stops showing progress and clears the bar.
func (p *progress) end() {
	close(p.stop)
	p.shown.Wait()
}

func (p *progress) bar(w io.Writer) {
	const steps = 1000
	bar := progressbar.NewOptions64(steps,
		progressbar.OptionSetWriter(w),
		progressbar.OptionSetWidth(30),
		progressbar.OptionUseANSICodes(true),
		progressbar.OptionClearOnFinish(),
		progressbar.OptionSetPredictTime(false), // the text says it
		progressbar.OptionSetElapsedTime(false),
		progressbar.OptionShowDescriptionAtLineEnd(),
		progressbar.OptionSetTheme(progressbar.Theme{Saucer: "█", SaucerPadding: "░", BarStart: "▕", BarEnd: "▏"}),
	)
	p.every(barInterval, func() {
		items := p.items.Load()
		fraction := p.fraction(items)
		bar.Describe(" " + p.text(items, fraction))
		_ = bar.Set64(int64(max(0, min(fraction, 0.999)) * steps)) // a terminal that is gone shows nothing; 1 would end the bar
	})
	_ = bar.Clear()
}

func (p *progress) lines(w io.Writer) {
	p.every(lineInterval, func() {
		items := p.items.Load()
		fraction := p.fraction(items)
		share := ""
		if fraction >= 0 {
			share = fmt.Sprintf("%.0f %%, ", 100*min(fraction, 1))
		}
		fmt.Fprintf(w, "%s: %s%s\n", p.what, share, p.text(items, fraction))
	})
}

func (p *progress) every(interval time.Duration, show func()) {
	ticker := time.NewTicker(interval)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
			show()
		case <-p.stop:
			return
		}
	}
}

// text returns "1,234,000 lines, 45,123/s, 12s left". The rate is that of the
// last second, so that a stall shows.
func (p *progress) text(items int64, fraction float64) string {
	now := time.Now()
	if since := now.Sub(p.last); since >= time.Second || p.last.Equal(p.start) {
		p.perSecond = int64(float64(items-p.lastItems) / max(since.Seconds(), 1e-3))
		if since >= time.Second {
			p.last, p.lastItems = now, items
		}
	}
	text := thousands(items) + " " + p.unit + ", " + thousands(p.perSecond) + "/s"
	if fraction > 0.001 && fraction < 1 {
		left := time.Duration(float64(now.Sub(p.start)) * (1 - fraction) / fraction)
		text += ", " + left.Round(time.Second).String() + " left"
	}
	return text
}

// rate returns how many there were in a second.
func rate(items int64, elapsed time.Duration) string {
	return thousands(int64(float64(items) / max(elapsed.Seconds(), 1e-3)))
}

// thousands writes a count as people read it: 1,234,567.
func thousands(n int64) string { return money(client.Amount(strconv.FormatInt(n, 10))) }

// money writes an amount as people read it: -1,234,567.89.
func money(amount client.Amount) string {
	digits, negative := strings.CutPrefix(string(amount), "-")
	end, _, _ := strings.Cut(digits, ".")
	for i := len(end) - 3; i > 0; i -= 3 {
		digits = digits[:i] + "," + digits[i:]
	}
	if negative {
		return "-" + digits
	}
	return digits
}
