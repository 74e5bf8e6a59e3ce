package rest

import (
	"context"

	"github.com/danielgtaylor/huma/v2"

	"rbcs"
)

func (s *server) registerHistory(api huma.API) {
	huma.Register(api, readOperation("list-account-transactions", "/v1/accounts/{number}/transactions",
		"List the changes of an account", "Each with its direction, the signed change, and the balance after it. With type, "+
			"direction or counterparty a page may have fewer items than its limit, or none, and still a next_cursor: so many "+
			"changes were looked at."), s.getHistory)
	s.registerStatement(api)
}

// maxScan bounds the changes that one request looks at in search of those that
// fulfil a filter: some milliseconds of reading.
const maxScan = 1_000

type historyInput struct {
	AccountPath
	From         string `query:"from" doc:"Committed at this time or later. RFC 3339 with its zone."`
	To           string `query:"to" doc:"Committed before this time."`
	Order        string `query:"order" enum:"asc,desc" default:"asc" doc:"asc: the oldest first."`
	Type         string `query:"type" enum:"transfer,hold,capture,release,expiry,reversal" doc:"Only transactions of this type."`
	Direction    string `query:"direction" enum:"credit,debit" doc:"credit: the account is the destination. debit: it is the source."`
	Counterparty string `query:"counterparty" doc:"Only what has this account on the other side."`
	Page
}

// filtered reports whether not everything in the period is wanted.
func (in *historyInput) filtered() bool {
	return in.Type != "" || in.Direction != "" || in.Counterparty != ""
}

func (in *historyInput) wants(e *rbcs.Entry) bool {
	return (in.Type == "" || in.Type == string(e.Result.Transaction.Type)) &&
		(in.Direction == "" || in.Direction == directionOf(e)) &&
		(in.Counterparty == "" || in.Counterparty == counterpartyOf(e))
}

func directionOf(e *rbcs.Entry) string {
	if e.Credit {
		return "credit"
	}
	return "debit"
}

func counterpartyOf(e *rbcs.Entry) string {
	if e.Credit {
		return e.Result.Transaction.Source
	}
	return e.Result.Transaction.Destination
}

type historyOutput struct{ Body EntryList }

func (s *server) getHistory(ctx context.Context, in *historyInput) (*historyOutput, error) {
	var faults faults
	in.check(&faults)
	kind, descending := ofAccount(cursorAscending, in.Number), in.Order == "desc"
	if descending {
		kind = ofAccount(cursorDescending, in.Number)
	}
	if in.Counterparty != "" {
		faults.check("/counterparty", rbcs.ValidateNumber(in.Counterparty))
	}
	q := rbcs.HistoryQuery{Account: in.Number, Descending: descending}
	q.From, q.To = faults.period(in.From, in.To)
	q.After = faults.position(in.Cursor, kind)
	if faults != nil {
		return nil, s.refuse(ctx, faults.err())
	}
	entries, more, err := s.history(ctx, q, in)
	if err != nil {
		return nil, s.refuse(ctx, err)
	}
	out := &historyOutput{}
	if more > 0 {
		out.Body.NextCursor = cursorOf(kind, more)
	}
	out.Body.Transactions = make([]entryView, len(entries))
	for i := range entries {
		out.Body.Transactions[i] = entryView{&entries[i]}
	}
	return out, nil
}

// history reads a page of the changes that are wanted, and returns the version
// behind which the next page begins, 0 where there is none. A cursor is a
// version: whatever is written meanwhile, no page repeats or skips a change.
func (s *server) history(ctx context.Context, q rbcs.HistoryQuery, in *historyInput) (found []rbcs.Entry, more int64, err error) {
	q.Limit = in.Limit + 1
	if in.filtered() {
		q.Limit = maxScan
	}
	entries, err := s.Store.History(ctx, q)
	if err != nil {
		return nil, 0, err
	}
	for i := range entries {
		if !in.wants(&entries[i]) {
			continue
		}
		if len(found) == in.Limit { // one more than fits
			return found, found[in.Limit-1].Version, nil
		}
		found = append(found, entries[i])
	}
	if len(entries) == q.Limit {
		more = entries[len(entries)-1].Version
	}
	return found, more, nil
}
