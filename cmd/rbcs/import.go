package main

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"time"

	"github.com/alecthomas/kong"

	"rbcs"
	"rbcs/internal/records"
)

// ImportCmd imports files of accounts and transactions.
type ImportCmd struct {
	Files []string  `arg:"" name:"file" help:"NDJSON or CSV, also gzipped; - is standard input."`
	URL   string    `name:"url" placeholder:"URL" help:"Import through the service at this address (http://127.0.0.1:8080, unless --store is given)."`
	Store StoreName `placeholder:"STORE" help:"Import straight into sqlite:FILE or postgres://USER@HOST/DATABASE, without a service."`
	StoreAccess
	Currencies currencyList  `placeholder:"CODE=DECIMALS,…" help:"With --store: currencies to declare, as for rbcs serve."`
	Batch      int           `default:"5000" placeholder:"N" help:"Lines that are sent together, at most 10000 (${default})."`
	RetryFor   time.Duration `default:"2m" placeholder:"TIME" help:"With --url: how long to try again while the service is away or overloaded (${default})."`
	Errors     string        `type:"path" placeholder:"FILE" help:"Write every refused line here, as file:line: reason. The first 20 are printed anyway."`

	unrepeatable bool // what it imports is gone when it ends
}

// Help is the long help of the command.
func (ImportCmd) Help() string {
	return `A line is an account, if it has a number, or a transaction, if it has an id:

  {"number": "alice", "currency": "USD", "overdraft": "100.00"}
  {"id": "t1", "source": "alice", "destination": "bob", "amount": "12.34", "timestamp": "2026-01-31T12:00:00Z"}

In CSV the first row names the fields. Lines are decided in the order of the file.

A line that is wrong, or whose ID or number is known with other content, is
refused: it is reported with its number, the rest goes on, and the exit code is 1.
A rejection, such as insufficient_funds, is an outcome like a posting: it is
counted and is no refusal.

The import can be stopped with Ctrl-C and run again at any time: what is decided
already is replayed and moves no money again.

Examples:

  rbcs import accounts.ndjson transactions.csv.gz
  rbcs import --store sqlite:rbcs.db --errors refused.txt accounts.csv transactions.csv
  rbcs mock | rbcs import -`
}

// Validate checks what the types of the flags do not.
func (c *ImportCmd) Validate() error {
	if c.Batch < 1 || c.Batch > 10_000 {
		return errors.New("--batch is 1–10000")
	}
	if c.RetryFor <= 0 {
		return errors.New("--retry-for is greater than 0")
	}
	return nil
}

// AfterApply refuses two targets. One on the command line wins over another
// that an environment variable or the configuration names.
func (c *ImportCmd) AfterApply(ctx *kong.Context) error {
	typed := func(name string) bool {
		return slices.ContainsFunc(ctx.Path, func(p *kong.Path) bool { return p.Flag != nil && p.Flag.Name == name && !p.Resolved })
	}
	switch url, store := typed("url"), typed("store"); {
	case url && store:
		return errors.New("--url and --store exclude each other: an import goes through a service or straight into a store")
	case store:
		c.URL = ""
	case url:
		c.Store = ""
	}
	return nil
}

// stopGrace is how long the batch that is being decided may take after Ctrl-C.
const stopGrace = 15 * time.Second

// Run imports the files.
func (c *ImportCmd) Run(ctx context.Context, m *Main) (err error) {
	files, err := openImports(c.Files, m.Stdin)
	if err != nil {
		return err
	}
	defer files.close()
	s := &importSummary{start: time.Now(), rejected: map[rbcs.Code]int64{}, out: m.Stderr}
	if c.Errors != "" {
		if files.has(c.Errors) {
			return usagef("--errors: %s is itself imported, and would be overwritten", c.Errors)
		}
		f, failure := os.Create(c.Errors)
		if failure != nil {
			return fmt.Errorf("--errors: %w", failure)
		}
		s.list = bufio.NewWriter(f)
		defer func() { err = errors.Join(err, s.list.Flush(), f.Close()) }()
	}
	target, err := c.target(ctx, m)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, target.close()) }()
	p := progressOn(m.Stderr, "import", "lines", func(int64) float64 { return files.fraction() })
	err = c.importAll(ctx, files, target, s, p)
	p.end()
	s.print(m.Stdout)
	const again = "run the same command again to go on: what is decided already is replayed"
	_, unreadable := errors.AsType[unreadableError](err)
	switch {
	case err != nil && ctx.Err() != nil:
		if !c.unrepeatable {
			fmt.Fprintf(m.Stderr, "stopped after %s; %s\n", s.last(), again)
		}
		return context.Cause(ctx)
	case err != nil && c.unrepeatable:
		return fmt.Errorf("the import stopped after %s: %w", s.last(), err)
	case unreadable:
		return fmt.Errorf("the import stopped after %s: %w; repair the file first, and then %s", s.last(), err, again)
	case err != nil:
		return fmt.Errorf("the import stopped after %s: %w; %s", s.last(), err, again)
	case s.refused > 0:
		return fmt.Errorf("%s of %s lines were refused", thousands(s.refused), thousands(s.lines))
	}
	return nil
}

// importAll sends one batch after the other, while the next ones are read. One
// at a time keeps the order: two requests in flight could overtake each other.
func (c *ImportCmd) importAll(ctx context.Context, files *importFiles, target importTarget, s *importSummary, p *progress) error {
	reading, stopReading := context.WithCancel(ctx)
	defer stopReading() // not waited for: standard input may have nothing to read for ever
	batches := make(chan *importBatch, 2)
	var readErr error
	go func() {
		defer close(batches)
		readErr = files.read(reading, c.Batch, batches)
	}()
	sending, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	defer context.AfterFunc(ctx, func() { time.AfterFunc(stopGrace, cancel) })()
	for {
		select {
		case b, more := <-batches:
			if !more {
				return readErr
			}
			if err := s.send(sending, target, b); err != nil {
				return err
			}
			p.items.Store(s.lines)
			files.imported.Store(b.read)
		case <-ctx.Done():
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
	}
}

// importSummary counts what became of the lines.
type importSummary struct {
	start time.Time
	out   io.Writer
	list  *bufio.Writer // of all refused lines; nil without --errors

	lines             int64
	created, existing int64
	posted, held      int64
	replayed, refused int64
	absent, unknown   int64 // certainly not recorded, and perhaps
	rejected          map[rbcs.Code]int64

	lastName string
	lastLine int
}

// maxPrinted is how many refused lines are printed.
const maxPrinted = 20

// send sends a batch and counts its outcomes. An error ends the import.
func (s *importSummary) send(ctx context.Context, target importTarget, b *importBatch) error {
	var outcomes []importOutcome
	var err error
	switch {
	case len(b.accounts) > 0:
		outcomes, err = target.createAccounts(ctx, b.accounts)
	case len(b.transactions) > 0:
		outcomes, err = target.submit(ctx, b.transactions)
	}
	if err != nil {
		s.fail(err, int64(len(b.lines)))
		return err
	}
	var failure error
	refused := b.bad
	for i := range outcomes {
		o := &outcomes[i]
		switch {
		case o.err != nil && o.err.Retryable():
			s.fail(o.err, 1)
			failure = fmt.Errorf("%s:%d: %w", b.name, b.lines[i], o.err)
		case o.err != nil:
			refused = append(refused, &records.BadLine{Name: b.name, Line: b.lines[i], Err: o.err})
		case len(b.accounts) > 0 && o.replayed:
			s.existing++
		case len(b.accounts) > 0:
			s.created++
		case o.replayed:
			s.replayed++
		case o.rejected != "":
			s.rejected[o.rejected]++
		case o.held:
			s.held++
		default:
			s.posted++
		}
	}
	slices.SortFunc(refused, func(a, b *records.BadLine) int { return cmp.Compare(a.Line, b.Line) })
	for _, bad := range refused {
		if err := s.refuse(bad); err != nil {
			return err
		}
	}
	s.lines += int64(len(b.lines) + len(b.bad))
	if failure == nil {
		s.lastName, s.lastLine = b.name, b.last
	}
	return failure
}

// fail counts lines without an outcome. Every failure but one means that
// nothing was recorded.
func (s *importSummary) fail(err error, lines int64) {
	if rbcs.CodeOf(err) == rbcs.OutcomeUnknown {
		s.unknown += lines
	} else {
		s.absent += lines
	}
}

// refuse reports a line that was refused.
func (s *importSummary) refuse(bad *records.BadLine) error {
	s.refused++
	switch {
	case s.refused <= maxPrinted:
		fmt.Fprintln(s.out, clearLine(s.out)+bad.Error())
	case s.refused == maxPrinted+1:
		fmt.Fprintln(s.out, clearLine(s.out)+"… more lines are refused; --errors FILE lists all of them")
	}
	if s.list == nil {
		return nil
	}
	if _, err := fmt.Fprintln(s.list, bad.Error()); err != nil {
		return fmt.Errorf("--errors: %w", err)
	}
	return nil
}

// last says how far the import came.
func (s *importSummary) last() string {
	if s.lastName == "" {
		return "no line"
	}
	return fmt.Sprintf("%s:%d", s.lastName, s.lastLine)
}
