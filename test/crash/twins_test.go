package crash

import (
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"

	"rbcs/internal/testenv"
)

// TestTwoInstances loads two instances on one database with the same
// transactions in different orders: each moves money once, and every client of
// either instance is told the same.
func TestTwoInstances(t *testing.T) {
	store := testenv.Postgres(t)
	instances := []*testenv.Process{
		serve(t, "--store", store, "--listen", "127.0.0.1:0", "--instance", "a", "--migrate"),
		serve(t, "--store", store, "--listen", "127.0.0.1:0", "--instance", "b"),
	}
	createAccounts(t, instances[0].URL)

	books := newLedger()
	random := rand.New(rand.NewPCG(seed(t), 0))
	list := make([]transaction, 1000)
	for i := range list {
		list[i] = randomTransaction(random, fmt.Sprintf("t%d", i))
		books.send(list[i])
	}
	var load sync.WaitGroup
	for i := range clients {
		order := random.Perm(len(list))
		url := instances[i%len(instances)].URL
		load.Go(func() {
			for _, k := range order {
				a, err := post(url+"/v1/transactions", list[k].json())
				if err != nil {
					t.Errorf("%s: %v", list[k].id, err)
					return
				}
				o, ok := a.decided(t, list[k].id)
				if !ok {
					t.Errorf("%s: %d %s", o.ID, a.status, a.body)
					return
				}
				books.acknowledge(t, o)
			}
		})
	}
	load.Wait()
	for _, p := range instances {
		books.check(t, p.URL)
	}
	verify(t, store)
}
