package redis

import (
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"rbcs"
)

func TestEntryRoundTrip(t *testing.T) {
	amount := rapid.Custom(func(t *rapid.T) rbcs.Amount {
		units, err := rbcs.ParseDecimal(rapid.StringMatching(`[1-9][0-9]{0,37}|0`).Draw(t, "digits"))
		if err != nil {
			t.Fatal(err)
		}
		if rapid.Bool().Draw(t, "negative") {
			return units.Units.Neg()
		}
		return units.Units
	})
	rapid.Check(t, func(t *rapid.T) {
		want := rbcs.Balance{
			Number:   "acme:users:42",
			Currency: rbcs.Currency{Code: rapid.StringMatching(`[A-Z][A-Z0-9]{1,15}`).Draw(t, "code"), Decimals: rapid.IntRange(0, rbcs.MaxDecimals).Draw(t, "decimals")},
			Balance:  amount.Draw(t, "balance"), Held: amount.Draw(t, "held"),
			Version: rapid.Int64Min(0).Draw(t, "version"),
			AsOf:    time.UnixMicro(rapid.Int64Range(0, 1<<52).Draw(t, "as of")).UTC(),
		}
		got, err := decode(want.Number, encode(&want))
		if err != nil || got != want {
			t.Fatalf("%q is read as %+v, %v, want %+v", encode(&want), got, err, want)
		}
	})
}

func TestForeignEntries(t *testing.T) {
	b := balanceOf("a", 3)
	good := encode(&b)
	if _, err := decode("a", good); err != nil {
		t.Fatal(err)
	}
	for _, entry := range []string{
		"V", "V1", "V1 2 3 USD 2", good + " 1", good + " ", strings.Replace(good, "USD", "", 1), strings.Replace(good, "V3", "Vx", 1),
		strings.Replace(good, "-300", "-3.5", 1), strings.Replace(good, "-300", "--3", 1), strings.Replace(good, "USD 2", "USD 19", 1),
	} {
		if got, err := decode("a", entry); err == nil {
			t.Errorf("%q is read as %+v, want an error", entry, got)
		}
	}
}
