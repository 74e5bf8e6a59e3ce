package rest

import (
	"slices"
	"strconv"
	"sync"
	"unicode/utf8"

	"rbcs"
)

// Encoders append to a buffer: a batch answers thousands of transactions, and
// neither reflection nor strings in between are worth their price there.

// buffer is a pooled slice of bytes.
type buffer struct{ b []byte }

var buffers = sync.Pool{New: func() any { return new(buffer) }}

func newBuffer() *buffer { return buffers.Get().(*buffer) }

func (b *buffer) free() {
	if cap(b.b) <= maxPooled {
		b.b = b.b[:0]
		buffers.Put(b)
	}
}

// appendRecord writes a recorded decision. It is what a POST answers, what a
// batch and a list contain, and the same bytes each time.
func appendRecord(dst []byte, r *rbcs.Result) []byte {
	return append(appendOpenRecord(dst, r), '}')
}

// appendOpenRecord is appendRecord without the closing brace.
func appendOpenRecord(dst []byte, r *rbcs.Result) []byte {
	t := &r.Transaction
	dst = appendString(append(dst, `{"id":`...), t.ID)
	dst = append(append(append(dst, `,"type":"`...), t.Type...), `","status":"`...)
	dst = append(append(dst, r.Status...), '"')
	if r.Status == rbcs.Rejected {
		dst = append(append(append(dst, `,"code":"`...), r.Code...), `","detail":`...)
		dst = appendString(dst, rejectionDetail(r))
		dst = appendShortfall(dst, r)
	}
	// Numbers and codes consist of plain characters.
	dst = append(append(dst, `,"source":"`...), t.Source...)
	dst = append(append(dst, `","destination":"`...), t.Destination...)
	dst = t.Amount.Units.AppendFormat(append(dst, `","amount":"`...), int(t.Amount.Scale))
	if t.Currency != "" { // it is not known where there was no source account
		dst = append(append(dst, `","currency":"`...), t.Currency...)
	}
	dst = appendTime(append(dst, `","timestamp":"`...), t.Timestamp)
	dst = strconv.AppendInt(append(dst, `","sequence":`...), r.Sequence, 10)
	dst = appendTime(append(dst, `,"committed_at":"`...), r.CommittedAt)
	dst = append(dst, '"')
	if r.Source.Version > 0 {
		dst = appendMoney(append(dst, `,"source_balance":`...), r.Source.Balance, t)
	}
	if r.Destination.Version > 0 {
		dst = appendMoney(append(dst, `,"destination_balance":`...), r.Destination.Balance, t)
	}
	if r.Source.Version > 0 {
		dst = strconv.AppendInt(append(dst, `,"source_version":`...), r.Source.Version, 10)
	}
	if r.Destination.Version > 0 {
		dst = strconv.AppendInt(append(dst, `,"destination_version":`...), r.Destination.Version, 10)
	}
	if t.Description != "" {
		dst = appendString(append(dst, `,"description":`...), t.Description)
	}
	if t.Metadata != "" {
		dst = append(append(dst, `,"metadata":`...), t.Metadata...)
	}
	return dst
}

// appendMoney writes an amount with the decimals of the transaction's currency.
func appendMoney(dst []byte, a rbcs.Amount, t *rbcs.Transaction) []byte {
	return append(a.AppendFormat(append(dst, '"'), int(t.Amount.Scale)), '"')
}

func appendShortfall(dst []byte, r *rbcs.Result) []byte {
	if r.Code != rbcs.InsufficientFunds {
		return dst
	}
	t := &r.Transaction
	dst = appendMoney(append(dst, `,"available":`...), r.Shortfall.Available, t)
	dst = appendMoney(append(dst, `,"overdraft":`...), r.Shortfall.Overdraft, t)
	dst = appendMoney(append(dst, `,"needed":`...), r.Shortfall.Needed, t)
	return appendMoney(append(dst, `,"short":`...), r.Shortfall.Short, t)
}

// appendRejection writes a rejection as a [Problem].
func appendRejection(dst []byte, r *rbcs.Result) []byte {
	dst = append(append(append(dst, `{"type":"`+problemURN...), r.Code...), `","title":"`...)
	dst = append(append(dst, titleOf(r.Code)...), `","status":`...)
	dst = strconv.AppendInt(dst, int64(statusOf(r.Code)), 10)
	dst = append(append(append(dst, `,"code":"`...), r.Code...), `","detail":`...)
	dst = appendString(dst, rejectionDetail(r))
	dst = appendShortfall(dst, r)
	dst = appendRecord(append(dst, `,"transaction":`...), r)
	return append(dst, '}')
}

// appendEntry writes a change of an account: a decision, and what it did there.
func appendEntry(dst []byte, e *rbcs.Entry) []byte {
	direction := "debit"
	if e.Credit {
		direction = "credit"
	}
	t := &e.Result.Transaction
	dst = appendOpenRecord(dst, &e.Result)
	dst = append(append(append(dst, `,"direction":"`...), direction...), '"')
	dst = appendMoney(append(dst, `,"change":`...), e.Change, t)
	dst = appendMoney(append(dst, `,"balance":`...), e.Balance, t)
	dst = appendMoney(append(dst, `,"held":`...), e.Held, t)
	dst = strconv.AppendInt(append(dst, `,"version":`...), e.Version, 10)
	return append(dst, '}')
}

// appendItemError writes what is wrong with one item of a batch. prefix is the
// pointer of the item in the request; key is the name of what identifies it.
func appendItemError(dst []byte, key, value, prefix string, e *rbcs.Error) []byte {
	dst = append(dst, `{"status":"error"`...)
	if value != "" {
		dst = append(append(append(dst, `,"`...), key...), `":`...)
		dst = appendString(dst, shortenTo(value, rbcs.MaxIDBytes))
	}
	dst = append(append(append(dst, `,"code":"`...), e.Code...), `","detail":`...)
	dst = appendString(dst, e.Message)
	dst = strconv.AppendBool(append(dst, `,"retryable":`...), e.Retryable())
	if len(e.Fields) > 0 {
		dst = append(dst, `,"errors":[`...)
		for i, f := range e.Fields {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = appendString(append(dst, `{"pointer":`...), prefix+f.Pointer)
			dst = append(appendString(append(dst, `,"message":`...), f.Message), '}')
		}
		dst = append(dst, ']')
	}
	return append(dst, '}')
}

const hexDigits = "0123456789abcdef"

// appendString writes a JSON string. What is not valid UTF-8 becomes U+FFFD.
func appendString(dst []byte, s string) []byte {
	dst = slices.Grow(dst, len(s)+2)
	dst = append(dst, '"')
	from := 0
	for i := 0; i < len(s); {
		c := s[i]
		if c >= utf8.RuneSelf {
			r, size := utf8.DecodeRuneInString(s[i:])
			if r == utf8.RuneError && size == 1 {
				dst = append(append(dst, s[from:i]...), "\ufffd"...)
				from = i + 1
			}
			i += size
			continue
		}
		if c >= ' ' && c != '"' && c != '\\' {
			i++
			continue
		}
		dst = append(dst, s[from:i]...)
		if c < ' ' {
			dst = append(dst, '\\', 'u', '0', '0', hexDigits[c>>4], hexDigits[c&15])
		} else {
			dst = append(dst, '\\', c)
		}
		i++
		from = i
	}
	return append(append(dst, s[from:]...), '"')
}
