package rbcs

import (
	"errors"
	"fmt"
	"time"
)

// AccountStatus says what an account may do.
type AccountStatus string

// The statuses of an account.
const (
	Open   AccountStatus = "open"
	Frozen AccountStatus = "frozen" // neither sends nor receives

	// FrozenOutgoing is a debit freeze: it receives, and nothing leaves.
	FrozenOutgoing AccountStatus = "frozen_outgoing"
	Closed         AccountStatus = "closed" // as frozen, and it had nothing when it was closed
)

// Overdraft is how far below zero an account's available amount may go.
// The zero value is none at all.
type Overdraft struct {
	Unlimited bool
	Limit     Amount // ≥ 0, in minor units; zero where Unlimited
}

// Account is an account as it is stored.
type Account struct {
	Number    string // 1–64 of A–Z a–z 0–9 . _ : -
	Currency  Currency
	Status    AccountStatus
	Overdraft Overdraft
	Balance   Amount // Received − Sent
	Held      Amount // the sum of the open holds that reserve on this account
	Received  Amount // all that ever came in
	Sent      Amount // all that ever went out
	Version   int64  // grows by one with every change of Balance or Held
	Metadata  string // canonical JSON object, "" for none
	CreatedAt time.Time
	UpdatedAt time.Time // of the last change of any of the above
}

// Available returns Balance − Held, what the account can spend before its overdraft.
func (a *Account) Available() Amount {
	available, _ := a.Balance.Sub(a.Held) // in range: posting checks it with every change
	return available
}

// AccountChange is what a client may change about an account. A nil field stays as it is.
type AccountChange struct {
	Status    *AccountStatus
	Overdraft *OverdraftChange
	Metadata  *string // canonical JSON object
	Actor     string  // who asked for it
}

// Changed returns the account as a change makes it. Its error has code
// [InvalidRequest] and names every fault at once.
func (a Account) Changed(change *AccountChange) (Account, error) {
	var faults fieldErrors
	if change.Status != nil {
		faults.check("/status", a.checkStatus(*change.Status))
		a.Status = *change.Status
	}
	if asked := change.Overdraft; asked != nil {
		rule := Overdraft{Unlimited: asked.Unlimited}
		var err error
		if !asked.Unlimited {
			rule.Limit, err = asked.Limit.In(a.Currency.Decimals)
		}
		switch {
		case err != nil:
			err = AmountFault(err, a.Currency)
		case rule.Limit.Sign() < 0:
			err = errOverdraft
		}
		faults.check("/overdraft", err)
		a.Overdraft = rule
	}
	if change.Metadata != nil {
		a.Metadata = *change.Metadata
	}
	return a, faults.err("the account " + a.Number + " cannot be changed like this")
}

// checkStatus says why an account cannot take a status.
func (a *Account) checkStatus(s AccountStatus) error {
	switch {
	case s != Open && s != Frozen && s != FrozenOutgoing && s != Closed:
		return fmt.Errorf("the status %q is not known; write open, frozen, frozen_outgoing or closed", s)
	case s == Closed && !(a.Balance.IsZero() && a.Held.IsZero()):
		return fmt.Errorf("an account is closed with nothing on it; it has a balance of %s and %s held",
			a.Balance.Format(a.Currency.Decimals), a.Held.Format(a.Currency.Decimals))
	}
	return nil
}

var errOverdraft = errors.New(`an overdraft is "unlimited" or an amount of at least zero`)

// OverdraftChange is a new overdraft rule as a client writes it: the currency,
// and with it the number of decimals, is known only to the store.
type OverdraftChange struct {
	Unlimited bool
	Limit     Decimal
}

// NewAccount is an account as a client asks for it.
type NewAccount struct {
	Number    string
	Currency  Currency
	Overdraft Overdraft
	Metadata  string // canonical JSON object, "" for none
	Actor     string // who asked for it
}

// Conflict returns the [AccountConflict] with each field in which an account was
// created otherwise than is asked for; nil means that it is the same.
func (a *NewAccount) Conflict(was *NewAccount) *Error {
	var faults fieldErrors
	differ := func(pointer string, same bool, was string) {
		if !same {
			faults = append(faults, FieldError{Pointer: pointer, Message: "created as " + was})
		}
	}
	currency, overdraft := quote(was.Currency.Code), "unlimited"
	if a.Currency.Code == was.Currency.Code {
		currency += fmt.Sprintf(" with %d decimals", was.Currency.Decimals)
	}
	if !was.Overdraft.Unlimited {
		overdraft = was.Overdraft.Limit.Format(was.Currency.Decimals)
	}
	differ("/currency", a.Currency == was.Currency, currency)
	differ("/overdraft", a.Overdraft == was.Overdraft, quote(overdraft))
	differ("/metadata", a.Metadata == was.Metadata, quote(was.Metadata))
	if faults == nil {
		return nil
	}
	return &Error{Code: AccountConflict, Message: "the account " + a.Number + " was created with other content", Fields: faults}
}

// AccountResult is what became of one [NewAccount].
type AccountResult struct {
	Account Account // as it is stored now, where Err is nil
	Created bool    // false where the same account existed already
	Err     *Error  // [AccountConflict] with each field that differs
}

// Balance is an account's balance at one moment.
type Balance struct {
	Number   string
	Currency Currency
	Balance  Amount
	Held     Amount
	Version  int64     // 0 before the first change
	AsOf     time.Time // the moment the answer is true for
}
