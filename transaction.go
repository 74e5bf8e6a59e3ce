package rbcs

import (
	"crypto/sha256"
	"encoding/hex"
	"time"
)

// Type is what a transaction does.
type Type string

// The types of transactions.
const (
	Transfer Type = "transfer" // moves the amount at once
	Hold     Type = "hold"     // reserves the amount on the source; decided later
	Capture  Type = "capture"  // settles a hold: moves all or part of it, releases the rest
	Release  Type = "release"  // settles a hold: gives all of it back
	Expiry   Type = "expiry"   // the service's own release of a hold that is due
	Reversal Type = "reversal" // moves all or part of a posted transaction back
)

// Status is what became of a transaction.
type Status string

// The statuses of a recorded transaction. A record never changes: captured,
// released, expired and reversed are seen from the transactions that refer to it.
const (
	Posted   Status = "posted"
	Holding  Status = "held"
	Rejected Status = "rejected"
)

// What a recorded transaction is now, because of others that refer to it.
const (
	Captured Status = "captured" // a hold, by a capture
	Released Status = "released" // a hold, by a release
	Expired  Status = "expired"  // a hold, by an expiry
	Reversed Status = "reversed" // a transfer or capture, by reversals of its whole amount
)

// Transaction is what a client submits. The service treats it as immutable.
type Transaction struct {
	ID          string // unique, chosen by the client: 1–128 printable ASCII characters
	Type        Type
	Source      string
	Destination string
	Amount      Decimal   // zero in a capture or reversal: all that is left
	Currency    string    // "" means the source account's
	Timestamp   time.Time // when it happened, in the client's words; UTC, to the microsecond
	ExpiresAt   time.Time // of a hold; zero for none
	ExecuteAt   time.Time // not decided before; zero for at once. The durable queue keeps it until then
	RetryUntil  time.Time // a rejection that may pass is not recorded before, but decided again; zero for never
	Original    string    // the ID of what a capture, release or reversal refers to
	Description string
	Metadata    string // canonical JSON object, "" for none
	Group       Group  // zero for a transaction of its own
	Actor       string // who submitted it; not part of its content
	Turn        Turn   // how the durable queue submits it; not part of its content
	Retry       int    // the attempt that an explicit retry of a rejected ID makes, from 2 on; 0 for a submission; not part of its content
}

// Settles reports whether the transaction refers to another one, from which its
// accounts and its currency follow: they are no content of its own.
func (t *Transaction) Settles() bool {
	switch t.Type {
	case Capture, Release, Expiry, Reversal:
		return true
	}
	return false
}

// Group makes a transaction a member of an atomic group: all of its members are
// posted, or none. Members stand together and in order in a batch.
type Group struct {
	ID       string // [GroupID] of the members; "" for no group
	Position int    // from 0
	Size     int
}

// MaxGroup is how many members an atomic group may have: they share one commit.
const MaxGroup = 1000

// Unit returns how many transactions at the head of txs stand or fall together:
// 1, or the size of the atomic group that begins there. It fails with
// [InvalidRequest] where that group is not whole: members are missing, out of
// order, or not distinct. txs must not be empty.
func Unit(txs []*Transaction) (int, *Error) {
	group := txs[0].Group
	if group.ID == "" {
		return 1, nil
	}
	if group.Size < 1 || group.Size > MaxGroup || group.Size > len(txs) {
		return 0, Errorf(InvalidRequest, "the atomic group is not whole: %d of its %d members are here, and at most %d are allowed", len(txs), group.Size, MaxGroup)
	}
	seen := make(map[string]bool, group.Size)
	for i, t := range txs[:group.Size] {
		switch {
		case t.Group != Group{ID: group.ID, Position: i, Size: group.Size}:
			return 0, Errorf(InvalidRequest, "the atomic group is not whole: member %d of %d is missing or out of order", i+1, group.Size)
		case seen[t.ID]:
			return 0, Errorf(InvalidRequest, "the ID %s stands twice in one atomic group", t.ID)
		}
		seen[t.ID] = true
	}
	return group.Size, nil
}

// GroupID returns what identifies the atomic group of these members in this
// order: the SHA-256 of their IDs, which cannot contain the byte between them.
func GroupID(members []*Transaction) string {
	hash := sha256.New()
	for _, t := range members {
		hash.Write([]byte(t.ID))
		hash.Write([]byte{0})
	}
	return hex.EncodeToString(hash.Sum(nil))
}

// State is an account as one transaction left it.
type State struct {
	Balance Amount
	Held    Amount
	Version int64 // 0 where the transaction did not touch the account
}

// Result is the one decision about a transaction.
//
// Where Err is nil the decision is recorded under the ID, durably, and every
// later submission of the same content gets the same Result with Replayed set.
// Where Err is set nothing was recorded by this submission.
type Result struct {
	Transaction Transaction // as recorded: the currency is resolved, the amount has its decimals
	Status      Status
	Code        Code      // why it was rejected; "" otherwise
	Shortfall   Shortfall // of InsufficientFunds, AmountExceedsHold and AmountExceedsReversible
	// SettledBy is what the rejection is about. Of HoldNotOpen: the ID of what settled the hold, the hold's own where it
	// was rejected, "" where it is due and nothing settled it yet. Of AccountNotFound, AccountFrozen, AccountClosed and
	// Overflow: the number of that account, the source's where it is both. Of HoldNotFound: the type of what has the ID,
	// "" for nothing. Of AmountExceedsReversible: "rejected", or the type of what cannot be reversed, "" of what can.
	SettledBy   string
	Remainder   Amount    // what the hold or original had beyond this amount: released with a capture, still reversible after a reversal; below zero where too much was asked for
	Sequence    int64     // its place in the committed log
	CommittedAt time.Time // when the database decided it; never runs backward on an account
	Source      State
	Destination State
	Attempt     int    // 1, or one more with each explicit retry of a rejected ID
	Instance    string // the instance that committed it
	Replayed    bool
	Err         *Error
}

// Shortfall explains a rejection: Short = Needed − Available − Overdraft > 0,
// or the largest amount where that has more than 38 digits. All are zero where
// a reversal of all that is left finds nothing.
type Shortfall struct {
	Available Amount // balance − held, or what is left of the hold or original, at the decision
	Overdraft Amount // how far below zero available may go
	Needed    Amount
	Short     Amount
}
