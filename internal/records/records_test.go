package records_test

import (
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"rbcs"
	"rbcs/internal/records"
)

const goodLine = `{"id":"t1","source":"a","destination":"b","amount":"1.50","timestamp":"2026-01-31T12:00:00Z"}`

// read returns all records and the texts of all bad lines.
func read(t *testing.T, name, content string) (list []records.Record, bad []string) {
	t.Helper()
	r, err := records.NewReader(name, strings.NewReader(content))
	if err != nil {
		t.Fatal(err)
	}
	for {
		record, err := r.Next()
		if errors.Is(err, io.EOF) {
			return list, bad
		}
		if line, ok := errors.AsType[*records.BadLine](err); ok {
			bad = append(bad, line.Error())
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, record)
	}
}

func TestNDJSON(t *testing.T) {
	list, bad := read(t, "f.ndjson", "\uFEFF"+`{"number":"a","currency":"USD","overdraft":"unlimited"}`+"\r\n\n"+
		`  {"number":"b","currency":"BTC","overdraft":"0.5","metadata":{"z":1,"a":[1.0]}}`+"\n"+
		`{"id":"t1","type":"transfer","source":"a","destination":"b","amount":"1.50","currency":"USD",`+
		`"timestamp":"2026-01-31T13:00:00.1234567+01:00","description":"caf\u00e9","metadata":null}`) // no last newline
	if len(bad) > 0 || len(list) != 3 {
		t.Fatalf("%d records, bad: %q", len(list), bad)
	}
	if a := list[0].Account; a == nil || a.Number != "a" || !a.Overdraft.Unlimited || list[0].Line != 1 {
		t.Errorf("got %+v %+v", list[0], a)
	}
	if b := list[1].Account; b == nil || b.Overdraft.Limit.String() != "0.5" || b.Metadata != `{"a":[1],"z":1}` || list[1].Line != 3 {
		t.Errorf("got %+v %+v", list[1], b)
	}
	want := rbcs.Transaction{
		ID: "t1", Type: rbcs.Transfer, Source: "a", Destination: "b", Currency: "USD", Description: "café",
		Amount:    rbcs.Decimal{Units: rbcs.AmountOf(150), Scale: 2},
		Timestamp: time.Date(2026, 1, 31, 12, 0, 0, 123456000, time.UTC),
	}
	if got := list[2].Transaction; got == nil || *got != want {
		t.Errorf("got %+v", got)
	}
}

func TestCSV(t *testing.T) {
	for _, separator := range []string{",", ";", "\t"} {
		inside := strings.TrimSpace(separator) // a tab is no text
		content := strings.ReplaceAll("ID|source|destination|amount|timestamp|description|metadata\r\n"+
			`t1|a|b|1.50|2026-01-31T12:00:00Z|"Say ""hi""`+inside+` ; now"|"{""k"":""v""}"`+"\r\n"+
			"t2|a|b|2|2026-01-31T12:00:00Z||\n", "|", separator)
		list, bad := read(t, "f", content)
		if len(bad) > 0 || len(list) != 2 {
			t.Fatalf("%q: %d records, bad: %q", separator, len(list), bad)
		}
		if tx := list[0].Transaction; tx.Description != `Say "hi"`+inside+` ; now` || tx.Metadata != `{"k":"v"}` || tx.ID != "t1" {
			t.Errorf("%q: got %+v", separator, tx)
		}
		if tx := list[1].Transaction; tx.Description != "" || tx.Amount.String() != "2" || list[1].Line != 3 {
			t.Errorf("%q: got %+v", separator, tx)
		}
	}
	list, _ := read(t, "a.csv", "number,currency,overdraft\na,USD,\nb,USD,10.00\n")
	if len(list) != 2 || list[1].Account.Overdraft.Limit.String() != "10.00" {
		t.Errorf("got %+v", list)
	}
}

// TestBadLines has one of each kind, each between two good lines: the good ones
// must all arrive, and the reason must name the field.
func TestBadLines(t *testing.T) {
	tx := func(old, replacement string) string { return strings.Replace(goodLine, old, replacement, 1) }
	for line, want := range map[string]string{
		`{"id":"t1"`:                         "it is not valid JSON",
		`nonsense`:                           "it is not a JSON object",
		`"text"`:                             "it is not a JSON object",
		`[` + goodLine:                       "one object per line",
		goodLine + `}`:                       "something follows the JSON object",
		goodLine + `{}`:                      "something follows the JSON object",
		`{}`:                                 "it is neither an account, which has a number, nor a transaction, which has an id",
		tx(`"id":`, `"number":"n","id":`):    `an account has no field "id"`,
		tx(`"id":`, `"overdraft":"1","id":`): `a transaction has no field "overdraft"`,
		tx(`"id":`, `"color":"red","id":`):   `there is no field "color"`,
		tx(`"id":`, `"id":"x","id":`):        `the field "id" stands twice`,
		tx(`"id":"t1",`, ``):                 "id: the ID is missing",
		tx(`"t1"`, `"`+strings.Repeat("x", 129)+`"`):                           "id: the ID has 129 characters; at most 128 are allowed",
		tx(`"t1"`, `"rbcs.x"`):                                                 "id: IDs that begin with",
		tx(`"t1"`, `7`):                                                        "id: this must be a string, not a number",
		tx(`"t1"`, `["x"]`):                                                    "id: this must be a string, not an array",
		tx(`"t1"`, `true`):                                                     "id: this must be a string, not a boolean",
		tx(`"a"`, `"a/b"`):                                                     "source: an account number consists of",
		tx(`"1.50"`, `1.50`):                                                   `amount: an amount is a string such as "12.34", not a number`,
		tx(`"1.50"`, `"-1"`):                                                   "amount: the amount has a sign",
		tx(`"1.50"`, `"1e3"`):                                                  "amount: the amount has an exponent",
		tx(`"1.50"`, `"0.00"`):                                                 "amount: the amount must be greater than zero",
		tx(`"1.50"`, `"1`+strings.Repeat("0", 40)+`"`):                         "amount: the amount has more than 38 digits",
		tx(`"amount":"1.50",`, ``):                                             "amount: the amount is missing",
		tx(`,"timestamp":"2026-01-31T12:00:00Z"`, ``):                          "timestamp: the time is missing",
		tx(`12:00:00Z`, `12:00:00`):                                            `timestamp: "2026-01-31T12:00:00": a time is written as RFC 3339`,
		tx(`"id":`, `"type":"gift","id":`):                                     `type: the type "gift" is not known`,
		tx(`"id":`, `"description":"a\u0000b","id":`):                          "description: the text has control characters",
		tx(`"id":`, `"metadata":[],"id":`):                                     "metadata: metadata is not a JSON object",
		tx(`"id":`, `"expires_at":"soon","id":`):                               `expires_at: "soon": a time is written`,
		tx(`"t1","source":"a"`, `"","source":""`):                              "id: the ID is missing; source: the account number is missing",
		`{"number":"a b","currency":"USD"}`:                                    "number: an account number consists of",
		`{"number":"a"}`:                                                       "currency: the currency is missing",
		`{"number":"a","currency":"USD","overdraft":"-5"}`:                     "overdraft: the amount has a sign",
		`{"number":"a","currency":"USD","balance":"5"}`:                        `there is no field "balance"`,
		tx(`"t1"`, `"`+strings.Repeat("x", records.MaxLineBytes)+`"`):          "the line has more than 262144 bytes",
		tx(`"t1"`, `"`+strings.Repeat("x", 3*records.MaxLineBytes+11)+`"`):     "the line has more than 262144 bytes",
		"{\"id\":\"t\x01\",\"source\":\"a\",\"destination\":\"b\"}":            "it is not valid JSON",
		tx(`"id":`, "\"description\":\"\xff\xfe\",\"id\":"):                    "UTF-8",
		tx(`"id":`, `"metadata":{"a":1,"a":2},"id":`):                          `the name "a" stands twice`,
		tx(`"2026-01-31T12:00:00Z"`, `"20000-01-31T12:00:00Z"`):                "the year has more than four digits",
		tx(`T12:00:00Z`, `T2:00:00Z`):                                          "a time is written as RFC 3339", // what time.Parse would take
		tx(`12:00:00Z`, `12:00:00,5Z`):                                         "a time is written as RFC 3339",
		tx(`12:00:00Z`, `12:00:00+24:00`):                                      "a time is written as RFC 3339",
		tx(`2026-01-31T12`, `0001-01-01T00`):                                   "write when it was",
		tx(`12:00:00Z`, strings.Repeat("9", 100)):                              "timestamp: a time is written as RFC 3339",
		tx(`"destination":"b"`, `"destination":"`+strings.Repeat("b", 65)+`"`): "destination: the account number has 65 characters",
	} {
		list, bad := read(t, "f.ndjson", goodLine+"\n"+line+"\n"+goodLine+"\n")
		short := line[:min(len(line), 120)]
		if len(list) != 2 || len(bad) != 1 {
			t.Errorf("%s: %d good lines, bad: %q", short, len(list), bad)
		} else if !strings.HasPrefix(bad[0], "f.ndjson:2: ") || !strings.Contains(bad[0], want) {
			t.Errorf("%s: the reason is %q, not %q", short, bad[0], want)
		}
	}
}

// TestBlankLinesBeforeTheHeader: they are no header, and count as lines.
func TestBlankLinesBeforeTheHeader(t *testing.T) {
	list, bad := read(t, "f.csv", "\r\n  \nnumber,currency\na,USD\nb/,USD\n")
	if len(list) != 1 || list[0].Line != 4 || len(bad) != 1 || !strings.HasPrefix(bad[0], "f.csv:5: ") {
		t.Errorf("%+v, bad: %q", list, bad)
	}
	if list, bad := read(t, "f.csv", "\n\n"); len(list)+len(bad) > 0 {
		t.Errorf("%+v, bad: %q", list, bad)
	}
}

func TestBadRows(t *testing.T) {
	const head = "id,source,destination,amount,timestamp\n"
	const good = "t1,a,b,1,2026-01-31T12:00:00Z\n"
	for row, want := range map[string]string{
		`"t2,a,b,1,2026-01-31T12:00:00Z`:    "a quote is not closed in its line",
		`"t2"x,a,b,1,2026-01-31T12:00:00Z`:  "something follows a closing quote",
		`t2,a,b,1`:                          "it has 4 cells, the header has 5",
		`t2,a,b,1,2026-01-31T12:00:00Z,`:    "it has 6 cells, the header has 5",
		`,a,b,1,2026-01-31T12:00:00Z`:       "id: the ID is missing",
		`t2,a,b,"1,5",2026-01-31T12:00:00Z`: "amount: the amount is not a decimal number",
		`,,,1,2026-01-31T12:00:00Z`:         "it is neither an account",
	} {
		list, bad := read(t, "f.csv", head+good+row+"\n"+good)
		if len(list) != 2 || len(bad) != 1 || !strings.HasPrefix(bad[0], "f.csv:3: ") || !strings.Contains(bad[0], want) {
			t.Errorf("%s: %d good, bad: %q", row, len(list), bad)
		}
	}
}

func TestFilesThatCannotBeRead(t *testing.T) {
	for content, want := range map[string]string{
		"id,color\n":   `f.csv:1: column 2 is called "color", which is no field`,
		"id,ID\n":      `f.csv:1: the column "id" stands twice`,
		"\"id\n":       "f.csv:1: a quote is not closed",
		"\x1f\x8bjunk": "it begins like gzip",
	} {
		if _, err := records.NewReader("f.csv", strings.NewReader(content)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got %v", content, err)
		}
	}
	broken := io.MultiReader(strings.NewReader(goodLine+"\n"), iotest.ErrReader(errors.New("the disk is on fire")))
	r, err := records.NewReader("f", broken)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.Next(); err != nil {
		t.Fatal(err)
	}
	if _, err := r.Next(); err == nil || err.Error() != "f: it cannot be read after line 1: the disk is on fire" {
		t.Errorf("got %v", err)
	}
	if list, bad := read(t, "empty.csv", ""); len(list)+len(bad) != 0 {
		t.Errorf("an empty file has %v %v", list, bad)
	}
}

func TestGzip(t *testing.T) {
	var packed bytes.Buffer
	w := gzip.NewWriter(&packed)
	if _, err := io.WriteString(w, strings.Repeat(goodLine+"\n", 1000)); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if list, bad := read(t, "f.ndjson.gz", packed.String()); len(list) != 1000 || len(bad) > 0 {
		t.Errorf("%d records, bad: %q", len(list), bad)
	}
	torn, err := records.NewReader("f.ndjson.gz", bytes.NewReader(packed.Bytes()[:packed.Len()-9]))
	if err != nil {
		t.Fatal(err)
	}
	for err == nil {
		_, err = torn.Next()
	}
	if !strings.Contains(err.Error(), "f.ndjson.gz: it cannot be read after line") {
		t.Errorf("a torn file ends with %v", err)
	}
}

func TestAccountIn(t *testing.T) {
	known, err := rbcs.NewCurrencies()
	if err != nil {
		t.Fatal(err)
	}
	a := records.Account{Number: "a", Currency: "USD", Overdraft: rbcs.OverdraftChange{Limit: rbcs.Decimal{Units: rbcs.AmountOf(5)}}}
	got, err := a.In(known)
	if err != nil || got.Overdraft.Limit != rbcs.AmountOf(500) || got.Currency.Decimals != 2 {
		t.Errorf("got %+v, %v", got, err)
	}
	a.Overdraft.Limit.Scale = 3
	if _, err := a.In(known); err == nil || records.Reason(err) != "overdraft: the amount has more decimals than its currency: USD has 2" {
		t.Errorf("got %v", err)
	}
	a.Currency = "WTF"
	if _, err := a.In(known); err == nil || !strings.HasPrefix(records.Reason(err), `currency: the currency "WTF" is not known`) {
		t.Errorf("got %v", err)
	}
}

func TestReason(t *testing.T) {
	conflict := &rbcs.Error{
		Code: rbcs.IDConflict, Message: "the ID t1 is recorded with other content",
		Fields: []rbcs.FieldError{{Pointer: "/amount", Message: `recorded as "2.00"`}},
	}
	if got := records.Reason(conflict); got != `the ID t1 is recorded with other content; amount: recorded as "2.00"` {
		t.Errorf("got %q", got)
	}
	if got := records.Reason(rbcs.Errorf(rbcs.Internal, "broken")); got != "broken" {
		t.Errorf("got %q", got)
	}
}

// FuzzReader checks that no input breaks the reader, that it counts every line,
// and that what it lets through is valid.
func FuzzReader(f *testing.F) {
	f.Add("f.ndjson", []byte(goodLine+"\n{\n"))
	f.Add("f.csv", []byte("id,source,destination,amount,timestamp\nt1,\"a\"\"\",b,1,2026-01-31T12:00:00Z\n"))
	f.Fuzz(func(t *testing.T, name string, content []byte) {
		r, err := records.NewReader(name, bytes.NewReader(content))
		if err != nil {
			return
		}
		for {
			record, err := r.Next()
			if _, bad := errors.AsType[*records.BadLine](err); bad {
				continue
			}
			if err != nil {
				break
			}
			if record.Transaction == nil {
				if err := rbcs.ValidateNumber(record.Account.Number); err != nil {
					t.Fatal(err)
				}
				continue
			}
			record.Transaction.Currency = ""
			if err := record.Transaction.Prepare(nil); err != nil {
				t.Fatal(err)
			}
		}
	})
}

func BenchmarkReader(b *testing.B) {
	r, err := records.NewReader("f.ndjson", io.LimitReader(&repeated{line: []byte(goodLine + "\n")}, int64(b.N)*int64(len(goodLine)+1)))
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for range b.N {
		if _, err := r.Next(); err != nil {
			b.Fatal(err)
		}
	}
}

type repeated struct {
	line []byte
	at   int
}

func (r *repeated) Read(p []byte) (n int, err error) {
	for n < len(p) {
		c := copy(p[n:], r.line[r.at:])
		n += c
		r.at = (r.at + c) % len(r.line)
	}
	return n, nil
}
