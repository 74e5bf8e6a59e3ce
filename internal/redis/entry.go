package redis

import (
	"crypto/rand"
	"errors"
	"strconv"
	"strings"
	"time"

	"rbcs"
)

// The letters that entries begin with.
const (
	markLetter  = 'M'
	leaseLetter = 'L'
	valueLetter = 'V'
)

// keySpace begins the keys of one database on one timeline.
type keySpace string

func spaceOf(database string, timeline int64) keySpace {
	return keySpace("rbcs:" + database + ":" + strconv.FormatInt(timeline, 10) + ":")
}

func (s keySpace) key(number string) string { return string(s) + number }

// newMark and newLease return entries that nobody else ever writes.
func newMark() string  { return string(markLetter) + rand.Text() }
func newLease() string { return string(leaseLetter) + rand.Text() }

// encode writes a balance as an entry: version, balance and held in minor units,
// currency, its decimals, and the microsecond it is true for.
func encode(b *rbcs.Balance) string {
	buf := make([]byte, 0, 96)
	buf = strconv.AppendInt(append(buf, valueLetter), b.Version, 10)
	buf = b.Balance.AppendFormat(append(buf, ' '), 0)
	buf = b.Held.AppendFormat(append(buf, ' '), 0)
	buf = append(append(buf, ' '), b.Currency.Code...)
	buf = strconv.AppendInt(append(buf, ' '), int64(b.Currency.Decimals), 10)
	buf = strconv.AppendInt(append(buf, ' '), b.AsOf.UnixMicro(), 10)
	return string(buf)
}

// errEntry says that an entry is not one that this package writes.
var errEntry = errors.New("the entry is not of this cache")

// decode is the inverse of encode. REQUIRES: the entry begins with valueLetter.
func decode(number, entry string) (rbcs.Balance, error) {
	b := rbcs.Balance{Number: number}
	rest, ok := entry[1:], true
	next := func() (field string) {
		var more bool
		field, rest, more = strings.Cut(rest, " ")
		ok = ok && more && field != ""
		return field
	}
	version, err1 := strconv.ParseInt(next(), 10, 64)
	balance, err2 := parseAmount(next())
	held, err3 := parseAmount(next())
	code := next()
	decimals, err4 := strconv.ParseUint(next(), 10, 8)
	asOf, err5 := strconv.ParseInt(rest, 10, 64)
	if !ok || errors.Join(err1, err2, err3, err4, err5) != nil || decimals > rbcs.MaxDecimals {
		return b, errEntry
	}
	b.Version, b.Balance, b.Held = version, balance, held
	b.Currency = rbcs.Currency{Code: code, Decimals: int(decimals)}
	b.AsOf = time.UnixMicro(asOf).UTC()
	return b, nil
}

func parseAmount(s string) (rbcs.Amount, error) {
	digits, negative := strings.CutPrefix(s, "-")
	d, err := rbcs.ParseDecimal(digits)
	switch {
	case err != nil:
		return rbcs.Amount{}, err
	case d.Scale != 0:
		return rbcs.Amount{}, errEntry
	case negative:
		return d.Units.Neg(), nil
	}
	return d.Units, nil
}
