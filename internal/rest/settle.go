package rest

import (
	"context"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"rbcs"
)

func (s *server) registerSettlements(api huma.API) {
	for _, op := range settlementOperations() {
		describePost(api, op.postOperation)
		s.mux.HandleFunc(op.method+" "+op.path, func(w http.ResponseWriter, r *http.Request) {
			s.postSettlement(w, r, op.kind)
		})
	}
}

// postSettlement serves a capture, release or reversal of the transaction in the path.
func (s *server) postSettlement(w http.ResponseWriter, r *http.Request, kind rbcs.Type) {
	var one single
	t := one.use()
	t.Type, t.Original = kind, r.PathValue("id")
	on, err := switches(r, paramDryRun)
	if err == nil {
		err = s.decodeBody(w, r, min(s.MaxBody, maxSingleBody), func(d *decoder) error { return d.settlement(t) })
	}
	if err == nil {
		err = s.findAccounts(r, t)
	}
	s.finish(w, r, &one, on.has(0), err)
}

// findAccounts names a settlement's accounts, as a commit needs them: they
// follow from the original, whose accounts never change. Where there is no such
// hold, a capture or release is a rejection that is recorded, so it goes on
// without accounts; of a reversal there would be nothing to record.
func (s *server) findAccounts(r *http.Request, t *rbcs.Transaction) error {
	ctx, cancel := context.WithTimeout(r.Context(), s.RequestTimeout)
	defer cancel()
	original, err := s.Store.Transaction(ctx, t.Original)
	switch code := rbcs.CodeOf(err); {
	case code == rbcs.NotFound && t.Type != rbcs.Reversal:
		return nil
	case code == rbcs.NotFound:
		return rbcs.Errorf(rbcs.NotFound, "there is no transaction %s to reverse; nothing was recorded", t.Original)
	case err != nil:
		return err
	case t.Type != rbcs.Reversal && original.Transaction.Type != rbcs.Hold:
		return nil
	}
	t.Source, t.Destination = original.Transaction.Source, original.Transaction.Destination
	if t.Type == rbcs.Reversal {
		t.Source, t.Destination = t.Destination, t.Source
	}
	return nil
}
