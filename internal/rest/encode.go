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

// AppendRecord writes a recorded decision as a JSON object on one line. It is
// what a POST answers, what a batch contains, what the event stream and webhooks
// send, and the same bytes each time.
func AppendRecord(dst []byte, r *rbcs.Result) []byte {
	return append(appendOpenRecord(dst, r, r.Status), '}')
}

// appendCurrent writes a decision as it stands now.
func appendCurrent(dst []byte, r *rbcs.Record) []byte {
	dst = appendOpenRecord(dst, &r.Result, r.Current)
	if r.ClosedBy != "" {
		dst = appendString(append(dst, `,"settled_by":`...), r.ClosedBy)
	}
	if !r.TakenBack.IsZero() {
		dst = appendMoney(append(dst, `,"reversed":`...), r.TakenBack, &r.Transaction)
	}
	return append(dst, '}')
}

// appendOpenRecord writes a decision without the closing brace.
func appendOpenRecord(dst []byte, r *rbcs.Result, status rbcs.Status) []byte {
	t := &r.Transaction
	dst = appendString(append(dst, `{"id":`...), t.ID)
	dst = append(append(append(dst, `,"type":"`...), t.Type...), `","status":"`...)
	dst = append(append(dst, status...), '"')
	if r.Status == rbcs.Rejected {
		dst = append(append(append(dst, `,"code":"`...), r.Code...), `","detail":`...)
		dst = appendString(dst, rejectionDetail(r))
		dst = appendReason(dst, r)
	}
	if t.Original != "" {
		dst = appendString(append(dst, `,"original":`...), t.Original)
	}
	// Numbers and codes consist of plain characters.
	if t.Source != "" { // what refers to nothing that is known has no accounts, and perhaps no amount
		dst = append(append(append(dst, `,"source":"`...), t.Source...), '"')
		dst = append(append(append(dst, `,"destination":"`...), t.Destination...), '"')
	}
	if !t.Amount.Units.IsZero() {
		dst = appendMoney(append(dst, `,"amount":`...), t.Amount.Units, t)
	}
	if t.Currency != "" { // it is not known where there was no source account
		dst = append(append(append(dst, `,"currency":"`...), t.Currency...), '"')
	}
	dst = append(appendTime(append(dst, `,"timestamp":"`...), t.Timestamp), '"')
	if !t.ExpiresAt.IsZero() {
		dst = append(appendTime(append(dst, `,"expires_at":"`...), t.ExpiresAt), '"')
	}
	dst = appendSchedule(dst, t)
	if r.Sequence > 0 { // a preview has none
		dst = strconv.AppendInt(append(dst, `,"sequence":`...), r.Sequence, 10)
	}
	dst = append(appendTime(append(dst, `,"committed_at":"`...), r.CommittedAt), '"')
	if r.Attempt > 1 {
		dst = strconv.AppendInt(append(dst, `,"attempt":`...), int64(r.Attempt), 10)
	}
	dst = appendStates(dst, r)
	if t.Description != "" {
		dst = appendString(append(dst, `,"description":`...), t.Description)
	}
	if t.Metadata != "" {
		dst = append(append(dst, `,"metadata":`...), t.Metadata...)
	}
	if t.Group.ID != "" {
		dst = append(append(append(dst, `,"group":{"id":"`...), t.Group.ID...), `","position":`...)
		dst = strconv.AppendInt(dst, int64(t.Group.Position), 10)
		dst = append(strconv.AppendInt(append(dst, `,"size":`...), int64(t.Group.Size), 10), '}')
	}
	return dst
}

// appendStates writes what the decision did to its accounts.
func appendStates(dst []byte, r *rbcs.Result) []byte {
	t := &r.Transaction
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
	if t.Type == rbcs.Transfer || r.Source.Version == 0 {
		return dst
	}
	if t.Type != rbcs.Reversal { // the others change what the source holds
		dst = appendMoney(append(dst, `,"source_held":`...), r.Source.Held, t)
	}
	if r.Remainder.Sign() > 0 {
		dst = appendMoney(append(dst, `,"remainder":`...), r.Remainder, t)
	}
	return dst
}

// appendMoney writes an amount with the decimals of the transaction's currency.
func appendMoney(dst []byte, a rbcs.Amount, t *rbcs.Transaction) []byte {
	return append(a.AppendFormat(append(dst, '"'), int(t.Amount.Scale)), '"')
}

// appendReason writes what a program may want to know about a rejection.
func appendReason(dst []byte, r *rbcs.Result) []byte {
	t := &r.Transaction
	switch r.Code {
	case rbcs.HoldNotOpen:
		if r.SettledBy != "" && r.SettledBy != t.Original { // nothing settled what was rejected
			dst = appendString(append(dst, `,"settled_by":`...), r.SettledBy)
		}
		return dst
	case rbcs.AccountNotFound, rbcs.AccountFrozen, rbcs.AccountClosed, rbcs.Overflow:
		if r.SettledBy != "" { // what had no accounts has none to name
			dst = appendString(append(dst, `,"account":`...), r.SettledBy)
		}
		return dst
	case rbcs.InsufficientFunds, rbcs.AmountExceedsHold, rbcs.AmountExceedsReversible:
	default:
		return dst
	}
	dst = appendMoney(append(dst, `,"available":`...), r.Shortfall.Available, t)
	if r.Code == rbcs.InsufficientFunds {
		dst = appendMoney(append(dst, `,"overdraft":`...), r.Shortfall.Overdraft, t)
	}
	dst = appendMoney(append(dst, `,"needed":`...), r.Shortfall.Needed, t)
	return appendMoney(append(dst, `,"short":`...), r.Shortfall.Short, t)
}

// previewMark stands in what was only previewed.
const previewMark = `,"dry_run":true`

// appendRejection writes a rejection as a [Problem].
func appendRejection(dst []byte, r *rbcs.Result, dry bool) []byte {
	mark := ""
	if dry {
		mark = previewMark
	}
	dst = append(append(append(dst, `{"type":"`+problemURN...), r.Code...), `","title":"`...)
	dst = append(append(dst, titleOf(r.Code)...), `","status":`...)
	dst = strconv.AppendInt(dst, int64(statusOf(r.Code)), 10)
	dst = append(append(append(dst, `,"code":"`...), r.Code...), `","detail":`...)
	dst = appendString(dst, rejectionDetail(r))
	dst = append(appendReason(dst, r), mark...)
	dst = appendOpenRecord(append(dst, `,"transaction":`...), r, r.Status)
	return append(append(dst, mark...), "}}"...)
}

// appendEntry writes a change of an account: a decision, and what it did there.
func appendEntry(dst []byte, e *rbcs.Entry) []byte {
	t := &e.Result.Transaction
	dst = appendOpenRecord(dst, &e.Result, e.Result.Status)
	dst = append(append(append(dst, `,"direction":"`...), directionOf(e)...), '"')
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
	dst = appendString(dst, detailOf(e))
	dst = strconv.AppendBool(append(dst, `,"retryable":`...), e.Retryable())
	if len(e.Fields) > 0 {
		dst = append(dst, `,"errors":[`...)
		for i, f := range e.Fields {
			if i > 0 {
				dst = append(dst, ',')
			}
			pointer := prefix + f.Pointer
			if f.Pointer == atomicPointer { // it is said once, for all
				pointer = f.Pointer
			}
			dst = appendString(append(dst, `{"pointer":`...), pointer)
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
