package rest

import (
	"net/url"
	"reflect"
	"strconv"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"rbcs"
)

// QueueState is what only a transaction has that is, or was, in the durable queue.
type QueueState struct {
	State          string        `json:"state,omitempty" enum:"queued,retrying,dead,discarded" doc:"Of what is in the queue: where it stands there."`
	AcceptedAt     string        `json:"accepted_at,omitempty" format:"date-time" doc:"When it was queued."`
	DueAt          string        `json:"due_at,omitempty" format:"date-time" doc:"When it is tried next, at the earliest."`
	FailedAttempts int           `json:"failed_attempts,omitempty" doc:"Since it was queued or replayed."`
	Attempts       []QueueChange `json:"attempts,omitempty" doc:"What happened to it in the queue before it was decided: attempts that failed, and what operators did. The last 100 lines."`
}

// QueueChange is one line of what happened to a transaction in the queue.
type QueueChange struct {
	At       string `json:"at" format:"date-time"`
	Kind     string `json:"kind" enum:"failed,refused,died,replayed,discarded" doc:"failed: by an error of the service; refused: for a reason that may pass."`
	Instance string `json:"instance" doc:"Which instance did it."`
	Actor    string `json:"actor,omitempty" doc:"Who asked for it."`
	Code     string `json:"code,omitempty"`
	Detail   string `json:"detail,omitempty" doc:"What failed, or an operator's reason."`
	NextAt   string `json:"next_at,omitempty" format:"date-time" doc:"When it is tried again."`
	Omitted  int    `json:"omitted,omitempty" doc:"So many attempts failed between the line before and this one, and are only counted: like this one, unless 50 are listed already."`
}

// queuedView is sent as appendEntryOfQueue writes it and described as a [Transaction].
type queuedView struct {
	entry   *rbcs.IntakeEntry
	history []rbcs.IntakeEvent
}

// MarshalJSON writes the entry.
func (v queuedView) MarshalJSON() ([]byte, error) {
	return appendEntryOfQueue(nil, v.entry, v.history), nil
}

// Schema refers to the description.
func (queuedView) Schema(r huma.Registry) *huma.Schema {
	return r.Schema(reflect.TypeFor[Transaction](), true, "")
}

// statusOfEntry is what a transaction in the queue is for who submitted it.
func statusOfEntry(state rbcs.IntakeState) string {
	if state == rbcs.IntakeRetrying {
		return string(rbcs.IntakeQueued)
	}
	return string(state)
}

// appendEntryOfQueue writes a transaction that is not decided.
func appendEntryOfQueue(dst []byte, e *rbcs.IntakeEntry, history []rbcs.IntakeEvent) []byte {
	t := &e.Transaction
	dst = appendString(append(dst, `{"id":`...), t.ID)
	dst = append(append(append(dst, `,"type":"`...), t.Type...), `","status":"`...)
	dst = append(append(dst, statusOfEntry(e.State)...), '"')
	if e.Code != "" {
		dst = append(append(append(dst, `,"code":"`...), e.Code...), `","detail":`...)
		dst = appendString(dst, e.Detail)
	}
	dst = append(append(append(dst, `,"source":"`...), t.Source...), '"')
	dst = append(append(append(dst, `,"destination":"`...), t.Destination...), `","amount":"`...)
	dst = append(append(dst, t.Amount.String()...), '"')
	if t.Currency != "" {
		dst = append(append(append(dst, `,"currency":"`...), t.Currency...), '"')
	}
	dst = append(appendTime(append(dst, `,"timestamp":"`...), t.Timestamp), '"')
	if !t.ExpiresAt.IsZero() {
		dst = append(appendTime(append(dst, `,"expires_at":"`...), t.ExpiresAt), '"')
	}
	dst = appendSchedule(dst, t)
	if t.Description != "" {
		dst = appendString(append(dst, `,"description":`...), t.Description)
	}
	if t.Metadata != "" {
		dst = append(append(dst, `,"metadata":`...), t.Metadata...)
	}
	dst = append(append(append(dst, `,"state":"`...), e.State...), '"')
	dst = append(appendTime(append(dst, `,"accepted_at":"`...), e.AcceptedAt), '"')
	if e.State == rbcs.IntakeQueued || e.State == rbcs.IntakeRetrying {
		dst = append(appendTime(append(dst, `,"due_at":"`...), e.DueAt), '"')
	}
	if e.Attempts > 0 {
		dst = strconv.AppendInt(append(dst, `,"failed_attempts":`...), int64(e.Attempts), 10)
	}
	return append(appendAttempts(dst, history), '}')
}

// appendSchedule writes what a transaction asks of the queue.
func appendSchedule(dst []byte, t *rbcs.Transaction) []byte {
	if !t.ExecuteAt.IsZero() {
		dst = append(appendTime(append(dst, `,"execute_at":"`...), t.ExecuteAt), '"')
	}
	if !t.RetryUntil.IsZero() {
		dst = append(appendTime(append(dst, `,"retry_until":"`...), t.RetryUntil), '"')
	}
	return dst
}

// appendAttempts writes what happened in the queue.
func appendAttempts(dst []byte, history []rbcs.IntakeEvent) []byte {
	for i := range history {
		e := &history[i]
		if i == 0 {
			dst = append(dst, `,"attempts":[`...)
		} else {
			dst = append(dst, ',')
		}
		dst = append(appendTime(append(dst, `{"at":"`...), e.At), `","kind":"`...)
		dst = appendString(append(append(dst, e.Kind...), `","instance":`...), e.Instance)
		if e.Actor != "" {
			dst = appendString(append(dst, `,"actor":`...), e.Actor)
		}
		if e.Code != "" {
			dst = append(append(append(dst, `,"code":"`...), e.Code...), '"')
		}
		if e.Detail != "" {
			dst = appendString(append(dst, `,"detail":`...), e.Detail)
		}
		if !e.NextAt.IsZero() {
			dst = append(appendTime(append(dst, `,"next_at":"`...), e.NextAt), '"')
		}
		if e.Omitted > 0 {
			dst = strconv.AppendInt(append(dst, `,"omitted":`...), int64(e.Omitted), 10)
		}
		dst = append(dst, '}')
	}
	if len(history) > 0 {
		dst = append(dst, ']')
	}
	return dst
}

// escapeSegment escapes an ID for a path; one of dots alone would be taken for a step upward.
func escapeSegment(id string) string {
	if strings.Trim(id, ".") == "" {
		return strings.ReplaceAll(id, ".", "%2E")
	}
	return url.PathEscape(id)
}
