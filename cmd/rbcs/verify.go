package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"rbcs/internal/audit"
)

// VerifyCmd audits a store.
type VerifyCmd struct {
	Store StoreName `default:"sqlite:rbcs.db" placeholder:"STORE" help:"sqlite:FILE or postgres://USER@HOST/DATABASE (${default})."`
	StoreAccess
	JSON bool `name:"json" help:"Print the report as JSON, for scripts."`
}

// Help is the long help of the command.
func (VerifyCmd) Help() string {
	return `Replays every account from the log of transactions, in one consistent snapshot,
and compares it with what is stored: balances, totals and versions. Checks that the
log has no gap and that each currency sums to zero. It only reads, and may run
while the service does. Exits with 1 and the list of faults if there are any.

Examples:

  rbcs verify
  rbcs verify --store postgres://rbcs@db/rbcs
  rbcs verify --store sqlite:/var/lib/rbcs/rbcs.db --json`
}

// verifyReport is the report as JSON.
type verifyReport struct {
	OK           bool          `json:"ok"`
	Accounts     int64         `json:"accounts"`
	Transactions int64         `json:"transactions"`
	Posted       int64         `json:"posted"`
	Held         int64         `json:"held"` // holds, settled or not
	OpenHolds    int64         `json:"open_holds"`
	Rejected     int64         `json:"rejected"`
	Currencies   []currencySum `json:"currencies"`
	FaultCount   int64         `json:"fault_count"`
	Faults       []verifyFault `json:"faults"` // the first of them
	Seconds      float64       `json:"seconds"`
}

type currencySum struct {
	Currency string `json:"currency"`
	Accounts int64  `json:"accounts"`
	Sum      string `json:"sum"`
	Held     string `json:"held"` // by open holds
}

type verifyFault struct {
	Account     string `json:"account,omitempty"`
	Transaction string `json:"transaction,omitempty"`
	What        string `json:"what"`
	Expected    string `json:"expected"`
	Found       string `json:"found"`
}

// Run audits the store.
func (c *VerifyCmd) Run(ctx context.Context, m *Main) (err error) {
	store, err := openStore(ctx, c.Store, storeOptions{access: c.StoreAccess, readOnly: true, logger: m.quietLogger()})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, store.Close()) }()
	start := time.Now()
	p := progressOn(m.Stderr, "verify", "transactions", func(int64) float64 { return -1 })
	report, err := audit.Run(ctx, store, p.items.Store)
	p.end()
	if err != nil {
		return fmt.Errorf("the audit did not end: %w", err)
	}
	if err := c.print(m, &report, time.Since(start)); err != nil {
		return err
	}
	if !report.OK() {
		return fmt.Errorf("the audit of %s found %s: do not trust its balances; keep the database as it is and restore a backup beside it", c.Store, count(report.FaultCount, "fault"))
	}
	return nil
}

func (c *VerifyCmd) print(m *Main, report *audit.Report, took time.Duration) error {
	if c.JSON {
		return printJSON(m.Stdout, reportJSON(report, took))
	}
	return printReport(m, report, took)
}

func reportJSON(report *audit.Report, took time.Duration) verifyReport {
	r := verifyReport{
		OK: report.OK(), Accounts: report.Accounts,
		Transactions: report.Transactions, Posted: report.Posted, Held: report.Held, OpenHolds: report.OpenHolds, Rejected: report.Rejected,
		Currencies: []currencySum{}, FaultCount: report.FaultCount, Faults: []verifyFault{}, Seconds: took.Seconds(),
	}
	for _, s := range report.Currencies {
		r.Currencies = append(r.Currencies, currencySum{s.Currency.Code, s.Accounts, s.Sum, s.Held})
	}
	for _, f := range report.Faults {
		r.Faults = append(r.Faults, verifyFault(f))
	}
	return r
}

// printReport prints an audit for a person.
func printReport(m *Main, report *audit.Report, took time.Duration) error {
	holds := ""
	if report.Held > 0 {
		holds = fmt.Sprintf("%s held, of which %s are open, ", thousands(report.Held), thousands(report.OpenHolds))
	}
	fmt.Fprintf(m.Stdout, "%s, %s (%s posted, %s%s rejected) replayed in %s\n",
		count(report.Accounts, "account"), count(report.Transactions, "transaction"), thousands(report.Posted), holds, thousands(report.Rejected), took.Round(time.Millisecond))
	if len(report.Currencies) > 0 {
		rows := [][]string{{"CURRENCY", "ACCOUNTS", "SUM OF BALANCES", "HELD"}}
		for _, s := range report.Currencies {
			rows = append(rows, []string{s.Currency.Code, thousands(s.Accounts), s.Sum, s.Held})
		}
		if err := printTable(m.Stdout, rows); err != nil {
			return err
		}
	}
	for _, f := range report.Faults {
		fmt.Fprintln(m.Stdout, "FAULT", f)
	}
	if more := report.FaultCount - int64(len(report.Faults)); more > 0 {
		fmt.Fprintf(m.Stdout, "… and %d more faults\n", more)
	}
	if report.OK() {
		fmt.Fprintln(m.Stdout, "OK: every balance is what its history says, and money is conserved")
	}
	return nil
}
