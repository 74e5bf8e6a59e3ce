package records

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"rbcs"
)

// The fields of a line, in the order in which their faults are reported.
const (
	fieldNumber = iota
	fieldID
	fieldType
	fieldSource
	fieldDestination
	fieldAmount
	fieldCurrency
	fieldTimestamp
	fieldExpiresAt
	fieldDescription
	fieldOverdraft
	fieldMetadata
	fieldCount
)

var fieldNames = [fieldCount]string{
	"number", "id", "type", "source", "destination", "amount", "currency", "timestamp", "expires_at", "description",
	"overdraft", "metadata",
}

// Which fields an account and a transaction may have.
var (
	accountFields     = [fieldCount]bool{fieldNumber: true, fieldCurrency: true, fieldOverdraft: true, fieldMetadata: true}
	transactionFields = [fieldCount]bool{
		fieldID: true, fieldType: true, fieldSource: true, fieldDestination: true, fieldAmount: true, fieldCurrency: true,
		fieldTimestamp: true, fieldExpiresAt: true, fieldDescription: true, fieldMetadata: true,
	}
)

// fieldIndex returns which field a name means, or −1.
func fieldIndex(name string) int { return slices.Index(fieldNames[:], name) }

// fields is a line taken apart.
type fields struct {
	value [fieldCount]string // of metadata: the JSON text
	has   [fieldCount]bool
}

func (f *fields) set(i int, value string) error {
	if f.has[i] {
		return fmt.Errorf("the field %q stands twice", fieldNames[i])
	}
	f.value[i], f.has[i] = value, true
	return nil
}

// record makes an account or a transaction of the line and checks it.
func (f *fields) record() (Record, error) {
	switch {
	case f.has[fieldNumber]:
		if err := f.only(&accountFields, "an account"); err != nil {
			return Record{}, err
		}
		account, err := f.account()
		return Record{Account: account}, err
	case f.has[fieldID] || f.has[fieldSource] || f.has[fieldDestination]:
		if err := f.only(&transactionFields, "a transaction"); err != nil {
			return Record{}, err
		}
		transaction, err := f.transaction()
		return Record{Transaction: transaction}, err
	}
	return Record{}, errors.New("it is neither an account, which has a number, nor a transaction, which has an id")
}

func (f *fields) only(allowed *[fieldCount]bool, what string) error {
	for i, has := range f.has {
		if has && !allowed[i] {
			return fmt.Errorf("%s has no field %q", what, fieldNames[i])
		}
	}
	return nil
}

func (f *fields) account() (*Account, error) {
	a := &Account{Number: f.value[fieldNumber], Currency: f.value[fieldCurrency]}
	var faults faults
	faults.check("number", rbcs.ValidateNumber(a.Number))
	if a.Currency == "" {
		faults.check("currency", errors.New("the currency is missing"))
	}
	switch text := f.value[fieldOverdraft]; text {
	case "":
	case "unlimited":
		a.Overdraft.Unlimited = true
	default:
		var err error
		a.Overdraft.Limit, err = rbcs.ParseDecimal(text)
		faults.check("overdraft", err)
	}
	a.Metadata = f.metadata(&faults)
	return a, faults.err()
}

func (f *fields) transaction() (*rbcs.Transaction, error) {
	t := &rbcs.Transaction{
		ID:          f.value[fieldID],
		Type:        rbcs.Type(f.value[fieldType]),
		Source:      f.value[fieldSource],
		Destination: f.value[fieldDestination],
		Currency:    f.value[fieldCurrency],
		Description: f.value[fieldDescription],
	}
	var unread faults
	var err error
	if t.Amount, err = rbcs.ParseDecimal(f.value[fieldAmount]); err != nil {
		if f.value[fieldAmount] == "" {
			err = errors.New("the amount is missing")
		}
		unread.check("amount", err)
		t.Amount = rbcs.Decimal{Units: rbcs.AmountOf(1)} // so that it is not found at fault twice
	}
	t.Timestamp = f.time(fieldTimestamp, &unread)
	if f.value[fieldExpiresAt] != "" {
		t.ExpiresAt = f.time(fieldExpiresAt, &unread)
	}
	t.Metadata = f.metadata(&unread)

	// Which currencies there are is the service's knowledge; all else is checked here.
	currency := t.Currency
	t.Currency = ""
	err = t.Prepare(nil)
	t.Currency = currency
	if e, ok := errors.AsType[*rbcs.Error](err); ok {
		return t, append(faults(e.Fields), unread...).err()
	}
	return t, unread.err()
}

// time reads a time as the service does. What it cannot read is a fault, and
// some valid time, so that it is not found at fault twice.
func (f *fields) time(i int, faults *faults) time.Time {
	text := f.value[i]
	t, err := rbcs.ParseTime(text)
	switch {
	case err == nil:
		return t
	case text == "":
		err = errors.New("the time is missing")
	case len(text) <= maxEcho:
		err = fmt.Errorf("%q: %w", text, err)
	}
	faults.check(fieldNames[i], err)
	return time.Unix(0, 0)
}

// maxEcho bounds what a fault repeats of a line.
const maxEcho = 64

func (f *fields) metadata(faults *faults) string {
	text := f.value[fieldMetadata]
	if text == "" {
		return ""
	}
	canonical, err := rbcs.CanonicalMetadata([]byte(text))
	faults.check("metadata", err)
	return canonical
}

// faults collects what is wrong with a line.
type faults []rbcs.FieldError

func (f *faults) check(name string, err error) {
	if err != nil {
		*f = append(*f, rbcs.FieldError{Pointer: "/" + name, Message: err.Error()})
	}
}

func (f faults) err() error {
	if len(f) == 0 {
		return nil
	}
	return &rbcs.Error{Code: rbcs.InvalidRequest, Message: "the line is invalid", Fields: f}
}

func fieldError(name string, err error) error {
	var f faults
	f.check(name, err)
	return f.err()
}
