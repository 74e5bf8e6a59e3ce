package rbcs

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"time"
)

// IntakeState is where an entry of the durable queue stands. An entry that was
// decided, posted or rejected, is no longer in the queue: the log has it.
type IntakeState string

// The states of an entry.
const (
	IntakeQueued    IntakeState = "queued"    // it waits for its time, its turn or its first decision
	IntakeRetrying  IntakeState = "retrying"  // an attempt failed, and the next one is due at DueAt
	IntakeDead      IntakeState = "dead"      // nothing tries it again by itself
	IntakeDiscarded IntakeState = "discarded" // by an operator; its ID stays taken
)

// IntakeWaiting is not the state of an entry, but all that wait: what is queued or retrying.
const IntakeWaiting IntakeState = "waiting"

// Turn says how the durable queue submits a transaction. It is no part of its content.
type Turn uint8

// The turns of a transaction.
const (
	// Direct is a submission by a client: it is refused where its ID is queued with other content, or discarded.
	Direct Turn = iota
	// FromQueue is a submission by the queue itself, whose content is not compared
	// with the queue's: it is refused where it was discarded, by a worker that is late.
	FromQueue
	// Tentative is one by the queue that records no rejection that may pass
	// ([Code.MayPass]): Result.Err has its code then.
	Tentative
)

// MaxSchedule is how far ahead a transaction may be scheduled: a year that was
// mistyped should not wait for a century.
const MaxSchedule = 10 * 366 * 24 * time.Hour

// Scheduled reports whether the transaction asks for the durable queue by its content.
func (t *Transaction) Scheduled() bool { return !t.ExecuteAt.IsZero() || !t.RetryUntil.IsZero() }

// CheckSchedule checks what [Transaction.Prepare] cannot, since it knows no time:
// that the schedule is not too far ahead. A time that has passed is fine: the
// same may be submitted again later.
func (t *Transaction) CheckSchedule(now time.Time) error {
	var faults fieldErrors
	for _, f := range []struct {
		pointer string
		at      time.Time
	}{{"/execute_at", t.ExecuteAt}, {"/retry_until", t.RetryUntil}} {
		if f.at.After(now.Add(MaxSchedule)) {
			faults.check(f.pointer, errors.New("the time is more than ten years ahead"))
		}
	}
	if t.Group.ID != "" && t.Scheduled() {
		faults.check("/atomic", errors.New("an atomic group is decided at once: its members have no execute_at and no retry_until"))
	}
	return faults.err("the transaction is invalid")
}

// prepareSchedule brings the times of the queue into their normal form.
func (t *Transaction) prepareSchedule(faults *fieldErrors) {
	if !t.ExecuteAt.IsZero() {
		t.ExecuteAt = t.ExecuteAt.UTC().Truncate(time.Microsecond)
		faults.check("/execute_at", validateTime(t.ExecuteAt))
	}
	if t.RetryUntil.IsZero() {
		return
	}
	t.RetryUntil = t.RetryUntil.UTC().Truncate(time.Microsecond)
	faults.check("/retry_until", validateTime(t.RetryUntil))
	if !t.ExecuteAt.IsZero() && !t.RetryUntil.After(t.ExecuteAt) {
		faults.check("/retry_until", errors.New("this is not after execute_at"))
	}
}

// IntakeEntry is a transaction in the durable queue.
type IntakeEntry struct {
	Transaction Transaction // as it was submitted: its currency may not be resolved
	State       IntakeState
	Position    int64     // its place among all that were accepted
	AcceptedAt  time.Time // on the database's clock, as all times here
	DueAt       time.Time // of the next attempt: ExecuteAt or AcceptedAt at first
	Attempts    int       // that failed in a row, all by the infrastructure or all for a reason that may pass
	Code        Code      // of the last attempt that failed
	Detail      string    // the same for a person
}

// Conflict returns why a submission by a client cannot be that of the entry: its
// content differs, or it was discarded; nil where it can.
func (e *IntakeEntry) Conflict(t *Transaction) *Error {
	if e.State == IntakeDiscarded {
		return Errorf(IDConflict, "the ID %s was discarded from the queue; replay it there, or choose another ID", t.ID)
	}
	was := e.Transaction
	if was.Currency == "" { // it may be the one that is given here: the decision tells
		was.Currency = t.Currency
	}
	if fields := t.Conflicts(&Result{Transaction: was}); fields != nil {
		return &Error{Code: IDConflict, Message: "the ID " + t.ID + " is queued with other content", Fields: fields}
	}
	return nil
}

// IntakeResult is what became of a transaction that was to be queued. Exactly
// one of its fields is set.
type IntakeResult struct {
	Entry   *IntakeEntry // it is in the queue, durably: now, or since it was submitted before
	Decided *Result      // the ID was decided before, with the same content: a replay
	Err     *Error       // [IDConflict]
}

// ReplayQueued answers a transaction that was to be queued and whose ID is recorded.
func ReplayQueued(t *Transaction, recorded *Result) IntakeResult {
	if fields := t.Conflicts(recorded); fields != nil {
		return IntakeResult{Err: &Error{Code: IDConflict, Message: "the ID " + t.ID + " is recorded with other content", Fields: fields}}
	}
	replay := *recorded
	replay.Replayed = true
	return IntakeResult{Decided: &replay}
}

// IntakeEventKind is what happened to an entry.
type IntakeEventKind string

// The kinds of events.
const (
	IntakeFailed       IntakeEventKind = "failed"    // an attempt, by an error of the infrastructure: what is behind it on its source waits for it
	IntakeRefused      IntakeEventKind = "refused"   // an attempt, for a reason that may pass: what is behind it goes first
	IntakeDied         IntakeEventKind = "died"      // an attempt, and it is a dead letter now
	IntakeReplayed     IntakeEventKind = "replayed"  // an operator has it tried again
	IntakeWasDiscarded IntakeEventKind = "discarded" // an operator gave it up
)

// IntakeEvent is one line of an entry's history, which is append-only and stays
// when the entry was decided. What operators do is always there. Of the attempts
// that fail the first [IntakeListedAll] are, since the entry was accepted or
// replayed; then the first and the last of those that fail alike, until there are
// [IntakeListedMost]; then the last one. The others are counted.
type IntakeEvent struct {
	At       time.Time
	Kind     IntakeEventKind
	Instance string
	Actor    string // of what an operator did
	Code     Code   // of an attempt
	Detail   string // of an attempt, or an operator's reason
	NextAt   time.Time
	Omitted  int // attempts that failed between the event before and this one, and are only counted: like this one, unless the most are listed
}

// How many attempts are listed of one entry. What fails for months at one attempt
// a minute must not fill the disk, and twenty is when most are dead letters anyway.
const (
	IntakeListedAll  = 20
	IntakeListedMost = 50
)

// IntakeClaim asks for entries whose time has come.
type IntakeClaim struct {
	Claimant string        // names this claim among all: never used twice
	Lease    time.Duration // after this the entries are given to others
	Sources  int           // at most so many source accounts
	Limit    int           // at most so many entries
}

// IntakeBatch is what was claimed.
type IntakeBatch struct {
	Sources []string      // all that were claimed, perhaps without an entry: to be settled too
	Entries []IntakeEntry // those of one source in their order: by DueAt, then Position
	Now     time.Time     // on the database's clock
}

// IntakeOutcome is what became of a claimed entry.
type IntakeOutcome struct {
	ID     string
	Source string
	Kind   IntakeEventKind // IntakeFailed, IntakeRefused or IntakeDied; "" where it was decided
	// After is when to try again. IntakeFailed keeps DueAt, and the whole source
	// waits so long; IntakeRefused moves DueAt.
	After  time.Duration
	Code   Code
	Detail string
	Anew   bool // attempts are counted from this one: those before it failed for another kind of reason
}

// IntakeQuery selects entries of one state, or [IntakeWaiting], by DueAt and Position.
type IntakeQuery struct {
	State IntakeState
	After IntakePlace // only what sorts behind it; zero for all
	Limit int         // ≥ 1
}

// IntakePlace is a place in a list of entries.
type IntakePlace struct {
	DueAt    time.Time
	Position int64
}

// IntakeStats counts the queue.
type IntakeStats struct {
	Queued, Retrying, Dead int64     // each at most [IntakeCountLimit]
	OldestDue              time.Time // the earliest DueAt of what is queued or retrying; zero for none
	Now                    time.Time // on the database's clock
}

// IntakeCountLimit bounds what counting the queue costs.
const IntakeCountLimit = 1_000_000

// MaxIntakeHistory bounds what is told of an entry: retry_until may be years ahead.
const MaxIntakeHistory = 100

// IntakeAction is what an operator does with entries, and why.
type IntakeAction struct {
	IDs    []string
	Actor  string
	Reason string
}

// MaxIntakeReason bounds an operator's reason, in bytes.
const MaxIntakeReason = MaxDescriptionBytes

// Refuse returns why an operator cannot bring the entry to a state; nil where he
// can. recorded says that its ID is in the log, and claimed that a worker has it.
func (e *IntakeEntry) Refuse(to IntakeState, recorded, claimed bool) *Error {
	waits := e.State == IntakeQueued || e.State == IntakeRetrying
	given := to == IntakeDiscarded && recorded // what was posted cannot be given up any more
	switch {
	case waits && (claimed || given):
		return Errorf(Unavailable, "the transaction %s is being decided right now; look again in a moment", e.Transaction.ID)
	case e.State == IntakeDead && e.Code != IDConflict && given:
		return Errorf(IDConflict, "the transaction %s was decided: it is in the log; replay it, and the queue lets go of it", e.Transaction.ID)
	}
	return nil
}

// NotQueued says that an ID is not in the queue, and where it is if it is recorded.
func NotQueued(id string, recorded bool) *Error {
	if recorded {
		return Errorf(NotFound, "the transaction %s is decided, and not in the queue: see GET /v1/transactions/%s (rbcs tx get %s)", id, url.PathEscape(id), id)
	}
	return Errorf(NotFound, "there is no transaction %s in the queue", id)
}

// Check checks an action; a discard needs a reason.
func (a *IntakeAction) Check(needsReason bool) error {
	var faults fieldErrors
	if needsReason && a.Reason == "" {
		faults.check("/reason", errors.New("the reason is missing"))
	}
	faults.check("/reason", validateText(a.Reason, MaxIntakeReason))
	for i, id := range a.IDs {
		if err := ValidateID(id); err != nil {
			faults.check(fmt.Sprintf("/ids/%d", i), err)
		}
	}
	return faults.err("the request is invalid")
}

// IntakeStore keeps the durable queue of transactions that are decided later.
// Its IDs and those of the log are one registry: an ID that is queued or
// discarded is refused by [Committer.Commit] with other content, and one that is
// recorded is never queued. Only where both happen at the same moment can an ID
// be queued and recorded with different contents; the log is the truth then, and
// the entry becomes a dead letter with [IDConflict].
//
// Entries are claimed by source account: of a source with several instances
// only one has any, and it gets them in their order. A claim is only a hint to
// others: posting an entry twice is safe, since it has its ID.
//
// Its errors are those of [Store].
type IntakeStore interface {
	// Enqueue makes transactions durable, in one commit, and returns one result
	// for each in the order given. They are valid and in no group.
	Enqueue(ctx context.Context, txs []*Transaction) ([]IntakeResult, error)

	// ClaimIntake gives entries whose time has come to a claimant.
	ClaimIntake(ctx context.Context, c IntakeClaim) (IntakeBatch, error)

	// SettleIntake ends a claim on sources. What was decided leaves the queue
	// whoever has it now; any other outcome counts only while the claim lasts.
	// Entries of the sources without an outcome are free again at once.
	SettleIntake(ctx context.Context, claimant string, sources []string, outcomes []IntakeOutcome) error

	// Intake returns one entry, or [NotFound].
	Intake(ctx context.Context, id string) (IntakeEntry, error)

	// IntakeHistory returns the last [MaxIntakeHistory] things that happened to an
	// ID in the queue, the oldest of them first; nothing where it was never there, or was decided at the first attempt.
	IntakeHistory(ctx context.Context, id string) ([]IntakeEvent, error)

	// Intakes lists entries.
	Intakes(ctx context.Context, q IntakeQuery) ([]IntakeEntry, error)

	// ReplayIntake has dead, discarded or waiting entries tried at once, with
	// their attempts counted anew, and records who wants that. It returns one
	// error for each ID: that of [NotQueued], [Unavailable] for one that is being decided
	// right now, or nil.
	ReplayIntake(ctx context.Context, a IntakeAction) ([]*Error, error)

	// DiscardIntake gives entries up: their IDs stay taken, and nothing ever posts
	// them unless they are replayed, not even a worker that had them when its claim
	// ended. It returns like ReplayIntake, and [IDConflict] for a dead letter that
	// is recorded with its own content.
	DiscardIntake(ctx context.Context, a IntakeAction) ([]*Error, error)

	// IntakeStats counts the queue.
	IntakeStats(ctx context.Context) (IntakeStats, error)
}
