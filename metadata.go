package rbcs

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// Bounds of metadata: it is a label on money, not a document store.
const (
	MaxMetadataBytes = 16 << 10
	maxMetadataDepth = 16
	// maxExponent bounds a number's exponent in its canonical form. As written it may be larger by the length
	// of its digits, which MaxMetadataBytes bounds: below maxExponent, so that the same value is always accepted.
	maxExponent = 32767
	// maxPlainDigits is how many digits of an integer are written plainly: an order number must not come back as 1.2e+22.
	maxPlainDigits = MaxDigits
)

var errExponent = fmt.Errorf("a number has an exponent beyond ±%d", maxExponent)

// CanonicalMetadata returns a JSON object in one canonical form, so that two
// texts of the same content become the same string: members sorted by name, no
// blanks, strings in their shortest form, numbers by their exact value. Unlike
// RFC 8785 it never takes a number through a float. It refuses what is not an
// object, a name that stands twice, more than 16 KiB (as written and in the
// canonical form), more than 16 levels, an exponent beyond ±32767, and what is no
// text everywhere: \u0000 and half of a surrogate pair. An empty object is "".
// What it returns is its own canonical form.
func CanonicalMetadata(raw []byte) (string, error) {
	switch {
	case len(raw) > MaxMetadataBytes:
		return "", fmt.Errorf("metadata has %d bytes; at most %d are allowed", len(raw), MaxMetadataBytes)
	case !utf8.Valid(raw):
		return "", errors.New("metadata is not valid UTF-8")
	case !bytes.HasPrefix(bytes.TrimLeft(raw, " \t\r\n"), []byte("{")):
		return "", errors.New("metadata is not a JSON object")
	}
	if err := checkEscapes(raw); err != nil {
		return "", fmt.Errorf("metadata: %w", err)
	}
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.UseNumber()
	out, err := canonicalValue(nil, dec, 0)
	switch {
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return "", errors.New("metadata: the JSON object is cut off")
	case err != nil:
		return "", fmt.Errorf("metadata: %w", err)
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return "", errors.New("metadata: something follows the JSON object")
	}
	switch {
	case len(out) > MaxMetadataBytes: // 1e37 becomes 38 digits
		return "", fmt.Errorf("metadata has %d bytes in its canonical form; at most %d are allowed", len(out), MaxMetadataBytes)
	case string(out) == "{}":
		return "", nil
	}
	return string(out), nil
}

// canonicalValue appends the canonical form of the next value of dec to dst.
func canonicalValue(dst []byte, dec *json.Decoder, depth int) ([]byte, error) {
	token, err := dec.Token()
	if err != nil {
		return nil, err
	}
	switch v := token.(type) {
	case json.Delim:
		if depth == maxMetadataDepth {
			return nil, fmt.Errorf("more than %d levels", maxMetadataDepth)
		}
		if v == '[' {
			return canonicalArray(dst, dec, depth)
		}
		return canonicalObject(dst, dec, depth)
	case string:
		return appendJSONString(dst, v), nil
	case json.Number:
		return appendCanonicalNumber(dst, v.String())
	case bool:
		return strconv.AppendBool(dst, v), nil
	}
	return append(dst, "null"...), nil
}

func canonicalArray(dst []byte, dec *json.Decoder, depth int) ([]byte, error) {
	dst = append(dst, '[')
	for first := true; dec.More(); first = false {
		if !first {
			dst = append(dst, ',')
		}
		var err error
		if dst, err = canonicalValue(dst, dec, depth+1); err != nil {
			return nil, err
		}
	}
	_, err := dec.Token() // the closing bracket
	return append(dst, ']'), err
}

func canonicalObject(dst []byte, dec *json.Decoder, depth int) ([]byte, error) {
	members := map[string][]byte{}
	for dec.More() {
		token, err := dec.Token()
		if err != nil {
			return nil, err
		}
		name, _ := token.(string) // the decoder has refused everything else here
		if _, twice := members[name]; twice {
			return nil, fmt.Errorf("the name %q stands twice", name)
		}
		if members[name], err = canonicalValue(nil, dec, depth+1); err != nil {
			return nil, err
		}
	}
	names := make([]string, 0, len(members))
	for name := range members {
		names = append(names, name)
	}
	slices.Sort(names)
	dst = append(dst, '{')
	for i, name := range names {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(appendJSONString(dst, name), ':')
		dst = append(dst, members[name]...)
	}
	_, err := dec.Token() // the closing brace
	return append(dst, '}'), err
}

func appendJSONString(dst []byte, s string) []byte {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	_ = enc.Encode(s) // a string into memory cannot fail
	return append(dst, bytes.TrimSuffix(b.Bytes(), []byte("\n"))...)
}

// checkEscapes refuses escapes in strings that the decoder would replace, or that
// PostgreSQL cannot store. Where the JSON is broken, the decoder says so.
func checkEscapes(raw []byte) error {
	unit := func(i int) rune { // of an escape \uXXXX at i; -1 where there is none
		if i+6 > len(raw) || raw[i] != '\\' || raw[i+1] != 'u' {
			return -1
		}
		n, err := strconv.ParseUint(string(raw[i+2:i+6]), 16, 16)
		if err != nil {
			return -1
		}
		return rune(n)
	}
	for i := bytes.IndexByte(raw, '\\'); i >= 0 && i < len(raw); i++ {
		if raw[i] != '\\' {
			continue
		}
		switch c := unit(i); {
		case c == 0:
			return errors.New("a string has the character \\u0000")
		case utf16.IsSurrogate(c):
			if i += 6; utf16.DecodeRune(c, unit(i)) == utf8.RuneError {
				return fmt.Errorf("a string has half of a surrogate pair, \\u%04x", c)
			}
		}
		i++ // what is escaped begins no escape of its own
	}
	return nil
}

// appendCanonicalNumber writes the number by its value: plain digits while they
// are at most 38 places, as many as an amount has; else d.ddde±n.
func appendCanonicalNumber(dst []byte, s string) ([]byte, error) {
	s, negative := strings.CutPrefix(s, "-")
	mantissa, exponent, _ := strings.Cut(strings.ToLower(s), "e")
	whole, fraction, _ := strings.Cut(mantissa, ".")
	digits := strings.TrimLeft(whole+fraction, "0")
	if digits == "" {
		return append(dst, '0'), nil
	}
	exp := 0
	if exponent != "" {
		var err error
		if exp, err = strconv.Atoi(exponent); err != nil || exp > 2*maxExponent || exp < -2*maxExponent {
			return nil, errExponent
		}
	}
	point := len(digits) + exp - len(fraction) // digits before the decimal point
	if point-1 > maxExponent || point-1 < -maxExponent {
		return nil, errExponent
	}
	digits = strings.TrimRight(digits, "0")
	if negative {
		dst = append(dst, '-')
	}
	const plain = maxPlainDigits
	switch {
	case len(digits) <= point && point <= plain:
		return append(append(dst, digits...), strings.Repeat("0", point-len(digits))...), nil
	case 0 < point && point <= plain:
		return append(append(append(dst, digits[:point]...), '.'), digits[point:]...), nil
	case -6 < point && point <= 0:
		return append(append(append(dst, "0."...), strings.Repeat("0", -point)...), digits...), nil
	}
	dst = append(dst, digits[0])
	if len(digits) > 1 {
		dst = append(append(dst, '.'), digits[1:]...)
	}
	dst = append(dst, 'e')
	if point > 0 {
		dst = append(dst, '+')
	}
	return strconv.AppendInt(dst, int64(point-1), 10), nil
}
