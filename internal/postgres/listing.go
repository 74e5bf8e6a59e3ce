package postgres

import "strings"

// The statements of [Store.Transactions]. In all of them $1 is a sequence, $2
// and $3 bound the time, and $4 is the limit. Each status has an index in which
// its rows are in the order of the log, so that the limit bounds what is read;
// only "posted" reads past what is not, of which there is less.

const selectRecords = "select " + recordColumns + " from transactions t" + lastReference

// What is not of the status, or not of the time, is left out.
const (
	timely = "t.committed_at >= $2 and t.committed_at < $3"
	// A sub-select is never planned as anything but a look-up. What was wholly reversed is "reversed".
	stillPosted = `t.status = 'posted' and
	(select x.outcome from transactions x where x.original_sequence = t.sequence order by x.sequence desc limit 1) is distinct from 'reversed'`
)

// The log from its end.
const (
	fromItsEnd      = " where t.sequence < $1 and " + timely
	latestFirst     = " order by t.sequence desc limit $4"
	listSQL         = selectRecords + fromItsEnd + latestFirst
	listPostedSQL   = selectRecords + fromItsEnd + " and " + stillPosted + latestFirst
	listRejectedSQL = selectRecords + fromItsEnd + " and t.status = 'rejected'" + latestFirst
)

// Sequences are gathered from one or more places, each of which gives its latest
// ones; then the rows of the very latest are read.
const (
	gather = "with latest as ("
	read   = `)
select ` + recordColumns + ` from (select sequence from latest order by sequence desc limit $4) as l
	join transactions t on t.sequence = l.sequence` + lastReference + " order by t.sequence desc"
)

// Open holds have a table of their own, and what was settled or wholly reversed
// is told by the row that did it.
var (
	listHeldSQL      = gather + heldWhere("h.sequence") + read
	listOutcomeSQL   = gather + outcomeWhere() + read
	heldOfSQL        = gather + heldWhere("h.listed", "h.source_key = $5") + " union all " + heldWhere("h.listed", "h.destination_key = $5") + read
	outcomeOfSQL     = gather + outcomeWhere("x.source_key = $6") + " union all " + outcomeWhere("x.destination_key = $6") + read
	timelySequence   = "(select " + timely + " from transactions t where t.sequence = SEQUENCE)"
	heldTimely       = strings.Replace(timelySequence, "SEQUENCE", "h.sequence", 1)
	originallyTimely = strings.Replace(timelySequence, "SEQUENCE", "x.original_sequence", 1)
)

func heldWhere(place string, conditions ...string) string {
	conditions = append(conditions, place+" < $1", heldTimely)
	return "(select " + place + " as sequence from open_holds h where " + strings.Join(conditions, " and ") + " order by " + place + " desc limit $4)"
}

func outcomeWhere(conditions ...string) string {
	conditions = append(conditions, "x.outcome = $5", "x.original_sequence < $1", originallyTimely)
	return "(select x.original_sequence as sequence from transactions x where " + strings.Join(conditions, " and ") + " order by x.original_sequence desc limit $4)"
}

// An account's decisions are in seven places, each in the order of the log: what
// changed it as source and as destination, by version ($5 to $6); what named it
// as destination and did not change it, by sequence; what was rejected on it, by
// sequence; and what was rejected while it did not exist, by its number. At most
// seven times the limit are read. $7 is the account's key and $8 its number; $9
// asks for what was not rejected, for all of it ($10) or what is still posted;
// and $11 for what was rejected.
const (
	wanted    = "$9 and ($10 or " + stillPosted + ")"
	ofTime    = " and t.sequence < $1 and " + timely + " order by t.sequence desc limit $4)"
	listOfSQL = gather + `
	(select t.sequence from transactions t where t.source_key = $7 and t.source_version between $5 and $6 and ` + wanted + ` order by t.source_version desc limit $4)
	union
	(select t.sequence from transactions t where t.destination_key = $7 and t.destination_version between $5 and $6 and ` + wanted + ` order by t.destination_version desc limit $4)
	union
	(select t.sequence from transactions t where t.destination_key = $7 and t.destination_version is null and t.status <> 'rejected' and ` + wanted + ofTime + `
	union
	(select t.sequence from transactions t where $11 and t.source_key = $7 and t.status = 'rejected'` + ofTime + `
	union
	(select t.sequence from transactions t where $11 and t.destination_key = $7 and t.status = 'rejected'` + ofTime + `
	union
	(select t.sequence from transactions t where $11 and t.source_number = $8` + ofTime + `
	union
	(select t.sequence from transactions t where $11 and t.destination_number = $8` + ofTime + read
)
