package client

import (
	"context"
	"fmt"
	"io"
	"iter"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"rbcs"
)

// HistoryQuery selects changes of one account. Zero values do not restrict.
type HistoryQuery struct {
	From       time.Time // committed at or after
	To         time.Time // committed before
	Descending bool      // the latest first

	Type         rbcs.Type // only this one
	Direction    string    // only "credit" or "debit"
	Counterparty string    // only what has this account on the other side

	PageSize int // how many are asked for at once; 0: as many as the service likes
}

// Entry is one change of an account: a transaction, seen from that account.
type Entry struct {
	Result
	Direction string `json:"direction"` // "credit" or "debit"
	Change    Amount `json:"change"`    // of the balance, with its sign
	Balance   Amount `json:"balance"`   // of the account after it
	Held      Amount `json:"held"`
	Version   int64  `json:"version"`
}

// History lists the changes of an account's balance. It asks for the next page
// when the one before is used up; an error ends the list.
func (c *Client) History(ctx context.Context, number string, q HistoryQuery) iter.Seq2[Entry, error] {
	query := url.Values{}
	setTime(query, "from", q.From)
	setTime(query, "to", q.To)
	if q.Descending {
		query.Set("order", "desc")
	}
	set(query, "type", string(q.Type))
	set(query, "direction", q.Direction)
	set(query, "counterparty", q.Counterparty)
	return pages[Entry](ctx, c, "/v1/accounts/"+segment(number)+"/transactions", query, q.PageSize)
}

// StatementQuery selects the changes that a statement is about. Zero values do not restrict.
type StatementQuery struct {
	From     time.Time // committed at or after
	To       time.Time // committed before
	PageSize int       // lines in a part; 0: 1,000
}

func (q *StatementQuery) values() url.Values {
	query := url.Values{}
	setTime(query, "from", q.From)
	setTime(query, "to", q.To)
	return query
}

// Statement is a part of a statement: Opening plus the sum of the lines' changes
// is Closing.
type Statement struct {
	Number   string    `json:"number"`
	Currency string    `json:"currency"`
	From     time.Time `json:"from,omitzero"`
	To       time.Time `json:"to,omitzero"`
	Opening  Amount    `json:"opening_balance"`
	Closing  Amount    `json:"closing_balance"`
	Lines    []Entry   `json:"lines"` // the oldest first

	NextCursor string `json:"next_cursor,omitempty"`
}

const statementPage = 1000 // the most that the service sends at once

// Statement says why an account's balance changed: the opening balance, every
// change and the closing balance, in parts of bounded size. Each part opens with
// what the part before closed with, so that the last one's closing balance is the
// statement's; there is always one part. An error ends the statement.
func (c *Client) Statement(ctx context.Context, number string, q StatementQuery) iter.Seq2[Statement, error] {
	query := q.values()
	size := statementPage
	if q.PageSize != 0 {
		size = q.PageSize
	}
	query.Set("limit", strconv.Itoa(size))
	return cursor(ctx, c, statementPath(number), query, func(s *Statement) string { return s.NextCursor })
}

// StatementCSV writes a whole statement to w as CSV: a head, the opening balance,
// the lines, the closing balance. An error means that what was written is not
// the whole of it.
func (c *Client) StatementCSV(ctx context.Context, number string, q StatementQuery, w io.Writer) error {
	req := &request{
		method: http.MethodGet, path: statementPath(number), query: q.values(), header: http.Header{"Accept": {"text/csv"}},
	}
	body, failure := c.stream(ctx, c.pace(), req)
	if failure != nil {
		return failure
	}
	defer func() { _ = body.Close() }() // it was only read
	out := &keptWriter{Writer: w}
	if _, err := io.Copy(out, body); err != nil {
		if out.err != nil { // the service has no part in it
			return fmt.Errorf("write the statement, which is not whole: %w", out.err)
		}
		return rbcs.Errorf(rbcs.Unavailable, "the statement broke off; what was written is not the whole: %w", err)
	}
	return nil
}

// keptWriter keeps the error of a write, as against one of what is copied.
type keptWriter struct {
	io.Writer
	err error
}

func (k *keptWriter) Write(b []byte) (n int, err error) {
	n, k.err = k.Writer.Write(b)
	return n, k.err
}

func statementPath(number string) string { return "/v1/accounts/" + segment(number) + "/statement" }
