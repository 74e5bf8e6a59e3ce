package rbcs

import (
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// Bounds of what a client may write.
const (
	MaxIDBytes          = 128
	MaxRecordedIDBytes  = MaxIDBytes + len(ReservedPrefix+"expiry.") // of an ID that the service made of a client's
	MaxNumberBytes      = 64
	MaxDescriptionBytes = 1024
)

// ReservedPrefix begins the IDs that the service itself gives to transactions.
const ReservedPrefix = "rbcs."

// Prepare brings a client's transaction into its normal form (a type, UTC to
// the microsecond, the amount with its currency's decimals) and checks all that
// can be known without an account. It reports every fault at once, in this
// order: id, type, source, destination, amount, currency, timestamp,
// expires_at, execute_at, retry_until, description. The error has code [InvalidRequest].
//
// What needs an account, such as an unknown number or a lack of funds, is a
// rejection and decided by the commit; so is a source that is the destination.
func (t *Transaction) Prepare(known *Currencies) error {
	var faults fieldErrors
	faults.check("/id", validateClientID(t.ID))
	if t.Type == "" {
		t.Type = Transfer
	}
	if t.Type != Transfer && t.Type != Hold {
		faults.check("/type", fmt.Errorf("the type %q is not known; write \"transfer\" or \"hold\"", t.Type))
	}
	faults.check("/source", ValidateNumber(t.Source))
	faults.check("/destination", ValidateNumber(t.Destination))
	faults.check("/amount", validateTransactionAmount(t.Amount))
	if t.Currency != "" {
		t.prepareCurrency(known, &faults)
	}
	t.Timestamp = t.Timestamp.UTC().Truncate(time.Microsecond)
	faults.check("/timestamp", validateTime(t.Timestamp))
	if !t.ExpiresAt.IsZero() {
		t.ExpiresAt = t.ExpiresAt.UTC().Truncate(time.Microsecond)
		faults.check("/expires_at", validateExpiry(t))
	}
	t.prepareSchedule(&faults)
	faults.check("/description", validateText(t.Description, MaxDescriptionBytes))
	return faults.err("the transaction is invalid")
}

// PrepareSettlement does the same for a capture, release or reversal, which a
// client writes as an ID, what it refers to, and perhaps an amount, in the order
// id, original, amount, currency, description.
func (t *Transaction) PrepareSettlement() error {
	var faults fieldErrors
	faults.check("/id", validateClientID(t.ID))
	faults.check("/original", ValidateID(t.Original))
	if t.ID == t.Original {
		faults.check("/id", errors.New("a transaction cannot refer to itself"))
	}
	switch {
	case t.Amount.Units.Sign() < 0:
		faults.check("/amount", errors.New("the amount must be greater than zero"))
	case t.Type == Release && !t.Amount.Units.IsZero():
		faults.check("/amount", errors.New("a release gives all of the hold back: it has no amount"))
	}
	if t.Currency != "" {
		faults.check("/currency", errors.New("the currency follows from what it refers to"))
	}
	faults.check("/description", validateText(t.Description, MaxDescriptionBytes))
	return faults.err("the transaction is invalid")
}

func validateExpiry(t *Transaction) error {
	if t.Type != Hold {
		return errors.New("only a hold expires")
	}
	return validateTime(t.ExpiresAt)
}

func (t *Transaction) prepareCurrency(known *Currencies, faults *fieldErrors) {
	currency, ok := known.Lookup(t.Currency)
	if !ok {
		faults.check("/currency", fmt.Errorf("the currency %q is not known: it is neither in ISO 4217 nor declared", t.Currency))
		return
	}
	amount, err := t.Amount.In(currency.Decimals)
	if err != nil {
		faults.check("/amount", AmountFault(err, currency))
		return
	}
	t.Amount = Decimal{Units: amount, Scale: uint8(currency.Decimals)}
}

// AmountFault says how an amount does not fit a currency: err is what
// [Decimal.In] returned.
func AmountFault(err error, c Currency) error {
	if errors.Is(err, ErrTooManyDecimals) {
		return fmt.Errorf("%w: %s has %d", ErrTooManyDecimals, c.Code, c.Decimals)
	}
	return err
}

// Prepare checks a client's account and reports every fault at once, with code
// [InvalidRequest], in the order number, overdraft.
func (a *NewAccount) Prepare() error {
	var faults fieldErrors
	faults.check("/number", ValidateNumber(a.Number))
	if a.Overdraft.Limit.Sign() < 0 || a.Overdraft.Unlimited && !a.Overdraft.Limit.IsZero() {
		faults.check("/overdraft", errOverdraft)
	}
	return faults.err("the account is invalid")
}

// ValidateNumber checks an account number: 1–64 of A–Z a–z 0–9 . _ : -
func ValidateNumber(number string) error {
	if number == "" {
		return errors.New("the account number is missing")
	}
	for i := range len(number) {
		if !numberChars[number[i]] {
			return errors.New("an account number consists of A–Z a–z 0–9 . _ : -")
		}
	}
	if len(number) > MaxNumberBytes { // and each is one byte
		return fmt.Errorf("the account number has %d characters; at most %d are allowed", len(number), MaxNumberBytes)
	}
	return nil
}

// numberChars marks the bytes that an account number may consist of.
var numberChars = func() (table [256]bool) {
	for c := range table {
		b := byte(c)
		table[c] = b >= 'A' && b <= 'Z' || b >= 'a' && b <= 'z' || b >= '0' && b <= '9' || strings.IndexByte("._:-", b) >= 0
	}
	return table
}()

// ValidateID checks a transaction ID that a client chose: 1–128 printable ASCII
// characters.
func ValidateID(id string) error { return validateID(id, MaxIDBytes) }

// ValidateRecordedID checks an ID that is looked up. It may be one that the
// service gave, which contains a client's and is longer.
func ValidateRecordedID(id string) error {
	if strings.HasPrefix(id, ReservedPrefix) {
		return validateID(id, MaxRecordedIDBytes)
	}
	return ValidateID(id)
}

func validateID(id string, limit int) error {
	if id == "" {
		return errors.New("the ID is missing")
	}
	for i := range len(id) {
		if id[i] < ' ' || id[i] > '~' {
			return fmt.Errorf("an ID consists of at most %d printable ASCII characters", limit)
		}
	}
	if len(id) > limit { // and each is one byte
		return fmt.Errorf("the ID has %d characters; at most %d are allowed", len(id), limit)
	}
	return nil
}

func validateClientID(id string) error {
	if strings.HasPrefix(id, ReservedPrefix) {
		return fmt.Errorf("IDs that begin with %q belong to the service", ReservedPrefix)
	}
	return ValidateID(id)
}

func validateTransactionAmount(d Decimal) error {
	if d.Units.Sign() <= 0 {
		return errors.New("the amount must be greater than zero")
	}
	return nil
}

func validateTime(t time.Time) error {
	switch {
	case t.IsZero():
		return errors.New("the time is missing")
	case t.Year() < 1 || t.Year() > 9999:
		return errors.New("the time is outside the years 1–9999")
	}
	return nil
}

func validateText(s string, limit int) error {
	switch {
	case len(s) > limit:
		return fmt.Errorf("the text has %d bytes; at most %d are allowed", len(s), limit)
	case !utf8.ValidString(s):
		return errors.New("the text is not valid UTF-8")
	case strings.ContainsFunc(s, unicode.IsControl):
		return errors.New("the text has control characters")
	}
	return nil
}

// fieldErrors collects faults in the order in which they are found.
type fieldErrors []FieldError

func (f *fieldErrors) check(pointer string, err error) {
	if err != nil {
		*f = append(*f, FieldError{Pointer: pointer, Message: err.Error()})
	}
}

func (f fieldErrors) err(message string) error {
	if len(f) == 0 {
		return nil
	}
	return &Error{Code: InvalidRequest, Message: message, Fields: f}
}

// Conflicts returns the fields in which a submission differs from what is
// recorded under its ID, in the order of [Transaction.Prepare]; none means that
// it is the same. Amounts compare by value, an omitted currency is the source
// account's, and an omitted amount is all that was left.
func (t *Transaction) Conflicts(recorded *Result) []FieldError {
	was := &recorded.Transaction
	var faults fieldErrors
	differ := func(pointer string, same bool, was string) {
		if !same {
			faults = append(faults, FieldError{Pointer: pointer, Message: "recorded as " + was})
		}
	}
	differ("/type", t.Type == was.Type, quote(string(was.Type)))
	if !t.Settles() || !was.Settles() { // else these follow from the original
		differ("/source", t.Source == was.Source, quote(was.Source))
		differ("/destination", t.Destination == was.Destination, quote(was.Destination))
	}
	sameAmount := t.Amount.Equal(was.Amount)
	if t.Settles() && t.Amount.Units.IsZero() && was.Currency != "" { // else what was left was not known when it was refused
		sameAmount = recorded.Remainder.IsZero()
	}
	differ("/amount", sameAmount, quote(was.Amount.String()))
	differ("/currency", t.Currency == "" || t.Currency == was.Currency, quote(was.Currency))
	differ("/timestamp", t.Timestamp.Equal(was.Timestamp) || t.Settles() && t.Timestamp.IsZero(), formatTime(was.Timestamp))
	differ("/expires_at", t.ExpiresAt.Equal(was.ExpiresAt), formatTime(was.ExpiresAt))
	differ("/execute_at", t.ExecuteAt.Equal(was.ExecuteAt), formatTime(was.ExecuteAt))
	differ("/retry_until", t.RetryUntil.Equal(was.RetryUntil), formatTime(was.RetryUntil))
	differ("/original", t.Original == was.Original, quote(was.Original))
	differ("/description", t.Description == was.Description, quote(was.Description))
	differ("/metadata", t.Metadata == was.Metadata, quote(was.Metadata))
	differ("/atomic", t.Group == was.Group, "another atomic group")
	return faults
}

// maxQuoted bounds what is quoted of a recorded value, in bytes: every item of a
// batch may conflict, and metadata may be long.
const maxQuoted = 200

func quote(s string) string {
	if s == "" {
		return "absent"
	}
	if end := maxQuoted; len(s) > end {
		for !utf8.RuneStart(s[end]) {
			end--
		}
		s = s[:end] + "…"
	}
	return `"` + s + `"`
}

func formatTime(t time.Time) string {
	if t.IsZero() {
		return "absent"
	}
	return `"` + t.Format(TimeFormat) + `"`
}

// TimeFormat is how times are written: RFC 3339 in UTC with microseconds.
const TimeFormat = "2006-01-02T15:04:05.000000Z07:00"
