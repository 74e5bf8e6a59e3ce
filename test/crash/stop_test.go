package crash

import (
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// TestStoppedUnderLoad sends SIGTERM to the service under load: everybody who
// asked before gets an answer, and nobody hears of a commit that is not there.
func TestStoppedUnderLoad(t *testing.T) {
	store := "sqlite:" + filepath.Join(t.TempDir(), "rbcs.db")
	p := serve(t, "--store", store, "--listen", "127.0.0.1:0", "--drain-delay", "200ms")
	createAccounts(t, p.URL)

	books := newLedger()
	var signalled atomic.Bool
	var load sync.WaitGroup
	for i := range 4 * clients {
		random := rand.New(rand.NewPCG(uint64(i), 0))
		load.Go(func() {
			for n := 0; ; n++ {
				tx := randomTransaction(random, fmt.Sprintf("c%02d-%d", i, n))
				books.send(tx)
				before := !signalled.Load()
				a, err := post(p.URL+"/v1/transactions", tx.json())
				if err != nil {
					if before {
						t.Errorf("%s was sent before the signal and not answered: %v", tx.id, err)
					}
					return // the service is gone
				}
				if o, ok := a.decided(t, tx.id); ok {
					books.acknowledge(t, o)
				}
			}
		})
	}
	books.await(t, 500)
	signalled.Store(true)
	end(t, p, syscall.SIGTERM)
	load.Wait()

	p = serve(t, "--store", store, "--listen", "127.0.0.1:0")
	books.check(t, p.URL)
	end(t, p, syscall.SIGINT)
	verify(t, store)
}

// TestSecondSignalEndsAtOnce: whoever presses Ctrl-C twice does not want to wait.
func TestSecondSignalEndsAtOnce(t *testing.T) {
	p := serve(t, "--store", "sqlite:"+filepath.Join(t.TempDir(), "rbcs.db"), "--listen", "127.0.0.1:0", "--drain-delay", "10m")
	if err := p.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(startTimeout); !strings.Contains(p.Log.String(), `"stopping"`); pause() {
		if time.Now().After(deadline) {
			t.Fatal("the first signal does not stop the service")
		}
	}
	// Signals that come as fast as timeout(1) sends them count as one: press it until it has ended.
	for running := true; running; {
		select {
		case <-p.Ended:
			running = false
		case <-time.After(50 * time.Millisecond):
			if err := p.Signal(syscall.SIGINT); err != nil {
				t.Fatal(err)
			}
		}
	}
	if code, err := p.Wait(); err != nil || code == 0 {
		t.Errorf("a service that is cut short must not exit with 0: %d, %v", code, err)
	}
}
