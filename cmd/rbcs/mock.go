package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"

	"rbcs"
	"rbcs/internal/mock"
)

// MockCmd makes mock data.
type MockCmd struct {
	Seed         uint64     `default:"1" placeholder:"N" help:"Seed of the data (${default}). The same flags and seed give the same bytes on every machine."`
	Accounts     int        `default:"1000" placeholder:"N" help:"How many accounts (${default})."`
	Transactions int        `default:"100000" placeholder:"N" help:"How many lines of transactions (${default})."`
	Currency     string     `default:"USD" placeholder:"CODE" help:"Currency of all of it (${default}); one that ISO 4217 does not know with its decimals, such as BTC=8."`
	Shape        mock.Shape `default:"uniform" enum:"uniform,zipf,hot" placeholder:"SHAPE" help:"How the transactions spread over the accounts: uniform, zipf (a few are used most) or hot (all payments go to one) (${default})."`
	Out          string     `type:"path" placeholder:"DIR" help:"Folder for accounts.ndjson, transactions.ndjson and expected-balances.ndjson. Without it, accounts and then transactions go to standard output."`
}

// Help is the long help of the command.
func (MockCmd) Help() string {
	return `Writes accounts, transactions between them in the order of their time, and the
balances that every account must have after them, all as NDJSON. All money comes
from treasury accounts, which may go below zero, so that all balances sum to zero.

About one line in a hundred must be rejected with insufficient_funds, and one in a
hundred repeats an earlier line, byte for byte. The expected balances, computed
independently of the service's rules, account for both.

Examples:

  rbcs mock --seed 7 --accounts 1000 --transactions 100000 --out data
  rbcs import data/accounts.ndjson data/transactions.ndjson
  rbcs mock --shape hot --currency BTC=8 | rbcs import --store sqlite:rbcs.db -`
}

// Run writes the data.
func (c *MockCmd) Run(ctx context.Context, m *Main) error {
	currency, err := parseCurrency(c.Currency)
	if err != nil {
		return usageError{err}
	}
	g, err := mock.New(mock.Config{
		Seed: c.Seed, Accounts: c.Accounts, Transactions: c.Transactions, Currency: currency, Shape: c.Shape,
	})
	if err != nil {
		return usageError{err}
	}
	files := []mockFile{{"accounts.ndjson", g.WriteAccounts}, {"transactions.ndjson", g.WriteTransactions}}
	lines := c.Accounts + c.Transactions
	if c.Out != "" {
		files = append(files, mockFile{"expected-balances.ndjson", g.WriteExpected})
		lines += c.Accounts
		if err := os.MkdirAll(c.Out, 0o755); err != nil {
			return fmt.Errorf("--out: %w", err)
		}
	}
	p := progressOn(m.Stderr, "mock", "lines", func(n int64) float64 { return float64(n) / float64(lines) })
	for _, f := range files {
		if err = f.writeTo(ctx, c.Out, m.Stdout, &p.items); err != nil {
			break
		}
	}
	p.end()
	if err != nil {
		return fmt.Errorf("mock data: %w", err)
	}
	s := g.Summary()
	fmt.Fprintf(m.Stderr, "%s accounts, %s lines of transactions: %s to post, %s to reject (insufficient_funds), %s that repeat an earlier one\n",
		thousands(int64(c.Accounts)), thousands(int64(c.Transactions)),
		thousands(int64(s.Posted)), thousands(int64(s.Rejected)), thousands(int64(s.Replayed)))
	if c.Out != "" {
		fmt.Fprintf(m.Stderr, "written to %s\n", c.Out)
	}
	return nil
}

// mockFile is one of the files and what writes it.
type mockFile struct {
	name  string
	write func(context.Context, io.Writer) error
}

// writeTo writes the file into a folder, or to w where there is none. A file
// that has its name is whole.
func (f mockFile) writeTo(ctx context.Context, dir string, w io.Writer, lines *atomic.Int64) error {
	if dir == "" {
		return f.write(ctx, lineCounter{w, lines})
	}
	part, err := os.Create(filepath.Join(dir, f.name+".part"))
	if err != nil {
		return err
	}
	err = errors.Join(f.write(ctx, lineCounter{part, lines}), part.Close())
	if err == nil {
		err = os.Rename(part.Name(), filepath.Join(dir, f.name))
	}
	if err != nil {
		return errors.Join(err, os.Remove(part.Name()))
	}
	return nil
}

// lineCounter counts the lines that are written.
type lineCounter struct {
	io.Writer
	lines *atomic.Int64
}

func (l lineCounter) Write(b []byte) (int, error) {
	l.lines.Add(int64(bytes.Count(b, []byte("\n"))))
	return l.Writer.Write(b)
}

// parseCurrency reads the code of a currency of ISO 4217, or CODE=DECIMALS.
func parseCurrency(text string) (rbcs.Currency, error) {
	var declared []rbcs.Currency
	code := text
	if strings.Contains(text, "=") {
		var err error
		if declared, err = rbcs.ParseCurrencies(text); err != nil {
			return rbcs.Currency{}, err
		}
		code, _, _ = strings.Cut(text, "=")
	}
	known, err := rbcs.NewCurrencies(declared...)
	if err != nil {
		return rbcs.Currency{}, err
	}
	currency, ok := known.Lookup(code)
	if !ok {
		return rbcs.Currency{}, fmt.Errorf("--currency %q is not in ISO 4217; write it with its decimals, such as BTC=8", text)
	}
	return currency, nil
}
