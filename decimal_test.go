package rbcs_test

import (
	"encoding/json"
	"errors"
	"math/big"
	"regexp"
	"strings"
	"testing"

	"rbcs"
)

func mustDecimal(t *testing.T, s string) rbcs.Decimal {
	t.Helper()
	d, err := rbcs.ParseDecimal(s)
	if err != nil {
		t.Fatalf("ParseDecimal(%q): %v", s, err)
	}
	return d
}

func TestParseDecimalRefusals(t *testing.T) {
	nines := strings.Repeat("9", rbcs.MaxDigits)
	for _, c := range []struct{ name, in, want string }{
		{"empty", "", "the amount is empty"},
		{"minus", "-1", "has a sign"},
		{"plus", "+1", "has a sign"},
		{"minus alone", "-", "has a sign"},
		{"trailing sign", "1-", "has a sign"},
		{"exponent", "1e3", "has an exponent"},
		{"capital exponent", "1E3", "has an exponent"},
		{"blank", " ", "not a decimal number"},
		{"leading blank", " 1", "not a decimal number"},
		{"trailing newline", "1\n", "not a decimal number"},
		{"comma", "1,000", "not a decimal number"},
		{"letters", "abc", "not a decimal number"},
		{"hexadecimal", "0x10", "not a decimal number"},
		{"underscore", "1_000", "not a decimal number"},
		{"infinity", "Inf", "not a decimal number"},
		{"NUL", "1\x00", "not a decimal number"},
		{"other digits", "١٢", "not a decimal number"},
		{"two points", "1.2.3", "not a decimal number"},
		{"point alone", ".", "a digit on each side of its point"},
		{"point first", ".5", "a digit on each side of its point"},
		{"point last", "5.", "a digit on each side of its point"},
		{"leading zero", "01", "has leading zeros"},
		{"zeros", "00", "has leading zeros"},
		{"leading zeros before a point", "00.5", "has leading zeros"},
		{"39 digits", "1" + nines, "more than 38 digits"},
		{"39 digits with decimals", nines + ".0", "more than 38 digits"},
		{"19 decimals", "0.0000000000000000001", "more decimals than its currency: at most 18"},
		{"19 decimals, all zero", "0.0000000000000000000", "more decimals than its currency: at most 18"},
	} {
		t.Run(c.name, func(t *testing.T) {
			d, err := rbcs.ParseDecimal(c.in)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Fatalf("ParseDecimal(%q) = %v, %v; want an error with %q", c.in, d, err, c.want)
			}
			if d != (rbcs.Decimal{}) {
				t.Errorf("a refusal returned %v", d)
			}
		})
	}
	if _, err := rbcs.ParseDecimal("1" + nines); !errors.Is(err, rbcs.ErrAmountRange) {
		t.Errorf("39 digits: %v is not ErrAmountRange", err)
	}
	if _, err := rbcs.ParseDecimal("0.0000000000000000001"); !errors.Is(err, rbcs.ErrTooManyDecimals) {
		t.Errorf("19 decimals: %v is not ErrTooManyDecimals", err)
	}
}

func TestParseDecimal(t *testing.T) {
	for _, c := range []struct {
		in    string
		units string
		scale uint8
	}{
		{"0", "0", 0},
		{"0.00", "0", 2},
		{"7", "7", 0},
		{"12.34", "1234", 2},
		{"1.20", "120", 2},
		{"0.05", "5", 2},
		{"10", "10", 0},
		{"0.000000000000000001", "1", 18},
		{strings.Repeat("9", 38), strings.Repeat("9", 38), 0},
		{strings.Repeat("9", 20) + "." + strings.Repeat("9", 18), strings.Repeat("9", 38), 18},
	} {
		d := mustDecimal(t, c.in)
		if d.Units.String() != c.units || d.Scale != c.scale {
			t.Errorf("ParseDecimal(%q) = %s × 10^-%d, want %s × 10^-%d", c.in, d.Units, d.Scale, c.units, c.scale)
		}
		if d.String() != c.in {
			t.Errorf("ParseDecimal(%q).String() = %q", c.in, d)
		}
	}
}

func TestDecimalIn(t *testing.T) {
	for _, c := range []struct {
		in       string
		decimals int
		want     string
		err      error
	}{
		{"12.34", 2, "1234", nil},
		{"12.3", 2, "1230", nil},
		{"12", 0, "12", nil},
		{"12", 18, "12000000000000000000", nil},
		{"0", 18, "0", nil},
		{"1.234", 2, "", rbcs.ErrTooManyDecimals},
		{"1.200", 2, "", rbcs.ErrTooManyDecimals}, // never rounded, not even by dropping zeros
		{"1.5", 0, "", rbcs.ErrTooManyDecimals},
		{strings.Repeat("9", 38), 0, strings.Repeat("9", 38), nil},
		{strings.Repeat("9", 36), 2, strings.Repeat("9", 36) + "00", nil},
		{"1" + strings.Repeat("0", 36), 2, "", rbcs.ErrAmountRange},
		{strings.Repeat("9", 38), 1, "", rbcs.ErrAmountRange},
	} {
		got, err := mustDecimal(t, c.in).In(c.decimals)
		if !errors.Is(err, c.err) || err == nil && got.String() != c.want {
			t.Errorf("%s in %d decimals = %s, %v; want %s, %v", c.in, c.decimals, got, err, c.want, c.err)
		}
	}
	negative := rbcs.Decimal{Units: rbcs.AmountOf(-15), Scale: 1}
	if got, err := negative.In(3); err != nil || got != rbcs.AmountOf(-1500) {
		t.Errorf("-1.5 in 3 decimals = %s, %v", got, err)
	}
}

func TestDecimalEqual(t *testing.T) {
	for _, c := range []struct {
		a, b string
		want bool
	}{
		{"1.0", "1.00", true},
		{"1", "1.000000000000000000", true},
		{"0", "0.000", true},
		{"1", "10", false},
		{"0.1", "0.01", false},
		{"1.01", "1.0", false},
		{strings.Repeat("9", 38), strings.Repeat("9", 38), true},
		{strings.Repeat("9", 38), "0.1", false}, // scaling the first up leaves the range
	} {
		a, b := mustDecimal(t, c.a), mustDecimal(t, c.b)
		if a.Equal(b) != c.want || b.Equal(a) != c.want {
			t.Errorf("%s equals %s: %v and %v, want %v", a, b, a.Equal(b), b.Equal(a), c.want)
		}
	}
}

func TestDecimalJSON(t *testing.T) {
	type payment struct {
		Amount rbcs.Decimal `json:"amount"`
	}
	out, err := json.Marshal(payment{mustDecimal(t, "12.30")})
	if err != nil || string(out) != `{"amount":"12.30"}` {
		t.Fatalf("Marshal: %s, %v", out, err)
	}
	var in payment
	if err := json.Unmarshal(out, &in); err != nil || in.Amount.String() != "12.30" {
		t.Fatalf("Unmarshal: %v, %v", in, err)
	}
	for body, want := range map[string]string{
		`{"amount":12.3}`:          "not a number",
		`{"amount":0}`:             "not a number",
		`{"amount":null}`:          "is a string",
		`{"amount":["1"]}`:         "is a string",
		`{"amount":""}`:            "is empty",
		`{"amount":"1.\u0030"}`:    "not a decimal number",
		`{"amount":"-1"}`:          "has a sign",
		`{"amount":"1e9999999"}`:   "has an exponent",
		`{"amount":"12.34\u0000"}`: "not a decimal number",
	} {
		in = payment{mustDecimal(t, "5")}
		if err := json.Unmarshal([]byte(body), &in); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want an error with %q", body, err, want)
		}
		if in.Amount.String() != "5" {
			t.Errorf("%s: a refusal changed the value to %s", body, in.Amount)
		}
	}
	for _, body := range []string{``, `"`, `"1`, `1"`} { // a caller that is not encoding/json
		var d rbcs.Decimal
		if err := d.UnmarshalJSON([]byte(body)); err == nil {
			t.Errorf("UnmarshalJSON(%s) was accepted as %s", body, d)
		}
	}
}

// plainDecimal is the grammar of an amount; its lengths are checked beside it.
var plainDecimal = regexp.MustCompile(`^(0|[1-9][0-9]*)(\.[0-9]+)?$`)

func FuzzParseDecimal(f *testing.F) {
	for _, s := range []string{"0", "12.34", "0.000000000000000001", "-1", "1e3", ".5", "5.", "00", strings.Repeat("9", 38), strings.Repeat("9", 39)} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		whole, fraction, _ := strings.Cut(s, ".")
		digits := strings.TrimLeft(whole+fraction, "0")
		want := plainDecimal.MatchString(s) && len(digits) <= rbcs.MaxDigits && len(fraction) <= rbcs.MaxDecimals
		d, err := rbcs.ParseDecimal(s)
		if (err == nil) != want {
			t.Fatalf("ParseDecimal(%q) = %v, %v", s, d, err)
		}
		if err != nil {
			return
		}
		units, _ := new(big.Int).SetString(whole+fraction, 10)
		if toBig(d.Units).Cmp(units) != 0 || int(d.Scale) != len(fraction) || d.String() != s {
			t.Fatalf("ParseDecimal(%q) = %s × 10^-%d, written %q", s, d.Units, d.Scale, d)
		}
		for decimals := range rbcs.MaxDecimals + 1 {
			exact := new(big.Int).Mul(units, new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(max(0, decimals-len(fraction)))), nil))
			got, err := d.In(decimals)
			if (err == nil) != (decimals >= len(fraction) && inRange(exact)) || err == nil && toBig(got).Cmp(exact) != 0 {
				t.Fatalf("%s in %d decimals = %s, %v", s, decimals, got, err)
			}
		}
		var back rbcs.Decimal
		text, _ := d.MarshalJSON()
		if err := json.Unmarshal(text, &back); err != nil || back != d {
			t.Fatalf("%s through JSON: %v, %v", s, back, err)
		}
	})
}

func BenchmarkParseDecimal(b *testing.B) {
	for b.Loop() {
		if _, err := rbcs.ParseDecimal("12345.67"); err != nil {
			b.Fatal(err)
		}
	}
}
