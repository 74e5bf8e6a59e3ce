package events

import (
	"strings"

	"rbcs"
)

// Event is one decision in the log. What it points to is shared: it must not be
// modified.
type Event struct {
	ID     Position
	Result *rbcs.Result
}

// Type returns the name of an event: "transaction.posted", "transaction.held"
// or "transaction.rejected", by the status of the decision. Its transaction's
// own type says what it does: a posted capture is "transaction.posted" too.
func Type(r *rbcs.Result) string { return "transaction." + string(r.Status) }

// Filter selects decisions by the accounts on either side. Zero values do not
// restrict; with both set, either side must fulfil the one and either the other.
type Filter struct {
	Account string
	Prefix  string
}

func (f *Filter) match(r *rbcs.Result) bool {
	source, destination := r.Transaction.Source, r.Transaction.Destination
	if f.Account != "" && f.Account != source && f.Account != destination {
		return false
	}
	return f.Prefix == "" || strings.HasPrefix(source, f.Prefix) || strings.HasPrefix(destination, f.Prefix)
}

// of returns the events among pages that were read in one timeline.
func (f *Filter) of(pages [][]rbcs.Result, timeline int64) []Event {
	var events []Event
	for _, page := range pages {
		for i := range page {
			if r := &page[i]; f.match(r) {
				events = append(events, Event{ID: Position{timeline, r.Sequence}, Result: r})
			}
		}
	}
	return events
}
