package events

import (
	"fmt"
	"strconv"
	"strings"

	"rbcs"
)

// Position is a place in the log: behind the decision of this sequence.
//
// Timeline 0 stands for the present one: the caller takes it on itself that the
// sequence means something there. The zero Position is before the first decision.
type Position struct {
	Timeline int64
	Sequence int64
}

// Tail is the position from now on: only what is committed later is behind it.
var Tail = Position{Sequence: -1}

// String returns the position as it is written in event IDs, "TIMELINE-SEQUENCE".
func (p Position) String() string {
	return strconv.FormatInt(p.Timeline, 10) + "-" + strconv.FormatInt(p.Sequence, 10)
}

// ParsePosition reads what [Position.String] wrote. Its error has code
// [rbcs.InvalidRequest].
func ParsePosition(s string) (Position, error) {
	timeline, sequence, _ := strings.Cut(s, "-")
	p := Position{Timeline: parse(timeline), Sequence: parse(sequence)}
	if p.Timeline < 0 || p.Sequence < 0 {
		return Position{}, rbcs.Errorf(rbcs.InvalidRequest,
			"the event ID %.64q is not TIMELINE-SEQUENCE, such as 1-42; send back the last one received", s)
	}
	return p, nil
}

// parse reads a number as [Position.String] writes it; -1 for anything else.
func parse(s string) int64 {
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil || strconv.FormatInt(n, 10) != s {
		return -1
	}
	return n
}

// Gap says that a position cannot be carried over to the present timeline:
// decisions behind it may have been lost, or given other sequences.
type Gap struct {
	Asked   Position
	Present Position // the settled end of the log now
}

// Error says what happened.
func (g *Gap) Error() string {
	return fmt.Sprintf("the database was promoted: event %s is of an earlier timeline and may be lost; the log is at %s now", g.Asked, g.Present)
}

func (g *Gap) refusal() *rbcs.Error {
	return &rbcs.Error{
		Code: rbcs.InvalidRequest,
		Message: g.Error() + fmt.Sprintf(". Read again from an earlier sequence N by the event ID %d-N, and compare by transaction ID",
			g.Present.Timeline),
		Err: g,
	}
}
