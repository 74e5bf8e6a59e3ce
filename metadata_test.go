package rbcs_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/big"
	"reflect"
	"strings"
	"testing"

	"rbcs"
)

func TestCanonicalMetadata(t *testing.T) {
	for _, c := range []struct{ name, in, want string }{
		{"empty", `{}`, ``},
		{"empty with blanks", " {\n} ", ``},
		{"sorted", `{"b":1,"a":2,"":3,"B":4}`, `{"":3,"B":4,"a":2,"b":1}`},
		{"sorted within", `{"x":{"b":[{"d":1,"c":2}],"a":null}}`, `{"x":{"a":null,"b":[{"c":2,"d":1}]}}`},
		{"an array keeps its order", `{"a":[3,1,2]}`, `{"a":[3,1,2]}`},
		{"blanks", "{ \"a\" :\t[ 1 ,\r\n true ] }", `{"a":[1,true]}`},
		{"empty inside", `{"a":{},"b":[]}`, `{"a":{},"b":[]}`},
		{"escapes", `{"\u0061\/":"\u00e9\u2603\ud83d\ude00\u003c"}`, `{"a/":"é☃😀<"}`},
		{"an escaped backslash", `{"a":"\\u0000\\ud800"}`, `{"a":"\\u0000\\ud800"}`},
		{"control characters", `{"a":"\n\u000a\u001F\""}`, `{"a":"\n\n\u001f\""}`},
		{"a replacement character", `{"a":"\ufffd"}`, `{"a":"` + "\ufffd" + `"}`},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got, err := rbcs.CanonicalMetadata([]byte(c.in)); err != nil || got != c.want {
				t.Errorf("got %s, %v; want %s", got, err, c.want)
			}
		})
	}
}

func TestCanonicalMetadataNumbers(t *testing.T) {
	for want, texts := range map[string][]string{
		`0`:                           {"0", "-0", "0.0", "-0.00e5", "0e0", "0e99999999999999999999"},
		`1`:                           {"1", "1.0", "1e0", "10e-1", "0.1e1", "1.000E+00"},
		`-12.5`:                       {"-12.5", "-1.25e1", "-125e-1", "-12.500"},
		`100`:                         {"100", "1e2", "1.00e2"},
		`0.1`:                         {"0.1", "1e-1", "0.10"},
		`0.000001`:                    {"0.000001", "1e-6"},
		`1e-7`:                        {"0.0000001", "1E-7", "0.1e-6"},
		`-1.5e-7`:                     {"-0.00000015"},
		`100000000000000000000`:       {"1e20", "100000000000000000000"},
		`12345678901234567890123`:     {"12345678901234567890123", "1234567890123456789012.3e1"},
		`-` + strings.Repeat("9", 38): {"-" + strings.Repeat("9", 38)},
		`1e+38`:                       {"1e38", "1" + strings.Repeat("0", 38), "0.1e39"},
		`1.5e+300`:                    {"1.5e300", "15e299"},
		`0.30000000000000004`:         {"0.30000000000000004"},
		`9007199254740993`:            {"9007199254740993", "9.007199254740993e15"}, // 2⁵³ + 1 is no float
		`123456789012345678.9`:        {"123456789012345678.9", "1234567890123456789e-1"},
		`1.2345678901234567891e+38`:   {"12345678901234567891" + strings.Repeat("0", 19), "12345678901234567891e19"},
		`1e+32767`:                    {"1e32767", "0.1e32768", "10e32766"},
		`1.2e-32767`:                  {"1.2e-32767", "12e-32768"},
	} {
		for _, text := range texts {
			if got, err := rbcs.CanonicalMetadata([]byte(`{"n":` + text + `}`)); err != nil || got != `{"n":`+want+`}` {
				t.Errorf("%s: got %s, %v; want %s", text, got, err, want)
			}
		}
	}
}

func TestCanonicalMetadataRefusals(t *testing.T) {
	nested := func(levels int) string { // the object itself is the first level
		return `{"a":` + strings.Repeat("[", levels-1) + strings.Repeat("]", levels-1) + `}`
	}
	ofSize := func(n int) string { return `{"a":"` + strings.Repeat("x", n-len(`{"a":""}`)) + `"}` }
	for _, fits := range []string{nested(16), ofSize(rbcs.MaxMetadataBytes)} {
		if _, err := rbcs.CanonicalMetadata([]byte(fits)); err != nil {
			t.Errorf("%.40s…: %v", fits, err)
		}
	}
	for _, c := range []struct{ name, in, want string }{
		{"nothing", ``, "not a JSON object"},
		{"null", `null`, "not a JSON object"},
		{"array", `[]`, "not a JSON object"},
		{"string", `"{}"`, "not a JSON object"},
		{"number", `1`, "not a JSON object"},
		{"byte order mark", "\ufeff{}", "not a JSON object"},
		{"not UTF-8", "{\"a\":\"\xff\"}", "not valid UTF-8"},
		{"another object", `{}{}`, "something follows"},
		{"trailing brace", `{"a":1}}`, "something follows"},
		{"trailing letters", `{"a":1} x`, "something follows"},
		{"cut off", `{"a":1`, "cut off"},
		{"cut off after the colon", `{"a":`, "cut off"},
		{"cut off in a string", `{"a":"b`, "cut off"},
		{"cut off in an array", `{"a":[1,`, "cut off"},
		{"comma before the brace", `{"a":1,}`, "invalid character"},
		{"comma before the bracket", `{"a":[1,]}`, "invalid character"},
		{"wrong bracket", `{"a":[1}`, "invalid character"},
		{"wrong brace", `{"a":1]`, "invalid character"},
		{"name without quotes", `{a:1}`, "invalid character"},
		{"a number as name", `{1:1}`, "invalid character"},
		{"null as name", `{null:1}`, "invalid character"},
		{"an array as name", `{[]:1}`, "invalid character"},
		{"no colon", `{"a" 1}`, "invalid character"},
		{"leading zero", `{"a":01}`, "invalid character"},
		{"plus", `{"a":+1}`, "invalid character"},
		{"NUL", `{"a":"x\u0000"}`, `the character \u0000`},
		{"NUL in a name", `{"\\\u0000":1}`, `the character \u0000`},
		{"half a surrogate pair", `{"a":"\ud800"}`, `half of a surrogate pair, \ud800`},
		{"its other half", `{"a":"\uDC00x"}`, `half of a surrogate pair, \udc00`},
		{"two halves that are no pair", `{"a":"\ud800\ud800"}`, `half of a surrogate pair, \ud800`},
		{"half and a letter", `{"a":"\ud83d\u0041"}`, `half of a surrogate pair, \ud83d`},
		{"a broken escape", `{"a":"\u00"}`, "invalid character"},
		{"NaN", `{"a":NaN}`, "invalid character"},
		{"raw NUL", "{\"a\":\"\x00\"}", "invalid character"},
		{"raw newline", "{\"a\":\"\n\"}", "invalid character"},
		{"twice", `{"a":1,"b":2,"a":1}`, `the name "a" stands twice`},
		{"twice by escape", `{"a":1,"\u0061":1}`, `the name "a" stands twice`},
		{"twice within", `{"x":[{"a":1,"a":2}]}`, `the name "a" stands twice`},
		{"17 levels", nested(17), "more than 16 levels"},
		{"thousands of levels", nested(8000), "more than 16 levels"},
		{"exponent", `{"a":1e32768}`, "exponent beyond ±32767"},
		{"exponent by its digits", `{"a":12e32767}`, "exponent beyond ±32767"},
		{"negative exponent", `{"a":1e-32768}`, "exponent beyond ±32767"},
		{"huge exponent", `{"a":1e99999999999999999999}`, "exponent beyond ±32767"},
		{"exponent near the end of int", `{"a":1e9223372036854775807}`, "exponent beyond ±32767"},
		{"too long", ofSize(rbcs.MaxMetadataBytes + 1), "16385 bytes; at most 16384"},
		{"too long when canonical", `{"a":[` + strings.Repeat("1e20,", 1000) + `0]}`, "in its canonical form"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := rbcs.CanonicalMetadata([]byte(c.in))
			if err == nil || got != "" || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %q, %v; want an error with %q", got, err, c.want)
			}
		})
	}
}

// decode reads metadata with encoding/json, numbers as exact fractions.
func decode(t *testing.T, text []byte) any {
	t.Helper()
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.UseNumber()
	var v any
	if err := dec.Decode(&v); err != nil {
		t.Fatalf("encoding/json does not read %s: %v", text, err)
	}
	return exact(v)
}

func exact(v any) any {
	switch v := v.(type) {
	case json.Number:
		r, ok := new(big.Rat).SetString(v.String())
		if !ok {
			return "a number beyond math/big: " + v.String()
		}
		return r.RatString()
	case []any:
		for i := range v {
			v[i] = exact(v[i])
		}
	case map[string]any:
		for name := range v {
			v[name] = exact(v[name])
		}
	}
	return v
}

// FuzzCanonicalMetadata checks that the canonical form says the same as the
// text, that it is its own canonical form, and that another text with the same
// decoded value becomes the same string.
func FuzzCanonicalMetadata(f *testing.F) {
	for _, s := range []string{
		`{}`, `{"b":[1,2.50,-0,1e3],"a":{"x":null,"":true}}`, `{"a":"\u0001\ud83d\ude00"}`, `{"a":12e32767}`,
		`{"a":0.00000012,"b":123456789012345678901234567890}`, `{"a":[{"b":[]}],"c":"<&>\u2028"}`, `{"a":1,"a":2}`,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		canonical, err := rbcs.CanonicalMetadata(text)
		if err != nil {
			return
		}
		if !json.Valid(text) {
			t.Fatalf("%q is not JSON, and was accepted", text)
		}
		again, err := rbcs.CanonicalMetadata(fmt.Append(nil, canonical))
		if canonical == "" {
			canonical, again, err = "{}", "{}", nil
		}
		if err != nil || again != canonical {
			t.Fatalf("the canonical form of %q is %q, and of that %q, %v", text, canonical, again, err)
		}
		want := decode(t, text)
		if got := decode(t, []byte(canonical)); !reflect.DeepEqual(got, want) {
			t.Fatalf("%q became %q, which says something else", text, canonical)
		}
		rewritten := rewrite(nil, mustUseNumber(t, text))
		if same, err := rbcs.CanonicalMetadata(rewritten); err == nil && same != again && same+"{}" != again {
			t.Fatalf("%q and %q have one value, but became %q and %q", text, rewritten, again, same)
		}
	})
}

func mustUseNumber(t *testing.T, text []byte) any {
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.UseNumber()
	var v any
	if err := dec.Decode(&v); err != nil {
		t.Fatal(err)
	}
	return v
}

// rewrite writes v in another way: members in the order of the map, strings
// with escapes, numbers with a shifted exponent, blanks between all of it.
func rewrite(dst []byte, v any) []byte {
	switch v := v.(type) {
	case map[string]any:
		dst = append(dst, "{ "...)
		first := true
		for name, member := range v {
			if !first {
				dst = append(dst, " , "...)
			}
			first = false
			dst = append(rewrite(dst, name), " : "...)
			dst = rewrite(dst, member)
		}
		return append(dst, " }"...)
	case []any:
		dst = append(dst, "[\t"...)
		for i, item := range v {
			if i > 0 {
				dst = append(dst, "\n,"...)
			}
			dst = rewrite(dst, item)
		}
		return append(dst, ' ', ']')
	case string:
		quoted, _ := json.Marshal(v) // < becomes \u003c
		return append(dst, quoted...)
	case json.Number:
		if !strings.ContainsAny(v.String(), "eE") {
			return append(append(dst, v...), "e-0"...)
		}
		return append(dst, strings.ToUpper(v.String())...)
	}
	return fmt.Appendf(dst, "%v", map[any]string{nil: "null", true: "true", false: "false"}[v])
}
