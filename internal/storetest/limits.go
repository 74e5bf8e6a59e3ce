package storetest

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"rbcs"
)

var limitTests = []test{
	{"38-digits", test38Digits},
	{"balance-overflow", testBalanceOverflow},
	{"total-overflow", testTotalOverflow},
	{"huge-shortfall", testHugeShortfall},
	{"ids", testIDs},
	{"unicode", testUnicode},
	{"escapes", testEscapes},
	{"times", testTimes},
}

// largest is the largest amount of a currency, as it is written.
func largest(code string) string { return rbcs.MaxAmount().Format(currency(code).Decimals) }

// test38Digits moves the largest amounts there are, to and fro.
func test38Digits(e *env) {
	for _, code := range []string{"JPY", "USD", "BTC", "WEI"} {
		a, b := e.account(code+"-a", code, "unlimited"), e.account(code+"-b", code, largest(code))
		if got := e.get(b).Overdraft.Limit; got != rbcs.MaxAmount() {
			e.t.Errorf("%s: overdraft %v", code, got)
		}
		r := e.post(in(e.transfer(code+"-1", a, b, largest(code)), code))
		if r.Source.Balance != rbcs.MaxAmount().Neg() || r.Destination.Balance != rbcs.MaxAmount() {
			e.t.Errorf("%s: %+v, %+v", code, r.Source, r.Destination)
		}
		e.same(e.one(&r.Transaction), r)
		smallest := rbcs.AmountOf(1).Format(currency(code).Decimals)
		back := e.post(e.transfer(code+"-2", b, a, smallest))
		almost, _ := rbcs.MaxAmount().Sub(rbcs.AmountOf(1))
		if back.Source.Balance != almost || back.Destination.Balance != almost.Neg() {
			e.t.Errorf("%s, back: %+v, %+v", code, back.Source, back.Destination)
		}
		account := e.get(b)
		if account.Received != rbcs.MaxAmount() || account.Sent != rbcs.AmountOf(1) || account.Balance != almost {
			e.t.Errorf("%s: stored %+v", code, account)
		}
	}
}

// testBalanceOverflow takes balances past 38 digits, up and down.
func testBalanceOverflow(e *env) {
	a, b := e.account("a", "USD", "unlimited"), e.account("b", "USD", "0")
	c, d := e.account("c", "USD", "unlimited"), e.account("d", "USD", "0")
	e.post(e.transfer("fill", a, b, largest("USD")))
	before := []rbcs.Account{e.get(a), e.get(b), e.get(c), e.get(d)}
	e.reject(e.transfer("up", c, b, "0.01"), rbcs.Overflow)
	e.reject(e.transfer("down", a, d, "0.01"), rbcs.Overflow)
	for i, number := range []string{a, b, c, d} {
		e.sameAccount(e.get(number), before[i])
	}
}

// testTotalOverflow takes what was received and sent past 38 digits, while the
// balances are zero.
func testTotalOverflow(e *env) {
	a, b, c := e.account("a", "USD", "unlimited"), e.account("b", "USD", "0"), e.account("c", "USD", "unlimited")
	e.commit(e.transfer("there", a, b, largest("USD")), e.transfer("back", b, a, largest("USD")))
	if account := e.get(a); !account.Balance.IsZero() || account.Sent != rbcs.MaxAmount() || account.Received != rbcs.MaxAmount() {
		e.t.Fatalf("after there and back: %+v", account)
	}
	e.reject(e.transfer("sent", a, c, "0.01"), rbcs.Overflow)
	e.reject(e.transfer("received", c, a, "0.01"), rbcs.Overflow)
}

// testHugeShortfall lacks more than 38 digits can tell.
func testHugeShortfall(e *env) {
	a, b := e.account("a", "USD", "unlimited"), e.account("b", "USD", "0")
	e.post(e.transfer("fill", a, b, largest("USD")))
	e.update(a, rbcs.AccountChange{Overdraft: &rbcs.OverdraftChange{}})
	r := e.reject(e.transfer("more", a, b, largest("USD")), rbcs.InsufficientFunds)
	want := rbcs.Shortfall{Available: rbcs.MaxAmount().Neg(), Needed: rbcs.MaxAmount(), Short: rbcs.MaxAmount()}
	if r.Shortfall != want {
		e.t.Errorf("shortfall %+v, want %+v", r.Shortfall, want)
	}
}

// testIDs uses each printable ASCII character in an ID, alone and at its ends:
// all are different IDs, and blanks and case count.
func testIDs(e *env) {
	bank, a := e.account("bank", "USD", "unlimited"), e.account("a", "USD", "0")
	var batch []*rbcs.Transaction
	add := func(id string) {
		t := e.transfer("", bank, a, fmt.Sprint(len(batch)+1))
		t.ID = id
		batch = append(batch, t)
	}
	for c := ' '; c <= '~'; c++ {
		add(string(c))
		add("x" + string(c))
		add(string(c) + "x-")
		add(strings.Repeat(string(c), rbcs.MaxIDBytes))
	}
	for i, r := range e.commit(batch...) {
		if r.Status != rbcs.Posted || r.Replayed {
			e.t.Errorf("ID %q: %+v", batch[i].ID, r)
		}
		stored := e.recorded(batch[i].ID).Result
		e.same(stored, r)
	}
	for i, r := range e.commit(batch...) {
		if !r.Replayed || r.Transaction.ID != batch[i].ID {
			e.t.Errorf("ID %q again: %+v", batch[i].ID, r)
		}
	}
}

// testUnicode stores every character there is, in descriptions and metadata.
func testUnicode(e *env) {
	bank, a := e.account("bank", "USD", "unlimited"), e.account("a", "USD", "0")
	var batch []*rbcs.Transaction
	var text strings.Builder
	flush := func() {
		t := e.transfer(fmt.Sprint(len(batch)), bank, a, "1")
		t.Description = text.String()
		t.Metadata = e.metadata(text.String())
		batch = append(batch, in(t, "USD"))
		text.Reset()
	}
	for r := rune(0); r <= unicode.MaxRune; r++ {
		if !utf8.ValidRune(r) || unicode.IsControl(r) {
			continue
		}
		if text.WriteRune(r); text.Len() > rbcs.MaxDescriptionBytes-utf8.UTFMax {
			flush()
		}
	}
	flush()
	e.roundTrip(batch)
}

// metadata returns canonical metadata with a text as a name and as a value.
func (e *env) metadata(text string) string {
	e.t.Helper()
	quoted, err := json.Marshal(text)
	e.must(err)
	metadata, err := rbcs.CanonicalMetadata(fmt.Appendf(nil, "{%s:[%s,null,-1.50e3]}", quoted, quoted))
	e.must(err)
	return metadata
}

// roundTrip commits the transactions, reads each back and submits all again.
func (e *env) roundTrip(batch []*rbcs.Transaction) {
	e.t.Helper()
	results := e.commit(batch...)
	again := e.commit(batch...)
	for i, t := range batch {
		if d := compareTransactions(&results[i].Transaction, t); d != nil || results[i].Status != rbcs.Posted {
			e.t.Errorf("committed: %+v", results[i])
		}
		stored := e.recorded(t.ID).Result
		e.same(stored, results[i])
		e.same(again[i], results[i])
		if !again[i].Replayed {
			e.t.Errorf("%s again: not a replay", t.ID)
		}
	}
}

// testEscapes stores metadata whose JSON text escapes what a text of a database
// may not like, and metadata of the largest size.
func testEscapes(e *env) {
	bank, a := e.account("bank", "USD", "unlimited"), e.account("a", "USD", "0")
	var batch []*rbcs.Transaction
	for i, raw := range []string{
		`{"controls":"\u0001\u001f\u007f\u0085\n\t\r\b\f"}`, `{"quote":"\"\\\/'"}`,
		`{"<script>":"&'\u2028\u2029"}`, `{"n":123456789012345678901234567890.123456789,"m":1e-300}`, `{"":""}`,
		`{"long":"` + strings.Repeat("ü", (rbcs.MaxMetadataBytes-11)/2) + `"}`,
	} {
		metadata, err := rbcs.CanonicalMetadata([]byte(raw))
		e.must(err)
		t := in(e.transfer(fmt.Sprint(i), bank, a, "1"), "USD")
		t.Metadata, t.Description = metadata, `%s ' " \ ; -- $1 ? :x \x00 {a,"b"} NULL`
		batch = append(batch, t)
	}
	e.roundTrip(batch)
	for _, t := range batch {
		if got := e.update(a, rbcs.AccountChange{Metadata: &t.Metadata}).Metadata; got != t.Metadata || e.get(a).Metadata != t.Metadata {
			e.t.Errorf("the account's metadata is %.50q, want %.50q", got, t.Metadata)
		}
	}
}

// testTimes stores the first and the last timestamp that are allowed, and some between.
func testTimes(e *env) {
	bank, a := e.account("bank", "USD", "unlimited"), e.account("a", "USD", "0")
	var batch []*rbcs.Transaction
	for i, at := range []time.Time{
		time.Date(1, 1, 1, 0, 0, 0, 1000, time.UTC), time.Date(1, 12, 31, 23, 59, 59, 999999000, time.UTC),
		time.Date(1582, 10, 10, 12, 0, 0, 0, time.UTC), time.Date(1969, 12, 31, 23, 59, 59, 999999000, time.UTC), time.Unix(0, 0).UTC(),
		time.Date(2016, 12, 31, 23, 59, 59, 999999000, time.UTC), time.Date(9999, 12, 31, 23, 59, 59, 999999000, time.UTC),
	} {
		t := e.transfer(fmt.Sprint(i), bank, a, "1")
		t.Timestamp = at
		batch = append(batch, in(t, "USD"))
	}
	e.roundTrip(batch)
}
