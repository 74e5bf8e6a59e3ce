package postgres

import (
	"testing"
	"time"

	"rbcs"
)

// TestTimeIsTakenUnderTheLocks: a commit that waited for its account has a time
// from after that, or what was told of the past meanwhile would change.
func TestTimeIsTakenUnderTheLocks(t *testing.T) {
	dsn := migrated(t)
	s := openStore(t, dsn)
	createAccounts(t, s, 2)
	holder, watcher := connect(t, dsn), connect(t, dsn)
	execute(t, holder, "begin")
	execute(t, holder, "select from accounts where number = 'a:0' for no key update")
	done := make(chan error, 1)
	var committed time.Time
	go func() {
		results, err := s.Commit(t.Context(), []*rbcs.Transaction{transfer("waits")})
		if err == nil {
			committed = results[0].CommittedAt
		}
		done <- err
	}()
	eventually(t, watcher, "select count(*) = 1 "+lockWaiting)
	var released time.Time
	if err := watcher.QueryRow(t.Context(), "select clock_timestamp()").Scan(&released); err != nil {
		t.Fatal(err)
	}
	execute(t, holder, "commit")
	if err := <-done; err != nil || committed.Before(released) {
		t.Errorf("committed at %v, and the lock was held until %v: %v", committed, released, err)
	}
}

// TestChangeOnASlowClock: an account that is ahead of the clock stays so when it is changed.
func TestChangeOnASlowClock(t *testing.T) {
	dsn := migrated(t)
	s := openStore(t, dsn)
	createAccounts(t, s, 2)
	execute(t, connect(t, dsn), "update accounts set updated_at = now() + interval '1 hour' where number = 'a:0'")
	before, err := s.Account(t.Context(), "a:0")
	if err != nil {
		t.Fatal(err)
	}
	after, err := s.UpdateAccount(t.Context(), "a:0", rbcs.AccountChange{Status: new(rbcs.FrozenOutgoing)})
	if err != nil || after.UpdatedAt.Before(before.UpdatedAt) {
		t.Errorf("changed at %v, before %v: %v", after.UpdatedAt, before.UpdatedAt, err)
	}
}

// TestClaimsWaitForNobody: a source whose row somebody has locked is passed over.
func TestClaimsWaitForNobody(t *testing.T) {
	dsn := migrated(t)
	s := openStore(t, dsn)
	locked, free := transfer("1"), transfer("2")
	free.Source = "free"
	if _, err := s.Enqueue(t.Context(), []*rbcs.Transaction{locked, free}); err != nil {
		t.Fatal(err)
	}
	holder := connect(t, dsn)
	execute(t, holder, "begin")
	execute(t, holder, "select from intake_sources where source = $1 for update", locked.Source)
	batch, err := s.ClaimIntake(t.Context(), rbcs.IntakeClaim{Claimant: "x", Lease: time.Minute, Sources: 10, Limit: 10})
	if err != nil || len(batch.Entries) != 1 || batch.Entries[0].Transaction.ID != free.ID {
		t.Errorf("claimed %+v: %v", batch.Entries, err)
	}
}
