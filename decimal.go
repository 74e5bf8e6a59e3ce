package rbcs

import (
	"errors"
	"fmt"
)

// MaxDecimals is the largest number of decimals that a currency may have.
const MaxDecimals = 18

// Decimal is an amount as it is written, "12.34": a count of units of 10^−Scale.
// A transaction carries a Decimal, since its currency may be known only from
// its source account; [Decimal.In] makes it an [Amount] of that currency.
type Decimal struct {
	Units Amount
	Scale uint8 // digits after the point, 0–18
}

// ErrTooManyDecimals says that an amount is finer than its currency's minor unit.
var ErrTooManyDecimals = errors.New("the amount has more decimals than its currency")

// ParseDecimal reads plain decimal digits: "0", "12", "12.34". It refuses signs,
// exponents, blanks, leading zeros, a bare point, more than 38 digits and more
// than 18 decimals, and says which of these it was.
func ParseDecimal(s string) (Decimal, error) {
	var units Amount
	digits, scale, point := 0, 0, -1
	for i := range len(s) {
		c := s[i]
		switch {
		case c >= '0' && c <= '9':
			if units.IsZero() {
				digits = 0 // zeros in front of the first digit do not count
			}
			if digits++; digits > MaxDigits {
				return Decimal{}, ErrAmountRange
			}
			units = units.mul10(uint64(c - '0'))
			if point >= 0 {
				scale++
			}
		case c == '.' && point < 0:
			point = i
		case c == '-' || c == '+':
			return Decimal{}, errors.New("the amount has a sign; write plain digits such as \"12.34\"")
		case c == 'e' || c == 'E':
			return Decimal{}, errors.New("the amount has an exponent; write plain digits such as \"1000\"")
		default:
			return Decimal{}, errors.New("the amount is not a decimal number such as \"12.34\"")
		}
	}
	switch {
	case s == "":
		return Decimal{}, errors.New("the amount is empty")
	case point == 0 || point == len(s)-1:
		return Decimal{}, errors.New("the amount needs a digit on each side of its point")
	case s[0] == '0' && len(s) > 1 && point != 1:
		return Decimal{}, errors.New("the amount has leading zeros")
	case scale > MaxDecimals:
		return Decimal{}, fmt.Errorf("%w: at most %d", ErrTooManyDecimals, MaxDecimals)
	}
	return Decimal{Units: units, Scale: uint8(scale)}, nil
}

// In returns d in minor units of a currency with the given number of decimals.
// It fails with [ErrTooManyDecimals] or [ErrAmountRange]; it never rounds.
func (d Decimal) In(decimals int) (Amount, error) {
	if int(d.Scale) > decimals {
		return Amount{}, ErrTooManyDecimals
	}
	a, ok := d.Units.scaleUp(decimals - int(d.Scale))
	if !ok {
		return Amount{}, ErrAmountRange
	}
	return a, nil
}

// Equal reports whether d and e are the same number: "1.0" equals "1.00".
func (d Decimal) Equal(e Decimal) bool {
	if d.Scale > e.Scale {
		d, e = e, d
	}
	up, ok := d.Units.scaleUp(int(e.Scale - d.Scale))
	return ok && up == e.Units
}

// String returns the number with all its decimals.
func (d Decimal) String() string { return d.Units.Format(int(d.Scale)) }

// MarshalJSON writes a JSON string, never a number.
func (d Decimal) MarshalJSON() ([]byte, error) {
	buf := make([]byte, 0, maxFormatted+2)
	buf = d.Units.AppendFormat(append(buf, '"'), int(d.Scale))
	return append(buf, '"'), nil
}

// UnmarshalJSON reads a JSON string as [ParseDecimal] does. A JSON number is
// refused, because many writers of JSON have already rounded it.
func (d *Decimal) UnmarshalJSON(b []byte) error {
	if len(b) < 2 || b[0] != '"' || b[len(b)-1] != '"' {
		return errors.New("an amount is a string such as \"12.34\", not a number")
	}
	parsed, err := ParseDecimal(string(b[1 : len(b)-1]))
	if err != nil {
		return err
	}
	*d = parsed
	return nil
}
