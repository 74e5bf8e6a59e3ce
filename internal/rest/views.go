package rest

import (
	"encoding/json"
	"reflect"
	"strconv"
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
		Description: "Any JSON object of at most 16 KiB, kept for the client in a canonical form. It is the client's own: its strings " +
			"may have line feeds, tabs and other control characters, which come back as JSON escapes them: whoever shows them must expect them. " +
			"Only what is no text everywhere is refused: U+0000 and half of a surrogate pair.",
	}
}

// Account is an account as clients see it.
type Account struct {
	Number    string   `json:"number" example:"acme:users:42"`
	Currency  string   `json:"currency" example:"USD"`
	Status    string   `json:"status" enum:"open,frozen,frozen_outgoing,closed"`
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

// Total is the sum of accounts of one currency.
type Total struct {
	Currency  string `json:"currency" example:"USD"`
	Accounts  int64  `json:"accounts" doc:"How many."`
	Balance   string `json:"balance" example:"12.34"`
	Available string `json:"available" doc:"balance − held" example:"12.34"`
	Held      string `json:"held" example:"0.00"`
	AsOf      string `json:"as_of" format:"date-time" doc:"The moment of the snapshot."`
}

func totalOf(t *rbcs.Total) Total {
	decimals := t.Currency.Decimals
	available, _ := t.Balance.Sub(t.Held)
	return Total{
		Currency: t.Currency.Code, Accounts: t.Accounts,
		Balance: t.Balance.Format(decimals), Available: available.Format(decimals), Held: t.Held.Format(decimals),
		AsOf: formatTime(t.AsOf),
	}
}

// TotalList is one sum for each currency.
type TotalList struct {
	Balances []Total `json:"balances" doc:"In the order of the currencies' codes."`
}

// Statement says how an account's balance came from one amount to another. It
// stands here for the document; what is sent is written by jsonStatement.
type Statement struct {
	Number         string      `json:"number"`
	Currency       string      `json:"currency"`
	From           string      `json:"from,omitempty" format:"date-time"`
	To             string      `json:"to,omitempty" format:"date-time"`
	OpeningBalance string      `json:"opening_balance" doc:"Before the first line." example:"12.34"`
	ClosingBalance string      `json:"closing_balance" doc:"After the last line: opening_balance plus the sum of change." example:"10.00"`
	Lines          []entryView `json:"lines" doc:"The oldest first."`
	NextCursor     string      `json:"next_cursor,omitempty" doc:"With limit; absent on the last page."`
}

// Transaction is a decision as clients see it. It stands here for the document;
// what is sent is written by AppendRecord.
type Transaction struct {
	ID     string `json:"id"`
	Type   string `json:"type" enum:"transfer,hold,capture,release,expiry,reversal"`
	Status string `json:"status" enum:"posted,held,rejected,captured,released,expired,reversed,queued,dead,discarded" doc:"In an answer to a POST and in an event what was decided: posted, held or rejected, or queued. In a GET what it is now."`
	Code   string `json:"code,omitempty" doc:"Why it was rejected." example:"insufficient_funds"`
	Detail string `json:"detail,omitempty" doc:"The same in a sentence."`
	Shortfall
	Decided
	QueueState
	SettledBy string    `json:"settled_by,omitempty" doc:"Of a hold: the ID of what captured or released it. Of hold_not_open: the ID of what had settled the hold."`
	Decisions []Attempt `json:"decisions,omitempty" doc:"In a GET of one that was retried: all decisions about the ID, the first one first. The last one is that of the transaction."`
	Reversed  string    `json:"reversed,omitempty" doc:"How much of it was reversed until now."`
	DryRun    bool      `json:"dry_run,omitempty" doc:"It was asked for with dry_run=true: nothing was recorded."`
}

// Decided is what the single transactions and those of a batch have in common.
type Decided struct {
	Account            string   `json:"account,omitempty" doc:"Of account_not_found, account_frozen, account_closed and overflow: which account that is, the source where it is both."`
	Original           string   `json:"original,omitempty" doc:"The ID of what a capture, release, expiry or reversal refers to."`
	Source             string   `json:"source,omitempty" doc:"Unknown only where what it refers to is."`
	Destination        string   `json:"destination,omitempty"`
	Amount             string   `json:"amount,omitempty" example:"12.34"`
	Currency           string   `json:"currency,omitempty" doc:"Unknown only where there was no source account."`
	Timestamp          string   `json:"timestamp,omitempty" format:"date-time" doc:"When it happened, in the client's words; of what refers to another transaction, when it was decided."`
	ExpiresAt          string   `json:"expires_at,omitempty" format:"date-time" doc:"When a hold is released by itself."`
	ExecuteAt          string   `json:"execute_at,omitempty" format:"date-time" doc:"It was not to be decided before."`
	RetryUntil         string   `json:"retry_until,omitempty" format:"date-time" doc:"Until then a rejection that may pass was not to be recorded."`
	Sequence           int64    `json:"sequence,omitempty" doc:"Its place in the log of decisions; a dry run has none."`
	CommittedAt        string   `json:"committed_at,omitempty" format:"date-time"`
	Attempt            int      `json:"attempt,omitempty" minimum:"2" doc:"Of a decision that an explicit retry made: which one of this ID it is."`
	SourceBalance      string   `json:"source_balance,omitempty" doc:"After it."`
	DestinationBalance string   `json:"destination_balance,omitempty" doc:"After it."`
	SourceVersion      int64    `json:"source_version,omitempty"`
	DestinationVersion int64    `json:"destination_version,omitempty"`
	SourceHeld         string   `json:"source_held,omitempty" doc:"Of a hold and what settles it: the sum of the source's open holds after it."`
	Remainder          string   `json:"remainder,omitempty" doc:"Of a capture: the rest, which was released. Of a reversal: what is still left to reverse. Absent where there is none."`
	Description        string   `json:"description,omitempty"`
	Metadata           Metadata `json:"metadata,omitempty"`
	Group              *Group   `json:"group,omitempty" doc:"The atomic group of which it is a member."`
}

// Group is a place in an atomic group.
type Group struct {
	ID       string `json:"id" doc:"The SHA-256 of the members' IDs in their order, each followed by a zero byte."`
	Position int    `json:"position" doc:"From 0."`
	Size     int    `json:"size"`
}

// Entry is a decision seen from one account: a [Transaction] and what it did there.
type Entry struct {
	Transaction
	Direction string `json:"direction" enum:"credit,debit"`
	Change    string `json:"change" doc:"Of the balance, signed. Zero for what only changed held." example:"-12.34"`
	Balance   string `json:"balance" doc:"Of the account, after it."`
	Held      string `json:"held" doc:"Of the account, after it."`
	Version   int64  `json:"version" doc:"Of the account, after it."`
}

// transactionView is sent as appendCurrent writes it and described as a [Transaction].
type transactionView struct {
	record  *rbcs.Record
	entry   *rbcs.IntakeEntry // instead, of what is not decided
	history []rbcs.IntakeEvent

	decisions []rbcs.Result // all about the ID, where it was retried
}

// MarshalJSON writes the record.
func (v transactionView) MarshalJSON() ([]byte, error) {
	if v.entry != nil {
		return appendEntryOfQueue(nil, v.entry, v.history), nil
	}
	dst := appendCurrent(nil, v.record)
	dst = dst[:len(dst)-1] // what follows stands before the closing brace
	if len(v.history) > 0 {
		dst = appendAttempts(dst, v.history)
	}
	if len(v.decisions) > 0 {
		dst = appendDecisions(dst, v.decisions)
	}
	return append(dst, '}'), nil
}

// Schema refers to the description.
func (transactionView) Schema(r huma.Registry) *huma.Schema {
	return r.Schema(reflect.TypeFor[Transaction](), true, "")
}

// Attempt is one of the decisions about an ID.
type Attempt struct {
	Attempt     int    `json:"attempt" minimum:"1" doc:"1 is the submission; each explicit retry is one more."`
	Status      string `json:"status" enum:"posted,held,rejected"`
	Code        string `json:"code,omitempty" doc:"Why it was rejected." example:"insufficient_funds"`
	CommittedAt string `json:"committed_at" format:"date-time"`
	Instance    string `json:"instance,omitempty" doc:"Which instance committed it."`
}

// appendDecisions writes all decisions about an ID.
func appendDecisions(dst []byte, decisions []rbcs.Result) []byte {
	for i := range decisions {
		r, before := &decisions[i], `,{"attempt":`
		if i == 0 {
			before = `,"decisions":[{"attempt":`
		}
		dst = strconv.AppendInt(append(dst, before...), int64(r.Attempt), 10)
		dst = append(append(append(dst, `,"status":"`...), r.Status...), '"')
		if r.Code != "" {
			dst = append(append(append(dst, `,"code":"`...), r.Code...), '"')
		}
		dst = append(appendTime(append(dst, `,"committed_at":"`...), r.CommittedAt), '"')
		dst = append(appendString(append(dst, `,"instance":`...), r.Instance), '}')
	}
	return append(dst, ']')
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
