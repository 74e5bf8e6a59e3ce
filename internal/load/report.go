package load

import (
	"time"

	"rbcs"
)

// Report is what a run came to.
type Report struct {
	Run      string   `json:"run"` // the accounts' prefix is bench:<run>:
	URL      string   `json:"url"`
	Workload Workload `json:"workload"`
	Clients  int      `json:"clients"`
	Batch    int      `json:"batch"`
	Rate     float64  `json:"rate,omitempty"` // asked for; 0 in a closed loop
	Accounts int      `json:"accounts"`
	Seed     uint64   `json:"seed"`
	Seconds  float64  `json:"seconds"`

	Interrupted bool `json:"interrupted,omitempty"` // it was ended before its duration; Seconds is how long it was

	Requests     int64            `json:"requests"`
	Transactions Transactions     `json:"transactions"`
	Reads        Reads            `json:"reads"`
	Missed       int64            `json:"missed,omitempty"` // requests that were due in an open loop and not sent in its time
	Statuses     map[string]int64 `json:"statuses"`         // answers by HTTP status; "none": no answer
	FirstError   string           `json:"first_error,omitempty"`

	WriteLatency Latency `json:"write_latency"` // of requests
	ReadLatency  Latency `json:"read_latency"`

	Check Check `json:"check"`
}

// Transactions counts transactions by what became of them.
type Transactions struct {
	Posted    int64               `json:"posted"` // or held
	Rejected  int64               `json:"rejected"`
	Shed      int64               `json:"shed"`    // refused for too much load or for now; certainly not recorded
	Refused   int64               `json:"refused"` // refused as wrong; certainly not recorded
	Unknown   int64               `json:"unknown"` // during the run; see Check.Resolved
	Codes     map[rbcs.Code]int64 `json:"codes"`   // of all that were not posted; "" where there was none
	PerSecond float64             `json:"posted_per_second"`
}

// Reads counts balances that were read.
type Reads struct {
	OK        int64   `json:"ok"`
	Cached    int64   `json:"cached"` // of them, served by a cache
	Failed    int64   `json:"failed"`
	Stale     int64   `json:"stale"` // older than what was acknowledged before the read began: must be 0
	PerSecond float64 `json:"per_second"`
}

// Check is the comparison of every balance with what was acknowledged.
type Check struct {
	Accounts    int          `json:"accounts"`
	Resolved    int64        `json:"resolved"`    // unknown outcomes that were learnt by submitting again
	Unresolved  int64        `json:"unresolved"`  // those that are still unknown: must be 0
	Differences int64        `json:"differences"` // accounts that differ: must be 0
	Difference  string       `json:"difference"`  // the sum of what they differ by, without signs: must be 0.00
	Examples    []Difference `json:"examples,omitempty"`

	cents int64
}

// Difference is an account that is not what it must be.
type Difference struct {
	Account  string `json:"account"`
	Expected string `json:"expected"`
	Found    string `json:"found"`
}

// OK reports whether every balance is what was acknowledged and no read was stale.
func (r *Report) OK() bool {
	return r.Check.Differences == 0 && r.Check.Unresolved == 0 && r.Reads.Stale == 0
}

func newReport(cfg *Config, run string, workers []*worker, elapsed time.Duration) *Report {
	r := &Report{
		Run: run, URL: cfg.URL, Workload: cfg.Workload, Clients: cfg.Clients, Batch: cfg.Batch, Rate: cfg.Rate,
		Accounts: cfg.Accounts, Seed: cfg.Seed, Seconds: elapsed.Seconds(),
		Transactions: Transactions{Codes: map[rbcs.Code]int64{}},
		Statuses:     map[string]int64{},
		Check:        Check{Accounts: cfg.Accounts, Difference: formatCents(0)},
	}
	var writes, reads histogram
	for _, w := range workers {
		writes.merge(&w.writes)
		reads.merge(&w.reads)
		addTo(r.Statuses, w.statuses)
		addTo(r.Transactions.Codes, w.codes)
		r.Transactions.Posted += w.kinds[posted]
		r.Transactions.Rejected += w.kinds[rejected]
		r.Transactions.Shed += w.kinds[shed]
		r.Transactions.Refused += w.kinds[refused]
		r.Transactions.Unknown += w.kinds[unknown]
		r.Reads.OK += w.read
		r.Reads.Cached += w.cached
		r.Reads.Failed += w.readFailed
		r.Reads.Stale += w.stale
		if w.firstError != nil && r.FirstError == "" {
			r.FirstError = w.firstError.Error()
		}
	}
	r.Requests = writes.count + reads.count
	r.WriteLatency, r.ReadLatency = writes.latency(), reads.latency()
	r.Transactions.PerSecond = float64(r.Transactions.Posted) / elapsed.Seconds()
	r.Reads.PerSecond = float64(r.Reads.OK) / elapsed.Seconds()
	if cfg.Rate > 0 {
		requests, transactions := cfg.round()
		due := cfg.Rate * min(elapsed, cfg.Duration).Seconds() * float64(requests) / float64(transactions)
		r.Missed = max(0, int64(due)-r.Requests)
	}
	return r
}

func addTo[K comparable](sum, part map[K]int64) {
	for key, n := range part {
		sum[key] += n
	}
}

func (r *Report) differs(account, expected, found string) {
	r.Check.Differences++
	if len(r.Check.Examples) < maxExamples {
		r.Check.Examples = append(r.Check.Examples, Difference{account, expected, found})
	}
}

// offBy adds what one balance is off by, without its sign.
func (c *Check) offBy(cents int64) {
	c.cents += max(cents, -cents)
	c.Difference = formatCents(c.cents)
}

func formatCents(n int64) string {
	return rbcs.AmountOf(n).Format(currency.Decimals)
}
