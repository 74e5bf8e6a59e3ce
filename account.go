package rbcs

import "time"

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
