package rest

import (
	"strconv"
	"strings"

	"rbcs"
)

// statementFormat writes a statement.
type statementFormat interface {
	begin(dst []byte, st *statement) []byte
	line(dst []byte, e *rbcs.Entry, first bool) []byte
	end(dst []byte, st *statement) []byte
}

// jsonStatement writes a [Statement].
type jsonStatement struct{}

func (jsonStatement) begin(dst []byte, st *statement) []byte {
	decimals := st.account.Currency.Decimals
	dst = append(append(dst, `{"number":"`...), st.account.Number...)
	dst = append(append(append(dst, `","currency":"`...), st.account.Currency.Code...), '"')
	if !st.from.IsZero() {
		dst = append(appendTime(append(dst, `,"from":"`...), st.from), '"')
	}
	if !st.to.IsZero() {
		dst = append(appendTime(append(dst, `,"to":"`...), st.to), '"')
	}
	dst = st.opening.AppendFormat(append(dst, `,"opening_balance":"`...), decimals)
	dst = st.closing.AppendFormat(append(dst, `","closing_balance":"`...), decimals)
	return append(dst, `","lines":[`...)
}

func (jsonStatement) line(dst []byte, e *rbcs.Entry, first bool) []byte {
	if !first {
		dst = append(dst, ',')
	}
	return appendEntry(dst, e)
}

func (jsonStatement) end(dst []byte, st *statement) []byte {
	dst = append(dst, ']')
	if st.next != "" {
		dst = append(append(append(dst, `,"next_cursor":"`...), st.next...), '"')
	}
	return append(dst, "}\n"...)
}

// csvStatement writes a table with the balances as its first and last row. A page
// carries its balance forward to the next one: only the statement's own last row
// is its closing balance.
type csvStatement struct{}

const csvHeader = "committed_at,type,id,original,direction,counterparty,change,balance,held,version,sequence,description\r\n"

func (csvStatement) begin(dst []byte, st *statement) []byte {
	name := "opening_balance"
	if st.continued {
		name = "brought_forward"
	}
	return appendCSVBalance(append(dst, csvHeader...), name, st.opening, st)
}

func appendCSVBalance(dst []byte, name string, balance rbcs.Amount, st *statement) []byte {
	dst = append(append(append(dst, ','), name...), ",,,,,,"...)
	return append(balance.AppendFormat(dst, st.account.Currency.Decimals), ",,,,\r\n"...)
}

func (csvStatement) line(dst []byte, e *rbcs.Entry, _ bool) []byte {
	t := &e.Result.Transaction
	scale := int(t.Amount.Scale)
	dst = append(appendTime(dst, e.Result.CommittedAt), ',')
	dst = append(append(dst, t.Type...), ',')
	dst = append(appendCSV(dst, t.ID), ',')
	dst = append(appendCSV(dst, t.Original), ',')
	dst = append(append(dst, directionOf(e)...), ',')
	dst = append(appendCSV(dst, counterpartyOf(e)), ',')
	dst = append(e.Change.AppendFormat(dst, scale), ',')
	dst = append(e.Balance.AppendFormat(dst, scale), ',')
	dst = append(e.Held.AppendFormat(dst, scale), ',')
	dst = append(strconv.AppendInt(dst, e.Version, 10), ',')
	dst = append(strconv.AppendInt(dst, e.Result.Sequence, 10), ',')
	return append(appendCSV(dst, t.Description), "\r\n"...)
}

func (csvStatement) end(dst []byte, st *statement) []byte {
	name := "closing_balance"
	if st.next != "" {
		name = "carried_forward"
	}
	return appendCSVBalance(dst, name, st.closing, st)
}

// appendCSV writes a client's text as one cell (RFC 4180) that no spreadsheet
// takes for a formula.
func appendCSV(dst []byte, s string) []byte {
	formula := s != "" && strings.IndexByte("=+-@", s[0]) >= 0
	if !formula && !strings.ContainsAny(s, ",\"\r\n") && strings.TrimSpace(s) == s {
		return append(dst, s...)
	}
	dst = append(dst, '"')
	if formula {
		dst = append(dst, '\'')
	}
	for i := range len(s) {
		if s[i] == '"' {
			dst = append(dst, '"')
		}
		dst = append(dst, s[i])
	}
	return append(dst, '"')
}
