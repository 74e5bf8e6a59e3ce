package storetest

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"rbcs"
)

// differences collects the fields in which two things that should be the same are not.
type differences []string

func differ[T comparable](d *differences, field string, got, want T) {
	if got != want {
		*d = append(*d, fmt.Sprintf("%s is %v, want %v", field, got, want))
	}
}

func (d *differences) time(field string, got, want time.Time) {
	if !got.Equal(want) {
		*d = append(*d, fmt.Sprintf("%s is %v, want %v", field, got, want))
	}
	if got.Location() != time.UTC {
		*d = append(*d, fmt.Sprintf("%s is in %v, want UTC", field, got.Location()))
	}
}

func (d differences) String() string { return strings.Join(d, "; ") }

// compareResults compares two answers to the same submission, but for Replayed.
func compareResults(got, want *rbcs.Result) differences {
	d := compareTransactions(&got.Transaction, &want.Transaction)
	differ(&d, "status", got.Status, want.Status)
	differ(&d, "code", got.Code, want.Code)
	differ(&d, "shortfall", got.Shortfall, want.Shortfall)
	differ(&d, "settled_by", got.SettledBy, want.SettledBy)
	differ(&d, "remainder", got.Remainder, want.Remainder)
	differ(&d, "sequence", got.Sequence, want.Sequence)
	differ(&d, "source", got.Source, want.Source)
	differ(&d, "destination", got.Destination, want.Destination)
	differ(&d, "attempt", got.Attempt, want.Attempt)
	differ(&d, "instance", got.Instance, want.Instance)
	differ(&d, "error", rbcs.CodeOf(errorOf(got)), rbcs.CodeOf(errorOf(want)))
	differ(&d, "error fields", fmt.Sprint(pointers(got.Err)), fmt.Sprint(pointers(want.Err)))
	d.time("committed_at", got.CommittedAt, want.CommittedAt)
	return d
}

// compareRecords compares two decisions as they stand now.
func compareRecords(got, want *rbcs.Record) differences {
	d := compareResults(&got.Result, &want.Result)
	differ(&d, "current", got.Current, want.Current)
	differ(&d, "closed_by", got.ClosedBy, want.ClosedBy)
	differ(&d, "taken_back", got.TakenBack, want.TakenBack)
	return d
}

// entryOf is a decision as the history of one of its accounts has it.
func entryOf(r *rbcs.Result, number string) rbcs.Entry {
	e := rbcs.Entry{Result: *r, Credit: r.Transaction.Destination == number, State: r.Source}
	if e.Credit {
		e.State = r.Destination
	}
	if r.Destination.Version > 0 { // else only held has changed
		if e.Change = r.Transaction.Amount.Units; !e.Credit {
			e.Change = e.Change.Neg()
		}
	}
	return e
}

// errorOf avoids an error that is not nil but holds a nil *rbcs.Error.
func errorOf(r *rbcs.Result) error {
	if r.Err == nil {
		return nil
	}
	return r.Err
}

func compareTransactions(got, want *rbcs.Transaction) (d differences) {
	differ(&d, "id", got.ID, want.ID)
	differ(&d, "type", got.Type, want.Type)
	differ(&d, "source", got.Source, want.Source)
	differ(&d, "destination", got.Destination, want.Destination)
	differ(&d, "amount", got.Amount, want.Amount)
	differ(&d, "currency", got.Currency, want.Currency)
	differ(&d, "original", got.Original, want.Original)
	differ(&d, "description", got.Description, want.Description)
	differ(&d, "metadata", got.Metadata, want.Metadata)
	differ(&d, "group", got.Group, want.Group)
	differ(&d, "actor", got.Actor, want.Actor)
	d.time("timestamp", got.Timestamp, want.Timestamp)
	d.time("expires_at", got.ExpiresAt, want.ExpiresAt)
	d.time("execute_at", got.ExecuteAt, want.ExecuteAt)
	d.time("retry_until", got.RetryUntil, want.RetryUntil)
	return d
}

func compareAccounts(got, want *rbcs.Account) (d differences) {
	differ(&d, "number", got.Number, want.Number)
	differ(&d, "currency", got.Currency, want.Currency)
	differ(&d, "status", got.Status, want.Status)
	differ(&d, "overdraft", got.Overdraft, want.Overdraft)
	differ(&d, "balance", got.Balance, want.Balance)
	differ(&d, "held", got.Held, want.Held)
	differ(&d, "received", got.Received, want.Received)
	differ(&d, "sent", got.Sent, want.Sent)
	differ(&d, "version", got.Version, want.Version)
	differ(&d, "metadata", got.Metadata, want.Metadata)
	d.time("created_at", got.CreatedAt, want.CreatedAt)
	d.time("updated_at", got.UpdatedAt, want.UpdatedAt)
	return d
}

// compareTotals compares sums by currency.
func compareTotals(got []rbcs.Total, want []modelTotal) (d differences) {
	differ(&d, "number of totals", len(got), len(want))
	for i := range min(len(got), len(want)) {
		differ(&d, "currency", got[i].Currency, want[i].currency)
		differ(&d, "accounts", got[i].Accounts, want[i].accounts)
		differ(&d, "balance", toBig(got[i].Balance).String(), want[i].balance.String())
		differ(&d, "held", toBig(got[i].Held).String(), want[i].held.String())
	}
	return d
}

// pointers returns the fields that an error names, in its order.
func pointers(err *rbcs.Error) []string {
	if err == nil {
		return nil
	}
	list := make([]string, len(err.Fields))
	for i, f := range err.Fields {
		list[i] = f.Pointer
	}
	return list
}

// same checks that two answers tell the same decision.
func (e *env) same(got, want rbcs.Result) {
	e.t.Helper()
	if d := compareResults(&got, &want); d != nil {
		e.t.Errorf("%s: %v", want.Transaction.ID, d)
	}
}

// sameAccount checks that two accounts are the same in all their fields.
func (e *env) sameAccount(got, want rbcs.Account) {
	e.t.Helper()
	if d := compareAccounts(&got, &want); d != nil {
		e.t.Errorf("account %s: %v", want.Number, d)
	}
}

// wantFields checks which fields an error names, in any order.
func (e *env) wantFields(err *rbcs.Error, want ...string) {
	e.t.Helper()
	got := pointers(err)
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		e.t.Errorf("error %v names the fields %v, want %v", err, got, want)
	}
}
