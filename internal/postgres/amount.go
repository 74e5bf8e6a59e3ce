package postgres

import (
	"encoding/binary"
	"fmt"
	"math/bits"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgtype"

	"rbcs"
)

// registerTypes teaches a connection to encode and decode amounts directly, and
// times as UTC. It needs no round trip: the types are built into PostgreSQL.
func registerTypes(m *pgtype.Map) {
	numeric := &pgtype.Type{Name: "numeric", OID: pgtype.NumericOID, Codec: amountCodec{}}
	timestamp := &pgtype.Type{Name: "timestamptz", OID: pgtype.TimestamptzOID, Codec: &pgtype.TimestamptzCodec{ScanLocation: time.UTC}}
	m.RegisterType(numeric)
	m.RegisterType(timestamp)
	for array, element := range map[uint32]uint32{
		pgtype.Int2ArrayOID: pgtype.Int2OID, pgtype.Int8ArrayOID: pgtype.Int8OID, pgtype.TextArrayOID: pgtype.TextOID,
		pgtype.NumericArrayOID: pgtype.NumericOID, pgtype.TimestamptzArrayOID: pgtype.TimestamptzOID, pgtype.TIDArrayOID: pgtype.TIDOID,
	} {
		t, _ := m.TypeForOID(element)
		m.RegisterType(&pgtype.Type{Name: "_" + t.Name, OID: array, Codec: columnCodec{&pgtype.ArrayCodec{ElementType: t}}})
	}
}

// amountCodec encodes and decodes [rbcs.Amount] as numeric without a big.Int on
// the way; NULL is decoded as zero. Other Go types are left to pgx.
type amountCodec struct{ pgtype.NumericCodec }

// PlanEncode implements [pgtype.Codec].
func (c amountCodec) PlanEncode(m *pgtype.Map, oid uint32, format int16, value any) pgtype.EncodePlan {
	if _, ok := value.(rbcs.Amount); !ok {
		return c.NumericCodec.PlanEncode(m, oid, format, value)
	}
	if format == pgtype.BinaryFormatCode {
		return encodeBinary{}
	}
	return encodeText{}
}

// PlanScan implements [pgtype.Codec].
func (c amountCodec) PlanScan(m *pgtype.Map, oid uint32, format int16, target any) pgtype.ScanPlan {
	switch target.(type) {
	case *rbcs.Amount, *rbcs.Overdraft:
	default:
		return c.NumericCodec.PlanScan(m, oid, format, target)
	}
	if format == pgtype.BinaryFormatCode {
		return scanPlan(decodeBinary)
	}
	return scanPlan(decodeText)
}

// scanPlan scans a numeric into an [rbcs.Amount], where NULL is zero, or an
// [rbcs.Overdraft], where NULL is unlimited.
type scanPlan func(src []byte) (rbcs.Amount, error)

// Scan implements [pgtype.ScanPlan].
func (decode scanPlan) Scan(src []byte, target any) error {
	var amount rbcs.Amount
	if src != nil {
		var err error
		if amount, err = decode(src); err != nil {
			return err
		}
	}
	switch target := target.(type) {
	case *rbcs.Amount:
		*target = amount
	case *rbcs.Overdraft:
		*target = rbcs.Overdraft{Unlimited: src == nil, Limit: amount}
	}
	return nil
}

// The binary format of numeric: the number of digits in base 10,000, the weight
// of the first one (its power of 10,000), the sign, the number of decimals to
// show; then the digits. All are 16-bit, big-endian.
const (
	numericHeader = 8
	numericBase   = 10_000
	positive      = 0x0000
	negative      = 0x4000
	maxNumeric    = (rbcs.MaxDigits + 3) / 4 // digits in base 10,000
	maxFirst      = 100                      // the first of so many digits is below it: it has what 36 decimal digits leave of 38
)

type encodeBinary struct{}

// Encode implements [pgtype.EncodePlan].
func (encodeBinary) Encode(value any, buf []byte) ([]byte, error) {
	return appendNumeric(buf, value.(rbcs.Amount)), nil
}

func appendNumeric(buf []byte, amount rbcs.Amount) []byte {
	sign := uint16(positive)
	if amount.Sign() < 0 {
		sign, amount = negative, amount.Neg()
	}
	high, low := amount.Words()
	// In base 10¹⁶ the number has three places: each is four digits in base 10,000.
	const e16 = 10_000_000_000_000_000
	rest := uint64(high)
	var places [3]uint64
	top, mid := rest/e16, rest%e16
	quotient, r := bits.Div64(mid, low, e16)
	places[2] = r
	// top·2⁶⁴ + quotient is below 10²²: one more division leaves it in two places.
	places[0], places[1] = bits.Div64(top, quotient, e16)
	var digits [12]uint16
	first, n := len(digits), len(digits)
	for p := len(places) - 1; p >= 0; p-- {
		place := places[p]
		for range 4 {
			n--
			digits[n] = uint16(place % numericBase)
			if digits[n] != 0 {
				first = n
			}
			place /= numericBase
		}
	}
	count := len(digits) - first
	buf = binary.BigEndian.AppendUint16(buf, uint16(count))
	buf = binary.BigEndian.AppendUint16(buf, uint16(max(0, count-1)))
	buf = binary.BigEndian.AppendUint16(buf, sign)
	buf = binary.BigEndian.AppendUint16(buf, 0)
	for _, digit := range digits[first:] {
		buf = binary.BigEndian.AppendUint16(buf, digit)
	}
	return buf
}

func decodeBinary(src []byte) (rbcs.Amount, error) {
	if len(src) < numericHeader {
		return rbcs.Amount{}, fmt.Errorf("a numeric of %d bytes", len(src))
	}
	count := int(binary.BigEndian.Uint16(src))
	weight := int(int16(binary.BigEndian.Uint16(src[2:])))
	sign := binary.BigEndian.Uint16(src[4:])
	src = src[numericHeader:]
	if sign != positive && sign != negative || len(src) != 2*count {
		return rbcs.Amount{}, fmt.Errorf("a numeric that is not a number: sign %#x, %d digits in %d bytes", sign, count, len(src))
	}
	if weight >= maxNumeric || weight == maxNumeric-1 && count > 0 && binary.BigEndian.Uint16(src) >= maxFirst {
		return rbcs.Amount{}, rbcs.ErrAmountRange // so that nothing below wraps
	}
	if count > weight+1 {
		return rbcs.Amount{}, fmt.Errorf("a numeric that is not an amount: %d digits, the first of weight %d", count, weight)
	}
	var high, low uint64
	for i := range weight + 1 { // digits that are left out at the end are zeros
		digit := uint64(0)
		if i < count {
			digit = uint64(binary.BigEndian.Uint16(src[2*i:]))
		}
		carry, product := bits.Mul64(low, numericBase)
		var c uint64
		low, c = bits.Add64(product, digit, 0)
		high = high*numericBase + carry + c // below 10³⁸ < 2¹²⁷
	}
	amount, err := rbcs.AmountFromWords(int64(high), low)
	if sign == negative {
		amount = amount.Neg()
	}
	return amount, err
}

type encodeText struct{}

// Encode implements [pgtype.EncodePlan].
func (encodeText) Encode(value any, buf []byte) ([]byte, error) {
	return value.(rbcs.Amount).AppendFormat(buf, 0), nil
}

func decodeText(src []byte) (rbcs.Amount, error) {
	digits, isNegative := strings.CutPrefix(string(src), "-")
	d, err := rbcs.ParseDecimal(digits)
	if err == nil && d.Scale != 0 {
		err = fmt.Errorf("numeric %s is not an amount", src)
	}
	if isNegative {
		d.Units = d.Units.Neg()
	}
	return d.Units, err
}
