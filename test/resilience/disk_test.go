package resilience

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"rbcs/internal/sqlite"
)

// diskSize is the size of the disk that is filled, in MiB.
const diskSize = 256

const diskFull = "SQLite: disk full"

// fillDisk fills the disk below the SQLite store.
func (u *suite) fillDisk(t *testing.T) {
	dir := t.TempDir()
	if err := syscall.Mount("rbcs-resilience", dir, "tmpfs", 0, fmt.Sprintf("size=%dm", diskSize)); err != nil {
		t.Fatalf("a small disk to fill: %v; mounting one needs root", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, syscall.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	path := filepath.Join(dir, "rbcs.db")
	s := &system{verifyStore: func() string { return "sqlite:" + path }}
	s.dump = func(ctx context.Context) (dumper, error) {
		return sqlite.Open(ctx, path, sqlite.Options{ReadOnly: true})
	}
	if err := s.start(t.Context(), program, 1, []string{"--store", s.verifyStore(), "--drain-delay", "300ms"}); err != nil {
		t.Fatal(err)
	}
	defer s.stop()
	filler := filepath.Join(dir, "filler")
	u.do(t, scenario{
		name: diskFull, system: s, count: u.size(1, 14), least: u.size(0, 25_000),
		faults: []fault{{
			name: diskFull, touches: "disk", hold: 500 * time.Millisecond, from: fromEnd,
			begin: lasting(func() error { return fill(filler) }, func(context.Context) error { return os.Remove(filler) }),
		}},
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
