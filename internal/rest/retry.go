package rest

import (
	"context"
	"net/http"

	"rbcs"
)

// NewRetry describes the body of a retry: nothing, so far.
type NewRetry struct{}

func retryOperation() postOperation {
	return postOperation{
		id: "retry-transaction", method: http.MethodPost, path: "/v1/transactions/{id}/retry", summary: "Decide a rejected transaction again",
		description: "A rejected ID never moves money by itself; this decides it again, as it was submitted, and records that as a " +
			"further attempt. It may be rejected again, and decided a thousand times in all. It moves money at most once: what a retry has posted is the answer to every " +
			"later one. What was not rejected is a 409 not_rejected, what is not known a 404. A member of an atomic " +
			"group cannot be retried: submit the group again under other IDs. A settlement of all that was left asks for the amount that was left then.",
		switches: []string{paramDryRun},
		bodies:   jsonBody[NewRetry](),
		answers:  decisionAnswers("Posted, or held"),
	}
}

// postRetry decides a rejected transaction again.
func (s *server) postRetry(w http.ResponseWriter, r *http.Request) {
	var one single
	on, err := switches(r, paramDryRun)
	if err == nil {
		err = s.decodeBody(w, r, min(s.MaxBody, maxSingleBody), (*decoder).nothing)
	}
	if err == nil {
		err = s.again(r, one.use())
	}
	s.finish(w, r, &one, on.has(0), err)
}

// nothing reads an object without members.
func (d *decoder) nothing() error {
	err := d.document(d.body, func() error {
		_, err := d.object("a retry", nil, func(int) error { return nil })
		return err
	})
	if err == nil && len(d.faults) > 0 {
		err = d.invalid(0, "the request is invalid")
	}
	return err
}

// again makes t the next attempt of the transaction in the path. Somebody else
// may be at it: whoever comes later gets the answer of the first.
func (s *server) again(r *http.Request, t *rbcs.Transaction) error {
	id := r.PathValue("id")
	if err := rbcs.ValidateID(id); err != nil {
		return invalid("/id", "%s", err)
	}
	ctx, cancel := context.WithTimeout(r.Context(), s.RequestTimeout)
	defer cancel()
	recorded, err := s.Store.Transaction(ctx, id)
	if rbcs.CodeOf(err) == rbcs.NotFound {
		err = s.undecided(ctx, id, err)
	}
	switch {
	case err != nil:
		return err
	case recorded.Transaction.Group.ID != "":
		return rbcs.Errorf(rbcs.InvalidRequest,
			"the transaction %s is a member of an atomic group, which stands or falls together; submit the group again under other IDs", id)
	case recorded.Status != rbcs.Rejected && recorded.Attempt == 1, recorded.Transaction.Type == rbcs.Expiry:
		return rbcs.NotRetried(id)
	}
	*t = recorded.Again()
	if recorded.Status != rbcs.Rejected { // a retry has posted it: perhaps this one, whose answer was lost
		t.Retry = recorded.Attempt
	}
	if t.Settles() {
		return s.findAccounts(r, t)
	}
	return nil
}

// undecided says of a transaction that is not in the log where it is, if it is in the queue.
func (s *server) undecided(ctx context.Context, id string, notFound error) error {
	view, err := s.findQueued(ctx, id, notFound)
	switch {
	case err != nil:
		return err
	case view.entry == nil: // it was decided just now
		return rbcs.Errorf(rbcs.Unavailable, "the transaction %s was decided just now; try again", id)
	case view.entry.State == rbcs.IntakeDead || view.entry.State == rbcs.IntakeDiscarded:
		return rbcs.Errorf(rbcs.NotRejected, "the transaction %s is %s in the queue, and not decided: replay it there", id, view.entry.State)
	}
	return rbcs.Errorf(rbcs.NotRejected, "the transaction %s waits in the queue, and is not decided yet", id)
}
