// Package rbcs is the domain of the real-time balance calculation system:
// exact money, accounts, transactions, the decisions about them, and the
// contract that a store fulfils. It imports the standard library only; every
// other package of the module imports it.
//
// # Words
//
// A transaction moves an amount from a source account to a destination account
// under an ID that its client chose. Deciding it yields exactly one [Result]:
// posted, or rejected for a business reason that has a [Code]. A decision is an
// outcome, recorded for ever under the ID; it is not a Go error. A Go error
// means that the infrastructure failed, that nothing was recorded and that the
// same ID may be submitted again.
//
//	balance   = received − sent
//	available = balance − held
//	every posting that lowers available keeps it ≥ −overdraft
//
// # Money
//
// An [Amount] counts minor units (cents for USD) in a signed 128-bit integer of
// at most 38 digits. A [Decimal] is an amount as a person writes it: "12.34".
// The number of decimals belongs to the [Currency]. There is no float anywhere
// and nothing is ever rounded.
package rbcs
