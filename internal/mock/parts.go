package mock

import (
	"encoding/binary"
	"encoding/hex"
	"math/bits"
	"math/rand/v2"
	"strconv"
	"time"

	"rbcs"
)

// draw makes random choices in integers.
type draw struct{ pcg *rand.PCG }

// below returns 0 ≤ x < n, for n ≥ 1. Its bias of n/2⁶⁴ does not matter here.
func (d draw) below(n int64) int64 {
	hi, _ := bits.Mul64(d.pcg.Uint64(), uint64(n))
	return int64(hi)
}

// zipf returns 0 ≤ x < n, about 1/(x+1) as often as 0: first one of the powers
// of two, each as likely as the other, then a number from there to the next.
func (d draw) zipf(n int64) int64 {
	octaves := int64(bits.Len64(uint64(n)))
	for {
		low := int64(1) << d.below(octaves)
		if x := low + d.below(low); x <= n {
			return x - 1
		}
	}
}

// cast says who the accounts are, by index: treasuries, from which all money
// comes and which may go below zero without limit, then merchants, then users.
type cast struct {
	treasuries, merchants, all int64
	userDigits                 int
}

func newCast(accounts int) cast {
	c := cast{all: int64(accounts)}
	c.treasuries = 1 + c.all/100_000
	c.merchants = c.all / 20
	c.userDigits = max(6, len(strconv.Itoa(accounts)))
	return c
}

// appendNumber appends the account's number: "acme:users:000042".
func (c *cast) appendNumber(dst []byte, i int64) []byte {
	switch {
	case i < c.treasuries:
		return appendPadded(append(dst, "acme:treasury:"...), i+1, 4)
	case i < c.treasuries+c.merchants:
		return appendPadded(append(dst, "acme:merchants:"...), i-c.treasuries+1, c.userDigits)
	}
	return appendPadded(append(dst, "acme:users:"...), i-c.treasuries-c.merchants+1, c.userDigits)
}

func (c *cast) isTreasury(i int64) bool { return i < c.treasuries }

// overdraft returns how many whole units the account may go below zero: every
// tenth merchant or user has such a limit.
func (c *cast) overdraft(i int64) int64 {
	if i%10 == 7 && !c.isTreasury(i) {
		return 500
	}
	return 0
}

func appendPadded(dst []byte, n int64, digits int) []byte {
	at := len(dst)
	for range digits {
		dst = append(dst, '0')
	}
	for i := at + digits - 1; i >= at; i-- {
		dst[i] = byte('0' + n%10)
		n /= 10
	}
	return dst
}

// money is the currency's amounts as int64 counts of steps. A step is the minor
// unit, or 0.0001 where that is finer: the sum of all transactions must fit.
type money struct {
	currency rbcs.Currency
	decimals int    // of a step
	unit     int64  // steps in one whole unit
	zeros    string // the decimals that are finer than a step
}

const maxStepDecimals = 4

func newMoney(c rbcs.Currency) money {
	m := money{currency: c, decimals: min(c.Decimals, maxStepDecimals), unit: 1}
	for range m.decimals {
		m.unit *= 10
	}
	m.zeros = "00000000000000000000"[:c.Decimals-m.decimals]
	return m
}

// append appends the amount with all decimals of its currency.
func (m *money) append(dst []byte, steps int64) []byte {
	if steps < 0 {
		dst = append(dst, '-')
		steps = -steps
	}
	dst = strconv.AppendInt(dst, steps/m.unit, 10)
	if m.decimals > 0 {
		dst = appendPadded(append(dst, '.'), steps%m.unit, m.decimals)
	}
	return append(dst, m.zeros...)
}

// payment draws what somebody pays: mostly some tens, seldom thousands.
func (m *money) payment(d draw) int64 {
	switch kind := d.below(10); {
	case kind < 3:
		return 1 + d.below(10*m.unit)
	case kind < 9:
		return 1 + d.below(100*m.unit)
	}
	return 1 + d.below(2_500*m.unit)
}

// clock makes timestamps that only go forward, about thirty days of them, each
// in a millisecond of its own.
type clock struct {
	micros int64
	step   int64 // the mean, in milliseconds
}

func newClock(transactions int) clock {
	const thirtyDays = 30 * 24 * 3600 * 1000 // in milliseconds
	start := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	return clock{micros: start.UnixMicro(), step: max(1, thirtyDays/int64(max(1, transactions)))}
}

// tick goes on to the next transaction's time.
func (c *clock) tick(d draw) {
	millis := c.micros/1000 + 1 + d.below(2*c.step-1)
	c.micros = millis*1000 + d.below(1000)
}

func (c *clock) appendTime(dst []byte) []byte {
	return time.UnixMicro(c.micros).UTC().AppendFormat(dst, rbcs.TimeFormat)
}

// appendID appends a UUID of version 7. The millisecond alone makes it unique
// in the file and sorts it; the random rest keeps other files apart.
func (c *clock) appendID(dst []byte, d draw) []byte {
	var id [16]byte
	binary.BigEndian.PutUint64(id[:8], uint64(c.micros/1000)<<16|0x7000|d.pcg.Uint64()&0xFFF)
	binary.BigEndian.PutUint64(id[8:], d.pcg.Uint64()&^(3<<62)|2<<62)
	for i, group := range [...][]byte{id[:4], id[4:6], id[6:8], id[8:10], id[10:]} {
		if i > 0 {
			dst = append(dst, '-')
		}
		dst = hex.AppendEncode(dst, group)
	}
	return dst
}
