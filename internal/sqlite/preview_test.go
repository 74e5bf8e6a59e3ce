package sqlite

import (
	"crypto/sha256"
	"errors"
	"io/fs"
	"os"
	"testing"
	"time"

	"rbcs"
)

// fingerprint is what the file and its WAL hold.
func fingerprint(t *testing.T, s *Store) (sums [2][32]byte) {
	t.Helper()
	for i, path := range []string{s.path, s.path + "-wal"} {
		content, err := os.ReadFile(path)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			t.Fatal(err)
		}
		sums[i] = sha256.Sum256(content)
	}
	return sums
}

// TestPreview decides like the commit that follows, on whatever was recorded
// before, and leaves no trace on disk. It does not wait for who writes.
func TestPreview(t *testing.T) {
	s := openTemp(t)
	s.now = func() time.Time { return morning }
	createAccounts(t, s, "a", "b")
	if _, err := s.CreateAccounts(t.Context(), []rbcs.NewAccount{{Number: "poor", Currency: usd}}); err != nil {
		t.Fatal(err)
	}
	h := hold("h", "a", "b", 10)
	before := mustCommit(t, s, h, transfer("t", "a", "b", 10))
	batch := func() []*rbcs.Transaction {
		return append(everyOutcome(), h, settle(rbcs.Capture, "of h", h, 3), transfer("t", "a", "b", 11), transfer("late", "a", "b", 30))
	}

	was := fingerprint(t, s)
	w := <-s.writer
	previewed, err := s.Preview(t.Context(), batch())
	s.writer <- w
	if err != nil {
		t.Fatal(err)
	}
	if is := fingerprint(t, s); is != was {
		t.Error("the preview wrote to the disk")
	}
	wantError(t, func() error { _, err := s.Transaction(t.Context(), "of h"); return err }(), rbcs.NotFound, "no transaction")

	committed := mustCommit(t, s, batch()...)
	if committed[0].Sequence != before[1].Sequence+1 {
		t.Errorf("the preview used a sequence: %+v", committed[0])
	}
	for i, r := range committed {
		p := previewed[i]
		if r.Err != nil {
			if p.Err == nil || p.Err.Error() != r.Err.Error() {
				t.Errorf("previewed as %v, committed as %v", p.Err, r.Err)
			}
			continue
		}
		if old := r.Sequence <= before[1].Sequence; old != (p.Sequence != 0) {
			t.Errorf("%s was previewed with sequence %d", r.Transaction.ID, p.Sequence)
		}
		if p.Sequence = r.Sequence; p != r {
			t.Errorf("previewed as\n%+v, committed as\n%+v", p, r)
		}
	}
}
