package crash

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"rbcs/internal/testenv"
)

// kills is how often the service is killed in one test.
const kills = 5

// clients is how many clients load the service; every fourth sends batches.
const clients = 16

// batchSize is how many transactions a batch of the load has.
const batchSize = 25

// TestKilled kills the service at random moments under load and starts it
// again: what was acknowledged is there, once, and nothing else has moved money.
func TestKilled(t *testing.T) {
	for name, store := range map[string]func(t *testing.T) string{
		"sqlite":   func(t *testing.T) string { return "sqlite:" + filepath.Join(t.TempDir(), "rbcs.db") },
		"postgres": func(t *testing.T) string { return testenv.Postgres(t) },
	} {
		t.Run(name, func(t *testing.T) { testKilled(t, store(t)) })
	}
}

// seed returns RBCS_TEST_SEED, or a new seed, and prints it.
func seed(t *testing.T) uint64 {
	t.Helper()
	n := rand.Uint64()
	if s := os.Getenv("RBCS_TEST_SEED"); s != "" {
		var err error
		if n, err = strconv.ParseUint(s, 10, 64); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("RBCS_TEST_SEED=%d", n)
	return n
}

func testKilled(t *testing.T, store string) {
	random := rand.New(rand.NewPCG(seed(t), 0))
	p := serve(t, "--store", store, "--migrate", "--listen", "127.0.0.1:0")
	url := p.URL
	createAccounts(t, url)

	books := newLedger()
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var load sync.WaitGroup
	for i := range clients {
		own := rand.New(rand.NewPCG(random.Uint64(), 0))
		load.Go(func() {
			c := &loader{t: t, url: url, books: books, random: own, name: fmt.Sprintf("c%02d", i), batch: i%4 == 0}
			c.run(ctx)
		})
	}
	for range kills {
		books.await(t, 1+random.IntN(200))
		<-time.After(time.Duration(random.IntN(100)) * time.Millisecond) // any moment of a commit, not only after an answer
		if code, err := p.End(syscall.SIGKILL); err != nil || code != -1 {
			t.Fatalf("the service ended by itself with %d, %v", code, err)
		}
		p = serve(t, "--store", store, "--listen", strings.TrimPrefix(url, "http://"))
	}
	books.await(t, 200)
	stop()
	load.Wait()

	t.Logf("%d transactions sent, %d acknowledged", len(books.sent), len(books.told))
	books.check(t, url)
	end(t, p, syscall.SIGTERM)
	verify(t, store)
}

// loader is one client under load.
type loader struct {
	t      *testing.T
	url    string
	books  *ledger
	random *rand.Rand
	name   string
	batch  bool
	sent   int
}

func (c *loader) run(ctx context.Context) {
	for ctx.Err() == nil {
		if c.batch {
			c.submitBatch(ctx)
		} else {
			c.submit(ctx)
		}
	}
}

// next returns a new transaction.
func (c *loader) next() transaction {
	c.sent++
	tx := randomTransaction(c.random, fmt.Sprintf("%s-%d", c.name, c.sent))
	c.books.send(tx)
	return tx
}

// submit sends one transaction until it is decided, or gives up in the dark.
func (c *loader) submit(ctx context.Context) {
	for tx := c.next(); ctx.Err() == nil; pause() {
		if a, err := post(c.url+"/v1/transactions", tx.json()); err == nil {
			if o, ok := a.decided(c.t, tx.id); ok {
				c.books.acknowledge(c.t, o)
				return
			}
		}
		if c.random.IntN(4) == 0 {
			return // what became of it shows at the end
		}
	}
}

// submitBatch does the same with a batch.
func (c *loader) submitBatch(ctx context.Context) {
	list := make([]string, batchSize)
	for i := range list {
		list[i] = c.next().json()
	}
	for body := `{"transactions":[` + strings.Join(list, ",") + `]}`; ctx.Err() == nil; pause() {
		if a, err := post(c.url+"/v1/transactions/batch", body); err == nil && c.acknowledge(a) {
			return
		}
		if c.random.IntN(4) == 0 {
			return
		}
	}
}

// acknowledge notes the outcomes in a batch's answer, and reports whether all were decided.
func (c *loader) acknowledge(a answer) bool {
	if a.status != http.StatusOK {
		if a.status != http.StatusServiceUnavailable && a.status != http.StatusTooManyRequests {
			c.t.Errorf("a batch is answered with %d %s", a.status, a.body)
		}
		return false
	}
	var answered struct {
		Results []struct {
			outcome
			Retryable bool
		}
	}
	if err := json.Unmarshal(a.body, &answered); err != nil || len(answered.Results) != batchSize {
		c.t.Errorf("a batch is answered with %s (%v)", a.body, err)
		return true
	}
	all := true
	for _, r := range answered.Results {
		switch {
		case r.Status == "posted":
			c.books.acknowledge(c.t, r.outcome)
		case r.Status == "rejected" && r.Code == "insufficient_funds":
			c.books.acknowledge(c.t, outcome{ID: r.ID, Status: r.Status, Code: r.Code})
		case r.Status == "error" && r.Retryable:
			all = false
		default:
			c.t.Errorf("a batch has the result %+v", r)
		}
	}
	return all
}
