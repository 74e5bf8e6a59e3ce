package rest

import (
	"context"
	"net/http"
	"reflect"
	"strconv"

	"rbcs"
)

// intakeOperation is what an operator may do with entries.
type intakeOperation struct {
	postOperation
	act         func(rbcs.IntakeStore, context.Context, rbcs.IntakeAction) ([]*rbcs.Error, error)
	status      rbcs.IntakeState // of an entry that it succeeded with
	needsReason bool
	many        bool
}

// IntakeAction is an operator's reason for what is done with one entry.
type IntakeAction struct {
	Reason string `json:"reason,omitempty" maxLength:"1024" doc:"Why. It is kept with the time and with who asked; a discard needs it."`
}

// IntakeActions is the same for many entries.
type IntakeActions struct {
	IDs    []string `json:"ids" maxItems:"1000"`
	Reason string   `json:"reason,omitempty" maxLength:"1024" doc:"Why. It is kept with the time and with who asked; a discard needs it."`
}

// IntakeActed is what became of one of many entries.
type IntakeActed struct {
	ID        string         `json:"id,omitempty"`
	Status    string         `json:"status" enum:"queued,discarded,error"`
	Code      string         `json:"code,omitempty"`
	Detail    string         `json:"detail,omitempty"`
	Retryable bool           `json:"retryable,omitempty"`
	Errors    []FieldProblem `json:"errors,omitempty"`
}

// IntakeActedList is one answer for each ID, in the order given.
type IntakeActedList struct {
	Results []IntakeActed `json:"results"`
}

// maxActed bounds the entries of one action: they share a commit.
const maxActed = 1000

func intakeOperations() []intakeOperation {
	replay := intakeOperation{act: rbcs.IntakeStore.ReplayIntake, status: rbcs.IntakeQueued, postOperation: postOperation{
		summary: "Replay", description: "Tries a dead letter again, at once and with its attempts counted anew; also what was discarded, or waits after a failure.",
	}}
	discard := intakeOperation{act: rbcs.IntakeStore.DiscardIntake, status: rbcs.IntakeDiscarded, needsReason: true, postOperation: postOperation{
		summary: "Discard", description: "Gives an entry up. It is never posted, unless it is replayed, and its ID stays taken.",
	}}
	var all []intakeOperation
	for verb, op := range map[string]intakeOperation{"replay": replay, "discard": discard} {
		one, many := op, op
		one.id, one.method, one.path = verb+"-intake", http.MethodPost, pathOfEntry+"/"+verb
		one.summary += " an entry of the queue"
		one.bodies = jsonBody[IntakeAction]()
		one.answers = map[int]answer{200: {description: "The entry as it is now", contents: map[string]reflect.Type{jsonType: reflect.TypeFor[Transaction]()}}}
		many.id, many.method, many.path, many.many = verb+"-intake-batch", http.MethodPost, "/v1/intake/"+verb, true
		many.summary += " many entries of the queue"
		many.bodies = jsonBody[IntakeActions]()
		many.answers = map[int]answer{200: {description: "One result for each, in the order given", contents: jsonBody[IntakeActedList]()}}
		all = append(all, one, many)
	}
	return all
}

var intakeActionMembers = []string{"reason", "ids"}

// intakeAction reads the body of an action on one entry or many.
func (d *decoder) intakeAction(op *intakeOperation, a *rbcs.IntakeAction) error {
	members := intakeActionMembers
	if !op.many {
		members = members[:1]
	}
	err := d.document(d.body, func() error {
		seen, err := d.object("a request", members, func(name int) (err error) {
			if name == 0 {
				a.Reason, err = d.str("/reason")
				return err
			}
			return d.array("/ids", func(i int) error {
				id, err := d.str("/ids/" + strconv.Itoa(i))
				if len(a.IDs) <= maxActed {
					a.IDs = append(a.IDs, id)
				}
				return err
			})
		})
		if err == nil && op.many && !seen.has(1) {
			d.fault("/ids", "the IDs are missing")
		}
		return err
	})
	if err != nil {
		return err
	}
	if len(a.IDs) > maxActed {
		d.fault("/ids", "at most "+strconv.Itoa(maxActed)+" are allowed")
	}
	if err := d.complete(a.Check(op.needsReason), 0); err != nil {
		return err
	}
	return nil
}

// postIntake does what an operator asks for.
func (s *server) postIntake(w http.ResponseWriter, r *http.Request, op *intakeOperation) {
	var a rbcs.IntakeAction
	if !op.many {
		a.IDs = []string{r.PathValue("id")}
	}
	err := s.decodeOnly(w, r, s.MaxBody, func(d *decoder) error { return d.intakeAction(op, &a) })
	if err != nil {
		s.fail(w, r, err)
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), s.RequestTimeout)
	defer cancel()
	errs, err := op.act(s.Store, ctx, a)
	if err == nil && !op.many && errs[0] != nil {
		err = errs[0]
	}
	if err != nil {
		s.fail(w, r, err)
		return
	}
	s.Intake.Wake()
	if op.many {
		sendActed(w, op, a.IDs, errs)
		return
	}
	view, err := s.findQueued(ctx, a.IDs[0], nil) // it may be decided by now
	if err != nil {
		s.fail(w, r, err)
		return
	}
	sendJSON(w, http.StatusOK, view)
}

// sendActed answers with one result for each ID.
func sendActed(w http.ResponseWriter, op *intakeOperation, ids []string, errs []*rbcs.Error) {
	out := newBuffer()
	defer out.free()
	out.b = append(out.b, `{"results":[`...)
	for i, id := range ids {
		if i > 0 {
			out.b = append(out.b, ',')
		}
		if errs[i] != nil {
			out.b = appendItemError(out.b, "id", id, "/ids/"+strconv.Itoa(i), errs[i])
			continue
		}
		out.b = appendString(append(out.b, `{"id":`...), id)
		out.b = append(append(append(out.b, `,"status":"`...), op.status...), `"}`...)
	}
	out.b = append(out.b, `]}`...)
	send(w, http.StatusOK, jsonType, out.b)
}
