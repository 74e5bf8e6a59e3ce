package sqlite

import (
	"errors"
	"os"
	"slices"
	"sync"
	"syscall"

	"rbcs"
)

// served are the files that this process has locked. They are not opened a second
// time: closing a file ends all locks that its process has on it by fcntl, and
// those are SQLite's.
var served struct {
	sync.Mutex
	files []os.FileInfo
}

// lockFile takes the file itself, whatever name it is reached by, and creates it
// where there is none. The lock ends with the process at the latest. Unlock comes
// after SQLite has closed the file.
func lockFile(path string) (unlock func(), err error) {
	served.Lock()
	defer served.Unlock()
	if info, err := os.Stat(path); err == nil && slices.ContainsFunc(served.files, same(info)) {
		return nil, inService(nil)
	}
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o644) // SQLite's own mode
	if err != nil {
		return nil, cannotOpen(err)
	}
	info, err := lock(f)
	if err != nil {
		_ = f.Close() // nothing was written to it
		return nil, err
	}
	served.files = append(served.files, info)
	return func() {
		served.Lock()
		defer served.Unlock()
		served.files = slices.DeleteFunc(served.files, same(info))
		_ = f.Close() // nothing was written to it
	}, nil
}

func same(info os.FileInfo) func(os.FileInfo) bool {
	return func(other os.FileInfo) bool { return os.SameFile(info, other) }
}

// lock locks the file by flock, which on Linux is independent of SQLite's fcntl locks.
func lock(f *os.File) (os.FileInfo, error) {
	err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		return nil, inService(err)
	}
	if err != nil {
		return nil, failure(rbcs.Unavailable, err, "the database file cannot be locked; keep it on a local disk")
	}
	info, err := f.Stat()
	if err != nil {
		return nil, cannotOpen(err)
	}
	if stat, ok := info.Sys().(*syscall.Stat_t); ok && stat.Nlink > 1 {
		return nil, failure(rbcs.InvalidRequest, nil, "the database file has %d names (hard links), "+
			"and what is committed may still stand in a -wal file beside only one of them; keep that name and remove the others", stat.Nlink)
	}
	return info, nil
}
