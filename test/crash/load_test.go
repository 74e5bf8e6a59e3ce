package crash

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"
)

// accounts is how many accounts the load moves money between: few, so that
// they are contended and that some lack funds.
const accounts = 12

// world is where the money comes from.
const world = "world"

func number(i int) string { return fmt.Sprintf("user:%02d", i) }

// createAccounts creates the accounts of the load.
func createAccounts(t *testing.T, url string) {
	t.Helper()
	list := []string{fmt.Sprintf(`{"number":%q,"currency":"USD","overdraft":"unlimited"}`, world)}
	for i := range accounts {
		list = append(list, fmt.Sprintf(`{"number":%q,"currency":"USD"}`, number(i)))
	}
	a, err := post(url+"/v1/accounts/batch", "["+strings.Join(list, ",")+"]")
	if err != nil || a.status >= 300 {
		t.Fatalf("create accounts: %d %s %v", a.status, a.body, err)
	}
}

// transaction is one transaction of the load.
type transaction struct {
	id                  string
	source, destination string
	cents               int64
}

// randomTransaction funds an account or moves money between two.
func randomTransaction(random *rand.Rand, id string) transaction {
	to := random.IntN(accounts)
	tx := transaction{id, world, number(to), 1 + random.Int64N(10_000)}
	if other := random.IntN(2 * accounts); other < accounts && other != to {
		tx.source = number(other)
		tx.cents *= 10 // often more than is there
	}
	return tx
}

func (t transaction) json() string {
	return fmt.Sprintf(`{"id":%q,"source":%q,"destination":%q,"amount":%q,"timestamp":"2026-01-02T03:04:05Z"}`,
		t.id, t.source, t.destination, dollars(t.cents))
}

func dollars(cents int64) string {
	sign := ""
	if cents < 0 {
		sign, cents = "-", -cents
	}
	return fmt.Sprintf("%s%d.%02d", sign, cents/100, cents%100)
}

// outcome is what a client is told about one transaction; it never changes.
type outcome struct {
	ID                 string
	Status             string
	Code               string
	Sequence           int64
	CommittedAt        string `json:"committed_at"`
	SourceBalance      string `json:"source_balance"`
	DestinationBalance string `json:"destination_balance"`
	SourceVersion      int64  `json:"source_version"`
	DestinationVersion int64  `json:"destination_version"`
}

// decided returns the outcome in an answer, and false for one that says to come back.
func (a answer) decided(t *testing.T, id string) (outcome, bool) {
	t.Helper()
	var o outcome
	switch a.status {
	case http.StatusCreated, http.StatusOK:
		if err := json.Unmarshal(a.body, &o); err != nil || o.ID != id || o.Status != "posted" {
			t.Errorf("%s: answered with %s (%v)", id, a.body, err)
		}
		return o, true
	case http.StatusUnprocessableEntity:
		var problem struct{ Code string }
		if err := json.Unmarshal(a.body, &problem); err != nil || problem.Code != "insufficient_funds" {
			t.Errorf("%s: refused with %s (%v)", id, a.body, err)
		}
		return outcome{ID: id, Status: "rejected", Code: problem.Code}, true
	case http.StatusServiceUnavailable, http.StatusTooManyRequests:
		return o, false
	}
	t.Errorf("%s: answered with %d %s", id, a.status, a.body)
	return o, false
}

// ledger is what the clients of a test sent, and what they were told.
type ledger struct {
	mu   sync.Mutex
	sent map[string]transaction
	told map[string]outcome
}

func newLedger() *ledger {
	return &ledger{sent: map[string]transaction{}, told: map[string]outcome{}}
}

func (l *ledger) send(tx transaction) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.sent[tx.id] = tx
}

// acknowledge notes an outcome; whoever was told another one before has been told a lie.
func (l *ledger) acknowledge(t *testing.T, o outcome) {
	t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	if before, ok := l.told[o.ID]; ok && before != o {
		t.Errorf("%s: first told %+v, then %+v", o.ID, before, o)
	}
	l.told[o.ID] = o
}

func (l *ledger) acknowledged() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.told)
}

// await waits until n more transactions are acknowledged.
func (l *ledger) await(t *testing.T, n int) {
	t.Helper()
	for want, deadline := l.acknowledged()+n, time.Now().Add(startTimeout); l.acknowledged() < want; {
		if time.Now().After(deadline) {
			t.Fatalf("only %d of %d transactions are acknowledged after %s", l.acknowledged(), want, startTimeout)
		}
		pause()
	}
}

// pause is the time between two looks at a condition.
func pause() { <-time.After(5 * time.Millisecond) }

// check submits everything that was ever sent once more. Each outcome must be
// the one that was told, and the balances what they sum to.
func (l *ledger) check(t *testing.T, url string) {
	t.Helper()
	var all sync.WaitGroup
	jobs := make(chan transaction)
	for range clients {
		all.Go(func() {
			for tx := range jobs {
				l.checkOne(t, url, tx)
			}
		})
	}
	for _, tx := range l.sent {
		jobs <- tx
	}
	close(jobs)
	all.Wait()

	balances, versions := map[string]int64{}, map[string]int64{}
	for _, o := range l.told {
		if tx := l.sent[o.ID]; o.Status == "posted" {
			balances[tx.source] -= tx.cents
			balances[tx.destination] += tx.cents
			versions[tx.source]++
			versions[tx.destination]++
		}
	}
	for number, cents := range balances {
		var account struct {
			Balance string
			Version int64
		}
		get(t, url+"/v1/accounts/"+number, &account)
		if account.Balance != dollars(cents) || account.Version != versions[number] {
			t.Errorf("%s has %s at version %d, but its transactions make %s at version %d",
				number, account.Balance, account.Version, dollars(cents), versions[number])
		}
	}
}

func (l *ledger) checkOne(t *testing.T, url string, tx transaction) {
	t.Helper()
	a, err := post(url+"/v1/transactions", tx.json())
	if err != nil {
		t.Errorf("%s: %v", tx.id, err)
		return
	}
	o, ok := a.decided(t, tx.id)
	if !ok {
		t.Errorf("%s: not decided: %d %s", tx.id, a.status, a.body)
		return
	}
	if l.wasTold(tx.id) && !a.replay {
		t.Errorf("%s was acknowledged and then lost", tx.id)
	}
	l.acknowledge(t, o)
}

func (l *ledger) wasTold(id string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	_, ok := l.told[id]
	return ok
}
