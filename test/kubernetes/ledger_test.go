//go:build kubernetes

package kubernetes

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"rbcs"
	"rbcs/client"
)

// ledger is what the load submitted and was told.
type ledger struct {
	mu       sync.Mutex
	next     int
	versions map[string]int64 // the highest acknowledged version of each account
	entries  map[string]*entry
	refused  []string // answers that are neither posted nor "unknown"
}

// entry is one transaction of the load.
type entry struct {
	client.Transaction
	cents  int64
	result *client.Result // nil: its outcome is unknown to the client
}

func newLedger() *ledger {
	return &ledger{versions: map[string]int64{}, entries: map[string]*entry{}}
}

func (l *ledger) acknowledged(number string) int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.versions[number]
}

// submit submits a transaction of its own and records what comes of it.
func (l *ledger) submit(ctx context.Context, c *client.Client) {
	e := l.begin()
	result, err := c.Submit(ctx, e.Transaction)
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case err != nil: // the client gave up: it may be recorded or not
	case !posted(result):
		l.refused = append(l.refused, fmt.Sprintf("%s: %s %s %s", e.ID, result.Status, result.Code, result.Detail))
	default:
		e.result = &result
		l.versions[e.Source] = max(l.versions[e.Source], result.SourceVersion)
		l.versions[e.Destination] = max(l.versions[e.Destination], result.DestinationVersion)
	}
}

// begin makes a transaction, from one account to another; every tenth goes to the same one.
func (l *ledger) begin() *entry {
	l.mu.Lock()
	defer l.mu.Unlock()
	source, step := rand.IntN(accounts), 1+rand.IntN(accounts-1)
	destination := (source + step) % accounts
	if rand.IntN(10) == 0 && source != 0 {
		destination = 0
	}
	cents := 1 + rand.Int64N(100_00)
	e := &entry{cents: cents, Transaction: client.Transaction{
		ID:          fmt.Sprintf("load-%07d", l.next),
		Source:      account(source),
		Destination: account(destination),
		Amount:      client.Amount(fmt.Sprintf("%d.%02d", cents/100, cents%100)),
		Timestamp:   time.Now().UTC().Truncate(time.Microsecond),
	}}
	l.next++
	l.entries[e.ID] = e
	return e
}

// row is what the database holds under an ID.
type row struct {
	id, status                                          string
	sequence, amount, sourceBalance, destinationBalance int64
	sourceVersion, destinationVersion                   int64
	committedAt                                         time.Time
}

// check compares the ledger with the database and the service, while no load runs: every acknowledged transaction is
// there once with what was told, nothing is there that was not submitted, and every balance is what the transactions
// come to. It returns how many are acknowledged, and how many of unknown outcome were found recorded and not.
func (l *ledger) check(t *testing.T, p *postgres, c *client.Client) (acknowledged, recorded, absent int) {
	t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, r := range l.refused {
		t.Errorf("refused: %s", r)
	}
	seen := map[string]bool{}
	balances := map[string]int64{}
	for _, r := range rows(t, p) {
		e := l.entries[r.id]
		if e == nil {
			t.Errorf("%s is recorded, and was never submitted", r.id)
			continue
		}
		if seen[r.id] {
			t.Errorf("%s is recorded twice", r.id)
		}
		seen[r.id] = true
		balances[e.Source] -= e.cents
		balances[e.Destination] += e.cents
		if told := e.told(); e.result != nil && told != r || r.amount != e.cents || r.status != string(rbcs.Posted) {
			t.Errorf("%s: the database holds %+v, the client submitted %d and was told %+v", r.id, r, e.cents, told)
		}
	}
	for id, e := range l.entries {
		switch {
		case e.result != nil && !seen[id]:
			t.Errorf("%s was acknowledged and is lost", id)
		case e.result != nil:
			acknowledged++
		case seen[id]:
			recorded++
		default:
			absent++
		}
	}
	for i := range accounts {
		b, err := c.Balance(t.Context(), account(i))
		if err != nil {
			t.Fatalf("read %s: %v", account(i), err)
		}
		if found := cents(b.Balance); found != balances[account(i)] {
			t.Errorf("%s: the balance is %d cents; its transactions come to %d", account(i), found, balances[account(i)])
		}
	}
	return acknowledged, recorded, absent
}

// told is what the client was told, as the database should hold it.
func (e *entry) told() row {
	r := e.result
	if r == nil {
		return row{}
	}
	return row{
		id: r.ID, status: string(r.Status), sequence: r.Sequence, amount: cents(r.Amount),
		sourceBalance: cents(r.SourceBalance), destinationBalance: cents(r.DestinationBalance),
		sourceVersion: r.SourceVersion, destinationVersion: r.DestinationVersion, committedAt: r.CommittedAt.UTC(),
	}
}

// rows reads the log past the service.
func rows(t *testing.T, p *postgres) []row {
	t.Helper()
	conn := p.connect(t, database)
	found, err := conn.Query(t.Context(), `
		select id, status, sequence, amount::bigint, coalesce(source_balance, 0)::bigint, coalesce(destination_balance, 0)::bigint,
		       source_version, destination_version, committed_at
		from transactions where id like 'load-%'`)
	if err != nil {
		t.Fatal(err)
	}
	defer found.Close()
	var all []row
	for found.Next() {
		var r row
		err := found.Scan(&r.id, &r.status, &r.sequence, &r.amount, &r.sourceBalance, &r.destinationBalance,
			&r.sourceVersion, &r.destinationVersion, &r.committedAt)
		if err != nil {
			t.Fatal(err)
		}
		r.committedAt = r.committedAt.UTC()
		all = append(all, r)
	}
	if err := found.Err(); err != nil {
		t.Fatal(err)
	}
	return all
}

// cents returns an amount of two decimals in cents; one that is none is a number that no account has.
func cents(a client.Amount) int64 {
	units, err := a.In(2)
	n, ok := units.Int64()
	if err != nil || !ok {
		return -1 << 62
	}
	return n
}

// problemCode returns the code of an error's body.
func problemCode(body []byte) string {
	var problem struct{ Code string }
	_ = json.Unmarshal(body, &problem) // a body of another kind has none
	return problem.Code
}
