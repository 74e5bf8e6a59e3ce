// Package mock makes mock data: accounts, transactions between them, and the
// balances that the service must have after them.
//
// The data is a pure function of its [Config]: the same bytes on every run and
// every machine. That is why it draws from a seeded PCG and computes in
// integers only: a float may be rounded differently by another processor.
//
// The expected balances are the generator's own arithmetic. It shares nothing
// with the posting rules, so that it can be their judge. They hold if the
// transactions are decided in the order of the file, account by account.
package mock

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"

	"rbcs"
)

// Shape says how the transactions spread over the accounts.
type Shape string

// The shapes.
const (
	Uniform Shape = "uniform" // every account is as likely as any other
	Zipf    Shape = "zipf"    // the k-th account is about 1/k as likely as the first
	Hot     Shape = "hot"     // every payment goes to one account, and all money comes from another one
)

// Config is what the data is a function of.
type Config struct {
	Seed         uint64
	Accounts     int
	Transactions int
	Currency     rbcs.Currency
	Shape        Shape
}

// Bounds of a Config. A balance stays far inside an int64 with them.
const (
	minAccounts     = 2 // somebody to pay and somebody to be paid
	maxAccounts     = 100_000_000
	maxTransactions = 10_000_000_000
)

// Validate reports every fault at once.
func (c *Config) Validate() error {
	var faults []error
	if c.Accounts < minAccounts || c.Accounts > maxAccounts {
		faults = append(faults, fmt.Errorf("accounts: %d is outside %d–%d", c.Accounts, minAccounts, maxAccounts))
	}
	if c.Transactions < 0 || c.Transactions > maxTransactions {
		faults = append(faults, fmt.Errorf("transactions: %d is outside 0–%d", c.Transactions, maxTransactions))
	}
	if c.Currency.Code == "" || c.Currency.Decimals < 0 || c.Currency.Decimals > rbcs.MaxDecimals {
		faults = append(faults, fmt.Errorf("currency: %+v is not a currency", c.Currency))
	}
	if !slices.Contains([]Shape{Uniform, Zipf, Hot}, c.Shape) {
		faults = append(faults, fmt.Errorf("shape: %q is none of uniform, zipf, hot", c.Shape))
	}
	return errors.Join(faults...)
}

// Summary counts what the transactions of a [Generator] must come to.
type Summary struct {
	Posted   int
	Rejected int // all of them insufficient_funds
	Replayed int // lines that repeat an earlier one
}

// Generator makes the data of one Config: the accounts at any time, the
// transactions once, and after them the expected balances.
type Generator struct {
	cfg     Config
	cast    cast
	money   money
	draw    draw
	clock   clock
	book    []entry // by account index
	summary Summary
	recent  [][]byte // lines to repeat
	line    []byte
}

// entry is what the generator knows of one account.
type entry struct {
	balance int64 // in the generator's steps, see [money]
	version int64
}

// New returns a generator. The Config must be valid.
func New(cfg Config) (*Generator, error) {
	if err := cfg.Validate(); err != nil {
		return nil, fmt.Errorf("mock data: %w", err)
	}
	// Everything of the Config goes into the stream, so that two mock files of one seed share no ID.
	stream := uint64(cfg.Accounts)
	for _, b := range []byte(fmt.Sprint(cfg.Transactions, cfg.Currency, cfg.Shape)) {
		stream = (stream ^ uint64(b)) * 0x100000001B3 // FNV-1a
	}
	return &Generator{
		cfg:   cfg,
		cast:  newCast(cfg.Accounts),
		money: newMoney(cfg.Currency),
		draw:  draw{rand.NewPCG(cfg.Seed, stream)},
		clock: newClock(cfg.Transactions),
		book:  make([]entry, cfg.Accounts),
	}, nil
}

// Summary returns what the transactions that were written so far come to.
func (g *Generator) Summary() Summary { return g.summary }
