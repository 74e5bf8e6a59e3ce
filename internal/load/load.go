// Package load puts load on a running service over HTTP, measures what it
// answers, and then checks that every balance is what was acknowledged.
//
// It is lean on purpose, since it often shares a machine with the service: one
// goroutine and one connection per client, requests appended into reused
// buffers, and no more read of an answer than is needed.
//
// # The check
//
// Each acknowledged posting is entered into a tally by account. A request whose
// outcome is not known is submitted again after the run, with the same IDs,
// until it is. Then every account's balance must be the one before the run plus
// the tally, what it holds must be the sum of the holds that are not settled, and
// its version must have grown by the number of its changes.
//
// # Open loop
//
// With a Rate, requests start at times fixed in advance, whatever the answers
// before them do, and latency counts from that time: a service that stalls is
// charged for all who had to wait (no coordinated omission).
package load

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"rbcs/client"
)

// Workload says what the requests are.
type Workload string

// The workloads.
const (
	Uniform Workload = "uniform" // transfers between any two accounts
	Zipf    Workload = "zipf"    // transfers; few accounts are in most of them
	Hot     Workload = "hot"     // transfers, all to the same account
	Hold    Workload = "hold"    // holds, each of which is then captured, whole or in part, or released
	Read    Workload = "read"    // balances
	Mixed   Workload = "mixed"   // as many balances as transfers, and no balance older than what was acknowledged
)

// Workloads returns all of them.
func Workloads() []Workload { return []Workload{Uniform, Zipf, Hot, Hold, Read, Mixed} }

// Config is a run.
type Config struct {
	URL      string
	Workload Workload
	Clients  int           // requests at a time
	Duration time.Duration // of the run, without what comes before and after
	Batch    int           // transactions in a request; of [Hold] only the holds come in batches
	Rate     float64       // transactions and reads a second; 0: as many as the clients get answered
	Accounts int
	Seed     uint64

	Begun      func()        // where it is set, is called when the load begins: the accounts are there
	ResolveFor time.Duration // how long the check may take to learn an outcome or to reach the service; 0: a minute
}

// Bounds of a Config.
const (
	maxClients  = 10_000
	maxBatch    = 10_000 // the service's
	maxAccounts = 10_000_000
)

// Validate reports every fault at once.
func (c *Config) Validate() error {
	var faults []error
	check := func(ok bool, format string, args ...any) {
		if !ok {
			faults = append(faults, fmt.Errorf(format, args...))
		}
	}
	base, err := url.Parse(c.URL)
	check(err == nil && base.Host != "" && (base.Scheme == "http" || base.Scheme == "https"),
		"url: %q does not begin with http:// or https:// and a host", c.URL)
	check(slices.Contains(Workloads(), c.Workload), "workload: %q is none of %v", c.Workload, Workloads())
	check(c.Clients >= 1 && c.Clients <= maxClients, "clients: %d is outside 1–%d", c.Clients, maxClients)
	check(c.Duration > 0, "duration: %s is not greater than zero", c.Duration)
	check(c.Batch >= 1 && c.Batch <= maxBatch, "batch: %d is outside 1–%d", c.Batch, maxBatch)
	check(c.Rate >= 0, "rate: %g is negative", c.Rate)
	check(c.Accounts >= 2 && c.Accounts <= maxAccounts, "accounts: %d is outside 2–%d", c.Accounts, maxAccounts)
	return errors.Join(faults...)
}

// round returns how many requests and transactions follow from one number of the
// plan: one request, or the holds and then each of their settlements.
func (c *Config) round() (requests, transactions int) {
	if c.Workload == Hold {
		return 1 + c.Batch, 2 * c.Batch
	}
	return 1, c.Batch
}

// patience is for how long the requests before the load are tried again: a
// service that is not there is soon told.
const patience = 5 * time.Second

func newClient(cfg *Config, patience time.Duration) (*client.Client, error) {
	return client.New(cfg.URL, client.WithUserAgent(userAgent), client.WithRetry(client.Retry{MaxElapsed: patience}))
}

// userAgent is how the service's operators see the load.
const userAgent = "rbcs-bench"

// runner is one run.
type runner struct {
	Config
	plan   plan
	target *target
	tally  *tally
	done   *atomic.Int64 // transactions and reads that were answered, for whoever watches
	start  time.Time
	next   atomic.Int64 // the number of the next request
}

// Run runs the load until its duration is over or ctx ends, and then checks. An
// error means that the check could not be made; what the check found is in the
// report. It writes to the service: accounts under a prefix of the run's own,
// and transactions between them. It counts in done what was answered so far.
func Run(ctx context.Context, cfg Config, done *atomic.Int64) (*Report, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	if cfg.ResolveFor == 0 {
		cfg.ResolveFor = time.Minute
	}
	setUp, err := newClient(&cfg, patience)
	if err != nil {
		return nil, err
	}
	defer setUp.Close()
	check, err := newClient(&cfg, cfg.ResolveFor)
	if err != nil {
		return nil, err
	}
	defer check.Close()
	run := strings.ToLower(rand.Text()[:10])
	r := &runner{
		Config: cfg, done: done,
		plan:   newPlan(&cfg, run),
		target: newTarget(&cfg),
		tally:  newTally(cfg.Accounts),
	}
	defer r.target.close()
	if err := r.createAccounts(ctx, setUp); err != nil {
		return nil, err
	}
	if cfg.Begun != nil {
		cfg.Begun()
	}
	workers, elapsed := r.load(ctx)
	report := newReport(&cfg, run, workers, elapsed)
	report.Interrupted = ctx.Err() != nil && elapsed < cfg.Duration

	// Who ends the run early still wants to know whether it was right.
	ctx = context.WithoutCancel(ctx)
	report.Check.Unresolved = r.resolve(ctx, workers, report)
	if err := r.compare(ctx, check, report); err != nil {
		return report, fmt.Errorf("the balances after the run could not be read: %w", err)
	}
	return report, nil
}
