package engine

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"rbcs"
)

// Config bounds an engine. A zero field takes its default.
type Config struct {
	MaxBatch        int // transactions in one commit; 2,000. Twice as many where most of them share one account
	MaxBatchBytes   int // and their size, but one transaction is always allowed; 4 MiB
	MaxPending      int // admitted and unanswered transactions; 50,000. Beyond it: Overloaded
	MaxPendingBytes int // and their size; 64 MiB
	InFlight        int // commits under way at once; 1, which SQLite needs. PostgreSQL: 2 or more
	Previews        int // with the store at once; 2. Eight times as many may wait for them

	CommitTimeout time.Duration // of one attempt; 5 s
	Deadline      time.Duration // of all attempts of one batch together; 10 s: clients wait for it

	// Between two attempts passes a random time of at most BackoffBase (10 ms),
	// doubled with every attempt up to BackoffMax (1 s).
	BackoffBase, BackoffMax time.Duration

	// AwayAfter is how long attempts must have failed because the store is away
	// ([rbcs.Error].Away) before submissions are refused at once; 1 s: a restart
	// or a failover that is shorter is waited for.
	AwayAfter time.Duration

	// Check looks whether the store is back, twice a second while it is away; it
	// is [rbcs.Store].Check. nil takes it for back, so that a batch has to try.
	Check func(context.Context) error

	// Observe is called after every attempt, by the goroutine that commits, of
	// which there are up to InFlight at once: it must be quick and must not panic.
	// nil for nothing.
	Observe func(Commit)

	// Committed is called after every successful commit and before it is
	// acknowledged, with the largest sequence in it, to wake those who follow the
	// log. It has Observe's duties.
	Committed func(sequence int64)

	// Cache is a cache of balances to keep up to date. The store must be an
	// [rbcs.FencedCommitter] then. nil for none.
	Cache Cache

	Logger *slog.Logger // nil for slog.Default()
}

// Commit describes one attempt to commit a batch, for metrics.
type Commit struct {
	Size     int // transactions
	Attempt  int // 1 for the first of the same transactions; parts of a split batch count anew
	Duration time.Duration
	Code     rbcs.Code // "" where it succeeded
}

func (c Config) withDefaults() Config {
	setDefault(&c.MaxBatch, 2_000)
	setDefault(&c.MaxBatchBytes, 4<<20)
	setDefault(&c.MaxPending, 50_000)
	setDefault(&c.MaxPendingBytes, 64<<20)
	setDefault(&c.InFlight, 1)
	setDefault(&c.Previews, 2)
	setDefault(&c.CommitTimeout, 5*time.Second)
	setDefault(&c.Deadline, 10*time.Second)
	setDefault(&c.BackoffBase, 10*time.Millisecond)
	setDefault(&c.BackoffMax, time.Second)
	setDefault(&c.AwayAfter, time.Second)
	if c.Check == nil {
		c.Check = func(context.Context) error { return nil }
	}
	if c.Observe == nil {
		c.Observe = func(Commit) {}
	}
	if c.Committed == nil {
		c.Committed = func(int64) {}
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

// validate lists all faults at once.
func (c *Config) validate(store rbcs.Committer) error {
	var faults []rbcs.FieldError
	check := func(ok bool, field, format string, args ...any) {
		if !ok {
			faults = append(faults, rbcs.FieldError{Pointer: "/" + field, Message: fmt.Sprintf(format, args...)})
		}
	}
	positive := func(n int64, field string) { check(n > 0, field, "%d is not greater than zero", n) }
	positive(int64(c.MaxBatch), "MaxBatch")
	positive(int64(c.MaxBatchBytes), "MaxBatchBytes")
	positive(int64(c.MaxPending), "MaxPending")
	positive(int64(c.MaxPendingBytes), "MaxPendingBytes")
	positive(int64(c.InFlight), "InFlight")
	positive(int64(c.Previews), "Previews")
	positive(int64(c.CommitTimeout), "CommitTimeout")
	positive(int64(c.BackoffBase), "BackoffBase")
	positive(int64(c.AwayAfter), "AwayAfter")
	check(c.Deadline >= c.CommitTimeout, "Deadline", "%v is shorter than one attempt may take, %v", c.Deadline, c.CommitTimeout)
	check(c.BackoffMax >= c.BackoffBase, "BackoffMax", "%v is less than BackoffBase, %v", c.BackoffMax, c.BackoffBase)
	_, fenced := store.(rbcs.FencedCommitter)
	check(c.Cache == nil || fenced, "Cache", "the store cannot be shared with a cache")
	if faults == nil {
		return nil
	}
	return &rbcs.Error{Code: rbcs.InvalidRequest, Message: "the engine's configuration is invalid", Fields: faults}
}
