package sqlite

import (
	"path/filepath"
	"reflect"
	"testing"
	"time"

	"rbcs"
	"rbcs/internal/audit"
	"rbcs/internal/storetest"
)

// TestMigrationsKeepTheBooks brings a schema back to each of its versions, by
// taking away what later ones added, and migrates what is in it.
func TestMigrationsKeepTheBooks(t *testing.T) {
	undo := []string{ // of each migration after the first
		`DROP TABLE intake; DROP TABLE intake_sources; DROP TABLE intake_events;
			ALTER TABLE transactions DROP COLUMN execute_at; ALTER TABLE transactions DROP COLUMN retry_until`,
		`ALTER TABLE intake DROP COLUMN tried_at; ALTER TABLE intake DROP COLUMN next_at; ALTER TABLE intake DROP COLUMN kind;
			ALTER TABLE intake DROP COLUMN instance; ALTER TABLE intake DROP COLUMN listed; ALTER TABLE intake DROP COLUMN unlisted;
			ALTER TABLE intake_events DROP COLUMN omitted`,
	}
	files, err := filepath.Glob("migrations/*.sql")
	if err != nil || len(files) != len(undo)+1 {
		t.Fatalf("there are %d migrations, and this test knows %d: %v", len(files), len(undo)+1, err)
	}
	versions := []int{1, 3, 4}
	for i := range undo {
		path := filepath.Join(t.TempDir(), "rbcs.db")
		before := openAt(t, path)
		before.now = func() time.Time { return morning }
		createAccounts(t, before, "a", "b")
		if _, err := before.CreateAccounts(t.Context(), []rbcs.NewAccount{{Number: "poor", Currency: usd}}); err != nil {
			t.Fatal(err)
		}
		mustCommit(t, before, everyOutcome()...)
		wantLog, wantAccounts, err := storetest.Contents(t.Context(), before)
		if err != nil {
			t.Fatal(err)
		}
		if err := before.Close(); err != nil {
			t.Fatal(err)
		}
		_, db, err := migrations("file:" + path)
		if err != nil {
			t.Fatal(err)
		}
		for j := len(undo) - 1; j >= i; j-- {
			if _, err := db.ExecContext(t.Context(), undo[j]); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := db.ExecContext(t.Context(), "DELETE FROM goose_db_version WHERE version_id > ?", versions[i]); err != nil {
			t.Fatal(err)
		}
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
		s := openAt(t, path)
		log, accounts, err := storetest.Contents(t.Context(), s)
		if err != nil || !reflect.DeepEqual(log, wantLog) || !reflect.DeepEqual(accounts, wantAccounts) {
			t.Errorf("from version %d: %+v, %+v, want %+v, %+v: %v", versions[i], log, accounts, wantLog, wantAccounts, err)
		}
		mustCommit(t, s, transfer("then", "a", "b", 1))
		report, err := audit.Run(t.Context(), s, nil)
		if err != nil || !report.OK() {
			t.Errorf("from version %d: %v, %v", versions[i], report.Faults, err)
		}
	}
}

// TestTimeAfterAChange: a change of an account is before every later commit, also
// where the clock was set back and the file opened again in between.
func TestTimeAfterAChange(t *testing.T) {
	path := filepath.Join(t.TempDir(), "rbcs.db")
	at := func(s *Store, clock time.Time) *Store {
		s.now = func() time.Time { return clock }
		return s
	}
	s := at(openAt(t, path), morning)
	createAccounts(t, s, "a", "b", "c")
	at(s, morning.Add(2*time.Hour))
	if _, err := s.UpdateAccount(t.Context(), "c", rbcs.AccountChange{Status: new(rbcs.FrozenOutgoing)}); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = at(openAt(t, path), morning.Add(time.Hour))
	mustCommit(t, s, transfer("1", "a", "b", 1))
	mustCommit(t, s, transfer("2", "a", "c", 1))
	at(s, morning.Add(90*time.Minute))
	var last time.Time
	for _, r := range mustCommit(t, s, transfer("1", "a", "b", 1), transfer("2", "a", "c", 1), transfer("3", "a", "b", 1)) {
		if r.CommittedAt.Before(morning.Add(2*time.Hour)) || r.CommittedAt.Before(last) {
			t.Errorf("%s is committed at %v, after %v", r.Transaction.ID, r.CommittedAt, last)
		}
		last = r.CommittedAt
	}
}

// TestEarlierQuestionsForgetNothing: what was told of a moment stays, though an
// earlier one was asked for since and the clock was set back.
func TestEarlierQuestionsForgetNothing(t *testing.T) {
	s := openTemp(t)
	clock := morning
	s.now = func() time.Time { return clock }
	createAccounts(t, s, "a", "b")
	clock = morning.Add(time.Hour)
	told := morning.Add(59 * time.Minute)
	for _, at := range []time.Time{told, morning.Add(30 * time.Minute)} {
		if _, err := s.BalanceAt(t.Context(), "a", at); err != nil {
			t.Fatal(err)
		}
	}
	clock = morning.Add(40 * time.Minute)
	if r := mustCommit(t, s, transfer("late", "a", "b", 1))[0]; r.CommittedAt.Before(told) {
		t.Errorf("committed at %v, and the balance at %v was told", r.CommittedAt, told)
	}
}
