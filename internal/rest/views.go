package rest

import (
	"encoding/json"
	"reflect"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"rbcs"
)

// Metadata is a JSON object of the client's own.
type Metadata json.RawMessage

// MarshalJSON writes the object as it is stored.
func (m Metadata) MarshalJSON() ([]byte, error) {
	if len(m) == 0 {
		return []byte("{}"), nil
	}
	return m, nil
}

// Schema describes an object with any members.
func (Metadata) Schema(huma.Registry) *huma.Schema {
	return &huma.Schema{
		Type: huma.TypeObject, AdditionalProperties: true,
		Description: "Any JSON object of at most 16 KiB, kept for the client.",
	}
}

// Account is an account as clients see it.
type Account struct {
	Number    string   `json:"number" example:"acme:users:42"`
	Currency  string   `json:"currency" example:"USD"`
	Status    string   `json:"status" enum:"open,frozen,closed"`
	Overdraft string   `json:"overdraft" doc:"How far below zero available may go: an amount, or unlimited." example:"0.00"`
	Balance   string   `json:"balance" doc:"received − sent" example:"12.34"`
	Available string   `json:"available" doc:"balance − held" example:"12.34"`
	Held      string   `json:"held" doc:"The sum of the open holds." example:"0.00"`
	Received  string   `json:"received" doc:"All that ever came in." example:"20.00"`
	Sent      string   `json:"sent" doc:"All that ever went out." example:"7.66"`
	Version   int64    `json:"version" doc:"Grows by one with every change of balance or held."`
	Metadata  Metadata `json:"metadata"`
	CreatedAt string   `json:"created_at" format:"date-time"`
	UpdatedAt string   `json:"updated_at" format:"date-time"`
}

func accountOf(a *rbcs.Account) Account {
	decimals := a.Currency.Decimals
	overdraft := unlimited
	if !a.Overdraft.Unlimited {
		overdraft = a.Overdraft.Limit.Format(decimals)
	}
	return Account{
		Number: a.Number, Currency: a.Currency.Code, Status: string(a.Status), Overdraft: overdraft,
		Balance: a.Balance.Format(decimals), Available: a.Available().Format(decimals), Held: a.Held.Format(decimals),
		Received: a.Received.Format(decimals), Sent: a.Sent.Format(decimals),
		Version: a.Version, Metadata: Metadata(a.Metadata),
		CreatedAt: formatTime(a.CreatedAt), UpdatedAt: formatTime(a.UpdatedAt),
	}
}

func formatTime(t time.Time) string { return string(appendTime(nil, t)) }

// Balance is a balance at one moment.
type Balance struct {
	Number    string `json:"number"`
	Currency  string `json:"currency"`
	Balance   string `json:"balance" example:"12.34"`
	Available string `json:"available" example:"12.34"`
	Held      string `json:"held" example:"0.00"`
	Version   int64  `json:"version"`
	AsOf      string `json:"as_of" format:"date-time" doc:"The moment that the answer is true for."`
	ServedBy  string `json:"served_by" enum:"cache,store"`
}

func balanceOf(b *rbcs.Balance) Balance {
	decimals := b.Currency.Decimals
	available, _ := b.Balance.Sub(b.Held) // in range: posting checks it with every change
	return Balance{
		Number: b.Number, Currency: b.Currency.Code,
		Balance: b.Balance.Format(decimals), Available: available.Format(decimals), Held: b.Held.Format(decimals),
		Version: b.Version, AsOf: formatTime(b.AsOf), ServedBy: "store",
	}
}

// Transaction is a recorded decision as clients see it. It stands here for the
// document; what is sent is written by appendRecord.
type Transaction struct {
	ID     string `json:"id"`
	Type   string `json:"type" enum:"transfer"`
	Status string `json:"status" enum:"posted,rejected"`
	Code   string `json:"code,omitempty" doc:"Why it was rejected." example:"insufficient_funds"`
	Detail string `json:"detail,omitempty" doc:"The same in a sentence."`
	Shortfall
	Source             string   `json:"source"`
	Destination        string   `json:"destination"`
	Amount             string   `json:"amount" example:"12.34"`
	Currency           string   `json:"currency,omitempty" doc:"Unknown only where there was no source account."`
	Timestamp          string   `json:"timestamp" format:"date-time" doc:"When it happened, in the client's words."`
	Sequence           int64    `json:"sequence" doc:"Its place in the log of decisions."`
	CommittedAt        string   `json:"committed_at" format:"date-time"`
	SourceBalance      string   `json:"source_balance,omitempty" doc:"After it."`
	DestinationBalance string   `json:"destination_balance,omitempty" doc:"After it."`
	SourceVersion      int64    `json:"source_version,omitempty"`
	DestinationVersion int64    `json:"destination_version,omitempty"`
	Description        string   `json:"description,omitempty"`
	Metadata           Metadata `json:"metadata,omitempty"`
}

// Entry is a decision seen from one account: a [Transaction] and what it did there.
type Entry struct {
	Transaction
	Direction string `json:"direction" enum:"credit,debit"`
	Change    string `json:"change" doc:"Of the balance, signed." example:"-12.34"`
	Balance   string `json:"balance" doc:"Of the account, after it."`
	Held      string `json:"held" doc:"Of the account, after it."`
	Version   int64  `json:"version" doc:"Of the account, after it."`
}

// transactionView is sent as appendRecord writes it and described as a [Transaction].
type transactionView struct{ result *rbcs.Result }

// MarshalJSON writes the record.
func (v transactionView) MarshalJSON() ([]byte, error) { return appendRecord(nil, v.result), nil }

// Schema refers to the description.
func (transactionView) Schema(r huma.Registry) *huma.Schema {
	return r.Schema(reflect.TypeFor[Transaction](), true, "")
}

// entryView is sent as appendEntry writes it and described as an [Entry].
type entryView struct{ entry *rbcs.Entry }

// MarshalJSON writes the entry.
func (v entryView) MarshalJSON() ([]byte, error) { return appendEntry(nil, v.entry), nil }

// Schema refers to the description.
func (entryView) Schema(r huma.Registry) *huma.Schema {
	return r.Schema(reflect.TypeFor[Entry](), true, "")
}

// TransactionList is a page of decisions.
type TransactionList struct {
	Transactions []transactionView `json:"transactions"`
	NextCursor   string            `json:"next_cursor,omitempty" doc:"Absent on the last page."`
}

// EntryList is a page of an account's changes.
type EntryList struct {
	Transactions []entryView `json:"transactions"`
	NextCursor   string      `json:"next_cursor,omitempty" doc:"Absent on the last page."`
}

// AccountList is a page of accounts.
type AccountList struct {
	Accounts   []Account `json:"accounts"`
	NextCursor string    `json:"next_cursor,omitempty" doc:"Absent on the last page."`
}
