package intake

import (
	"log/slog"
	"math/rand/v2"
	"time"
)

// Outcome is what an attempt came to, for metrics.
type Outcome string

// The outcomes of attempts.
const (
	Posted   Outcome = "posted" // or held
	Rejected Outcome = "rejected"
	Refused  Outcome = "refused" // tried again until retry_until
	Failed   Outcome = "failed"  // by the infrastructure
	Dead     Outcome = "dead"
)

// Config bounds a [Queue]. A zero field takes its default.
type Config struct {
	Instance string // names this process among all: "rbcs"

	Workers     int           // that post at a time; 2
	Batch       int           // entries that a worker claims at once; 2,000
	Interval    time.Duration // between two looks at an empty queue; 250 ms
	Lease       time.Duration // after which a dead worker's claims are free; 30 s. Longer than the engine tries
	MaxAttempts int           // that may fail before an entry is a dead letter; 20, which is about a quarter of an hour

	// Between two attempts passes a random time between a half and all of Backoff
	// (1 s), doubled with every attempt up to MaxBackoff (1 min).
	Backoff, MaxBackoff time.Duration

	MaxEnqueue      int           // transactions that wait to be made durable; 50,000. Beyond it: Overloaded
	MaxEnqueueBytes int           // and their size; 64 MiB
	Timeout         time.Duration // of one call of the store; 5 s

	Observe func(Outcome, int) // is called with the number of attempts; nil for nothing
	Logger  *slog.Logger       // nil for slog.Default()
}

func (c Config) withDefaults() Config {
	setDefault(&c.Instance, "rbcs")
	setDefault(&c.Workers, 2)
	setDefault(&c.Batch, 2000)
	setDefault(&c.Interval, 250*time.Millisecond)
	setDefault(&c.Lease, 30*time.Second)
	setDefault(&c.MaxAttempts, 20)
	setDefault(&c.Backoff, time.Second)
	setDefault(&c.MaxBackoff, time.Minute)
	setDefault(&c.MaxEnqueue, 50_000)
	setDefault(&c.MaxEnqueueBytes, 64<<20)
	setDefault(&c.Timeout, 5*time.Second)
	if c.Observe == nil {
		c.Observe = func(Outcome, int) {}
	}
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	return c
}

func setDefault[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

// backoff returns how long to wait after the n-th attempt that failed, with
// jitter, so that what failed together does not come back together.
func (c *Config) backoff(n int) time.Duration {
	wait := c.Backoff
	for ; n > 1 && wait < c.MaxBackoff; n-- {
		wait *= 2
	}
	wait = min(wait, c.MaxBackoff)
	return wait/2 + rand.N(wait/2+1)
}
