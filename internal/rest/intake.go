package rest

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"rbcs"
)

// Intake is what the interface needs of the durable queue beside its store.
type Intake interface {
	// Enqueue makes transactions durable and returns one result for each.
	Enqueue(ctx context.Context, txs []*rbcs.Transaction) ([]rbcs.IntakeResult, error)
	// Wake is called after entries were replayed.
	Wake()
}

const (
	pathOfEntry   = "/v1/intake/{id}"
	preferHeader  = "Prefer"
	appliedHeader = "Preference-Applied"
	respondAsync  = "respond-async"
)

// prefersAsync reports whether the client wants to be answered before the decision (RFC 7240).
func prefersAsync(r *http.Request) bool {
	for _, value := range r.Header[preferHeader] {
		for preference := range strings.SplitSeq(value, ",") {
			name, _, _ := strings.Cut(preference, ";")
			if strings.EqualFold(strings.TrimSpace(name), respondAsync) {
				return true
			}
		}
	}
	return false
}

// asynchronous reports whether a transaction goes into the durable queue, and
// why it cannot.
func (s *server) asynchronous(t *rbcs.Transaction, prefer bool) (bool, error) {
	if !t.Scheduled() {
		return prefer && s.Intake != nil, nil // a preference may be left aside
	}
	if s.Intake == nil {
		return false, rbcs.Errorf(rbcs.InvalidRequest, "this service keeps no queue: leave execute_at and retry_until out")
	}
	return true, t.CheckSchedule(s.Now())
}

// enqueue makes transactions durable, for a bounded time.
func (s *server) enqueue(r *http.Request, txs []*rbcs.Transaction) ([]rbcs.IntakeResult, error) {
	ctx, cancel := context.WithTimeout(r.Context(), s.RequestTimeout)
	defer cancel()
	results, err := s.Intake.Enqueue(ctx, txs)
	if err == nil && len(results) != len(txs) {
		err = rbcs.Errorf(rbcs.Internal, "there are %d results for %d transactions", len(results), len(txs))
	}
	return results, err
}

// accept queues one transaction and answers: with its place in the queue, or
// with what was decided about it before.
func (s *server) accept(w http.ResponseWriter, r *http.Request, one *single, prefer bool) {
	results, err := s.enqueue(r, one.list[:])
	if err == nil && results[0].Err != nil {
		err = results[0].Err
	}
	switch {
	case err != nil:
		s.countRefused(err, 1)
		s.fail(w, r, err)
		return
	case results[0].Decided != nil:
		s.sendResult(w, results[0].Decided, false)
		return
	}
	s.Metrics.Queued(1)
	entry := results[0].Entry
	w.Header().Set("Location", "/v1/transactions/"+escapeSegment(entry.Transaction.ID))
	if prefer {
		w.Header().Set(appliedHeader, respondAsync)
	}
	out := newBuffer()
	defer out.free()
	out.b = appendEntryOfQueue(out.b, entry, nil)
	send(w, http.StatusAccepted, jsonType, out.b)
}

// divide takes what goes into the queue out of what is submitted at once. What
// cannot be queued gets an error.
func (s *server) divide(b *batch, prefer bool) error {
	if b.dry || !prefer && !b.scheduled() {
		return nil
	}
	if b.atomic && prefer {
		return rbcs.Errorf(rbcs.InvalidRequest, "an atomic batch is decided at once; leave out %s: %s", preferHeader, respondAsync)
	}
	direct := make([]*rbcs.Transaction, 0, len(b.valid))
	rest := b.valid
	for i := range b.items {
		item := &b.items[i]
		if item.err != nil {
			continue
		}
		t := rest[0]
		rest = rest[1:]
		var err error
		if item.async, err = s.asynchronous(t, prefer); err == nil && item.async && b.atomic {
			err = invalid("/execute_at", "a member of an atomic batch is decided at once: leave out execute_at and retry_until")
		}
		switch {
		case err != nil:
			item.err, item.async = asError(err), false
		case item.async:
			b.async = append(b.async, t)
		default:
			direct = append(direct, t)
		}
	}
	b.valid = direct
	return nil
}

// scheduled reports whether one of the batch asks for the queue by its content.
func (b *batch) scheduled() bool {
	for _, t := range b.valid {
		if t.Scheduled() {
			return true
		}
	}
	return false
}

// registerIntake serves the durable queue to operators, if there is one.
func (s *server) registerIntake(api huma.API) {
	if s.Intake == nil {
		return
	}
	for _, op := range intakeOperations() {
		describePost(api, op.postOperation)
		s.mux.HandleFunc(op.method+" "+op.path, func(w http.ResponseWriter, r *http.Request) { s.postIntake(w, r, &op) })
	}
	huma.Register(api, readOperation("list-intake", "/v1/intake", "List the queue",
		"Transactions that are not decided yet, or dead letters: the first due first."), s.listIntake)
	huma.Register(api, readOperation("get-intake", pathOfEntry, "Get an entry of the queue",
		"With its attempts and what operators did. What was decided is no longer here, but a transaction."), s.getIntake)
}

type listIntakeInput struct {
	State string `query:"state" enum:"waiting,queued,retrying,dead,discarded" default:"waiting" doc:"Of which state; waiting: queued or retrying. Discarded IDs stay taken."`
	Page
}

type intakeListOutput struct{ Body IntakeList }

// IntakeList is a page of the queue.
type IntakeList struct {
	Entries    []queuedView `json:"entries"`
	NextCursor string       `json:"next_cursor,omitempty" doc:"Absent on the last page."`
}

func (s *server) listIntake(ctx context.Context, in *listIntakeInput) (*intakeListOutput, error) {
	var faults faults
	q := rbcs.IntakeQuery{State: rbcs.IntakeState(in.State), Limit: in.Limit + 1, After: faults.place(in.Cursor)}
	if faults != nil {
		return nil, s.refuse(ctx, faults.err())
	}
	entries, err := s.Store.Intakes(ctx, q)
	if err != nil {
		return nil, s.refuse(ctx, err)
	}
	entries, more := cut(entries, in.Limit)
	out := &intakeListOutput{IntakeList{Entries: make([]queuedView, len(entries))}}
	for i := range entries {
		out.Body.Entries[i] = queuedView{&entries[i], nil}
	}
	if more {
		last := &entries[len(entries)-1]
		out.Body.NextCursor = cursorOf(cursorIntake+strconv.FormatInt(last.DueAt.UnixMicro(), 10)+".", last.Position)
	}
	return out, nil
}

// place reads a cursor of the queue that may be absent.
func (f *faults) place(cursor string) rbcs.IntakePlace {
	if cursor == "" {
		return rbcs.IntakePlace{}
	}
	text, err := cursorText(cursor, cursorIntake)
	due, position, _ := strings.Cut(text, ".")
	micros, err1 := strconv.ParseInt(due, 10, 64)
	n, err2 := strconv.ParseInt(position, 10, 64)
	if err == nil && errors.Join(err1, err2) != nil {
		err = errCursor
	}
	f.check("/cursor", err)
	return rbcs.IntakePlace{DueAt: time.UnixMicro(micros).UTC(), Position: n}
}

type getIntakeInput struct {
	ID string `path:"id" maxLength:"128" doc:"The transaction's ID."`
}

type queuedOutput struct{ Body queuedView }

func (s *server) getIntake(ctx context.Context, in *getIntakeInput) (*queuedOutput, error) {
	if err := rbcs.ValidateID(in.ID); err != nil {
		return nil, s.refuse(ctx, invalid("/id", "%s", err))
	}
	view, err := s.queued(ctx, in.ID)
	if rbcs.CodeOf(err) == rbcs.NotFound {
		switch _, unknown := s.Store.Transaction(ctx, in.ID); {
		case unknown == nil:
			err = rbcs.NotQueued(in.ID, true)
		case rbcs.CodeOf(unknown) != rbcs.NotFound:
			err = unknown
		}
	}
	if err != nil {
		return nil, s.refuse(ctx, err)
	}
	return &queuedOutput{*view}, nil
}

// queued reads an entry and what happened to it.
func (s *server) queued(ctx context.Context, id string) (*queuedView, error) {
	entry, err := s.Store.Intake(ctx, id)
	if err != nil {
		return nil, err
	}
	history, err := s.Store.IntakeHistory(ctx, id)
	return &queuedView{&entry, history}, err
}

// acceptBatch queues what goes into the queue. Where it fails and nothing else
// was submitted, the answer is sent and it returns false.
func (s *server) acceptBatch(w http.ResponseWriter, r *http.Request, b *batch) (queued []rbcs.IntakeResult, ok bool) {
	if len(b.async) == 0 {
		return nil, true
	}
	queued, err := s.enqueue(r, b.async)
	switch {
	case err == nil:
		return queued, true
	case len(b.valid) == 0:
		s.countRefused(err, len(b.async))
		s.fail(w, r, err)
		return nil, false
	}
	s.logFailure(r.Context(), problemOf(err), requestOf(r)...)
	return slices.Repeat([]rbcs.IntakeResult{{Err: asError(err)}}, len(b.async)), true
}

// view reads what is known of a transaction.
func (s *server) view(ctx context.Context, id string) (transactionView, error) {
	view, err := s.decided(ctx, id)
	if rbcs.CodeOf(err) == rbcs.NotFound {
		return s.findQueued(ctx, id, err)
	}
	return view, err
}

// decided reads what is known of a transaction in the log.
func (s *server) decided(ctx context.Context, id string) (transactionView, error) {
	record, err := s.Store.Transaction(ctx, id)
	view := transactionView{record: &record}
	if err == nil && record.Attempt > 1 {
		view.decisions, err = s.Store.Attempts(ctx, id)
	}
	if err == nil && s.Intake != nil {
		view.history, err = s.Store.IntakeHistory(ctx, id)
	}
	return view, err
}

// findQueued looks for a transaction that is not in the log: in the queue, and
// once more in the log, where it may have got to meanwhile.
func (s *server) findQueued(ctx context.Context, id string, notFound error) (transactionView, error) {
	if s.Intake == nil {
		return transactionView{}, notFound
	}
	view, err := s.queued(ctx, id)
	if rbcs.CodeOf(err) != rbcs.NotFound {
		if err != nil {
			return transactionView{}, err
		}
		return transactionView{entry: view.entry, history: view.history}, nil
	}
	decided, err := s.decided(ctx, id)
	if rbcs.CodeOf(err) == rbcs.NotFound {
		err = notFound
	}
	return decided, err
}
