package rest

import (
	"context"
	"log/slog"
	"net/http"
	"reflect"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"rbcs"
)

const (
	statementPage = 500 // lines in memory at once
	maxStatements = 64  // that are sent at once, each to a client that may be slow
	// writeTimeout is how long a client may take for one piece of a stream.
	writeTimeout = 30 * time.Second
)

// registerStatement serves statements. A statement is a stretch of the account's
// versions, which have no gap and whose commit times never run backward: its
// opening balance is the one before its first line, its closing balance the one
// after its last line, and both are known before the first line is sent. What is
// committed meanwhile comes behind its last line. So it adds up by construction,
// and a line that would not is found before it is sent.
func (s *server) registerStatement(api huma.API) {
	op := readOperation("get-statement", "/v1/accounts/{number}/statement", "Get a statement",
		"Why a balance changed between two moments: the opening balance, every change committed from from on and before to, "+
			"and the closing balance; opening_balance plus the sum of the lines' change is closing_balance. JSON, or CSV where Accept "+
			"names text/csv (its first and last row are the balances: opening_balance and closing_balance; an ID or a description that begins with = + - or @ has a ' "+
			"in front there, so that no spreadsheet takes it for a formula). Without limit the whole statement is one answer of any "+
			"length: one that breaks off is not whole. With limit it comes in pages, and each is a statement of its part: it "+
			"opens with what the page before closed with; where another page follows, the header Link names it (rel=\"next\"), and a "+
			"page of CSV ends with a row carried_forward, and the next one begins with brought_forward, in place of those rows. Moments "+
			"that are not over are refused: leave to out for a statement until now.")
	op.Responses = streamResponses("The statement", map[string]*huma.Schema{
		jsonType: api.OpenAPI().Components.Schemas.Schema(reflect.TypeFor[Statement](), true, ""),
		csvType:  {Type: huma.TypeString},
	})
	op.Responses["200"].Headers = map[string]*huma.Param{"Link": {
		Description: "The next page, with rel=\"next\"; absent from the last one.", Schema: &huma.Schema{Type: huma.TypeString},
	}}
	huma.Register(api, op, s.getStatement)
}

type statementInput struct {
	AccountPath
	From   string `query:"from" doc:"Committed at this time or later. RFC 3339 with its zone."`
	To     string `query:"to" doc:"Committed before this time. Until now, where it is left out."`
	Limit  int    `query:"limit" minimum:"1" maximum:"1000" doc:"At most so many lines; all, where it is left out."`
	Cursor string `query:"cursor" maxLength:"128" doc:"The next_cursor of the page before."`
}

// statement is one that is about to be sent.
type statement struct {
	account          *rbcs.Account
	from, to         time.Time
	opening, closing rbcs.Amount
	lines            []rbcs.Entry // the first ones
	last             int64        // the version of the last line; 0 for none
	continued        bool         // a page that is not the first
	next             string       // the cursor of the next page; "" for none
}

func (s *server) getStatement(ctx context.Context, in *statementInput) (*huma.StreamResponse, error) {
	var faults faults
	in.check(&faults)
	q := rbcs.HistoryQuery{Account: in.Number, Limit: statementPage}
	q.From, q.To = faults.period(in.From, in.To)
	s.checkOver(&faults, "/from", q.From)
	s.checkOver(&faults, "/to", q.To)
	q.After = faults.position(in.Cursor, ofAccount(cursorStatement, in.Number))
	if faults != nil {
		return nil, s.refuse(ctx, faults.err())
	}
	if in.Limit > 0 {
		q.Limit = in.Limit
	}
	select {
	case s.statements <- struct{}{}:
	default: // each holds a page in memory, for a client that may be slow
		return nil, s.refuse(ctx, rbcs.Errorf(rbcs.Overloaded, "too many statements are being sent; come back later"))
	}
	return &huma.StreamResponse{Body: func(bounded huma.Context) {
		defer func() { <-s.statements }()
		r, w := humago.Unwrap(bounded) // whose context is not bounded by the time of a request
		st, err := s.openStatement(bounded.Context(), q, in.Limit > 0)
		if err != nil {
			s.fail(w, r, err)
			return
		}
		s.sendStatement(w, r, st, q)
	}}, nil
}

// openStatement reads all that the beginning of a statement tells, and its first lines.
func (s *server) openStatement(ctx context.Context, q rbcs.HistoryQuery, paged bool) (*statement, error) {
	account, err := s.Store.Account(ctx, q.Account)
	if err != nil {
		return nil, err
	}
	st := &statement{account: &account, from: q.From, to: q.To, continued: q.After > 0}
	latest, err := s.Store.History(ctx, rbcs.HistoryQuery{Account: q.Account, To: q.To, Descending: true, Limit: 1})
	if err != nil || len(latest) == 0 {
		return st, err
	}
	end := &latest[0]
	st.opening, st.closing = end.Balance, end.Balance
	if end.Version <= q.After || end.Result.CommittedAt.Before(q.From) {
		return st, nil
	}
	if st.lines, err = s.Store.History(ctx, q); err != nil {
		return nil, err
	}
	if st.lines = until(st.lines, end.Version); len(st.lines) == 0 {
		return nil, rbcs.Errorf(rbcs.Internal, "the history of the account %s has no line where its last one is %d", q.Account, end.Version)
	}
	var ok bool
	if st.opening, ok = st.lines[0].Balance.Sub(st.lines[0].Change); !ok {
		return nil, rbcs.Errorf(rbcs.Internal, "the history of the account %s is damaged; run: rbcs verify", q.Account)
	}
	st.last = end.Version
	if bottom := &st.lines[len(st.lines)-1]; paged && bottom.Version < end.Version {
		st.closing, st.last = bottom.Balance, bottom.Version
		st.next = cursorOf(ofAccount(cursorStatement, q.Account), bottom.Version)
	}
	return st, nil
}

// until cuts what was committed behind a version off.
func until(entries []rbcs.Entry, version int64) []rbcs.Entry {
	for len(entries) > 0 && entries[len(entries)-1].Version > version {
		entries = entries[:len(entries)-1]
	}
	return entries
}

// sendStatement sends a statement, page by page. Where it cannot go on it breaks
// the connection, so that nobody takes what was sent for the whole.
func (s *server) sendStatement(w http.ResponseWriter, r *http.Request, st *statement, q rbcs.HistoryQuery) {
	out := newBuffer()
	defer out.free()
	format, contentType := statementFormat(jsonStatement{}), jsonType
	if chosen(r, jsonType, csvType) == csvType {
		format, contentType = csvStatement{}, csvType
	}
	controller := http.NewResponseController(w)
	_ = controller.SetReadDeadline(time.Time{}) // the request was read; it must not end a long answer
	w.Header()["Content-Type"] = contentTypes[contentType]
	if st.next != "" {
		w.Header().Set("Link", nextLink(r, st.next))
	}
	out.b = format.begin(out.b, st)
	balance, version := st.opening, int64(0)
	for lines := st.lines; ; {
		for i := range lines {
			line := &lines[i]
			next, ok := balance.Add(line.Change)
			if !ok || next != line.Balance || version > 0 && line.Version != version+1 {
				s.breakOff(r, rbcs.Errorf(rbcs.Internal, "the history of the account %s does not add up at version %d", q.Account, line.Version))
			}
			out.b = format.line(out.b, line, version == 0)
			balance, version = next, line.Version
		}
		if version >= st.last {
			break
		}
		_ = controller.SetWriteDeadline(time.Now().Add(writeTimeout))
		if _, err := w.Write(out.b); err != nil {
			panic(http.ErrAbortHandler) // the client went away
		}
		out.b = out.b[:0]
		q.After = version
		var err error
		if lines, err = s.moreLines(r, q, st.last); err != nil {
			s.breakOff(r, err)
		}
	}
	_ = controller.SetWriteDeadline(time.Now().Add(writeTimeout))
	_, _ = w.Write(format.end(out.b, st))
}

// nextLink returns the header Link to the next page of a list.
func nextLink(r *http.Request, cursor string) string {
	query := r.URL.Query()
	query.Set("cursor", cursor)
	return "<" + r.URL.EscapedPath() + "?" + query.Encode() + `>; rel="next"`
}

func (s *server) moreLines(r *http.Request, q rbcs.HistoryQuery, last int64) ([]rbcs.Entry, error) {
	ctx, cancel := context.WithTimeout(r.Context(), s.RequestTimeout)
	defer cancel()
	lines, err := s.Store.History(ctx, q)
	if lines = until(lines, last); err == nil && len(lines) == 0 {
		err = rbcs.Errorf(rbcs.Internal, "the history of the account %s ends before version %d", q.Account, last)
	}
	return lines, err
}

// breakOff ends an answer that is half sent.
func (s *server) breakOff(r *http.Request, err error) {
	s.Logger.LogAttrs(r.Context(), slog.LevelError, "an answer was broken off", append(requestOf(r), slog.Any("error", err))...)
	panic(http.ErrAbortHandler)
}
