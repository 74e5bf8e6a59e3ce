package sqlite

import (
	"os"
	"path/filepath"
	"runtime"
	"syscall"
	"testing"

	"rbcs"
)

// TestOtherNames reaches a file by a symbolic and by a hard link, while it is
// served by this process and by another, and after the other was killed.
func TestOtherNames(t *testing.T) {
	dir := t.TempDir()
	path, symbolic, hard := filepath.Join(dir, "rbcs.db"), filepath.Join(dir, "s", "symbolic.db"), filepath.Join(dir, "hard.db")
	if err := os.Mkdir(filepath.Dir(symbolic), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("../rbcs.db", symbolic); err != nil { // to what is created through it
		t.Fatal(err)
	}
	s := openAt(t, symbolic)
	if err := os.Link(path, hard); err != nil {
		t.Fatal(err)
	}
	refused := func(code rbcs.Code, text string, names ...string) {
		t.Helper()
		for _, name := range names {
			_, err := Open(t.Context(), name, Options{})
			wantError(t, err, code, text)
		}
	}
	refused(rbcs.Unavailable, "another rbcs", path, symbolic, hard)
	createAccounts(t, s, "a", "b")
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(hard); err != nil {
		t.Fatal(err)
	}

	child, lines := startChild(t, symbolic)
	for range 5 {
		if !lines.Scan() {
			t.Fatal("the child has ended")
		}
	}
	if err := os.Link(path, hard); err != nil {
		t.Fatal(err)
	}
	refused(rbcs.Unavailable, "another rbcs", path, symbolic, hard)
	if err := child.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = child.Wait() // it was killed

	// What it has acknowledged is beside the file's own name, and not beside the other.
	refused(rbcs.InvalidRequest, "2 names", hard)
	if err := os.Remove(hard); err != nil {
		t.Fatal(err)
	}
	s = openAt(t, path)
	if a, err := s.Account(t.Context(), "b"); err != nil || a.Version < 5 {
		t.Errorf("after 5 acknowledged: %+v, %v", a, err)
	}
}

// asReader runs f as one who may read what the tests have written, and write nothing.
func asReader(t *testing.T, f func()) {
	t.Helper()
	runtime.LockOSThread() // of which alone the user is changed
	defer runtime.UnlockOSThread()
	set := func(user int) {
		if _, _, errno := syscall.RawSyscall(syscall.SYS_SETFSUID, uintptr(user), 0, 0); errno != 0 {
			t.Fatal(errno)
		}
	}
	if os.Getuid() == 0 { // who may write everywhere
		set(65534)
		defer set(0)
	}
	f()
}

// TestReadOnlyCopy reads a file in a folder where nothing may be written.
func TestReadOnlyCopy(t *testing.T) {
	s := openTemp(t)
	createAccounts(t, s, "a", "b")
	mustCommit(t, s, transfer("1", "a", "b", 100))
	withWAL := freeze(t, s.path)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	for path, whole := range map[string]bool{freeze(t, s.path): true, withWAL: false} {
		asReader(t, func() {
			_, err := Open(t.Context(), path, Options{})
			wantError(t, err, rbcs.Unavailable, "cannot be opened")
			r, err := Open(t.Context(), path, Options{ReadOnly: true})
			if !whole {
				wantError(t, err, rbcs.Unavailable, "copy both files")
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = r.Close() }()
			if a, err := r.Account(t.Context(), "b"); err != nil || a.Balance != rbcs.AmountOf(100) {
				t.Errorf("%+v, %v", a, err)
			}
		})
	}
}

// freeze copies a file, and its WAL where there is one, to a folder that is for reading.
func freeze(t *testing.T, path string) string {
	t.Helper()
	dir := t.TempDir()
	for _, suffix := range []string{"", "-wal"} {
		data, err := os.ReadFile(path + suffix)
		if os.IsNotExist(err) && suffix != "" {
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, "copy.db"+suffix), data, 0o444); err != nil {
			t.Fatal(err)
		}
	}
	for folder, mode := range map[string]os.FileMode{filepath.Dir(dir): 0o755, dir: 0o555} {
		if err := os.Chmod(folder, mode); err != nil {
			t.Fatal(err)
		}
	}
	t.Cleanup(func() { _ = os.Chmod(dir, 0o700) }) // so that it can be removed
	return filepath.Join(dir, "copy.db")
}
