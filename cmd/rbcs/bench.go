package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"rbcs"
	"rbcs/internal/load"
)

// BenchCmd puts load on a service.
type BenchCmd struct {
	URL      string        `name:"url" default:"http://127.0.0.1:8080" placeholder:"URL" help:"The service under load (${default})."`
	Workload load.Workload `default:"uniform" enum:"uniform,zipf,hot,hold,read,mixed" placeholder:"NAME" help:"uniform, zipf (few accounts are in most transfers), hot (all transfers go to one account), hold (holds, each then captured or released), read (balances) or mixed (as many balances as transfers) (${default})."`
	Clients  int           `default:"64" placeholder:"N" help:"Requests at a time (${default})."`
	Duration time.Duration `default:"10s" placeholder:"TIME" help:"How long the load lasts (${default})."`
	Batch    int           `default:"1" placeholder:"N" help:"Transactions in a request (${default}). Captures and releases are always requests of their own."`
	Rate     float64       `default:"0" placeholder:"N" help:"Transactions and reads a second, at fixed times whatever the answers do (open loop); latency counts from those times. 0: every client sends when it has its answer."`
	Accounts int           `default:"10000" placeholder:"N" help:"Accounts to make and use (${default})."`
	Seed     uint64        `default:"1" placeholder:"N" help:"Seed of what is sent (${default})."`
	JSON     string        `name:"json" env:"RBCS_BENCH_JSON" type:"path" placeholder:"FILE" help:"Write the report here as JSON; - is standard output."`
}

// Help is the long help of the command.
func (BenchCmd) Help() string {
	return `It writes: every run makes accounts bench:<run>:… and transfers between them, which
stay in the service's books. They sum to zero and touch no other account.

After the run every balance is compared with what was acknowledged. Outcomes that
stayed unknown are learnt first, by submitting the same IDs again. A difference, or
a read that was older than what was acknowledged before it, exits with 1.

Examples:

  rbcs bench
  rbcs bench --workload hot --batch 1000 --clients 8 --duration 30s
  rbcs bench --workload hold --clients 256
  rbcs bench --workload mixed --rate 2000 --clients 256 --json report.json`
}

func (c *BenchCmd) config() load.Config {
	return load.Config{
		URL: c.URL, Workload: c.Workload, Clients: c.Clients, Duration: c.Duration, Batch: c.Batch, Rate: c.Rate,
		Accounts: c.Accounts, Seed: c.Seed,
	}
}

// Validate checks what the types of the flags do not.
func (c *BenchCmd) Validate() error {
	cfg := c.config()
	return cfg.Validate()
}

// Run runs the load and the check.
func (c *BenchCmd) Run(ctx context.Context, m *Main) (err error) {
	out, err := c.openJSON()
	if err != nil {
		return err
	}
	if out != nil {
		defer func() { err = errors.Join(err, out.Close()) }()
	}
	fmt.Fprintf(m.Stderr, "bench writes to %s: %s accounts and transfers between them, which stay there\n", c.URL, thousands(int64(c.Accounts)))
	report, err := runLoad(ctx, m, c.config())
	if report != nil {
		printLoad(m.Stdout, report)
		err = errors.Join(err, c.writeJSON(m, out, report))
		if report.Interrupted {
			fmt.Fprintf(m.Stderr, "bench was cut short: the report is about %.1f of %s\n", report.Seconds, c.Duration)
		}
	}
	switch {
	case err != nil:
		return apiFlags{URL: c.URL}.explain(err)
	case !report.OK():
		return fmt.Errorf("the service at %s is not right about what it acknowledged: see the check above, and run `rbcs verify` on its store", c.URL)
	case report.Transactions.Posted+report.Reads.OK == 0:
		return fmt.Errorf("the service at %s answered nothing that was asked for: %s", c.URL, report.FirstError)
	}
	return nil
}

// runLoad runs a load and shows how far it is.
func runLoad(ctx context.Context, m *Main, cfg load.Config) (*load.Report, error) {
	var begun atomic.Pointer[time.Time]
	cfg.Begun = func() { begun.Store(new(time.Now())) }
	p := progressOn(m.Stderr, "bench", "done", func(int64) float64 { return timeShare(begun.Load(), cfg.Duration) })
	defer p.end()
	return load.Run(ctx, cfg, &p.items)
}

// timeShare returns how much of a load is over, or −1 before it begins.
func timeShare(begun *time.Time, duration time.Duration) float64 {
	if begun == nil {
		return -1
	}
	return time.Since(*begun).Seconds() / duration.Seconds()
}

// openJSON opens the file of --json before the load: it must not be the last
// thing to fail. What is in it stays until there is a report.
func (c *BenchCmd) openJSON() (*os.File, error) {
	if c.JSON == "" || c.JSON == "-" {
		return nil, nil
	}
	f, err := os.OpenFile(c.JSON, os.O_WRONLY|os.O_CREATE, 0o644)
	if err != nil {
		return nil, fmt.Errorf("--json: %w", err)
	}
	return f, nil
}

func (c *BenchCmd) writeJSON(m *Main, out *os.File, report *load.Report) error {
	switch {
	case c.JSON == "-":
		return printJSON(m.Stdout, report)
	case out == nil:
		return nil
	}
	text, err := json.MarshalIndent(report, "", "  ")
	if err != nil {
		return fmt.Errorf("--json: %w", err)
	}
	_, err = out.Write(append(text, '\n'))
	if info, failure := out.Stat(); failure == nil && info.Mode().IsRegular() {
		err = errors.Join(err, out.Truncate(int64(len(text)+1))) // it may have been longer
	}
	if err != nil {
		return fmt.Errorf("--json: %w", err)
	}
	return nil
}

// printLoad prints a report for a person.
func printLoad(w io.Writer, r *load.Report) {
	loop, cut := "closed loop", ""
	if r.Interrupted {
		cut = " (cut short)"
	}
	if r.Rate > 0 {
		loop = fmt.Sprintf("open loop at %s/s", thousands(int64(r.Rate)))
	}
	fmt.Fprintf(w, "%s, %d clients, %d per request, %s, %s accounts, %.1f s%s\n\n",
		r.Workload, r.Clients, r.Batch, loop, thousands(int64(r.Accounts)), r.Seconds, cut)
	row := func(what string, n int64, more string) {
		if n > 0 {
			fmt.Fprintf(w, "  %-12s %12s  %s\n", what, thousands(n), more)
		}
	}
	row("posted", r.Transactions.Posted, perSecond(r.Transactions.PerSecond))
	row("reads", r.Reads.OK, perSecond(r.Reads.PerSecond))
	row("from cache", r.Reads.Cached, "")
	row("rejected", r.Transactions.Rejected, "")
	row("shed", r.Transactions.Shed, "(overloaded or unavailable: refused at once, nothing recorded)")
	row("refused", r.Transactions.Refused, "")
	row("unknown", r.Transactions.Unknown, fmt.Sprintf("(%s of them learnt afterwards)", thousands(r.Check.Resolved)))
	row("reads failed", r.Reads.Failed, "")
	row("missed", r.Missed, "(requests that were due before the end and not sent)")
	row("requests", r.Requests, "answers: "+counts(r.Statuses))
	if codes := counts(r.Transactions.Codes); codes != "" {
		fmt.Fprintf(w, "  %-12s %12s  %s\n", "codes", "", codes)
	}
	if r.FirstError != "" {
		fmt.Fprintf(w, "  %-12s %12s  %s\n", "first error", "", r.FirstError)
	}
	fmt.Fprintln(w)
	printLatency(w, "write", r.WriteLatency)
	printLatency(w, "read", r.ReadLatency)
	printCheck(w, r)
}

func printLatency(w io.Writer, what string, l load.Latency) {
	if l.Count == 0 {
		return
	}
	fmt.Fprintf(w, "  %-5s latency, ms   p50 %s   p90 %s   p95 %s   p99 %s   p99.9 %s   max %s\n", what,
		millis(l.P50), millis(l.P90), millis(l.P95), millis(l.P99), millis(l.P999), millis(l.Max))
}

func printCheck(w io.Writer, r *load.Report) {
	fmt.Fprintln(w)
	for _, d := range r.Check.Examples {
		fmt.Fprintf(w, "  WRONG  %s: expected %s, found %s\n", d.Account, d.Expected, d.Found)
	}
	if r.Reads.Stale > 0 {
		fmt.Fprintf(w, "  STALE  %s reads were older than what was acknowledged before them\n", thousands(r.Reads.Stale))
	}
	if r.Check.Unresolved > 0 {
		fmt.Fprintf(w, "  UNKNOWN  %s outcomes could not be learnt\n", thousands(r.Check.Unresolved))
	}
	verdict := "OK: every balance is what was acknowledged"
	if !r.OK() {
		verdict = fmt.Sprintf("FAILED: %s accounts differ", thousands(r.Check.Differences))
	}
	fmt.Fprintf(w, "  check: %s accounts, difference %s. %s\n", thousands(int64(r.Check.Accounts)), r.Check.Difference, verdict)
}

func perSecond(rate float64) string { return thousands(int64(rate)) + "/s" }

// millis prints milliseconds with three digits that count.
func millis(ms float64) string {
	switch {
	case ms < 10:
		return fmt.Sprintf("%.2f", ms)
	case ms < 100:
		return fmt.Sprintf("%.1f", ms)
	}
	return thousands(int64(ms + 0.5))
}

// counts prints counts by name: "201 × 5,000, 429 × 3".
func counts[K ~string](m map[K]int64) string {
	parts := make([]string, 0, len(m))
	for _, key := range slices.Sorted(maps.Keys(m)) {
		name := string(key)
		if name == "" {
			name = string(rbcs.OutcomeUnknown)
		}
		parts = append(parts, name+" × "+thousands(m[key]))
	}
	return strings.Join(parts, ", ")
}
