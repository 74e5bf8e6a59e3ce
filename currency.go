package rbcs

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Currency is a unit of money: its code and how many decimals its amounts have.
type Currency struct {
	Code     string // "USD", "BTC", "POINTS"
	Decimals int    // 0–18
}

// Currencies is the set of currencies that an instance knows: those of ISO 4217
// and the declared ones. It is immutable.
type Currencies struct{ declared map[string]Currency }

// NewCurrencies returns ISO 4217 and the declared currencies. It refuses a code
// that is not 2–16 of A–Z and 0–9 beginning with a letter, decimals outside
// 0–18, a code declared twice differently, and an ISO code with other decimals
// than ISO 4217 gives it.
func NewCurrencies(declared ...Currency) (*Currencies, error) {
	set := &Currencies{declared: make(map[string]Currency, len(declared))}
	for _, c := range declared {
		if err := validateCurrencyCode(c.Code); err != nil {
			return nil, err
		}
		if c.Decimals < 0 || c.Decimals > MaxDecimals {
			return nil, fmt.Errorf("currency %s: %d decimals are outside 0–%d", c.Code, c.Decimals, MaxDecimals)
		}
		if known, ok := set.Lookup(c.Code); ok && known != c {
			return nil, fmt.Errorf("currency %s: declared with %d decimals, but it has %d", c.Code, c.Decimals, known.Decimals)
		}
		if _, iso := iso4217[c.Code]; !iso {
			set.declared[c.Code] = c
		}
	}
	return set, nil
}

// ParseCurrencies reads declarations as they stand in a flag: "BTC=8,POINTS=0".
func ParseCurrencies(s string) ([]Currency, error) {
	var list []Currency
	for item := range strings.SplitSeq(s, ",") {
		if item = strings.TrimSpace(item); item == "" {
			continue
		}
		code, digits, _ := strings.Cut(item, "=")
		decimals, err := strconv.Atoi(digits)
		if err != nil {
			return nil, fmt.Errorf("currency %q: write CODE=DECIMALS, such as BTC=8", item)
		}
		list = append(list, Currency{code, decimals})
	}
	return list, nil
}

// Lookup returns the currency with the given code, and whether it is known.
func (s *Currencies) Lookup(code string) (Currency, bool) {
	if decimals, ok := iso4217[code]; ok {
		return Currency{code, int(decimals)}, true
	}
	c, ok := s.declared[code]
	return c, ok
}

// Declared returns the currencies that ISO 4217 does not define, by code.
func (s *Currencies) Declared() []Currency {
	list := make([]Currency, 0, len(s.declared))
	for _, c := range s.declared {
		list = append(list, c)
	}
	slices.SortFunc(list, func(a, b Currency) int { return strings.Compare(a.Code, b.Code) })
	return list
}

func validateCurrencyCode(code string) error {
	ok := len(code) >= 2 && len(code) <= 16 && code[0] >= 'A' && code[0] <= 'Z'
	for i := range len(code) {
		c := code[i]
		ok = ok && (c >= 'A' && c <= 'Z' || c >= '0' && c <= '9')
	}
	if !ok {
		return fmt.Errorf("currency %q: a code is 2–16 of A–Z and 0–9, beginning with a letter", code)
	}
	return nil
}
