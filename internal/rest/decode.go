package rest

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"unicode/utf8"

	"github.com/go-faster/jx"

	"rbcs"
)

// decoder reads the body of one request.
//
// It tells two kinds of wrong apart. Broken JSON ends the reading with an error.
// A value of the wrong type, an unknown member, or one that stands twice is a
// fault: it is noted with its pointer, the value is skipped, and reading goes
// on, so that a client hears of all faults at once and one bad transaction does
// not stop its batch.
//
// Strings without escapes are cut from one copy of the body: one allocation per
// request instead of five per transaction. Whoever keeps one of them for long
// should clone it, since it keeps the whole copy alive.
type decoder struct {
	in     jx.Decoder
	body   []byte // reused
	text   string // a copy of body, which strings are cut from
	faults []rbcs.FieldError

	bodies   *bodies // bounds all bodies together
	reserved int64   // of them, for this one
}

// maxPooled bounds what an idle buffer keeps: a rare large request should not
// hold its memory for ever.
const maxPooled = 4 << 20

var decoders = sync.Pool{New: func() any { return new(decoder) }}

func newDecoder(all *bodies) *decoder {
	d := decoders.Get().(*decoder)
	d.bodies = all
	return d
}

func (d *decoder) free() {
	d.bodies.release(d.reserved)
	d.bodies, d.reserved = nil, 0
	d.in.ResetBytes(nil)
	d.text, d.faults = "", nil
	if cap(d.body) <= maxPooled {
		decoders.Put(d)
	}
}

// read reads the body into the decoder: of one of the content types, at most
// limit bytes, valid UTF-8. It returns which type it was.
func (d *decoder) read(w http.ResponseWriter, r *http.Request, limit int64, types ...string) (string, error) {
	contentType, err := contentTypeOf(w, r, types)
	if err != nil {
		return "", err
	}
	if r.ContentLength > limit {
		return "", tooLarge(w, limit)
	}
	if err := d.reserve(w, max(r.ContentLength, 0)); err != nil {
		return "", err
	}
	body := http.MaxBytesReader(w, r.Body, limit)
	d.body = slices.Grow(d.body[:0], int(max(r.ContentLength, 0))+bytesForEOF)
	for {
		n, err := body.Read(d.body[len(d.body):cap(d.body)])
		d.body = d.body[:len(d.body)+n]
		if more := int64(len(d.body)) - d.reserved; more > 0 { // it did not say its length
			if err := d.reserve(w, max(more, bodyStep)); err != nil {
				return "", err
			}
		}
		switch {
		case err == nil:
			d.body = slices.Grow(d.body, bytesForEOF)
		case errors.Is(err, io.EOF):
			return contentType, d.use()
		case errors.As(err, new(*http.MaxBytesError)):
			return "", tooLarge(w, limit)
		default:
			return "", &rbcs.Error{Code: rbcs.InvalidRequest, Message: "the body could not be read to its end", Err: err}
		}
	}
}

// reserve takes room for n more bytes of the body.
func (d *decoder) reserve(w http.ResponseWriter, n int64) error {
	err := d.bodies.reserve(d.reserved, n)
	switch {
	case err == nil:
		d.reserved += n
	case d.reserved+n > maxSingleBody:
		w.Header().Set("Connection", "close") // the rest is not worth reading
	}
	return err
}

// contentTypeOf returns which of the types the body is said to have.
func contentTypeOf(w http.ResponseWriter, r *http.Request, types []string) (string, error) {
	if coding := r.Header.Get("Content-Encoding"); coding != "" && !strings.EqualFold(coding, "identity") {
		w.Header().Set("Accept-Encoding", "identity")
		return "", refusal(http.StatusUnsupportedMediaType,
			"the body has the content encoding "+shorten(coding)+"; send it as it is, without Content-Encoding")
	}
	contentType := r.Header.Get("Content-Type")
	if slices.Contains(types, contentType) { // as most send it; else look closer
		return contentType, nil
	}
	contentType, parameters, err := mime.ParseMediaType(contentType)
	if err != nil || !slices.Contains(types, contentType) {
		// A missing type is refused too: without it a browser would post for any web page that asks it to.
		return "", refusal(http.StatusUnsupportedMediaType, "the content type must be "+strings.Join(types, " or "))
	}
	if charset, ok := parameters["charset"]; ok && !strings.EqualFold(charset, "utf-8") {
		return "", refusal(http.StatusUnsupportedMediaType, "the body has the charset "+shorten(charset)+"; JSON is sent as UTF-8")
	}
	return contentType, nil
}

func tooLarge(w http.ResponseWriter, limit int64) error {
	w.Header().Set("Connection", "close") // the rest is not worth reading
	return refusal(http.StatusRequestEntityTooLarge, fmt.Sprintf("the body is larger than %d bytes; send less at once", limit))
}

// bytesForEOF is the room that the last read needs to find the end.
const bytesForEOF = 512

// use makes the decoder read d.body.
func (d *decoder) use() error {
	if !utf8.Valid(d.body) {
		at := 0
		for at < len(d.body) {
			r, size := utf8.DecodeRune(d.body[at:])
			if r == utf8.RuneError && size == 1 {
				break
			}
			at += size
		}
		return rbcs.Errorf(rbcs.InvalidRequest, "the body is not valid UTF-8 at byte %d", at)
	}
	d.text = string(d.body)
	d.in.ResetBytes(d.body)
	d.faults = nil
	return nil
}

// document reads the one value that doc, a part of the body, consists of.
func (d *decoder) document(doc []byte, read func() error) error {
	d.in.ResetBytes(doc)
	err := read()
	if err == nil {
		if err = d.in.Skip(); errors.Is(err, io.EOF) {
			return nil
		}
		err = errors.Join(err, errors.New("something follows the value"))
	}
	var p *Problem
	if errors.As(err, &p) {
		return p
	}
	return brokenJSON(doc, err)
}

// change reads the body of a PATCH: an object with at least one of the names.
func (d *decoder) change(names []string, read func(name int) error) error {
	err := d.document(d.body, func() error {
		seen, err := d.object("a change", names, read)
		if err == nil && seen == 0 && len(d.faults) == 0 {
			last := len(names) - 1
			d.fault("", "the change is empty; write "+strings.Join(names[:last], ", ")+" or "+names[last])
		}
		return err
	})
	if err != nil {
		return err
	}
	if err := d.invalid(0, "the change is invalid"); err != nil {
		return err
	}
	return nil
}

// brokenJSON says where the JSON is broken, in the words of encoding/json.
func brokenJSON(doc []byte, err error) *rbcs.Error {
	var whole json.RawMessage
	var syntax *json.SyntaxError
	switch {
	case len(doc) == 0:
		return rbcs.Errorf(rbcs.InvalidRequest, "the body is empty; send JSON")
	case errors.As(json.Unmarshal(doc, &whole), &syntax):
		return rbcs.Errorf(rbcs.InvalidRequest, "the JSON is broken at byte %d: %w", syntax.Offset, syntax)
	}
	return rbcs.Errorf(rbcs.InvalidRequest, "the JSON is broken: %w", err)
}

// invalid returns the faults from the given one on as an error, nil where there are none, and forgets them.
func (d *decoder) invalid(from int, message string) *rbcs.Error {
	if len(d.faults) == from {
		return nil
	}
	fields := slices.Clone(d.faults[from:])
	d.faults = d.faults[:from]
	return &rbcs.Error{Code: rbcs.InvalidRequest, Message: message, Fields: fields}
}

func (d *decoder) fault(pointer, message string) {
	d.faults = append(d.faults, rbcs.FieldError{Pointer: pointer, Message: message})
}

// members is which of an object's known members were there: bit i for names[i].
type members uint

func (m members) has(i int) bool { return m&(1<<i) != 0 }

// object reads an object. It calls read with the index of each known name;
// what is unknown or stands twice is a fault. Where it is no object at all, that
// is the one fault, and nothing counts as missing.
func (d *decoder) object(what string, names []string, read func(name int) error) (members, error) {
	if d.in.Next() != jx.Object {
		return ^members(0), d.wrongType("", what+" is an object")
	}
	it, err := d.in.ObjIter()
	if err != nil {
		return 0, err
	}
	var seen members
	for it.Next() {
		i := index(names, it.Key())
		switch {
		case i < 0:
			d.fault("/"+escapePointer(string(it.Key())), "this member is not known")
			err = d.in.Skip()
		case seen.has(i):
			d.fault("/"+names[i], "this member stands twice")
			err = d.in.Skip()
		default:
			seen |= 1 << i
			err = read(i)
		}
		if err != nil {
			return seen, err
		}
	}
	return seen, it.Err()
}

func index(names []string, key []byte) int {
	for i, name := range names {
		if name == string(key) {
			return i
		}
	}
	return -1
}

// array calls read for each element.
func (d *decoder) array(pointer string, read func(i int) error) error {
	if d.in.Next() != jx.Array {
		return d.wrongType(pointer, "this must be an array")
	}
	it, err := d.in.ArrIter()
	if err != nil {
		return err
	}
	for i := 0; it.Next(); i++ {
		if err := read(i); err != nil {
			return err
		}
	}
	return it.Err()
}

// wrongType skips a value that should have been something else.
func (d *decoder) wrongType(pointer, message string) error {
	d.fault(pointer, message)
	if err := d.in.Skip(); !errors.Is(err, io.EOF) {
		return err
	}
	return io.ErrUnexpectedEOF
}

// str reads a string.
func (d *decoder) str(pointer string) (string, error) {
	if d.in.Next() != jx.String {
		return "", d.wrongType(pointer, "this must be a string")
	}
	b, err := d.in.StrBytes()
	return d.cut(b), err
}

// cut returns b as a string: a part of d.text where b is a part of d.body.
func (d *decoder) cut(b []byte) string {
	// A part of the body has the capacity that is left behind its beginning.
	at := cap(d.body) - cap(b)
	if len(b) > 0 && at >= 0 && at+len(b) <= len(d.text) && &d.body[at] == &b[0] {
		return d.text[at : at+len(b)]
	}
	return string(b)
}

// word reads a string that names one of few things. Longer than a word could be
// is a fault here, so that nobody echoes it.
func (d *decoder) word(pointer string) (string, error) {
	const limit = 32
	s, err := d.str(pointer)
	if len(s) > limit {
		d.fault(pointer, "this is too long")
		return "", err
	}
	return s, err
}

// boolean reads true or false.
func (d *decoder) boolean(pointer string) (bool, error) {
	if d.in.Next() != jx.Bool {
		return false, d.wrongType(pointer, "this must be true or false")
	}
	return d.in.Bool()
}

// integer reads an integer of at least zero.
func (d *decoder) integer(pointer string) (int64, error) {
	if d.in.Next() != jx.Number {
		return 0, d.wrongType(pointer, "this must be an integer")
	}
	raw, err := d.in.Num()
	if err != nil {
		return 0, err
	}
	n, fault := strconv.ParseInt(raw.String(), 10, 64)
	if fault != nil || n < 0 {
		d.fault(pointer, "this must be an integer of at least zero")
	}
	return n, nil
}

// decimal reads an amount.
func (d *decoder) decimal(pointer string) (rbcs.Decimal, error) {
	if d.in.Next() == jx.Number {
		return rbcs.Decimal{}, d.wrongType(pointer, `an amount is a string such as "12.34", not a number`)
	}
	before := len(d.faults)
	s, err := d.str(pointer)
	if err != nil || len(d.faults) > before {
		return rbcs.Decimal{}, err
	}
	amount, fault := rbcs.ParseDecimal(s)
	if fault != nil {
		d.fault(pointer, fault.Error())
	}
	return amount, nil
}

// metadata reads an object and returns its canonical form.
func (d *decoder) metadata() (string, error) {
	raw, err := d.in.Raw()
	if err != nil {
		return "", err
	}
	canonical, fault := rbcs.CanonicalMetadata(raw)
	if fault != nil {
		d.fault("/metadata", fault.Error())
	}
	return canonical, nil
}
