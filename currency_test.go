package rbcs_test

import (
	"slices"
	"strings"
	"testing"

	"rbcs"
)

func mustCurrencies(t *testing.T, declared ...rbcs.Currency) *rbcs.Currencies {
	t.Helper()
	set, err := rbcs.NewCurrencies(declared...)
	if err != nil {
		t.Fatal(err)
	}
	return set
}

func TestCurrenciesKnowISO4217(t *testing.T) {
	set := mustCurrencies(t)
	for code, decimals := range map[string]int{
		"USD": 2, "EUR": 2, "GBP": 2, "CNY": 2, "CHF": 2, "MGA": 2, "MRU": 2, "ZWG": 2, "XCG": 2, "SLE": 2, "VES": 2,
		"JPY": 0, "KRW": 0, "ISK": 0, "VND": 0, "XOF": 0, "UYI": 0,
		"BHD": 3, "KWD": 3, "TND": 3,
		"CLF": 4, "UYW": 4,
	} {
		if c, ok := set.Lookup(code); !ok || c != (rbcs.Currency{Code: code, Decimals: decimals}) {
			t.Errorf("Lookup(%s) = %v, %v; want %d decimals", code, c, ok, decimals)
		}
	}
	for _, code := range []string{"", "usd", "US", "USDX", "XAU", "XXX", "XTS", "BTC", "DEM", " USD"} {
		if c, ok := set.Lookup(code); ok {
			t.Errorf("Lookup(%q) = %v, want unknown", code, c)
		}
	}
	if declared := set.Declared(); len(declared) != 0 {
		t.Errorf("Declared() = %v without a declaration", declared)
	}
}

func TestCurrenciesDeclared(t *testing.T) {
	points, btc, wei := rbcs.Currency{Code: "POINTS"}, rbcs.Currency{Code: "BTC", Decimals: 8}, rbcs.Currency{Code: "WEI", Decimals: 18}
	set := mustCurrencies(t, points, btc, wei, btc, rbcs.Currency{Code: "USD", Decimals: 2})
	for _, want := range []rbcs.Currency{points, btc, wei} {
		if got, ok := set.Lookup(want.Code); !ok || got != want {
			t.Errorf("Lookup(%s) = %v, %v", want.Code, got, ok)
		}
	}
	if got, want := set.Declared(), []rbcs.Currency{btc, points, wei}; !slices.Equal(got, want) {
		t.Errorf("Declared() = %v, want %v: sorted, each once, none of ISO 4217", got, want)
	}
}

func TestNewCurrenciesRefusals(t *testing.T) {
	const badCode, badDecimals = "a code is 2–16 of A–Z and 0–9", "are outside 0–18"
	for _, c := range []struct {
		name     string
		declared []rbcs.Currency
		want     string
	}{
		{"empty", []rbcs.Currency{{Code: ""}}, badCode},
		{"one letter", []rbcs.Currency{{Code: "B"}}, badCode},
		{"17 letters", []rbcs.Currency{{Code: strings.Repeat("B", 17)}}, badCode},
		{"lower case", []rbcs.Currency{{Code: "btc"}}, badCode},
		{"digit first", []rbcs.Currency{{Code: "1INCH"}}, badCode},
		{"hyphen", []rbcs.Currency{{Code: "B-C"}}, badCode},
		{"not ASCII", []rbcs.Currency{{Code: "BÜC"}}, badCode},
		{"negative", []rbcs.Currency{{Code: "BTC", Decimals: -1}}, badDecimals},
		{"19 decimals", []rbcs.Currency{{Code: "BTC", Decimals: 19}}, badDecimals},
		{"twice, differently", []rbcs.Currency{{Code: "BTC", Decimals: 8}, {Code: "BTC", Decimals: 6}}, "declared with 6 decimals, but it has 8"},
		{"against ISO 4217", []rbcs.Currency{{Code: "JPY", Decimals: 2}}, "declared with 2 decimals, but it has 0"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if set, err := rbcs.NewCurrencies(c.declared...); set != nil || err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("NewCurrencies(%v): %v, %v; want an error with %q", c.declared, set, err, c.want)
			}
		})
	}
	for _, code := range []string{"B1", strings.Repeat("B", 16)} {
		if _, err := rbcs.NewCurrencies(rbcs.Currency{Code: code, Decimals: rbcs.MaxDecimals}); err != nil {
			t.Errorf("the code %s: %v", code, err)
		}
	}
}

func TestParseCurrencies(t *testing.T) {
	for in, want := range map[string][]rbcs.Currency{
		"":                    nil,
		" , ":                 nil,
		"BTC=8":               {{Code: "BTC", Decimals: 8}},
		" BTC=8 , POINTS=0, ": {{Code: "BTC", Decimals: 8}, {Code: "POINTS"}},
	} {
		if got, err := rbcs.ParseCurrencies(in); err != nil || !slices.Equal(got, want) {
			t.Errorf("ParseCurrencies(%q) = %v, %v; want %v", in, got, err, want)
		}
	}
	for _, in := range []string{"BTC", "BTC=", "BTC=x", "BTC=8=8", "BTC 8", "BTC=8;POINTS=0"} {
		if got, err := rbcs.ParseCurrencies(in); err == nil || !strings.Contains(err.Error(), "write CODE=DECIMALS") {
			t.Errorf("ParseCurrencies(%q) = %v, %v; want a refusal", in, got, err)
		}
	}
}
