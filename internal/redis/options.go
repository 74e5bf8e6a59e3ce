package redis

import (
	"errors"
	"fmt"
	"log/slog"
	"time"

	"rbcs"
)

// Defaults of [Options].
const (
	// DefaultTimeout is how long a read waits for Redis: many times what a
	// healthy one needs, and short enough that nobody notices a dead one.
	DefaultTimeout = 20 * time.Millisecond

	// DefaultMarkTimeout is how long a commit waits for its marks once there is
	// nothing else left to wait for. To give up costs it [rbcs.Trust] and turns
	// the cache off for many seconds, so that patience is cheaper.
	DefaultMarkTimeout = 100 * time.Millisecond

	// DefaultCheckEvery is how often cached entries are compared with the store.
	DefaultCheckEvery = 10 * time.Second
)

const (
	// lookEvery is how often the switch is looked at: four looks may be lost
	// before hits stop.
	lookEvery = rbcs.Trust / 4

	// lookTimeout bounds one look. One that takes longer is worth nothing.
	lookTimeout = rbcs.Trust

	// storeTimeout bounds a store read that several callers share, each of whom
	// may leave earlier.
	storeTimeout = 5 * time.Second

	// storeReads is how many store reads may be under way at once. More of them
	// would only be smaller.
	storeReads = 4

	// storeReadSize is how many accounts one store read covers at most.
	storeReadSize = 1_000

	// maxWaiting bounds the accounts that wait for a store read.
	maxWaiting = 100_000
)

// Options configures [Open].
type Options struct {
	Store   rbcs.BalanceReader // read where the cache has no answer
	Control rbcs.CacheControl  // the switch that all instances share
	Logger  *slog.Logger       // none: nothing is logged

	Timeout     time.Duration // of one request to Redis while a client waits; 0: DefaultTimeout
	MarkTimeout time.Duration // of what is left of a commit's marks; 0: DefaultMarkTimeout
	CheckEvery  time.Duration // between two self-checks; 0: DefaultCheckEvery, negative: none
}

func (o Options) withDefaults() (Options, error) {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	o.Timeout = defaultTo(o.Timeout, DefaultTimeout)
	o.MarkTimeout = defaultTo(o.MarkTimeout, DefaultMarkTimeout)
	o.CheckEvery = defaultTo(o.CheckEvery, DefaultCheckEvery)
	var faults []error
	if o.Store == nil || o.Control == nil {
		faults = append(faults, errors.New("it needs both a store and a control"))
	}
	if o.Timeout < 0 || o.MarkTimeout < 0 {
		faults = append(faults, fmt.Errorf("a timeout is negative: %v, %v", o.Timeout, o.MarkTimeout))
	}
	return o, errors.Join(faults...)
}

func defaultTo(d, byDefault time.Duration) time.Duration {
	if d == 0 {
		return byDefault
	}
	return d
}
