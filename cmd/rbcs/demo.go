package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"rbcs"
	"rbcs/client"
	"rbcs/internal/audit"
	"rbcs/internal/load"
	"rbcs/internal/mock"
	"rbcs/internal/records"
)

// DemoCmd shows the main job on an empty machine.
type DemoCmd struct {
	Listen       string `default:"127.0.0.1:0" placeholder:"HOST:PORT" help:"Address of the service (${default}: a free port)."`
	Accounts     int    `default:"1000" placeholder:"N" help:"How many mock accounts (${default})."`
	Transactions int    `default:"100000" placeholder:"N" help:"How many mock transactions (${default})."`
	Seed         uint64 `default:"7" placeholder:"N" help:"Seed of the mock data (${default})."`
	Exit         bool   `help:"End when everything was shown, instead of serving until Ctrl-C."`
}

// Help is the long help of the command.
func (DemoCmd) Help() string {
	return `Serves on SQLite in a temporary folder, makes mock accounts and transactions, posts
them over HTTP, compares every balance with what it must be, shows a rejection and
a replay, puts load on the service, audits the books, and goes on serving with a
dashboard until Ctrl-C. The folder is removed at the end. Nothing else is needed.
It exits with 1 if a single balance is wrong.

Examples:

  rbcs demo
  rbcs demo --exit
  rbcs demo --accounts 100000 --transactions 1000000`
}

// Validate checks what the types of the flags do not.
func (c *DemoCmd) Validate() error {
	usd := rbcs.Currency{Code: "USD", Decimals: 2}
	cfg := mock.Config{Accounts: c.Accounts, Transactions: c.Transactions, Currency: usd, Shape: mock.Zipf}
	if err := cfg.Validate(); err != nil {
		return err
	}
	return (&ServeCmd{Listen: c.Listen, MaxBatch: 1, MaxPending: 1, DrainTimeout: 1}).Validate()
}

// demoStop is how long the service may take to stop at the end.
const demoStop = 10 * time.Second

// Run shows the demo.
func (c *DemoCmd) Run(ctx context.Context, m *Main) (err error) {
	ctx, restore := signal.NotifyContext(ctx, syscall.SIGHUP) // closing the window must not leave the folder behind
	defer restore()
	dir, err := os.MkdirTemp("", "rbcs-demo-")
	if err != nil {
		return fmt.Errorf("the demo needs a temporary folder: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	service, err := startServer(ctx, ServeCmd{
		Listen: c.Listen, Store: StoreName("sqlite:" + filepath.Join(dir, "demo.db")), Instance: "demo", LogLevel: "warn",
	}, m)
	if err != nil {
		return err
	}
	defer func() {
		stop, cancel := context.WithTimeout(context.WithoutCancel(ctx), demoStop)
		defer cancel()
		err = errors.Join(err, service.Stop(stop))
	}()
	api, err := client.New(service.URL())
	if err != nil {
		return err
	}
	defer api.Close()
	d := &demo{DemoCmd: c, m: m, dir: dir, service: service, api: api, bold: isTerminal(m.Stdout) && os.Getenv("NO_COLOR") == ""}
	start := time.Now()
	if err := d.show(ctx); err != nil {
		return err
	}
	d.title("That was it, in %s", time.Since(start).Round(100*time.Millisecond))
	fmt.Fprintln(m.Stdout, "   every balance is right, every currency sums to zero")
	if c.Exit {
		return nil
	}
	return d.serve(ctx)
}

// demo is a demo under way.
type demo struct {
	*DemoCmd
	m       *Main
	dir     string
	service *server
	api     *client.Client
	bold    bool
}

func (d *demo) show(ctx context.Context) error {
	fmt.Fprintf(d.m.Stdout, "rbcs keeps balances: exact, exactly once, never stale. It serves at %s\n"+
		"on SQLite in a temporary folder, and commits every answer to disk before it gives it.\n", d.service.URL())
	for _, step := range []func(context.Context) error{
		d.post, d.balances, d.reject, d.replay, d.load, d.audit,
	} {
		if err := step(ctx); err != nil {
			return err
		}
	}
	return nil
}

func (d *demo) title(format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	if d.bold {
		text = "\x1b[1m" + text + "\x1b[0m"
	}
	fmt.Fprintf(d.m.Stdout, "\n%s\n", text)
}

// indented is a writer that moves what others print to the right.
func (d *demo) indented(show func(m *Main) error) error {
	r, w := io.Pipe()
	done := make(chan error, 1)
	go func() {
		lines := bufio.NewScanner(r)
		for lines.Scan() {
			fmt.Fprintln(d.m.Stdout, "   "+lines.Text())
		}
		done <- lines.Err()
	}()
	err := show(&Main{Stdin: d.m.Stdin, Stdout: w, Stderr: d.m.Stderr})
	return errors.Join(err, w.Close(), <-done)
}

// post makes the data and posts it.
func (d *demo) post(ctx context.Context) error {
	d.title("1. Post %s mock transactions between %s accounts, over HTTP", thousands(int64(d.Transactions)), thousands(int64(d.Accounts)))
	make := MockCmd{Seed: d.Seed, Accounts: d.Accounts, Transactions: d.Transactions, Currency: "USD", Shape: mock.Zipf, Out: d.dir}
	if err := make.Run(ctx, &Main{Stdout: io.Discard, Stderr: io.Discard}); err != nil {
		return err
	}
	imports := ImportCmd{
		Files: []string{filepath.Join(d.dir, "accounts.ndjson"), filepath.Join(d.dir, "transactions.ndjson")},
		URL:   d.service.URL(), Batch: 5000, RetryFor: time.Minute, unrepeatable: true,
	}
	return d.indented(func(m *Main) error { return imports.Run(ctx, m) })
}

// balances compares all of them with the expected ones, and shows some.
func (d *demo) balances(ctx context.Context) error {
	d.title("2. Compare every balance with what the generator expects")
	file, err := os.Open(filepath.Join(d.dir, "expected-balances.ndjson"))
	if err != nil {
		return err
	}
	defer func() { _ = file.Close() }() // it was only read
	type line struct {
		Number  string
		Balance client.Amount
		Version int64
	}
	expected := map[string]line{}
	for dec := json.NewDecoder(file); ; {
		var e line
		if err := dec.Decode(&e); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return err
		}
		expected[e.Number] = e
	}
	rows := [][]string{{"ACCOUNT", right("BALANCE"), right("OVERDRAFT"), right("CHANGES")}}
	seen := 0
	for a, err := range d.api.Accounts(ctx, client.AccountQuery{Prefix: "acme:", PageSize: 1000}) {
		if err != nil {
			return err
		}
		if e := expected[a.Number]; e.Balance != a.Balance || e.Version != a.Version {
			return fmt.Errorf("the account %s has %s after %d changes, and must have %s after %d", a.Number, a.Balance, a.Version, e.Balance, e.Version)
		}
		if seen++; seen%(len(expected)/6+1) == 1 || a.Overdraft == client.Unlimited {
			rows = append(rows, []string{a.Number, right(money(a.Balance)), right(a.Overdraft), right(thousands(a.Version))})
		}
	}
	if seen != len(expected) {
		return fmt.Errorf("there are %d accounts, and must be %d", seen, len(expected))
	}
	fmt.Fprintf(d.m.Stdout, "   all %s balances are right; some of them:\n\n", thousands(int64(seen)))
	return d.indented(func(m *Main) error { return printTable(m.Stdout, rows) })
}

// right aligns a cell of the table to the right.
func right(cell string) string { return fmt.Sprintf("%13s", cell) }

// reject shows a transaction that asks for too much.
func (d *demo) reject(ctx context.Context) error {
	d.title("3. Spend more than there is")
	t := d.transaction("demo-too-much", "999999.99")
	result, err := d.api.Submit(ctx, t)
	if err != nil {
		return err
	}
	if result.Status != rbcs.Rejected || result.Code != rbcs.InsufficientFunds {
		return fmt.Errorf("a transaction that spends too much is %s", result.Status)
	}
	fmt.Fprintf(d.m.Stdout, "   %s: %s → %s, %s USD\n", t.ID, t.Source, t.Destination, money(t.Amount))
	fmt.Fprintf(d.m.Stdout, "   %s: %s; available %s, needed %s, short %s\n", result.Status, result.Code,
		money(result.Available), money(result.Needed), money(result.Short))
	return nil
}

// replay shows that the same ID moves money once.
func (d *demo) replay(ctx context.Context) error {
	d.title("4. Send the same transaction three times")
	t := d.transaction("demo-again", "25.00")
	t.Source, t.Destination = treasury, t.Source
	for n := range 3 {
		result, err := d.api.Submit(ctx, t)
		if err != nil {
			return err
		}
		if result.Status != rbcs.Posted || result.Replayed != (n > 0) {
			return fmt.Errorf("submission %d of %s is %s, replayed: %t", n+1, t.ID, result.Status, result.Replayed)
		}
		what := "posted"
		if result.Replayed {
			what = "replayed: the recorded answer, no money moved"
		}
		fmt.Fprintf(d.m.Stdout, "   %s: %s has %s USD, %s\n", t.ID, t.Destination, money(result.DestinationBalance), what)
	}
	t.Amount = "26.00"
	_, err := d.api.Submit(ctx, t)
	if rbcs.CodeOf(err) != rbcs.IDConflict {
		return fmt.Errorf("the same ID with another amount ended with %w and not with %s", err, rbcs.IDConflict)
	}
	fmt.Fprintf(d.m.Stdout, "   %s with 26.00 instead: refused, %s\n", t.ID, records.Reason(err))
	return nil
}

// treasury is the first account of the mock data.
const treasury = "acme:treasury:0001"

func (d *demo) transaction(id string, amount client.Amount) client.Transaction {
	return client.Transaction{
		ID: id, Source: "acme:users:000001", Destination: treasury, Amount: amount,
		Timestamp: time.Now().UTC().Truncate(time.Microsecond),
	}
}

// load puts load on the service.
func (d *demo) load(ctx context.Context) error {
	const clients, duration = 64, 3 * time.Second
	d.title("5. %d clients, one transaction per request, for %s", clients, duration)
	report, err := runLoad(ctx, d.m, load.Config{
		URL: d.service.URL(), Workload: load.Uniform, Clients: clients, Duration: duration, Batch: 1, Accounts: 1000, Seed: d.Seed,
	})
	if err != nil {
		return err
	}
	l := report.WriteLatency
	fmt.Fprintf(d.m.Stdout, "   %s posted, %s; half of them within %s ms, 99 %% within %s ms\n", thousands(report.Transactions.Posted),
		perSecond(report.Transactions.PerSecond), millis(l.P50), millis(l.P99))
	fmt.Fprintf(d.m.Stdout, "   compared with what was acknowledged: %s accounts, difference %s\n", thousands(int64(report.Check.Accounts)), report.Check.Difference)
	if !report.OK() {
		return errors.New("the balances after the load are not what was acknowledged")
	}
	return ctx.Err()
}

// audit replays the whole log.
func (d *demo) audit(ctx context.Context) error {
	d.title("6. Audit: replay the whole history and compare")
	start := time.Now()
	report, err := audit.Run(ctx, d.service.store, func(int64) {})
	if err != nil {
		return err
	}
	if err := d.indented(func(m *Main) error { return printReport(m, &report, time.Since(start)) }); err != nil {
		return err
	}
	if !report.OK() {
		return fmt.Errorf("the audit found %d faults", report.FaultCount)
	}
	return nil
}

// serve goes on until the person has seen enough.
func (d *demo) serve(ctx context.Context) error {
	d.title("It goes on serving: %s", d.service.URL())
	fmt.Fprintf(d.m.Stdout, `   dashboard   %[1]s/
   API         %[1]s/docs
   try         curl %[1]s/v1/accounts/%[2]s/balance
               rbcs bench --url %[1]s
Ctrl-C ends it and removes its folder.
`, d.service.URL(), treasury)
	select {
	case <-ctx.Done():
		return nil
	case err := <-d.service.failed:
		return err
	}
}
