package resilience

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"rbcs/internal/sqlite"
)

// diskSize is the size of the disk that is filled, in MiB.
const diskSize = 256

// disks breaks the disk below the SQLite store: full, where this process may
// mount a small one to fill; and with a limit on the size of files anywhere.
func (u *suite) disks(t *testing.T) {
	if name := "SQLite: disk full"; regexp.MustCompile(*only).MatchString(name) {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			if err := syscall.Mount("rbcs-resilience", dir, "tmpfs", 0, fmt.Sprintf("size=%dm", diskSize)); err != nil {
				t.Logf("a small disk to fill cannot be mounted (%v): root may", err)
				return
			}
			t.Cleanup(func() {
				if err := syscall.Unmount(dir, syscall.MNT_DETACH); err != nil {
					t.Error(err)
				}
			})
			filler := filepath.Join(dir, "filler")
			u.disk(t, name, dir, func(*system) func(context.Context) (func(context.Context) error, error) {
				return lasting(func() error { return fill(filler) }, func(context.Context) error { return os.Remove(filler) })
			})
		})
	}
	if name := "SQLite: files can grow no more"; regexp.MustCompile(*only).MatchString(name) {
		t.Run(name, func(t *testing.T) {
			u.disk(t, name, t.TempDir(), func(s *system) func(context.Context) (func(context.Context) error, error) {
				return lasting(
					func() error { return s.instances[0].limitFiles(64 << 10) },
					func(context.Context) error { return s.instances[0].limitFiles(unix.RLIM_INFINITY) })
			})
		})
	}
}

// disk runs the service on SQLite in a folder whose disk breaks.
func (u *suite) disk(t *testing.T, name, dir string, breaks func(*system) func(context.Context) (func(context.Context) error, error)) {
	path := filepath.Join(dir, "rbcs.db")
	s := &system{verifyStore: func() string { return "sqlite:" + path }}
	s.dump = func(ctx context.Context) (dumper, error) {
		return sqlite.Open(ctx, path, sqlite.Options{ReadOnly: true})
	}
	if err := s.start(t.Context(), 1, []string{"--store", s.verifyStore(), "--drain-delay", "300ms"}); err != nil {
		t.Fatal(err)
	}
	defer s.stop()
	u.do(t, scenario{
		name: name, system: s, count: u.size(1, 16), least: u.size(0, 25_000),
		faults: []fault{{name: name, touches: "disk", hold: 500 * time.Millisecond, from: fromEnd, begin: breaks(s)}},
	})
}

// fill writes a file until the disk has no room left.
func fill(path string) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	block := make([]byte, 64<<10)
	for size := len(block); size > 0; { // smaller and smaller pieces, to the last byte
		if _, err = f.Write(block[:size]); err != nil {
			size /= 2
		}
	}
	if !errors.Is(err, syscall.ENOSPC) {
		return errors.Join(fmt.Errorf("the disk did not fill: %w", err), f.Close())
	}
	return f.Close()
}

// limitFiles lets the process write no file beyond a size.
func (i *instance) limitFiles(size uint64) error {
	return unix.Prlimit(i.process.Cmd.Process.Pid, unix.RLIMIT_FSIZE, &unix.Rlimit{Cur: size, Max: unix.RLIM_INFINITY}, nil)
}
