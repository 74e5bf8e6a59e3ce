package rbcs

import (
	"context"
	"time"
)

// Store keeps accounts and the log of decided transactions.
//
// Its methods are safe for concurrent use, and no transaction handle leaves it.
// Their errors are [*Error]: [Unavailable] means that certainly nothing was
// changed and that trying again makes sense; [OutcomeUnknown] means that a
// change may or may not have been committed; [NotFound] and [InvalidRequest]
// mean what they say; [Internal] will not go away by itself.
type Store interface {
	Committer
	BalanceReader
	WebhookStore
	IntakeStore

	// DeclareCurrencies records the declared currencies and returns all that
	// were ever declared. It fails with [InvalidRequest] where one is recorded
	// with other decimals: that would rescale money.
	DeclareCurrencies(ctx context.Context, declared []Currency) ([]Currency, error)

	// CreateAccounts creates all accounts that do not exist yet, in one commit,
	// and returns one result for each in the order given. A number that stands
	// twice is created once.
	CreateAccounts(ctx context.Context, accounts []NewAccount) ([]AccountResult, error)

	// UpdateAccount changes an account under its lock, records who changed what,
	// and returns it. Closing needs a zero balance and no holds; an overdraft
	// needs as few decimals as the account's currency: else [InvalidRequest].
	UpdateAccount(ctx context.Context, number string, change AccountChange) (Account, error)

	// Account returns one account, or [NotFound].
	Account(ctx context.Context, number string) (Account, error)

	// Accounts lists accounts by number, in byte order.
	Accounts(ctx context.Context, q AccountQuery) ([]Account, error)

	// BalanceAt returns the account's balance as it was after the last commit
	// at or before the given time, or [NotFound].
	BalanceAt(ctx context.Context, number string, at time.Time) (Balance, error)

	// Transaction returns the latest decision recorded under an ID as it stands
	// now, or [NotFound].
	Transaction(ctx context.Context, id string) (Record, error)

	// Attempts returns all decisions recorded under an ID, the first one first;
	// nothing where there is none.
	Attempts(ctx context.Context, id string) ([]Result, error)

	// Transactions lists decisions as they stand now, the latest first.
	Transactions(ctx context.Context, q TransactionQuery) ([]Record, error)

	// History lists the changes of one account's balance or held, or [NotFound].
	History(ctx context.Context, q HistoryQuery) ([]Entry, error)

	// Totals sums the accounts under a prefix ("" for all) by currency, in the
	// order of the codes, from one consistent snapshot.
	Totals(ctx context.Context, prefix string) ([]Total, error)

	// DueHolds lists open holds whose ExpiresAt has passed on the database's
	// clock, the most overdue first.
	DueHolds(ctx context.Context, limit int) ([]Transaction, error)

	// Log reads the committed log behind a sequence, in its order. It returns
	// only what is settled: nothing that commits later will ever stand between
	// the decisions of a page, or between the end of one page and the start of the next.
	Log(ctx context.Context, after int64, limit int) (LogPage, error)

	// Dump streams every decision in the order of sequence, then every account,
	// all from one consistent snapshot. The pointers are valid during the call
	// only. An error of a callback ends the dump and is returned as it is.
	Dump(ctx context.Context, decision func(*Result) error, account func(*Account) error) error

	// Check reports whether the store can commit now.
	Check(ctx context.Context) error

	// Close releases everything. The store must not be in use.
	Close() error
}

// Committer is the part of a [Store] through which all money moves.
type Committer interface {
	// Commit decides the transactions in the order given, records the decisions
	// durably in one commit and returns one Result for each, in the same order.
	//
	// The transactions are valid in themselves ([Validate]). An ID that is
	// recorded, or that stands earlier in the batch, yields a replay of its latest
	// decision or an [IDConflict]. An explicit retry ([Transaction].Retry) of an ID
	// that is rejected decides it again, unless that attempt was made already:
	// then it yields a replay. Of another ID it fails with [NotRejected] or [NotFound]. Commit may be called again with a batch whose outcome is
	// unknown: what was recorded is replayed, the rest is decided.
	//
	// Commit returns only after the commit is on disk. It does not keep the
	// slices or what they point to.
	//
	// The members of an atomic group stand together and in order, and all of them
	// are in the batch. What a capture, release, expiry or reversal refers to need
	// not be in it, but its accounts are named in Source and Destination.
	Commit(ctx context.Context, batch []*Transaction) ([]Result, error)

	// Preview decides like Commit and records nothing. Its results have no
	// Sequence.
	Preview(ctx context.Context, batch []*Transaction) ([]Result, error)
}

// SharedStore is a [Store] that several processes share.
type SharedStore interface {
	Store

	// Database is Check, and names the database that was checked: the same to all
	// who share it, after its standby was promoted too, and another one for what
	// was restored from its dump. "" where that cannot be told.
	Database(ctx context.Context) (string, error)
}

// AccountQuery selects accounts. Zero values do not restrict.
type AccountQuery struct {
	Prefix   string
	Currency string
	Status   AccountStatus
	After    string // a number: only what sorts behind it
	Limit    int    // ≥ 1
}

// TransactionQuery selects decisions. Zero values do not restrict.
type TransactionQuery struct {
	Account string    // either side
	Status  Status    // as it stands now
	From    time.Time // committed at or after
	To      time.Time // committed before
	Before  int64     // a sequence: only what is earlier in the log
	Limit   int       // ≥ 1
}

// HistoryQuery selects changes of one account. Zero values do not restrict.
type HistoryQuery struct {
	Account    string
	From       time.Time // committed at or after
	To         time.Time // committed before
	Descending bool      // the latest first
	After      int64     // a version: only what follows it in the order asked for
	Limit      int       // ≥ 1
}

// Record is a decision as it stands now, because of others that refer to it.
// Its Result is as it was recorded and never changes.
type Record struct {
	Result
	Current   Status // Posted, Holding, Rejected, Captured, Released, Expired or Reversed
	ClosedBy  string // the ID of the capture, release or expiry that settled a hold; "" while it is open
	TakenBack Amount // the sum of the posted reversals
}

// Difference is one thing that a store keeps beside its log and that does not
// follow from it as it should.
type Difference struct {
	Account     string // "" where it is not one account's
	Transaction string // an ID; "" where it is not one transaction's
	What        string
	Expected    string
	Found       string
}

// Total is the sum of accounts of one currency.
type Total struct {
	Currency Currency
	Accounts int64
	Balance  Amount
	Held     Amount
	AsOf     time.Time
}

// LogPage is a piece of the committed log.
type LogPage struct {
	Results []Result // by Sequence
	End     int64    // where to go on: the last Sequence, or the last settled one where there is no more
	// Timeline changes when the database was promoted and may have lost the end
	// of its log: sequences behind the promotion may then be given out again.
	Timeline int64
}

// Entry is one change of one account: a decision, seen from that account.
type Entry struct {
	Result Result
	Credit bool   // the account is the destination
	Change Amount // of the balance, signed
	State         // of the account after it
}
