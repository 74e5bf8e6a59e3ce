package rbcs

import (
	"errors"
	"math/bits"
)

// MaxDigits is how many decimal digits an [Amount] may have: what PostgreSQL's
// numeric(38,0) holds, and what fits a signed 128-bit integer with room to spare.
const MaxDigits = 38

// ErrAmountRange says that a number needs more than [MaxDigits] digits.
var ErrAmountRange = errors.New("the amount has more than 38 digits")

// Amount is an exact count of a currency's minor units (cents for USD), as a
// signed 128-bit integer with |x| < 10³⁸. The zero value is zero, two equal
// amounts are ==, and no method ever leaves the range.
type Amount struct {
	hi int64 // two's complement, most significant half
	lo uint64
}

// maxAmount is 10³⁸ − 1.
var maxAmount = Amount{hi: 0x4B3B4CA85A86C47A, lo: 0x098A223FFFFFFFFF}

// MaxAmount returns the largest amount, 10³⁸ − 1 minor units.
func MaxAmount() Amount { return maxAmount }

// AmountOf returns n minor units.
func AmountOf(n int64) Amount { return Amount{hi: n >> 63, lo: uint64(n)} }

// AmountFromWords is the inverse of [Amount.Words]. It fails with
// [ErrAmountRange] where the 128-bit number is outside the range.
func AmountFromWords(hi int64, lo uint64) (Amount, error) {
	a := Amount{hi, lo}
	if !a.inRange() {
		return Amount{}, ErrAmountRange
	}
	return a, nil
}

// Words returns the two halves of the 128-bit two's complement number, for
// stores and wire formats.
func (a Amount) Words() (hi int64, lo uint64) { return a.hi, a.lo }

// Int64 returns the amount as an int64, and whether it fits.
func (a Amount) Int64() (int64, bool) {
	n := int64(a.lo)
	return n, a.hi == n>>63
}

// Add returns a + b, and false where the sum leaves the range.
func (a Amount) Add(b Amount) (Amount, bool) {
	lo, carry := bits.Add64(a.lo, b.lo, 0)
	// Both summands are below 10³⁸ < 2¹²⁷ / 1.7, so that the 128-bit sum itself can wrap only past 2¹²⁷:
	// that shows as a sign that neither summand has.
	hi := int64(uint64(a.hi) + uint64(b.hi) + carry)
	sum := Amount{hi, lo}
	wrapped := (a.hi < 0) == (b.hi < 0) && (hi < 0) != (a.hi < 0)
	if wrapped || !sum.inRange() {
		return Amount{}, false
	}
	return sum, true
}

// Sub returns a − b, and false where the difference leaves the range.
func (a Amount) Sub(b Amount) (Amount, bool) { return a.Add(b.Neg()) }

// Neg returns −a. The range is symmetric, so this cannot overflow.
func (a Amount) Neg() Amount {
	lo, borrow := bits.Sub64(0, a.lo, 0)
	return Amount{hi: -a.hi - int64(borrow), lo: lo}
}

// Cmp returns −1, 0 or +1 as a is less than, equal to or greater than b.
func (a Amount) Cmp(b Amount) int {
	switch {
	case a.hi < b.hi || a.hi == b.hi && a.lo < b.lo:
		return -1
	case a == b:
		return 0
	}
	return 1
}

// Sign returns −1, 0 or +1.
func (a Amount) Sign() int {
	switch {
	case a.hi < 0:
		return -1
	case a == Amount{}:
		return 0
	}
	return 1
}

// IsZero reports whether the amount is zero.
func (a Amount) IsZero() bool { return a == Amount{} }

func (a Amount) inRange() bool {
	if a.hi < 0 {
		a = a.Neg()
	}
	return a.hi >= 0 && a.Cmp(maxAmount) <= 0
}

// String returns the count of minor units in plain digits.
func (a Amount) String() string { return a.Format(0) }

// Format returns the amount with the given number of decimals (0–18):
// AmountOf(1234).Format(2) is "12.34".
func (a Amount) Format(decimals int) string {
	var buf [maxFormatted]byte
	return string(a.AppendFormat(buf[:0], decimals))
}

// maxFormatted is a sign, 38 digits, a point, and a zero before it.
const maxFormatted = MaxDigits + 3

// e19 is the largest power of ten in a uint64: two "digits" of this base hold 38 decimal digits.
const e19 = 10_000_000_000_000_000_000

// AppendFormat appends what [Amount.Format] returns to dst.
func (a Amount) AppendFormat(dst []byte, decimals int) []byte {
	if a.hi < 0 {
		dst = append(dst, '-')
		a = a.Neg()
	}
	var digits [MaxDigits]byte // right-aligned
	i := len(digits)
	high, low := bits.Div64(uint64(a.hi), a.lo, e19) // a.hi < 5.5e18 < e19: Div64 cannot panic
	for ; low > 0; low /= 10 {
		i--
		digits[i] = byte('0' + low%10)
	}
	if high > 0 {
		for i > MaxDigits/2 { // the zeros that the lower half begins with
			i--
			digits[i] = '0'
		}
		for ; high > 0; high /= 10 {
			i--
			digits[i] = byte('0' + high%10)
		}
	}
	for len(digits)-i <= decimals { // at least one digit before the point
		i--
		digits[i] = '0'
	}
	point := len(digits) - decimals
	dst = append(dst, digits[i:point]...)
	if decimals > 0 {
		dst = append(dst, '.')
		dst = append(dst, digits[point:]...)
	}
	return dst
}

// pow10 returns 10ⁿ for 0 ≤ n ≤ 37.
func pow10(n int) Amount {
	p := AmountOf(1)
	for range n {
		p = p.mul10(0)
	}
	return p
}

// mul10 returns a×10 + digit. REQUIRES: 0 ≤ a < 10³⁷, so that the result is in range.
func (a Amount) mul10(digit uint64) Amount {
	hi, lo := bits.Mul64(a.lo, 10)
	lo, carry := bits.Add64(lo, digit, 0)
	return Amount{hi: a.hi*10 + int64(hi+carry), lo: lo}
}

// scaleUp returns a × 10ⁿ, and false where the product leaves the range.
func (a Amount) scaleUp(n int) (Amount, bool) {
	if a.IsZero() || n == 0 {
		return a, true
	}
	negative := a.hi < 0
	if negative {
		a = a.Neg()
	}
	limit := pow10(MaxDigits - 1)
	for range n {
		if a.Cmp(limit) >= 0 {
			return Amount{}, false
		}
		a = a.mul10(0)
	}
	if negative {
		a = a.Neg()
	}
	return a, true
}
