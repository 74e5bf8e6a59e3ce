package rbcs_test

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"rbcs"
)

var noon = time.Date(2026, 3, 1, 12, 0, 0, 123456000, time.UTC)

func validTransaction(t *testing.T) rbcs.Transaction {
	return rbcs.Transaction{
		ID: "order-1", Source: "alice", Destination: "bob", Amount: mustDecimal(t, "12.3"), Currency: "USD", Timestamp: noon,
	}
}

// faults returns pointer and message of each field that err, an [rbcs.Error] with code InvalidRequest, names.
func faults(t *testing.T, err error) []string {
	t.Helper()
	if err == nil {
		return nil
	}
	var e *rbcs.Error
	if !errors.As(err, &e) || e.Code != rbcs.InvalidRequest || e.Message == "" || len(e.Fields) == 0 {
		t.Fatalf("%#v is not an invalid_request that names fields", err)
	}
	list := make([]string, len(e.Fields))
	for i, f := range e.Fields {
		list[i] = f.Pointer + ": " + f.Message
	}
	return list
}

func TestPrepareNormalizes(t *testing.T) {
	tx := validTransaction(t)
	tx.Timestamp = time.Date(2026, 3, 1, 14, 0, 0, 123456789, time.FixedZone("", 2*3600))
	if err := tx.Prepare(mustCurrencies(t)); err != nil {
		t.Fatal(err)
	}
	want := validTransaction(t)
	want.Type, want.Amount = rbcs.Transfer, mustDecimal(t, "12.30")
	if tx != want {
		t.Errorf("got %+v\nwant %+v", tx, want)
	}

	tx = validTransaction(t)
	tx.Currency, tx.Amount = "", mustDecimal(t, "1.23456")
	if err := tx.Prepare(mustCurrencies(t)); err != nil || tx.Currency != "" || tx.Amount != mustDecimal(t, "1.23456") {
		t.Errorf("without a currency the amount is left alone: %+v, %v", tx, err)
	}
}

func TestPrepareBoundaries(t *testing.T) {
	known := mustCurrencies(t, rbcs.Currency{Code: "BTC", Decimals: 8})
	for _, c := range []struct {
		name string
		edit func(*rbcs.Transaction)
		want string // the one fault, "" for none
	}{
		{"id of 1", func(t *rbcs.Transaction) { t.ID = "x" }, ""},
		{"id of 128", func(t *rbcs.Transaction) { t.ID = strings.Repeat("x", 128) }, ""},
		{"id of 129", func(t *rbcs.Transaction) { t.ID = strings.Repeat("x", 129) }, "/id: the ID has 129 characters; at most 128 are allowed"},
		{"id missing", func(t *rbcs.Transaction) { t.ID = "" }, "/id: the ID is missing"},
		{"id from blank to tilde", func(t *rbcs.Transaction) { t.ID = " /\"\\~" }, ""},
		{"id with NUL", func(t *rbcs.Transaction) { t.ID = "a\x00" }, "/id: an ID consists of at most 128 printable ASCII characters"},
		{"id with DEL", func(t *rbcs.Transaction) { t.ID = "a\x7f" }, "/id: an ID consists of at most 128 printable ASCII characters"},
		{"id long and not ASCII", func(t *rbcs.Transaction) { t.ID = strings.Repeat("ü", 100) }, "/id: an ID consists of at most 128 printable ASCII characters"},
		{"id not ASCII", func(t *rbcs.Transaction) { t.ID = "é" }, "/id: an ID consists of at most 128 printable ASCII characters"},
		{"id of the service", func(t *rbcs.Transaction) { t.ID = "rbcs.1" }, `/id: IDs that begin with "rbcs." belong to the service`},
		{"id like the service's", func(t *rbcs.Transaction) { t.ID = "rbcs1" }, ""},
		{"type transfer", func(t *rbcs.Transaction) { t.Type = rbcs.Transfer }, ""},
		{"type unknown", func(t *rbcs.Transaction) { t.Type = "gift" }, `/type: the type "gift" is not known; write "transfer" or "hold"`},
		{"source of 64", func(t *rbcs.Transaction) { t.Source = strings.Repeat("x", 64) }, ""},
		{"source of 65", func(t *rbcs.Transaction) { t.Source = strings.Repeat("x", 65) }, "/source: the account number has 65 characters; at most 64 are allowed"},
		{"source missing", func(t *rbcs.Transaction) { t.Source = "" }, "/source: the account number is missing"},
		{"source with every kind of character", func(t *rbcs.Transaction) { t.Source = "aZ09._:-" }, ""},
		{"source with a slash", func(t *rbcs.Transaction) { t.Source = "a/b" }, "/source: an account number consists of A–Z a–z 0–9 . _ : -"},
		{"destination of 65", func(t *rbcs.Transaction) { t.Destination = strings.Repeat("x", 65) }, "/destination: the account number has 65 characters; at most 64 are allowed"},
		{"destination missing", func(t *rbcs.Transaction) { t.Destination = "" }, "/destination: the account number is missing"},
		{"destination with a blank", func(t *rbcs.Transaction) { t.Destination = "a b" }, "/destination: an account number consists of A–Z a–z 0–9 . _ : -"},
		{"source is destination", func(t *rbcs.Transaction) { t.Destination = t.Source }, ""}, // a rejection, decided by the commit
		{"amount zero", func(t *rbcs.Transaction) { t.Amount = rbcs.Decimal{} }, "/amount: the amount must be greater than zero"},
		{"amount negative", func(t *rbcs.Transaction) { t.Amount.Units = t.Amount.Units.Neg() }, "/amount: the amount must be greater than zero"},
		{"amount too fine", func(t *rbcs.Transaction) { t.Amount.Scale = 3 }, "/amount: the amount has more decimals than its currency: USD has 2"},
		{"amount too large", func(t *rbcs.Transaction) { t.Amount = rbcs.Decimal{Units: rbcs.MaxAmount()} }, "/amount: the amount has more than 38 digits"},
		{"amount largest", func(t *rbcs.Transaction) { t.Amount = rbcs.Decimal{Units: rbcs.MaxAmount(), Scale: 2} }, ""},
		{"currency declared", func(t *rbcs.Transaction) { t.Currency = "BTC" }, ""},
		{"currency unknown", func(t *rbcs.Transaction) { t.Currency = "usd" }, `/currency: the currency "usd" is not known: it is neither in ISO 4217 nor declared`},
		{"timestamp missing", func(t *rbcs.Transaction) { t.Timestamp = time.Time{} }, "/timestamp: the time is missing"},
		{"timestamp in year 20000", func(t *rbcs.Transaction) { t.Timestamp = noon.AddDate(20000-2026, 0, 0) }, "/timestamp: the time is outside the years 1–9999"},
		{"timestamp before year 1", func(t *rbcs.Transaction) { t.Timestamp = time.Date(0, 12, 31, 0, 0, 0, 0, time.UTC) }, "/timestamp: the time is outside the years 1–9999"},
		{"timestamp at the end of 9999", func(t *rbcs.Transaction) { t.Timestamp = time.Date(9999, 12, 31, 23, 59, 59, 999999999, time.UTC) }, ""},
		{"timestamp past 9999 in UTC", func(t *rbcs.Transaction) {
			t.Timestamp = time.Date(9999, 12, 31, 23, 0, 0, 0, time.FixedZone("", -5*3600))
		}, "/timestamp: the time is outside the years 1–9999"},
		{"expiry of a transfer", func(t *rbcs.Transaction) { t.ExpiresAt = noon }, "/expires_at: only a hold expires"},
		{"description of 1024", func(t *rbcs.Transaction) { t.Description = strings.Repeat("é", 512) }, ""},
		{"description of 1025", func(t *rbcs.Transaction) { t.Description = strings.Repeat("x", 1025) }, "/description: the text has 1025 bytes; at most 1024 are allowed"},
		{"description not UTF-8", func(t *rbcs.Transaction) { t.Description = "\xff" }, "/description: the text is not valid UTF-8"},
		{"description with NUL", func(t *rbcs.Transaction) { t.Description = "a\x00b" }, "/description: the text has control characters"},
		{"description with a newline", func(t *rbcs.Transaction) { t.Description = "a\nb" }, "/description: the text has control characters"},
	} {
		t.Run(c.name, func(t *testing.T) {
			tx := validTransaction(t)
			c.edit(&tx)
			var want []string
			if c.want != "" {
				want = []string{c.want}
			}
			if got := faults(t, tx.Prepare(known)); !slices.Equal(got, want) {
				t.Errorf("got %q, want %q", got, want)
			}
		})
	}
}

func TestPrepareReportsEveryFaultInOrder(t *testing.T) {
	tx := rbcs.Transaction{
		Type: "gift", Source: "/", Destination: "/", Currency: "???", ExpiresAt: noon, Description: "\x00",
	}
	err := tx.Prepare(mustCurrencies(t))
	var pointers []string
	for _, fault := range faults(t, err) {
		pointer, _, _ := strings.Cut(fault, ": ")
		pointers = append(pointers, pointer)
	}
	want := []string{"/id", "/type", "/source", "/destination", "/amount", "/currency", "/timestamp", "/expires_at", "/description"}
	if !slices.Equal(pointers, want) {
		t.Errorf("got %v, want %v", pointers, want)
	}
	if !strings.HasPrefix(err.Error(), "invalid_request: the transaction is invalid; /id: the ID is missing; /type: ") {
		t.Errorf("the error reads %q", err)
	}
}

func TestNewAccountPrepare(t *testing.T) {
	usd := rbcs.Currency{Code: "USD", Decimals: 2}
	const badOverdraft = `/overdraft: an overdraft is "unlimited" or an amount of at least zero`
	for _, c := range []struct {
		name    string
		account rbcs.NewAccount
		want    []string
	}{
		{"plain", rbcs.NewAccount{Number: "a", Currency: usd}, nil},
		{"limit", rbcs.NewAccount{Number: "a", Currency: usd, Overdraft: rbcs.Overdraft{Limit: rbcs.MaxAmount()}}, nil},
		{"unlimited", rbcs.NewAccount{Number: "a", Currency: usd, Overdraft: rbcs.Overdraft{Unlimited: true}}, nil},
		{"negative limit", rbcs.NewAccount{Number: "a", Overdraft: rbcs.Overdraft{Limit: rbcs.AmountOf(-1)}}, []string{badOverdraft}},
		{"unlimited and a limit", rbcs.NewAccount{Number: "a", Overdraft: rbcs.Overdraft{Unlimited: true, Limit: rbcs.AmountOf(1)}}, []string{badOverdraft}},
		{"both", rbcs.NewAccount{Overdraft: rbcs.Overdraft{Limit: rbcs.AmountOf(-1)}}, []string{"/number: the account number is missing", badOverdraft}},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := faults(t, c.account.Prepare()); !slices.Equal(got, c.want) {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}

func TestConflicts(t *testing.T) {
	recorded := validTransaction(t)
	recorded.Type, recorded.Amount = rbcs.Transfer, mustDecimal(t, "12.30")
	for _, c := range []struct {
		name   string
		change func(*rbcs.Transaction)
		want   string // the one field, "" for none
	}{
		{"nothing", func(*rbcs.Transaction) {}, ""},
		{"amount by value", func(t *rbcs.Transaction) { t.Amount = rbcs.Decimal{Units: rbcs.AmountOf(123), Scale: 1} }, ""},
		{"currency left out", func(t *rbcs.Transaction) { t.Currency = "" }, ""},
		{"another zone", func(t *rbcs.Transaction) { t.Timestamp = t.Timestamp.In(time.FixedZone("", 3600)) }, ""},
		{"another actor", func(t *rbcs.Transaction) { t.Actor = "somebody" }, ""},
		{"type", func(t *rbcs.Transaction) { t.Type = rbcs.Hold }, `/type: recorded as "transfer"`},
		{"source", func(t *rbcs.Transaction) { t.Source = "carol" }, `/source: recorded as "alice"`},
		{"destination", func(t *rbcs.Transaction) { t.Destination = "carol" }, `/destination: recorded as "bob"`},
		{"amount", func(t *rbcs.Transaction) { t.Amount.Units = rbcs.AmountOf(1231) }, `/amount: recorded as "12.30"`},
		{"currency", func(t *rbcs.Transaction) { t.Currency = "EUR" }, `/currency: recorded as "USD"`},
		{"timestamp", func(t *rbcs.Transaction) { t.Timestamp = t.Timestamp.Add(time.Microsecond) }, `/timestamp: recorded as "2026-03-01T12:00:00.123456Z"`},
		{"expires_at", func(t *rbcs.Transaction) { t.ExpiresAt = noon }, "/expires_at: recorded as absent"},
		{"original", func(t *rbcs.Transaction) { t.Original = "hold-1" }, "/original: recorded as absent"},
		{"description", func(t *rbcs.Transaction) { t.Description = "rent" }, "/description: recorded as absent"},
		{"metadata", func(t *rbcs.Transaction) { t.Metadata = `{"a":1}` }, "/metadata: recorded as absent"},
	} {
		t.Run(c.name, func(t *testing.T) {
			submitted := recorded
			c.change(&submitted)
			var want []rbcs.FieldError
			if c.want != "" {
				pointer, message, _ := strings.Cut(c.want, ": ")
				want = []rbcs.FieldError{{Pointer: pointer, Message: message}}
			}
			if got := submitted.Conflicts(&rbcs.Result{Transaction: recorded}); !slices.Equal(got, want) {
				t.Errorf("got %v, want %v", got, want)
			}
		})
	}
}

func TestConflictsNamesEveryFieldInOrder(t *testing.T) {
	recorded, other := validTransaction(t), rbcs.Transaction{
		Type: rbcs.Hold, Currency: "EUR", ExpiresAt: noon, Original: "x", Description: "x", Metadata: "{}",
	}
	recorded.Type = rbcs.Transfer
	var pointers []string
	for _, f := range other.Conflicts(&rbcs.Result{Transaction: recorded}) {
		pointers = append(pointers, f.Pointer)
	}
	want := []string{
		"/type", "/source", "/destination", "/amount", "/currency", "/timestamp", "/expires_at", "/original", "/description", "/metadata",
	}
	if !slices.Equal(pointers, want) {
		t.Errorf("got %v, want %v", pointers, want)
	}
	if got := recorded.Conflicts(&rbcs.Result{Transaction: rbcs.Transaction{Type: rbcs.Transfer, Source: "alice", Destination: "bob", Amount: recorded.Amount, Timestamp: noon, ExpiresAt: noon}}); len(got) != 2 ||
		got[0].Message != "recorded as absent" || got[1].Message != `recorded as "2026-03-01T12:00:00.123456Z"` {
		t.Errorf("a currency that was not recorded, and an expiry that was: %v", got)
	}
}

// TestConflictsQuoteLittle: a batch's answer stays small whatever is recorded.
func TestConflictsQuoteLittle(t *testing.T) {
	was := validTransaction(t)
	was.Description, was.Metadata = "x"+strings.Repeat("é", 300), `{"k":"`+strings.Repeat("v", 16_000)+`"}`
	again := validTransaction(t)
	faults := again.Conflicts(&rbcs.Result{Transaction: was})
	want := []rbcs.FieldError{
		{Pointer: "/description", Message: `recorded as "x` + strings.Repeat("é", 99) + `…"`}, // no half of a character
		{Pointer: "/metadata", Message: `recorded as "{"k":"` + strings.Repeat("v", 194) + `…"`},
	}
	if !slices.Equal(faults, want) {
		t.Errorf("got %q", faults)
	}
}

func TestValidateRecordedID(t *testing.T) {
	longest := strings.Repeat("x", rbcs.MaxIDBytes)
	for id, want := range map[string]string{
		longest: "", rbcs.ReservedPrefix + "expiry." + longest: "", "rbcs.1": "",
		longest + "x": "the ID has 129 characters; at most 128 are allowed",
		rbcs.ReservedPrefix + "expiry." + longest + "x": "the ID has 141 characters; at most 140 are allowed",
		"":          "the ID is missing",
		"rbcs.\x00": "an ID consists of at most 140 printable ASCII characters",
	} {
		got := ""
		if err := rbcs.ValidateRecordedID(id); err != nil {
			got = err.Error()
		}
		if got != want {
			t.Errorf("%q: %q, want %q", id, got, want)
		}
	}
}
