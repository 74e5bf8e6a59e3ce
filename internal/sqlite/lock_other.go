//go:build !linux

package sqlite

import (
	"net/url"
	"os"
	"path/filepath"

	lib "modernc.org/sqlite/lib"
)

// lockFile takes the file, and creates it where there is none. The lock is a
// database of its own beside the file, locked by SQLite, since elsewhere than on
// Linux a lock on the file itself would also shut out SQLite. The lock ends with
// the process at the latest.
func lockFile(path string) (unlock func(), err error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o644) // SQLite's own mode
	if err != nil {
		return nil, cannotOpen(err)
	}
	_ = f.Close() // nothing was written to it
	if path, err = filepath.EvalSymlinks(path); err != nil {
		return nil, cannotOpen(err)
	}
	c, err := openConn((&url.URL{Scheme: "file", Path: path + ".lock"}).String())
	if err != nil {
		return nil, err
	}
	if err = c.exec("BEGIN EXCLUSIVE"); err == nil {
		return c.close, nil
	}
	c.close()
	if isFault(err, lib.SQLITE_BUSY) {
		err = inService(err)
	}
	return nil, err
}
