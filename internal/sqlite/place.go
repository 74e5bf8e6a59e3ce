package sqlite

import (
	"errors"
	"os"
)

// What is committed stands in the -wal file beside the database file until it is
// moved there. A file that is removed or replaced while it is open stays there for
// its process: SQLite goes on committing to what nobody finds after a crash. So
// each commit looks whether the files still have their names before it is
// acknowledged. The first one that finds that they do not saves what the WAL has,
// and nothing is written from then on until they have.

// suffixes are of the files that the writer has open.
var suffixes = [...]string{"", "-wal", "-shm"}

// place is what the names of the files stood for when the writer had opened them.
type place [len(suffixes)]os.FileInfo

func placeOf(path string) (p place, err error) {
	for i, suffix := range suffixes {
		if p[i], err = os.Stat(path + suffix); err != nil {
			return p, cannotOpen(err)
		}
	}
	return p, nil
}

// kept fails where a file has lost its name.
func (s *Store) kept() error {
	for i, suffix := range suffixes {
		info, err := os.Stat(s.path + suffix)
		if err == nil && os.SameFile(info, s.place[i]) {
			continue
		}
		if err == nil {
			err = errors.New("it is another file than the one in use")
		}
		return away(err, s.path+suffix+" was removed or replaced while it is in use, and what is committed now would be lost; "+
			"put it back, or stop the service and start it again with the files that it is to go on with")
	}
	return nil
}

// save moves what the WAL has into the database file. REQUIRES: the caller has
// the writer, and no transaction is open.
func (s *Store) save(w *writer) {
	s.lost = true
	_ = w.exec("PRAGMA wal_checkpoint(TRUNCATE)") // what cannot be saved stays where it is
}
