package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"sync/atomic"

	"rbcs"
	"rbcs/internal/records"
)

// importBatch is consecutive lines of one file: accounts or transactions, and
// the lines between them that are neither.
type importBatch struct {
	name         string
	lines        []int // of the accounts or transactions
	accounts     []*records.Account
	transactions []*rbcs.Transaction
	bad          []*records.BadLine
	last         int   // line
	read         int64 // bytes of all files up to here
}

// maxBatchBytes bounds a batch besides its number of lines: half of what the
// service takes, since JSON may be longer than what was read.
const maxBatchBytes = 8 << 20

// importFiles is what is imported, and how much of it was read.
type importFiles struct {
	names []string
	files []io.Reader
	opens []*os.File
	infos []os.FileInfo // of what is a file, standard input too
	total int64         // bytes; 0 where it is not known
	done  atomic.Int64

	imported atomic.Int64 // bytes whose lines are decided
}

// unreadableError is a fault of a file as against one of where it goes.
type unreadableError struct{ error }

func (e unreadableError) Unwrap() error { return e.error }

// openImports opens all files before the first line is sent.
func openImports(names []string, stdin io.Reader) (*importFiles, error) {
	f := &importFiles{names: slices.Clone(names)}
	known := true
	for i, name := range names {
		if name == "-" {
			f.names[i], known = "stdin", false
			if file, ok := stdin.(*os.File); ok {
				if info, err := file.Stat(); err == nil {
					f.infos = append(f.infos, info)
				}
			}
			f.files = append(f.files, &countingReader{stdin, &f.done})
			continue
		}
		file, err := os.Open(name)
		if err != nil {
			f.close()
			return nil, err
		}
		f.opens = append(f.opens, file)
		f.files = append(f.files, &countingReader{file, &f.done})
		info, err := file.Stat()
		if err != nil || info.IsDir() {
			f.close()
			return nil, errors.Join(fmt.Errorf("%s is not a file to import", name), err)
		}
		f.infos = append(f.infos, info)
		known = known && info.Mode().IsRegular()
		f.total += info.Size()
	}
	if !known {
		f.total = 0
	}
	return f, nil
}

// has reports whether the path is one of the files, by whichever name.
func (f *importFiles) has(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular() && slices.ContainsFunc(f.infos, func(other os.FileInfo) bool { return os.SameFile(info, other) })
}

func (f *importFiles) close() {
	for _, file := range f.opens {
		_ = file.Close() // it was only read
	}
}

// fraction returns how much was imported, or −1 where that is not known. What was
// only read does not count: much may wait for a service that does not answer.
func (f *importFiles) fraction() float64 {
	if f.total == 0 {
		return -1
	}
	return float64(f.imported.Load()) / float64(f.total)
}

// read sends the lines of all files in batches of at most size lines, until the
// context ends.
func (f *importFiles) read(ctx context.Context, size int, batches chan<- *importBatch) error {
	for i, name := range f.names {
		r, err := records.NewReader(name, f.files[i])
		if err != nil {
			return unreadableError{err}
		}
		if err := f.readBatches(ctx, name, r, size, batches); err != nil {
			return err
		}
	}
	return nil
}

func (f *importFiles) readBatches(ctx context.Context, name string, r *records.Reader, size int, batches chan<- *importBatch) error {
	b, bytes := &importBatch{name: name}, 0
	flush := func() error {
		if len(b.lines)+len(b.bad) == 0 {
			return nil
		}
		b.read = f.done.Load() - int64(r.Buffered())
		select {
		case batches <- b:
			b, bytes = &importBatch{name: name}, 0
			return nil
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	for {
		record, err := r.Next()
		if errors.Is(err, io.EOF) {
			return flush()
		}
		if bad, ok := errors.AsType[*records.BadLine](err); ok {
			b.bad, b.last, err = append(b.bad, bad), record.Line, nil
		} else if err == nil {
			// Accounts must exist before what follows them is decided.
			if record.Account != nil && len(b.transactions) > 0 || record.Transaction != nil && len(b.accounts) > 0 {
				if err := flush(); err != nil {
					return err
				}
			}
			bytes += b.add(&record)
		}
		if err != nil {
			return errors.Join(flush(), unreadableError{err}) // what could be read is imported
		}
		if len(b.lines)+len(b.bad) >= size || bytes >= maxBatchBytes {
			if err := flush(); err != nil {
				return err
			}
		}
	}
}

// add adds a record and returns its size in bytes, roughly.
func (b *importBatch) add(record *records.Record) int {
	const fixed = 200 // names, punctuation and time
	b.lines, b.last = append(b.lines, record.Line), record.Line
	if a := record.Account; a != nil {
		b.accounts = append(b.accounts, a)
		return fixed + len(a.Number) + len(a.Metadata)
	}
	t := record.Transaction
	b.transactions = append(b.transactions, t)
	return fixed + len(t.ID) + len(t.Source) + len(t.Destination) + len(t.Description) + len(t.Metadata)
}

// countingReader counts what is read.
type countingReader struct {
	io.Reader
	n *atomic.Int64
}

func (c *countingReader) Read(b []byte) (int, error) {
	n, err := c.Reader.Read(b)
	c.n.Add(int64(n))
	return n, err
}
