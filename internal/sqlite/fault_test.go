//go:build unix

package sqlite

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	lib "modernc.org/sqlite/lib"

	"rbcs"
)

func TestFaults(t *testing.T) {
	for _, c := range []struct {
		code int
		want rbcs.Code
		text string
	}{
		{lib.SQLITE_BUSY, rbcs.Unavailable, "locked"},
		{lib.SQLITE_BUSY_SNAPSHOT, rbcs.Unavailable, "locked"},
		{lib.SQLITE_FULL, rbcs.Unavailable, "full"},
		{lib.SQLITE_IOERR_FSYNC, rbcs.Unavailable, "disk"},
		{lib.SQLITE_CANTOPEN, rbcs.Unavailable, "opened"},
		{lib.SQLITE_NOMEM, rbcs.Unavailable, "memory"},
		{lib.SQLITE_INTERRUPT, rbcs.Unavailable, "ended"},
		{lib.SQLITE_READONLY_DBMOVED, rbcs.Internal, "written"},
		{lib.SQLITE_CORRUPT_INDEX, rbcs.Internal, "backup"},
		{lib.SQLITE_CONSTRAINT_UNIQUE, rbcs.Internal, "refused"},
	} {
		err := faultOf(c.code, "message")
		wantError(t, err, c.want, c.text)
		var cause *fault
		if !errors.As(err, &cause) || cause.code != c.code {
			t.Errorf("the cause of %v is lost", err)
		}
		want := rbcs.OutcomeUnknown // nobody knows what a failing disk has kept
		if isFault(err, lib.SQLITE_BUSY) {
			want = rbcs.Unavailable
		}
		if got := rbcs.CodeOf(commitFault(err)); got != want {
			t.Errorf("COMMIT failed with %d: %s, want %s", c.code, got, want)
		}
	}
}

// TestNotDurable refuses a file that would lose commits.
func TestNotDurable(t *testing.T) {
	s := openTemp(t)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	c, err := openConn(s.uri, "journal_mode = DELETE")
	if err != nil {
		t.Fatal(err)
	}
	c.close()
	_, err = newWriter(s.uri, "test")
	wantError(t, err, rbcs.Internal, "journal_mode delete")
}

// TestPragmas looks at what makes a commit durable and its memory bounded.
func TestPragmas(t *testing.T) {
	s := openTemp(t)
	want := map[string]string{
		"journal_mode": "wal", "synchronous": "2", "busy_timeout": "5000", "foreign_keys": "0", "temp_store": "2",
		"cache_size": "-65536", "wal_autocheckpoint": "16384", "journal_size_limit": "67108864", "mmap_size": "0",
	}
	err := s.withWrite(t.Context(), func(w *writer, _ time.Time) error {
		for pragma, value := range want {
			if got, err := w.queryText("PRAGMA " + pragma); err != nil || got != value {
				t.Errorf("%s is %s, %v; want %s", pragma, got, err, value)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// TestLocked has another program that writes.
func TestLocked(t *testing.T) {
	s := openTemp(t)
	createAccounts(t, s, "a", "b")
	if err := s.withWrite(t.Context(), func(w *writer, _ time.Time) error { return w.exec("PRAGMA busy_timeout = 1") }); err != nil {
		t.Fatal(err)
	}
	other, err := openConn(s.uri)
	if err != nil {
		t.Fatal(err)
	}
	defer other.close()
	if err := other.exec("BEGIN IMMEDIATE"); err != nil {
		t.Fatal(err)
	}
	wantError(t, s.Check(t.Context()), rbcs.Unavailable, "locked by another program")
	if err := other.exec("ROLLBACK"); err != nil {
		t.Fatal(err)
	}
	mustCommit(t, s, transfer("1", "a", "b", 1))
}

// TestDiskFull lets the file grow no more: nothing is changed, and later it goes on.
func TestDiskFull(t *testing.T) {
	s := openTemp(t)
	createAccounts(t, s, "a", "b")
	limit := func(pages string) {
		if err := s.withWrite(t.Context(), func(w *writer, _ time.Time) error { return w.exec("PRAGMA max_page_count = " + pages) }); err != nil {
			t.Fatal(err)
		}
	}
	limit("1")
	batch := make([]*rbcs.Transaction, 500)
	for i := range batch {
		batch[i] = transfer(fmt.Sprint(i), "a", "b", 1)
	}
	holds := make([]*rbcs.Transaction, 500)
	for i := range holds {
		holds[i] = hold(fmt.Sprint("hold ", i), "a", "b", 1)
	}
	_, err := s.Commit(t.Context(), batch)
	wantError(t, err, rbcs.Unavailable, "full")
	_, err = s.Commit(t.Context(), group(holds...))
	wantError(t, err, rbcs.Unavailable, "full")
	if n := count(t, s, "SELECT count(*) FROM transactions"); n != 0 {
		t.Errorf("%d transactions are recorded", n)
	}
	limit("1000000")
	if r := mustCommit(t, s, batch...)[499]; r.Replayed || r.Sequence != 500 || r.Source.Version != 500 {
		t.Errorf("afterwards: %+v", r)
	}
	// Nothing of the row that failed is left in the statement.
	if r, err := s.Transaction(t.Context(), "0"); err != nil || r.Transaction != *withCurrency(batch[0]) {
		t.Errorf("afterwards: %+v, %v", r, err)
	}
}

// TestCommitFails has a disk that refuses the WAL in the middle of COMMIT: the
// outcome is unknown, and the same batch again is decided once.
func TestCommitFails(t *testing.T) {
	s := openTemp(t)
	createAccounts(t, s, "a", "b")
	wal, err := os.Stat(s.path + "-wal")
	if err != nil {
		t.Fatal(err)
	}
	signal.Ignore(syscall.SIGXFSZ)
	defer signal.Reset(syscall.SIGXFSZ)
	var before syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_FSIZE, &before); err != nil {
		t.Fatal(err)
	}
	cut := before
	cut.Cur = uint64(wal.Size()) + 5000
	batch := make([]*rbcs.Transaction, 100)
	for i := range batch {
		batch[i] = transfer(fmt.Sprint(i), "a", "b", 1)
	}
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &cut); err != nil {
		t.Fatal(err)
	}
	_, err = s.Commit(t.Context(), batch)
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &before); err != nil {
		t.Fatal(err)
	}
	wantError(t, err, rbcs.OutcomeUnknown, "submit it again")
	if n := count(t, s, "SELECT count(*) FROM transactions"); n != 0 {
		t.Errorf("%d transactions are visible", n)
	}
	if r := mustCommit(t, s, batch...)[99]; r.Sequence != 100 || r.Source.Version != 100 {
		t.Errorf("afterwards: %+v", r)
	}
}

// TestUnfinished has a transaction that an earlier failure left open.
func TestUnfinished(t *testing.T) {
	s := openTemp(t)
	createAccounts(t, s, "a", "b")
	w := <-s.writer
	if err := w.exec("BEGIN IMMEDIATE"); err != nil {
		t.Fatal(err)
	}
	if err := w.exec("DELETE FROM accounts"); err != nil {
		t.Fatal(err)
	}
	s.writer <- w
	if r := mustCommit(t, s, transfer("1", "a", "b", 1))[0]; r.Status != rbcs.Posted {
		t.Errorf("%+v", r)
	}
}

// TestDamaged calls everything on a file whose tables are gone, whether its
// statements were prepared before or not.
func TestDamaged(t *testing.T) {
	for _, used := range []bool{false, true} {
		s := openTemp(t)
		if used {
			createAccounts(t, s, "a", "b")
			for name, call := range allCalls(s) {
				if err := call(t.Context()); rbcs.CodeOf(err) == rbcs.Internal {
					t.Fatalf("%s: %v", name, err)
				}
			}
		}
		err := s.withWrite(t.Context(), func(w *writer, _ time.Time) error {
			for _, table := range []string{"transactions", "standing", "accounts", "account_changes", "currencies", "webhooks"} {
				if err := w.exec("DROP TABLE " + table); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		for name, call := range allCalls(s) {
			if name != "Check" {
				t.Run(fmt.Sprint(name, used), func(t *testing.T) { wantError(t, call(t.Context()), rbcs.Internal, "refused a statement") })
			}
		}
	}
}

// childEnv names the file for a process that this test starts again.
const childEnv = "RBCS_SQLITE_TEST_FILE"

// TestKill kills a process that commits, at once after what it has acknowledged:
// all of that is there, exactly once, and the file is not locked any more.
func TestKill(t *testing.T) {
	if path := os.Getenv(childEnv); path != "" {
		commitForever(t, path)
	}
	path := filepath.Join(t.TempDir(), "rbcs.db")
	s := openAt(t, path)
	createAccounts(t, s, "a", "b")
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	acknowledged := 0
	for round := range 3 {
		child, lines := startChild(t, path)
		for stop := acknowledged + 10 + round*7; acknowledged < stop && lines.Scan(); {
			if _, err := fmt.Sscanf(lines.Text(), "acknowledged %d", &acknowledged); err != nil {
				t.Fatalf("the child says %s", lines.Text())
			}
		}
		_, err := Open(t.Context(), path, Options{})
		wantError(t, err, rbcs.Unavailable, "another rbcs is serving this file")
		if err := child.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		for lines.Scan() { // what it said before it died counts too
			_, _ = fmt.Sscanf(lines.Text(), "acknowledged %d", &acknowledged)
		}
		_ = child.Wait() // it was killed

		s := openAt(t, path)
		a, err := s.Account(t.Context(), "b")
		if err != nil || a.Version < int64(acknowledged) || a.Balance != rbcs.AmountOf(a.Version) {
			t.Fatalf("after %d acknowledged: %+v, %v", acknowledged, a, err)
		}
		for i := range acknowledged {
			if r := mustCommit(t, s, transfer(fmt.Sprint(i+1), "a", "b", 1))[0]; !r.Replayed {
				t.Fatalf("%d was acknowledged and is not there", i+1)
			}
		}
		acknowledged = int(a.Version)
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// startChild starts a process that commits to a file for ever, and returns what it says.
func startChild(t *testing.T, path string) (*exec.Cmd, *bufio.Scanner) {
	t.Helper()
	child := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestKill$")
	child.Env = append(os.Environ(), childEnv+"="+path)
	out, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	return child, bufio.NewScanner(out)
}

// commitForever commits one transaction after another, and says so.
func commitForever(t *testing.T, path string) {
	s := openAt(t, path)
	a, err := s.Account(t.Context(), "b")
	if err != nil {
		t.Fatal(err)
	}
	for i := a.Version + 1; ; i++ {
		mustCommit(t, s, transfer(fmt.Sprint(i), "a", "b", 1))
		fmt.Println("acknowledged", i)
	}
}
