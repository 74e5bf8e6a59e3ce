// Package records reads files of accounts and transactions: NDJSON or CSV,
// plain or gzip, line by line, however large they are.
//
// A line that cannot be read is a [*BadLine] with its number and the reason;
// the lines after it are read as if it were not there. One line is always one
// record, also in CSV: a quote that is never closed spoils its own line only.
package records

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"path"
	"strings"

	"rbcs"
)

// Record is one line: an account where Account is set, else a transaction.
//
// Everything about it is checked that can be known without the currencies and
// accounts of the service.
type Record struct {
	Line        int
	Account     *Account
	Transaction *rbcs.Transaction
}

// Account is an account as a file has it: only who knows the currencies can
// make its overdraft an amount.
type Account struct {
	Number    string
	Currency  string
	Overdraft rbcs.OverdraftChange
	Metadata  string // canonical JSON object, "" for none
}

// In returns the account with the service's currencies. It fails with
// [rbcs.InvalidRequest].
func (a *Account) In(known *rbcs.Currencies) (rbcs.NewAccount, error) {
	currency, ok := known.Lookup(a.Currency)
	if !ok {
		return rbcs.NewAccount{}, fieldError("currency",
			fmt.Errorf("the currency %q is not known: it is neither in ISO 4217 nor declared", a.Currency))
	}
	limit, err := a.Overdraft.Limit.In(currency.Decimals)
	if err != nil {
		return rbcs.NewAccount{}, fieldError("overdraft", rbcs.AmountFault(err, currency))
	}
	account := rbcs.NewAccount{
		Number:    a.Number,
		Currency:  currency,
		Overdraft: rbcs.Overdraft{Unlimited: a.Overdraft.Unlimited, Limit: limit},
		Metadata:  a.Metadata,
	}
	return account, account.Prepare()
}

// BadLine is a line that is no record.
type BadLine struct {
	Name string // of the file
	Line int    // counted from 1
	Err  error
}

// Error returns "FILE:LINE: reason".
func (b *BadLine) Error() string { return fmt.Sprintf("%s:%d: %s", b.Name, b.Line, Reason(b.Err)) }

// Unwrap returns the reason.
func (b *BadLine) Unwrap() error { return b.Err }

// Reason returns an error in words for whoever wrote the line: the fields that
// are wrong, where it names them.
func Reason(err error) string {
	e, ok := errors.AsType[*rbcs.Error](err)
	switch {
	case !ok:
		return err.Error()
	case len(e.Fields) == 0:
		return e.Message
	}
	words := make([]string, 0, len(e.Fields)+1)
	if e.Code != rbcs.InvalidRequest { // a conflict: the message says of what
		words = append(words, e.Message)
	}
	for _, f := range e.Fields {
		words = append(words, strings.TrimPrefix(f.Pointer, "/")+": "+f.Message)
	}
	return strings.Join(words, "; ")
}

// Reader reads the records of one file.
type Reader struct {
	name string
	line int
	raw  *bufio.Reader // as the file has it
	in   *bufio.Reader // unpacked
	buf  []byte        // a line that is longer than in's buffer
	csv  *header
	json jsonLine
}

// Bounds of reading.
const (
	bufferBytes = 256 << 10
	// MaxLineBytes is how long a line may be: the largest valid record is far below it.
	MaxLineBytes = 256 << 10
)

// NewReader returns a reader of r, which is called name in errors. It looks at
// the first bytes: gzip is unpacked, a leading "{" means NDJSON, and anything
// else is CSV with a header, unless the name says what it is.
func NewReader(name string, r io.Reader) (*Reader, error) {
	raw := bufio.NewReaderSize(r, bufferBytes)
	in := raw
	if magic, _ := in.Peek(2); len(magic) == 2 && magic[0] == 0x1f && magic[1] == 0x8b { // a failure shows when the line is read
		unpacked, err := gzip.NewReader(in)
		if err != nil {
			return nil, fmt.Errorf("%s: it begins like gzip, but it is not: %w", name, err)
		}
		in = bufio.NewReaderSize(unpacked, bufferBytes)
	}
	if mark, _ := in.Peek(3); string(mark) == "\uFEFF" {
		if _, err := in.Discard(len(mark)); err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
	}
	reader := &Reader{name: name, raw: raw, in: in}
	if isCSV(name, in) {
		if err := reader.readHeader(); err != nil {
			return nil, err
		}
	}
	return reader, nil
}

func isCSV(name string, in *bufio.Reader) bool {
	switch path.Ext(strings.TrimSuffix(strings.ToLower(name), ".gz")) {
	case ".csv", ".tsv":
		return true
	case ".ndjson", ".jsonl", ".json":
		return false
	}
	start, _ := in.Peek(512) // what cannot be read shows when the line is read
	start = bytes.TrimLeft(start, " \t\r\n")
	return len(start) > 0 && start[0] != '{' && start[0] != '['
}

// Next returns the next record, a [*BadLine], io.EOF at the end, or another
// error where the file cannot be read on. Blank lines are skipped.
func (r *Reader) Next() (Record, error) {
	for {
		line, err := r.readLine()
		if bad, ok := errors.AsType[*BadLine](err); ok {
			return Record{Line: r.line}, bad
		}
		if err != nil {
			return Record{}, err
		}
		if len(bytes.TrimSpace(line)) == 0 {
			continue
		}
		record, err := r.parse(line)
		record.Line = r.line
		if err != nil {
			return record, r.bad(err)
		}
		return record, nil
	}
}

func (r *Reader) parse(line []byte) (Record, error) {
	var f fields
	var err error
	if r.csv != nil {
		err = r.csv.split(line, &f)
	} else {
		err = r.json.split(line, &f)
	}
	if err != nil {
		return Record{}, err
	}
	return f.record()
}

// Line returns how many lines were read.
func (r *Reader) Line() int { return r.line }

// Buffered returns how many bytes of the file, packed as they are there, were
// read ahead of the last line.
func (r *Reader) Buffered() int { return r.raw.Buffered() }

func (r *Reader) bad(err error) error { return &BadLine{Name: r.name, Line: r.line, Err: err} }

// readLine returns the next line without its end, valid until the next call.
func (r *Reader) readLine() ([]byte, error) {
	line, err := r.in.ReadSlice('\n')
	if errors.Is(err, bufio.ErrBufferFull) {
		r.buf = r.buf[:0]
		for errors.Is(err, bufio.ErrBufferFull) {
			if len(r.buf) <= MaxLineBytes { // what is longer is read over, not kept
				r.buf = append(r.buf, line...)
			}
			line, err = r.in.ReadSlice('\n')
		}
		r.buf = append(r.buf, line...)
		line = r.buf
	}
	if err != nil && (!errors.Is(err, io.EOF) || len(line) == 0) {
		if errors.Is(err, io.EOF) {
			return nil, io.EOF
		}
		return nil, fmt.Errorf("%s: it cannot be read after line %d: %w", r.name, r.line, err)
	}
	r.line++
	if len(line) > MaxLineBytes {
		return nil, r.bad(fmt.Errorf("the line has more than %d bytes", MaxLineBytes))
	}
	return bytes.TrimSuffix(bytes.TrimSuffix(line, []byte("\n")), []byte("\r")), nil
}
