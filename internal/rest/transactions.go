package rest

import (
	"cmp"
	"context"
	"errors"
	"net/http"
	"slices"
	"strconv"

	"github.com/danielgtaylor/huma/v2"

	"rbcs"
)

// replayedHeader is the header of an answer that was given before.
const replayedHeader = "Idempotent-Replayed"

func (s *server) registerTransactions(api huma.API) {
	describePost(api, postTransactionOperation())
	s.mux.HandleFunc("POST /v1/transactions", s.postTransaction)
	describePost(api, postBatchOperation())
	s.mux.HandleFunc("POST /v1/transactions/batch", s.postBatch)
	s.registerSettlements(api)
	describePost(api, retryOperation())
	s.mux.HandleFunc("POST /v1/transactions/{id}/retry", s.postRetry)
	huma.Register(api, readOperation("get-transaction", "/v1/transactions/{id}", "Get a transaction",
		"The latest decision, and what it is now: a hold may be captured, released or expired, a transfer or capture "+
			"reversed. A rejected transaction is a 200 here, and so is one that is queued and not decided yet."), s.getTransaction)
	huma.Register(api, readOperation("list-transactions", "/v1/transactions", "List transactions",
		"The latest first. All parameters narrow the list."), s.listTransactions)
}

// postTransaction serves one transaction. It is a hot path: see BenchmarkSingle.
func (s *server) postTransaction(w http.ResponseWriter, r *http.Request) {
	var one single
	t, prefer, async := one.use(), prefersAsync(r), false
	on, err := switches(r, paramDryRun)
	if err == nil {
		err = s.decodeSingle(w, r, t)
	}
	if err == nil && !on.has(0) {
		async, err = s.asynchronous(t, prefer)
	}
	if err == nil && async {
		s.accept(w, r, &one, prefer)
		return
	}
	s.finish(w, r, &one, on.has(0), err)
}

// single is one allocation for what the engine gets. It is not reused: a
// transaction whose caller went away still belongs to the engine.
type single struct {
	transaction rbcs.Transaction
	list        [1]*rbcs.Transaction
}

func (o *single) use() *rbcs.Transaction {
	o.list[0] = &o.transaction
	return &o.transaction
}

func (s *server) decodeSingle(w http.ResponseWriter, r *http.Request, t *rbcs.Transaction) error {
	d := newDecoder(&s.bodies)
	defer d.free()
	if _, err := d.read(w, r, min(s.MaxBody, maxSingleBody), jsonType); err != nil {
		return err
	}
	return d.single(t, s.Currencies)
}

// finish has one transaction decided and answers, or answers with what was wrong with it.
func (s *server) finish(w http.ResponseWriter, r *http.Request, one *single, dry bool, err error) {
	var results []rbcs.Result
	if err == nil {
		results, err = s.decide(r, one.list[:], dry)
	}
	if err == nil && results[0].Err != nil {
		err = results[0].Err
	}
	if err != nil {
		s.countRefused(err, 1)
		s.fail(w, r, err)
		return
	}
	s.sendResult(w, &results[0], dry)
}

// decide hands transactions to the engine, or with dry has it only say what
// would become of them, for a bounded time.
func (s *server) decide(r *http.Request, txs []*rbcs.Transaction, dry bool) ([]rbcs.Result, error) {
	ctx, cancel := context.WithTimeout(r.Context(), s.RequestTimeout)
	defer cancel()
	submit := s.Engine.Submit
	if dry {
		submit = s.Engine.Preview
	}
	results, err := submit(ctx, txs)
	var known *rbcs.Error
	switch {
	case err == nil && len(results) != len(txs):
		return nil, rbcs.Errorf(rbcs.Internal, "there are %d results for %d transactions", len(results), len(txs))
	case err != nil && !dry && !errors.As(err, &known) && ctx.Err() != nil:
		return nil, &rbcs.Error{Code: rbcs.OutcomeUnknown, Message: "the request took too long", Err: err}
	}
	return results, err
}

// sendResult answers with a decision: the record, or the problem that a rejection is.
func (s *server) sendResult(w http.ResponseWriter, r *rbcs.Result, dry bool) {
	out := newBuffer()
	defer out.free()
	status, contentType := http.StatusCreated, jsonType
	if r.Replayed {
		w.Header().Set(replayedHeader, "true")
		status = http.StatusOK
	}
	if dry {
		status = http.StatusOK
		s.Metrics.Previewed(r)
	} else {
		s.Metrics.Result(r)
	}
	switch {
	case r.Status == rbcs.Rejected:
		status, contentType = statusOf(r.Code), problemType
		out.b = appendRejection(out.b, r, dry)
	case dry:
		out.b = append(append(appendOpenRecord(out.b, r, r.Status), previewMark...), '}')
	default:
		out.b = AppendRecord(out.b, r)
	}
	send(w, status, contentType, out.b)
}

// countRefused counts n transactions that an error befell together.
func (s *server) countRefused(err error, n int) {
	s.Metrics.Failed(rbcs.Code(problemOf(err).Code), n)
}

// postBatch serves many transactions. It is a hot path: see BenchmarkBatch1000.
func (s *server) postBatch(w http.ResponseWriter, r *http.Request) {
	prefer := prefersAsync(r)
	b, contentType, err := s.decodeBatch(w, r, prefer)
	if err != nil {
		s.fail(w, r, err)
		return
	}
	s.Metrics.RequestBatch(len(b.items))
	var results []rbcs.Result
	if len(b.valid) > 0 {
		if results, err = s.decide(r, b.valid, b.dry); err != nil {
			if b.dry || !toldByItem(err) {
				s.countRefused(err, len(b.valid))
				s.fail(w, r, err)
				return
			}
			s.logFailure(r.Context(), problemOf(err), requestOf(r)...)
			results = slices.Repeat([]rbcs.Result{{Err: asError(err)}}, len(b.valid))
		}
	}
	queued, ok := s.acceptBatch(w, r, b)
	if !ok {
		return
	}
	status := http.StatusOK
	if prefer && len(b.async) > 0 { // then it is all of the batch
		w.Header().Set(appliedHeader, respondAsync)
		status = http.StatusAccepted
	}
	out := newBuffer()
	defer out.free()
	contentType = cmp.Or(chosen(r, jsonType, ndjsonType), contentType) // who names a format gets it; else it is the request's
	if contentType == ndjsonType {
		out.b = s.appendResults(out.b, b, results, queued, "\n")
	} else {
		out.b = s.appendResults(append(out.b, `{"results":[`...), b, results, queued, ",")
		out.b = append(out.b, `]}`...)
	}
	send(w, status, contentType, out.b)
}

// toldByItem reports whether a batch that failed as a whole is answered item by
// item: so that a client learns which of them can never succeed, and submits the
// others again. An overload is not: nothing was looked at, and all of it comes again.
func toldByItem(err error) bool {
	switch asError(err).Code {
	case rbcs.OutcomeUnknown, rbcs.Unavailable, rbcs.Internal:
		return true
	}
	return false
}

func (s *server) decodeBatch(w http.ResponseWriter, r *http.Request, prefer bool) (*batch, string, error) {
	on, err := switches(r, paramDryRun, paramAtomic)
	if err != nil {
		return nil, "", err
	}
	d := newDecoder(&s.bodies)
	defer d.free()
	contentType, err := d.read(w, r, s.MaxBody, jsonType, ndjsonType)
	if err != nil {
		return nil, "", err
	}
	var b *batch
	if contentType == ndjsonType {
		b, err = d.ndjson(s.Currencies)
	} else {
		b, err = d.batch(s.Currencies)
	}
	if err != nil {
		return nil, "", err
	}
	b.dry = on.has(0)
	b.atomic = b.atomic || on.has(1)
	if err = s.divide(b, prefer); err == nil && b.atomic {
		err = b.join()
	}
	return b, contentType, err
}

// appendResults writes one result for each item, in their order: what was found
// wrong with it, or the next of the engine's results.
func (s *server) appendResults(dst []byte, b *batch, results []rbcs.Result, queued []rbcs.IntakeResult, between string) []byte {
	tally := s.Metrics.Tally()
	defer tally.Done()
	for i := range b.items {
		item := &b.items[i]
		if i > 0 {
			dst = append(dst, between...)
		}
		err := item.err
		if err == nil {
			var r *rbcs.Result
			if item.async {
				q := &queued[0]
				queued = queued[1:]
				if q.Entry != nil {
					dst = appendEntryOfQueue(dst, q.Entry, nil)
					tally.Queued()
					continue
				}
				r = cmp.Or(q.Decided, &rbcs.Result{Err: q.Err})
			} else {
				r = &results[0]
				results = results[1:]
			}
			if err = r.Err; err == nil {
				dst = appendOpenRecord(dst, r, r.Status)
				if r.Replayed { // a batch has no header for it
					dst = append(dst, `,"replayed":true`...)
				}
				if b.dry {
					dst = append(dst, previewMark...)
					tally.Previewed(r)
				} else {
					tally.Result(r)
				}
				dst = append(dst, '}')
				continue
			}
		}
		prefix := ""
		if !b.ndjson { // a line is a document of its own
			prefix = "/transactions/" + strconv.Itoa(i)
		}
		tally.Failed(err.Code)
		dst = appendItemError(dst, "id", item.key, prefix, err)
	}
	return dst
}

type getTransactionInput struct {
	ID string `path:"id" maxLength:"140" doc:"The transaction's ID."`
}

type transactionOutput struct{ Body transactionView }

func (s *server) getTransaction(ctx context.Context, in *getTransactionInput) (*transactionOutput, error) {
	if err := rbcs.ValidateRecordedID(in.ID); err != nil {
		return nil, s.refuse(ctx, invalid("/id", "%s", err))
	}
	view, err := s.view(ctx, in.ID)
	if err != nil {
		return nil, s.refuse(ctx, err)
	}
	return &transactionOutput{view}, nil
}

type listTransactionsInput struct {
	ID      string `query:"id" maxLength:"140" doc:"Only this transaction; for IDs that cannot stand in a path, such as a dot."`
	Account string `query:"account" doc:"Either side is this account."`
	Status  string `query:"status" enum:"posted,held,rejected,captured,released,expired,reversed" doc:"What they are now."`
	From    string `query:"from" doc:"Committed at this time or later. RFC 3339 with its zone."`
	To      string `query:"to" doc:"Committed before this time."`
	Page
}

type transactionListOutput struct{ Body TransactionList }

func (s *server) listTransactions(ctx context.Context, in *listTransactionsInput) (*transactionListOutput, error) {
	var faults faults
	q := rbcs.TransactionQuery{Account: in.Account, Status: rbcs.Status(in.Status), Limit: in.Limit + 1}
	if in.ID != "" {
		faults.check("/id", rbcs.ValidateRecordedID(in.ID))
	}
	if in.Account != "" {
		faults.check("/account", rbcs.ValidateNumber(in.Account))
	}
	q.From, q.To = faults.period(in.From, in.To)
	q.Before = faults.position(in.Cursor, ofAccount(cursorTransactions, in.Account))
	if faults != nil {
		return nil, s.refuse(ctx, faults.err())
	}
	read := s.Store.Transactions
	if in.ID != "" {
		read = s.only(in.ID)
	}
	records, err := read(ctx, q)
	if err != nil {
		return nil, s.refuse(ctx, err)
	}
	out := &transactionListOutput{}
	records, more := cut(records, in.Limit)
	if more {
		out.Body.NextCursor = cursorOf(ofAccount(cursorTransactions, in.Account), records[len(records)-1].Sequence)
	}
	out.Body.Transactions = make([]transactionView, len(records))
	for i := range records {
		out.Body.Transactions[i] = transactionView{record: &records[i]}
	}
	return out, nil
}

// only reads a list of at most the one transaction.
func (s *server) only(id string) func(context.Context, rbcs.TransactionQuery) ([]rbcs.Record, error) {
	return func(ctx context.Context, q rbcs.TransactionQuery) ([]rbcs.Record, error) {
		r, err := s.Store.Transaction(ctx, id)
		t := &r.Transaction
		switch {
		case rbcs.CodeOf(err) == rbcs.NotFound:
			return nil, nil
		case err != nil:
			return nil, err
		case q.Account != "" && q.Account != t.Source && q.Account != t.Destination,
			q.Status != "" && q.Status != r.Current,
			r.CommittedAt.Before(q.From), !q.To.IsZero() && !r.CommittedAt.Before(q.To),
			q.Before > 0 && r.Sequence >= q.Before:
			return nil, nil
		}
		return []rbcs.Record{r}, nil
	}
}
