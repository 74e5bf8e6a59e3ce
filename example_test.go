package rbcs_test

import (
	"fmt"
	"time"

	"rbcs"
)

func ExampleAmount_Format() {
	cents := rbcs.AmountOf(1234)
	fmt.Println(cents, cents.Format(2), cents.Neg().Format(4))
	// Output: 1234 12.34 -0.1234
}

func ExampleAmount_Add() {
	sum, ok := rbcs.AmountOf(10).Add(rbcs.AmountOf(20))
	fmt.Println(sum, ok)
	_, ok = rbcs.MaxAmount().Add(rbcs.AmountOf(1))
	fmt.Println(ok)
	// Output:
	// 30 true
	// false
}

func ExampleParseDecimal() {
	d, err := rbcs.ParseDecimal("12.5")
	if err != nil {
		fmt.Println(err)
		return
	}
	cents, _ := d.In(2)
	fmt.Println(d, cents)
	_, err = d.In(0) // the yen has no decimals, and nothing is ever rounded
	fmt.Println(err)
	_, err = rbcs.ParseDecimal("-1")
	fmt.Println(err)
	// Output:
	// 12.5 1250
	// the amount has more decimals than its currency
	// the amount has a sign; write plain digits such as "12.34"
}

func ExampleNewCurrencies() {
	currencies, err := rbcs.NewCurrencies(rbcs.Currency{Code: "BTC", Decimals: 8})
	if err != nil {
		fmt.Println(err)
		return
	}
	yen, _ := currencies.Lookup("JPY")
	btc, _ := currencies.Lookup("BTC")
	fmt.Println(yen.Decimals, btc.Decimals)
	// Output: 0 8
}

func ExampleCanonicalMetadata() {
	a, _ := rbcs.CanonicalMetadata([]byte(`{ "order": 7.0, "channel": "web" }`))
	b, _ := rbcs.CanonicalMetadata([]byte(`{"channel":"web","order":7}`))
	fmt.Println(a, a == b)
	// Output: {"channel":"web","order":7} true
}

func ExampleTransaction_Prepare() {
	currencies, _ := rbcs.NewCurrencies()
	amount, _ := rbcs.ParseDecimal("12.345")
	t := rbcs.Transaction{
		ID: "order-1", Source: "acme:alice", Destination: "acme/bob", Amount: amount, Currency: "USD",
		Timestamp: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC),
	}
	fmt.Println(t.Prepare(currencies))
	// Output: invalid_request: the transaction is invalid; /destination: an account number consists of A–Z a–z 0–9 . _ : -; /amount: the amount has more decimals than its currency: USD has 2
}
