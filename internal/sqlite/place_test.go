package sqlite

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"rbcs"
)

// TestAFileIsTakenAway removes what the store works on from its folder: nothing
// more is acknowledged, and what was is on disk for whoever starts next.
func TestAFileIsTakenAway(t *testing.T) {
	for _, suffix := range []string{"-wal", "-shm", ""} {
		t.Run("rbcs.db"+suffix, func(t *testing.T) {
			s := openTemp(t)
			createAccounts(t, s, "a", "b")
			mustCommit(t, s, transfer("1", "a", "b", 1))
			aside := filepath.Join(t.TempDir(), "aside")
			if err := os.Rename(s.path+suffix, aside); err != nil {
				t.Fatal(err)
			}
			_, err := s.Commit(t.Context(), []*rbcs.Transaction{transfer("2", "a", "b", 1)})
			wantError(t, err, rbcs.OutcomeUnknown, "submit it again")
			var known *rbcs.Error
			if !errors.As(err, &known) || !known.Away || !strings.Contains(known.Err.Error(), "rbcs.db"+suffix+" was removed or replaced") {
				t.Errorf("the cause is %v", known)
			}
			_, err = s.Commit(t.Context(), []*rbcs.Transaction{transfer("3", "a", "b", 1)})
			wantError(t, err, rbcs.Unavailable, "rbcs.db"+suffix)
			wantError(t, s.Check(t.Context()), rbcs.Unavailable, "rbcs.db"+suffix)
			if suffix != "" {
				// As after kill -9: only what has a name is left, and the WAL is in the file.
				copied := filepath.Join(t.TempDir(), "rbcs.db")
				content, err := os.ReadFile(s.path)
				if err == nil {
					err = os.WriteFile(copied, content, 0o600)
				}
				if err != nil {
					t.Fatal(err)
				}
				next := openAt(t, copied)
				for _, id := range []string{"1", "2"} {
					if r := mustCommit(t, next, transfer(id, "a", "b", 1))[0]; !r.Replayed {
						t.Errorf("%s is lost", id)
					}
				}
			}
			if err := os.Rename(aside, s.path+suffix); err != nil { // it is put back
				t.Fatal(err)
			}
			if r := mustCommit(t, s, transfer("2", "a", "b", 1), transfer("3", "a", "b", 1)); !r[0].Replayed || r[1].Replayed {
				t.Errorf("afterwards: %+v", r)
			}
		})
	}
}
