package rbcs

import (
	"errors"
	"strings"
	"time"
)

// What is wrong with a time.
var (
	errTime   = errors.New("a time is written as RFC 3339 with its zone, such as \"2026-01-31T12:00:00Z\"")
	errYear   = errors.New("the year has more than four digits: the time is outside the years 1–9999")
	errMonth  = errors.New("there is no such month")
	errDay    = errors.New("the month has no such day in that year")
	errClock  = errors.New("there is no such time of day: it is between 00:00:00 and 23:59:59")
	errNoTime = errors.New("0001-01-01T00:00:00Z is what programs write that have no time; write when it was")
)

// timeShape is how a time begins; a fraction and the zone follow.
const timeShape = "0000-00-00T00:00:00"

// ParseTime reads a time as clients and files write it: RFC 3339 with its zone.
// Digits after the ninth of a fraction are read and have no weight. The zero
// time, which means none everywhere else, is refused. It is written by hand
// because time.Parse is not strict (it takes "T5:04:05", and a comma before the
// fraction), nor as fast.
func ParseTime(s string) (time.Time, error) {
	if year := strings.IndexByte(s, '-'); year > len("0000") && !strings.ContainsFunc(s[:year], notDigit) {
		return time.Time{}, errYear
	}
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
	switch {
	case !ok:
		return time.Time{}, errTime
	case month < 1 || month > 12:
		return time.Time{}, errMonth
	case hour > 23 || minute > 59 || second > 59:
		return time.Time{}, errClock
	}
	t := time.Date(year, time.Month(month), day, hour, minute, second, nanos, time.UTC)
	if t.Day() != day { // the 30th of February became a day in March
		return time.Time{}, errDay
	}
	if t = t.Add(-offset); t.Truncate(time.Microsecond).IsZero() {
		return time.Time{}, errNoTime
	}
	return t, nil
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

func notDigit(r rune) bool { return r < '0' || r > '9' }

func isDigit(c byte) bool { return c >= '0' && c <= '9' }

func two(s string) int { return int(s[0]-'0')*10 + int(s[1]-'0') }
