package webhook

import (
	"log/slog"
	"math/rand/v2"
	"net/http"
	"strconv"
	"time"

	"rbcs"
)

// Bounds that need no configuration.
const (
	// recordEvery is how much delivering a crash may repeat; skipEvery how long a
	// cursor may stay behind what its filter did not let through.
	recordEvery = 500 * time.Millisecond
	skipEvery   = time.Minute
	// minClaimGap passes between two claims, however much there is to claim.
	minClaimGap = 100 * time.Millisecond
	// storeTimeout bounds one call of the store.
	storeTimeout = 5 * time.Second
	// restPause is how long a worker that ended without an outcome stays away.
	restPause = time.Second
	// maxRetryAfter bounds what a receiver may ask for.
	maxRetryAfter = 24 * time.Hour
	// maxAnswerBytes of an answer are read, so that the connection can be used again.
	maxAnswerBytes = 16 << 10
	// maxErrorBytes bounds LastError.
	maxErrorBytes = 500
)

// Config says how to deliver. Instance and Encode are required; another zero
// field takes its default.
type Config struct {
	Instance string                                  // who claims; unique among the instances
	Encode   func(dst []byte, r *rbcs.Result) []byte // appends a decision as JSON
	Observe  func(d Delivery)                        // called after each attempt, by many goroutines; nil for nothing
	Logger   *slog.Logger                            // nil for slog.Default()

	AllowPrivate bool   // also deliver to loopback and private addresses, and by http
	UserAgent    string // "rbcs"
	// Transport sends the requests; nil for one that checks every address it
	// connects to. Another one must do so itself.
	Transport http.RoundTripper

	Lease      time.Duration // how long after an instance's death another takes over; 15 s
	ClaimEvery time.Duration // how often claims are renewed; 3 s
	Timeout    time.Duration // of a request; 15 s
	// Between two attempts passes a random time of at most BackoffBase (1 s),
	// doubled with every failure up to BackoffMax (1 h), and at least what the
	// receiver asks for by Retry-After.
	BackoffBase, BackoffMax time.Duration
	PauseAfter              time.Duration // of nothing but failures; 24 h
}

// Delivery describes one attempt, for metrics.
type Delivery struct {
	Outcome  Outcome
	Status   int // of the answer; 0 where there was none
	Duration time.Duration
}

// Outcome is what became of an attempt.
type Outcome string

// The outcomes of an attempt.
const (
	Delivered   Outcome = "delivered"
	Failed      Outcome = "failed"      // it will be made again
	Paused      Outcome = "paused"      // it failed, and the webhook is paused for it
	Interrupted Outcome = "interrupted" // the claim was lost, or the instance stops; it is made again
)

func (c Config) withDefaults() Config {
	setDefault(&c.UserAgent, "rbcs")
	setDefault(&c.Lease, 15*time.Second)
	setDefault(&c.ClaimEvery, 3*time.Second)
	setDefault(&c.Timeout, 15*time.Second)
	setDefault(&c.BackoffBase, time.Second)
	setDefault(&c.BackoffMax, time.Hour)
	setDefault(&c.PauseAfter, 24*time.Hour)
	if c.Transport == nil {
		c.Transport = newTransport(c.AllowPrivate)
	}
	if c.Observe == nil {
		c.Observe = func(Delivery) {}
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

// backoff returns how long to wait after so many failures: full jitter under a
// cap that doubles.
func (c *Config) backoff(failures int) time.Duration {
	limit := c.BackoffBase
	for range failures - 1 {
		if limit >= c.BackoffMax {
			break
		}
		limit *= 2
	}
	return rand.N(min(limit, c.BackoffMax)) + 1
}

// retryAfter returns what an answer asks for; 0 for nothing.
func retryAfter(answer *http.Response, now time.Time) time.Duration {
	if answer.StatusCode != http.StatusTooManyRequests && answer.StatusCode != http.StatusServiceUnavailable {
		return 0
	}
	value := answer.Header.Get("Retry-After")
	wait := time.Duration(0)
	if seconds, err := strconv.ParseUint(value, 10, 31); err == nil {
		wait = time.Duration(seconds) * time.Second
	} else if at, err := http.ParseTime(value); err == nil {
		wait = at.Sub(now)
	}
	return min(max(wait, 0), maxRetryAfter)
}
