package rbcs

// Code names an outcome or a failure for programs. The values are part of the
// public interface and never change.
type Code string

// The codes of rejections: business decisions, recorded under the transaction's
// ID. They are listed in the order in which they are decided: where several
// apply, the first one is the answer.
const (
	SameAccount             Code = "same_account"              // source and destination are one account
	AccountNotFound         Code = "account_not_found"         // source first, then destination
	AccountFrozen           Code = "account_frozen"            // either account is frozen
	AccountClosed           Code = "account_closed"            // either account is closed
	CurrencyMismatch        Code = "currency_mismatch"         // the accounts, or the transaction and its source, differ
	InsufficientFunds       Code = "insufficient_funds"        // available would fall below −overdraft
	HoldNotFound            Code = "hold_not_found"            // no hold has the ID that is to be settled
	HoldNotOpen             Code = "hold_not_open"             // the hold is captured, released or expired
	AmountExceedsHold       Code = "amount_exceeds_hold"       // a capture of more than was held
	AmountExceedsReversible Code = "amount_exceeds_reversible" // a reversal of more than is left to reverse
	Overflow                Code = "overflow"                  // a balance or a total would need more than 38 digits
	GroupFailed             Code = "group_failed"              // another member of its atomic group was rejected
)

// The codes of failures: nothing is recorded under the ID.
const (
	InvalidRequest    Code = "invalid_request"     // malformed; it can never succeed as it is
	IDConflict        Code = "id_conflict"         // the ID is recorded with other content
	NotRejected       Code = "not_rejected"        // a retry of what was not rejected
	AccountConflict   Code = "account_conflict"    // the account number exists with other content
	NotFound          Code = "not_found"           // there is nothing of that name
	VersionNotReached Code = "version_not_reached" // the account has not reached min_version
	Overloaded        Code = "overloaded"          // a queue is full; come back later
	Unavailable       Code = "unavailable"         // the database is away or the service is stopping; come back later
	OutcomeUnknown    Code = "outcome_unknown"     // it may or may not have been committed; submit the same ID again
	Internal          Code = "internal"            // a fault of the service or its database
)

// RejectionCodes returns the codes of rejections in the order of their precedence.
func RejectionCodes() []Code {
	return []Code{
		SameAccount, AccountNotFound, AccountFrozen, AccountClosed, CurrencyMismatch, InsufficientFunds,
		HoldNotFound, HoldNotOpen, AmountExceedsHold, AmountExceedsReversible, Overflow, GroupFailed,
	}
}

// MayPass reports whether a rejection with the code depends on what accounts
// are now, so that the same transaction may be posted later.
func (c Code) MayPass() bool {
	switch c {
	case AccountNotFound, AccountFrozen, AccountClosed, InsufficientFunds, Overflow:
		return true
	}
	return false
}
