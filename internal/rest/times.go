package rest

import (
	"errors"
	"time"
)

var errTime = errors.New("a time is written as RFC 3339 with its zone, such as \"2026-01-31T12:00:00Z\"")

// timeShape is how a time begins; a fraction and the zone follow.
const timeShape = "0000-00-00T00:00:00"

// parseTime reads RFC 3339. It is written by hand because time.Parse is not
// strict (it takes "T5:04:05", and a comma before the fraction), nor as fast.
// Digits after the ninth of a fraction are read and have no weight.
func parseTime(s string) (time.Time, error) {
	if len(s) <= len(timeShape) {
		return time.Time{}, errTime
	}
	for i := range len(timeShape) {
		if isDigit(s[i]) != (timeShape[i] == '0') || timeShape[i] != '0' && s[i] != timeShape[i] {
			return time.Time{}, errTime
		}
	}
	zone := len(timeShape)
	nanos := 0
	if s[zone] == '.' {
		unit := int(time.Second)
		for zone++; zone < len(s) && isDigit(s[zone]); zone++ {
			unit /= 10
			nanos += int(s[zone]-'0') * unit
		}
		if zone == len(timeShape)+1 {
			return time.Time{}, errTime
		}
	}
	offset, ok := parseZone(s[zone:])
	year, month, day := two(s[0:])*100+two(s[2:]), two(s[5:]), two(s[8:])
	hour, minute, second := two(s[11:]), two(s[14:]), two(s[17:])
	if !ok || month < 1 || month > 12 || hour > 23 || minute > 59 || second > 59 {
		return time.Time{}, errTime
	}
	t := time.Date(year, time.Month(month), day, hour, minute, second, nanos, time.UTC)
	if t.Day() != day { // the 30th of February became a day in March
		return time.Time{}, errTime
	}
	return t.Add(-offset), nil
}

// parseZone reads "Z" or "+02:00".
func parseZone(s string) (time.Duration, bool) {
	if s == "Z" {
		return 0, true
	}
	if len(s) != len("+00:00") || s[0] != '+' && s[0] != '-' || s[3] != ':' ||
		!isDigit(s[1]) || !isDigit(s[2]) || !isDigit(s[4]) || !isDigit(s[5]) {
		return 0, false
	}
	hours, minutes := two(s[1:]), two(s[4:])
	offset := time.Duration(hours)*time.Hour + time.Duration(minutes)*time.Minute
	if s[0] == '-' {
		offset = -offset
	}
	return offset, hours <= 23 && minutes <= 59
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
