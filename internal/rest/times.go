package rest

import (
	"errors"
	"time"
)

var errTime = errors.New("a time is written as RFC 3339 with its zone, such as \"2026-01-31T12:00:00Z\"")

// parseTime reads RFC 3339 strictly. The form that programs write,
// YYYY-MM-DDTHH:MM:SS[.f…]Z, is read here; the rest by the standard library.
func parseTime(s string) (time.Time, error) {
	if t, ok := parseUTC(s); ok {
		return t, nil
	}
	// Unlike time.Parse, UnmarshalText refuses "T5:04:05" and a comma before the fraction.
	var t time.Time
	if err := t.UnmarshalText([]byte(s)); err != nil {
		return time.Time{}, errTime
	}
	return t, nil
}

// utcLayout is what parseUTC reads; a fraction may stand before the Z.
const utcLayout = "0000-00-00T00:00:00"

func parseUTC(s string) (time.Time, bool) {
	const shape = len(utcLayout)
	if len(s) <= shape || len(s) > shape+len(".000000000Z") || s[len(s)-1] != 'Z' {
		return time.Time{}, false
	}
	for i := range shape {
		if digit := isDigit(s[i]); utcLayout[i] == '0' && !digit || utcLayout[i] != '0' && s[i] != utcLayout[i] {
			return time.Time{}, false
		}
	}
	nanos := 0
	if fraction := s[shape : len(s)-1]; fraction != "" {
		if fraction[0] != '.' || len(fraction) == 1 {
			return time.Time{}, false
		}
		unit := int(time.Second)
		for i := 1; i < len(fraction); i++ {
			if !isDigit(fraction[i]) {
				return time.Time{}, false
			}
			unit /= 10
			nanos += int(fraction[i]-'0') * unit
		}
	}
	year, month, day := two(s[0:])*100+two(s[2:]), two(s[5:]), two(s[8:])
	hour, minute, second := two(s[11:]), two(s[14:]), two(s[17:])
	if month < 1 || month > 12 || hour > 23 || minute > 59 || second > 59 {
		return time.Time{}, false
	}
	t := time.Date(year, time.Month(month), day, hour, minute, second, nanos, time.UTC)
	return t, t.Day() == day // the 30th of February became a day in March
}

func isDigit(c byte) bool { return c >= '0' && c <= '9' }

func two(s string) int { return int(s[0]-'0')*10 + int(s[1]-'0') }

// appendTime writes t as [rbcs.TimeFormat] does, five times faster: a batch writes thousands.
func appendTime(dst []byte, t time.Time) []byte {
	t = t.UTC()
	year, month, day := t.Date()
	hour, minute, second := t.Clock()
	micros := t.Nanosecond() / 1000
	dst = appendTwo(appendTwo(dst, year/100), year%100)
	dst = appendTwo(append(dst, '-'), int(month))
	dst = appendTwo(append(dst, '-'), day)
	dst = appendTwo(append(dst, 'T'), hour)
	dst = appendTwo(append(dst, ':'), minute)
	dst = appendTwo(append(dst, ':'), second)
	dst = appendTwo(append(dst, '.'), micros/10_000)
	dst = appendTwo(appendTwo(dst, micros/100%100), micros%100)
	return append(dst, 'Z')
}

// appendTwo writes two digits. REQUIRES: 0 ≤ n ≤ 99.
func appendTwo(dst []byte, n int) []byte { return append(dst, byte('0'+n/10), byte('0'+n%10)) }
