package storetest

import (
	"context"
	"errors"
	"fmt"

	"rbcs"
	"rbcs/internal/audit"
)

// maxAcknowledgedFaults bounds the error of [CheckAcknowledged].
const maxAcknowledgedFaults = 20

// CheckAcknowledged checks that a store still holds everything that clients
// were told: each decision stands in the log exactly once and is the one that
// was told, also where it was told several times; an ID that was answered with a
// conflict is recorded with other content. It does not mind decisions that
// nobody was told about: their answers may have been lost. Where the client's
// side of a result does not know the instance or the actor, they may be absent.
//
// It holds the whole log's IDs in memory. Whether the books are right is the
// audit's question, not this one's.
func CheckAcknowledged(ctx context.Context, store audit.Dumper, acknowledged []rbcs.Result) error {
	type decision struct {
		id      string
		attempt int
	}
	told := make(map[decision][]*rbcs.Result, len(acknowledged))
	conflicts := map[string][]*rbcs.Transaction{}
	var faults []error
	fault := func(format string, args ...any) {
		if len(faults) < maxAcknowledgedFaults {
			faults = append(faults, fmt.Errorf(format, args...))
		}
	}
	for i := range acknowledged {
		switch r := &acknowledged[i]; {
		case r.Err == nil:
			key := decision{r.Transaction.ID, r.Attempt}
			told[key] = append(told[key], r)
		case r.Err.Code == rbcs.IDConflict:
			conflicts[r.Transaction.ID] = append(conflicts[r.Transaction.ID], &r.Transaction)
		}
	}
	seen := map[decision]bool{}
	err := store.Dump(ctx, func(r *rbcs.Result) error {
		key := decision{r.Transaction.ID, r.Attempt}
		if seen[key] {
			fault("transaction %q stands in the log twice", key.id)
		}
		seen[key] = true
		for _, t := range told[key] {
			if d := compareResults(r, likeRecorded(t, r)); d != nil {
				fault("transaction %q is not what a client was told: %v", key.id, d)
			}
		}
		delete(told, key)
		for _, t := range conflicts[key.id] {
			if modelConflicts(t, r) == nil {
				fault("transaction %q was answered with a conflict, but is recorded with that content", key.id)
			}
		}
		delete(conflicts, key.id)
		return nil
	}, func(*rbcs.Account) error { return nil })
	if err != nil {
		return err
	}
	for key := range told {
		fault("transaction %q was acknowledged (attempt %d), but is not in the log", key.id, key.attempt)
	}
	for id := range conflicts {
		fault("transaction %q was answered with a conflict, but is not in the log", id)
	}
	return errors.Join(faults...)
}

// likeRecorded returns what was told with what a client need not know.
func likeRecorded(told, recorded *rbcs.Result) *rbcs.Result {
	r := *told
	if r.Instance == "" {
		r.Instance = recorded.Instance
	}
	if r.Transaction.Actor == "" {
		r.Transaction.Actor = recorded.Transaction.Actor
	}
	return &r
}
