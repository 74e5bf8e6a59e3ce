package crash

import (
	"bufio"
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"rbcs/internal/testenv"
)

// reconnects is how often the reader of the test comes back.
const reconnects = 100

// TestStreamThatReconnects reads the log from two instances in turn while both
// commit, and breaks the connection off anywhere: every sequence comes once, in order.
func TestStreamThatReconnects(t *testing.T) {
	store := testenv.Postgres(t)
	instances := []*testenv.Process{
		serve(t, "--store", store, "--listen", "127.0.0.1:0", "--instance", "a", "--migrate"),
		serve(t, "--store", store, "--listen", "127.0.0.1:0", "--instance", "b"),
	}
	createAccounts(t, instances[0].URL)
	load := startLoad(t, instances...)

	random := rand.New(rand.NewPCG(seed(t), 1))
	after := "0-0"
	var seen []int64
	for n := range reconnects {
		after, seen = readStream(t, instances[n%2].URL, after, seen, 1+random.IntN(40))
	}
	load.end()
	all := sequences(t, instances[0].URL)
	for len(seen) < len(all) {
		after, seen = readStream(t, instances[1].URL, after, seen, len(all)-len(seen))
	}
	if !slices.Equal(seen, all) {
		t.Errorf("the stream had %d sequences and the log has %d, or not in the same order", len(seen), len(all))
	}
	t.Logf("%d sequences over %d connections", len(seen), reconnects+1)
	verify(t, store)
}

// endless is a load that goes on until it is ended.
type endless struct {
	end      func()
	answered atomic.Int64
}

// startLoad posts transactions to all instances.
func startLoad(t *testing.T, instances ...*testenv.Process) *endless {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	s := &endless{}
	var load sync.WaitGroup
	for i := range clients {
		random := rand.New(rand.NewPCG(uint64(i), 0))
		url := instances[i%len(instances)].URL
		load.Go(func() {
			for n := 0; ctx.Err() == nil; n++ {
				tx := randomTransaction(random, fmt.Sprintf("c%02d-%d", i, n))
				if a, err := post(url+"/v1/transactions", tx.json()); err != nil || a.status/100 == 5 {
					t.Errorf("%s: %d %s %v", tx.id, a.status, a.body, err)
					return
				}
				s.answered.Add(1)
			}
		})
	}
	s.end = func() {
		cancel()
		load.Wait()
	}
	return s
}

// await waits until so many more transactions are answered.
func (s *endless) await(t *testing.T, n int64) {
	t.Helper()
	for want, deadline := s.answered.Load()+n, time.Now().Add(startTimeout); s.answered.Load() < want; pause() {
		if time.Now().After(deadline) {
			t.Fatalf("%d transactions are not answered in %s", n, startTimeout)
		}
	}
}

// readStream reads so many events behind an ID, and then goes away in the middle
// of whatever comes. It returns where to go on, and the sequences with the new ones.
func readStream(t *testing.T, base, after string, seen []int64, count int) (string, []int64) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, base+"/v1/events", nil)
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Last-Event-ID", after)
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		t.Fatalf("behind %s: %s", after, response.Status)
	}
	id, event := "", false
	for lines := bufio.NewReader(response.Body); count > 0; {
		line, err := lines.ReadString('\n')
		if err != nil {
			t.Fatalf("behind %s: %v", after, err)
		}
		line = strings.TrimSuffix(line, "\n")
		switch name, value, _ := strings.Cut(line, ": "); {
		case name == "id":
			id = value
		case name == "data":
			event = true
		case line == "":
			if id != "" {
				after = id
			}
			if event {
				_, sequence, _ := strings.Cut(id, "-")
				n, err := strconv.ParseInt(sequence, 10, 64)
				if err != nil {
					t.Fatal(err)
				}
				seen = append(seen, n)
				count--
			}
			id, event = "", false
		}
	}
	return after, seen
}

// sequences returns those of all transactions, as the list has them.
func sequences(t *testing.T, base string) (all []int64) {
	t.Helper()
	for cursor := ""; ; {
		var page struct {
			Transactions []struct{ Sequence int64 }
			NextCursor   string `json:"next_cursor"`
		}
		get(t, base+"/v1/transactions?limit=1000&cursor="+url.QueryEscape(cursor), &page)
		for _, tx := range page.Transactions {
			all = append(all, tx.Sequence)
		}
		if cursor = page.NextCursor; cursor == "" {
			slices.Reverse(all)
			return all
		}
	}
}
