package rbcs

import (
	"context"
	"time"
)

// How long entries of a balance cache live, whatever happens to who made them;
// a read never makes an entry live longer. Together LeaseLife and ValueLife
// bound how stale a cache can be that brings back entries which it had lost.
const (
	MarkLife  = 10 * time.Second // of a writer's mark: longer than an attempt to commit may take
	LeaseLife = time.Second      // of a reader's right to fill
	ValueLife = 4 * time.Second  // of a balance
)

// Trust is how long a look at [CacheControl] holds: the cache answers nobody
// who has not looked for so long, and whoever turns it off waits so long.
const Trust = time.Second

// Locked is what a commit tells about itself while it holds the locks of its accounts.
type Locked struct {
	Timeline int64    // of the database: it changes with a promotion
	Numbers  []string // the accounts whose balance or held the commit is about to change, each once
}

// Fence is what a cache does between a commit's locks and its COMMIT. It is
// called in every attempt that changes accounts, once these are locked, provided
// that [CacheControl] has been told that a cache is in use: before that nothing
// may be cached. It returns at once.
// What it returns waits, not for long, and reports whether it is certain that
// the cache holds no older balance of any of these accounts.
type Fence func(ctx context.Context, l Locked) (confirmed func() bool)

// FencedCommitter is a [Committer] that several processes with a cache share.
type FencedCommitter interface {
	Committer

	// CommitFenced is Commit with a fence around each attempt that changes an
	// account. Where the fence is not confirmed, nothing becomes visible before
	// the cache is turned off for everybody, long enough for all that it holds to die.
	//
	// Commit does the same without a fence: where a cache is in use, it is turned off.
	CommitFenced(ctx context.Context, batch []*Transaction, fence Fence) ([]Result, error)
}

// CacheControl is where the instances that share a database agree on whether
// their cache may answer.
type CacheControl interface {
	// Cache declares that a cache is in use, and looks whether it may answer.
	// The answer holds for [Trust] from the moment before the call.
	Cache(ctx context.Context) (CacheState, error)
}

// CacheState is what a look at [CacheControl] found.
type CacheState struct {
	Serve    bool      // hits may be served; fills and marks are always allowed
	Timeline int64     // of the database that was looked at, which accepts writes
	Database string    // identifies the database among those that may share a cache
	Now      time.Time // on the database's clock, which [Balance.AsOf] is of; zero where it is not known
}

// BalanceReading is an account's balance of now, and how it was read.
type BalanceReading struct {
	Balance
	Cached   bool   // by a cache
	Fillable bool   // by a store that saw no other transaction hold the account, for a cache that was declared there before ([CacheControl])
	Timeline int64  // of the database that was read
	Err      *Error // [NotFound], where there is no such account; nothing else is set then but Number
}

// BalanceReader reads balances of now.
type BalanceReader interface {
	// Balances returns one reading for each number, in the order given, each at
	// least as new as what anybody was told before the call.
	Balances(ctx context.Context, numbers []string) ([]BalanceReading, error)
}
