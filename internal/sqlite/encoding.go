package sqlite

import (
	"encoding/binary"
	"errors"
	"math"
	"time"

	"rbcs"
)

// amountBytes is the size of an amount in the database.
const amountBytes = 16

// signBit is flipped, so that negative numbers sort before positive ones.
const signBit = math.MinInt64

var errAmountEncoding = errors.New("an amount in the database is not 16 bytes of at most 38 digits")

// putAmount writes the 128-bit number big-endian with its sign bit flipped:
// bytes.Compare of two amounts is their Cmp.
func putAmount(dst []byte, a rbcs.Amount) {
	hi, lo := a.Words()
	binary.BigEndian.PutUint64(dst, uint64(hi^signBit))
	binary.BigEndian.PutUint64(dst[8:], lo)
}

// amountOf is the inverse of putAmount.
func amountOf(b []byte) (rbcs.Amount, error) {
	if len(b) != amountBytes {
		return rbcs.Amount{}, errAmountEncoding
	}
	a, err := rbcs.AmountFromWords(int64(binary.BigEndian.Uint64(b))^signBit, binary.BigEndian.Uint64(b[8:]))
	if err != nil {
		return rbcs.Amount{}, errAmountEncoding
	}
	return a, nil
}

// micros is a time in the database. The zero time is no time: NULL.
func micros(t time.Time) int64 { return t.UnixMicro() }

// timeOf is the inverse of micros.
func timeOf(micros int64) time.Time { return time.UnixMicro(micros).UTC() }
