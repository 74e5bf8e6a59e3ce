package postgres

import (
	"fmt"
	"testing"
	"time"

	"rbcs"
)

// TestIntakeFaults: an error of the database, or too much at once, queues nothing.
func TestIntakeFaults(t *testing.T) {
	dsn := migrated(t)
	s := openStore(t, dsn)
	ctx := t.Context()
	many := make([]*rbcs.Transaction, maxEnqueued+1)
	for i := range many {
		many[i] = transfer(fmt.Sprint("t-", i))
	}
	_, err := s.Enqueue(ctx, many)
	wantCode(t, err, rbcs.InvalidRequest)
	if results, err := s.Enqueue(ctx, many[:maxEnqueued]); err != nil || results[maxEnqueued-1].Entry == nil {
		t.Fatal(err)
	}
	first, err := s.ClaimIntake(ctx, rbcs.IntakeClaim{Claimant: "1", Lease: time.Hour, Sources: 10, Limit: 3})
	if err != nil || len(first.Entries) != 3 || first.Entries[0].Transaction.ID != "t-0" || first.Entries[2].Transaction.ID != "t-2" {
		t.Errorf("%+v, %v", first, err)
	}
	conn := connect(t, dsn)
	execute(t, conn, "alter table intake_events rename to hidden")
	failed := []rbcs.IntakeOutcome{{ID: "t-0", Source: "a:0", Kind: rbcs.IntakeFailed, After: time.Hour}}
	wantCode(t, s.SettleIntake(ctx, "1", first.Sources, failed), rbcs.Internal)
	_, err = s.ReplayIntake(ctx, rbcs.IntakeAction{IDs: []string{"t-0"}})
	if err != nil { // it is claimed: nothing is written
		t.Error(err)
	}
	execute(t, conn, "alter table intake rename to hidden_too")
	_, err = s.Enqueue(ctx, many[:1])
	wantCode(t, err, rbcs.Internal)
	_, err = s.DiscardIntake(ctx, rbcs.IntakeAction{IDs: []string{"t-0"}})
	wantCode(t, err, rbcs.Internal)
	_, err = s.Intake(ctx, "t-0")
	wantCode(t, err, rbcs.Internal)
	execute(t, conn, "alter table intake_sources rename to hidden_three")
	_, err = s.ClaimIntake(ctx, rbcs.IntakeClaim{Claimant: "2", Lease: time.Hour, Sources: 10, Limit: 3})
	wantCode(t, err, rbcs.Internal)
	if none, err := s.DiscardIntake(ctx, rbcs.IntakeAction{}); err != nil || none != nil {
		t.Error(none, err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	_, err = s.Enqueue(ctx, many[:1])
	wantCode(t, err, rbcs.Unavailable)
	_, err = s.ClaimIntake(ctx, rbcs.IntakeClaim{})
	wantCode(t, err, rbcs.Unavailable)
	wantCode(t, s.SettleIntake(ctx, "1", nil, nil), rbcs.Unavailable)
	_, err = s.ReplayIntake(ctx, rbcs.IntakeAction{IDs: []string{"t-0"}})
	wantCode(t, err, rbcs.Unavailable)
}
