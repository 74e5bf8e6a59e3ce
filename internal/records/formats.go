package records

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/go-faster/jx"
)

// jsonLine takes lines of NDJSON apart.
type jsonLine struct{ dec jx.Decoder }

func (j *jsonLine) split(line []byte, f *fields) error {
	if line = bytes.TrimSpace(line); line[0] != '{' {
		if line[0] == '[' {
			return errors.New("it is a JSON array: write one object per line, as `jq -c '.[]'` does")
		}
		return errors.New("it is not a JSON object")
	}
	j.dec.ResetBytes(line)
	var fault error // ours, as against one of the syntax
	err := j.dec.ObjBytes(func(d *jx.Decoder, key []byte) error {
		i := fieldIndex(string(key))
		if i < 0 {
			fault = fmt.Errorf("there is no field %q", key)
			return fault
		}
		if d.Next() == jx.Null { // a field that is null is not there
			return d.Null()
		}
		value, err := value(d, i, &fault)
		if err == nil && fault == nil {
			fault = f.set(i, value)
		}
		return errors.Join(err, fault)
	})
	if fault != nil {
		return fault
	}
	if err != nil {
		return fmt.Errorf("it is not valid JSON: %w", err)
	}
	if err := j.dec.Skip(); !errors.Is(err, io.ErrUnexpectedEOF) && !errors.Is(err, io.EOF) {
		return errors.New("something follows the JSON object")
	}
	return nil
}

// value reads the value of a field: all but metadata are strings.
func value(d *jx.Decoder, i int, fault *error) (string, error) {
	switch kind := d.Next(); {
	case i == fieldMetadata:
		raw, err := d.Raw()
		return string(raw), err
	case kind != jx.String:
		want := "this must be a string"
		if i == fieldAmount {
			want = `an amount is a string such as "12.34"`
		}
		*fault = fieldError(fieldNames[i], fmt.Errorf("%s, not %s", want, article(kind)))
		return "", nil
	}
	value, err := d.StrBytes()
	return string(value), err
}

func article(kind jx.Type) string {
	switch kind {
	case jx.Array, jx.Object:
		return "an " + kind.String()
	case jx.Number:
		return "a number"
	case jx.Bool:
		return "a boolean"
	default:
		return "this"
	}
}

// header is the first row of a CSV file: what stands in which column.
type header struct {
	comma   byte
	columns []int // by column, the field
	cells   [][]byte
	buf     []byte
}

// readHeader reads the header row. The separator is the one of comma,
// semicolon and tab that it has most of. Blank lines before it are skipped.
func (r *Reader) readHeader() error {
	line, err := r.readLine()
	for err == nil && len(bytes.TrimSpace(line)) == 0 {
		line, err = r.readLine()
	}
	if errors.Is(err, io.EOF) {
		r.csv = &header{comma: ','}
		return nil // an empty file has nothing to say
	}
	if err != nil {
		return err
	}
	h := &header{comma: ','}
	for _, c := range []byte{';', '\t'} {
		if bytes.Count(line, []byte{c}) > bytes.Count(line, []byte{h.comma}) {
			h.comma = c
		}
	}
	if err := h.cut(line); err != nil {
		return r.bad(err)
	}
	for n, cell := range h.cells {
		name := strings.ToLower(strings.TrimSpace(string(cell)))
		i := fieldIndex(name)
		if i < 0 {
			return r.bad(fmt.Errorf("column %d is called %q, which is no field; the first row names the fields, out of %s",
				n+1, name, strings.Join(fieldNames[:], " ")))
		}
		for _, before := range h.columns {
			if before == i {
				return r.bad(fmt.Errorf("the column %q stands twice", name))
			}
		}
		h.columns = append(h.columns, i)
	}
	r.csv = h
	return nil
}

// split takes one row apart. An empty cell is a field that is not there.
func (h *header) split(line []byte, f *fields) error {
	if err := h.cut(line); err != nil {
		return err
	}
	if len(h.cells) != len(h.columns) {
		return fmt.Errorf("it has %d cells, the header has %d", len(h.cells), len(h.columns))
	}
	for n, cell := range h.cells {
		if len(cell) > 0 {
			if err := f.set(h.columns[n], string(cell)); err != nil {
				return err
			}
		}
	}
	return nil
}

// cut fills h.cells with the cells of a row: quotes as in RFC 4180, but a row
// never goes on to the next line.
func (h *header) cut(line []byte) error {
	h.cells, h.buf = h.cells[:0], h.buf[:0]
	for {
		if len(line) == 0 || line[0] != '"' {
			end := bytes.IndexByte(line, h.comma)
			if end < 0 {
				h.cells = append(h.cells, line)
				return nil
			}
			h.cells, line = append(h.cells, line[:end]), line[end+1:]
			continue
		}
		start := len(h.buf)
		line = line[1:]
		for {
			end := bytes.IndexByte(line, '"')
			if end < 0 {
				return errors.New("a quote is not closed in its line")
			}
			h.buf, line = append(h.buf, line[:end]...), line[end+1:]
			if len(line) == 0 || line[0] != '"' {
				break
			}
			h.buf, line = append(h.buf, '"'), line[1:]
		}
		h.cells = append(h.cells, h.buf[start:len(h.buf):len(h.buf)])
		if len(line) == 0 {
			return nil
		}
		if line[0] != h.comma {
			return errors.New("something follows a closing quote")
		}
		line = line[1:]
	}
}
