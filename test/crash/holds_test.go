package crash

import (
	"fmt"
	"net/http"
	"sync"
	"testing"
	"time"

	"rbcs/internal/testenv"
)

// TestHoldsExpireOnce lets holds fall due under the eyes of two instances, some
// of them while they are being captured: each is settled once, and an expiry
// comes within a second of its time.
func TestHoldsExpireOnce(t *testing.T) {
	const holds = 120
	store := testenv.Postgres(t)
	instances := []*testenv.Process{
		serve(t, "--store", store, "--listen", "127.0.0.1:0", "--instance", "a", "--migrate"),
		serve(t, "--store", store, "--listen", "127.0.0.1:0", "--instance", "b"),
	}
	createAccounts(t, instances[0].URL)
	rich := transaction{"rich", world, number(0), holds * 100}
	if a, err := post(instances[0].URL+"/v1/transactions", rich.json()); err != nil || a.status != http.StatusCreated {
		t.Fatalf("%d %s %v", a.status, a.body, err)
	}
	var captures sync.WaitGroup
	begin := time.Now().Add(500 * time.Millisecond)
	for i := range holds {
		url := instances[i%2].URL
		expires := begin.Add(time.Duration(i) * 20 * time.Millisecond).UTC().Truncate(time.Microsecond)
		body := fmt.Sprintf(`{"id":"h%d","type":"hold","source":%q,"destination":%q,"amount":"1.00","timestamp":"2026-01-02T03:04:05Z","expires_at":%q}`,
			i, number(0), number(1), expires.Format(time.RFC3339Nano))
		if a, err := post(url+"/v1/transactions", body); err != nil || a.status != http.StatusCreated {
			t.Fatalf("hold %d: %d %s %v", i, a.status, a.body, err)
		}
		if i%3 == 0 {
			captures.Go(func() {
				<-time.After(time.Until(expires) - time.Duration(i%8)*10*time.Millisecond)
				a, err := post(fmt.Sprintf("%s/v1/transactions/h%d/capture", url, i), fmt.Sprintf(`{"id":"c%d"}`, i))
				if err != nil || a.status != http.StatusCreated && a.status != http.StatusUnprocessableEntity {
					t.Errorf("capture %d: %d %s %v", i, a.status, a.body, err)
				}
			})
		}
	}
	captures.Wait()
	captured, latest := 0, time.Duration(0)
	for i := range holds {
		hold := settled(t, instances[i%2].URL, fmt.Sprintf("h%d", i))
		if hold.Status == "captured" {
			captured++
			continue
		}
		var expiry struct {
			Type        string
			CommittedAt time.Time `json:"committed_at"`
		}
		get(t, fmt.Sprintf("%s/v1/transactions/rbcs.expiry.h%d", instances[0].URL, i), &expiry)
		late := expiry.CommittedAt.Sub(hold.ExpiresAt)
		if latest = max(latest, late); expiry.Type != "expiry" || late < 0 || late > time.Second {
			t.Errorf("the hold h%d expired %s after its time", i, late)
		}
	}
	var account struct {
		Balance, Held string
		Version       int64
	}
	get(t, instances[0].URL+"/v1/accounts/"+number(0), &account)
	if account.Held != "0.00" || account.Balance != dollars(int64(holds-captured)*100) || account.Version != 1+2*holds {
		t.Errorf("after %d holds of which %d were captured the account has %+v", holds, captured, account)
	}
	t.Logf("%d holds expired, the last %s after its time; %d were captured", holds-captured, latest, captured)
	verify(t, store)
}

// held is a hold as it is now.
type held struct {
	Status    string
	ExpiresAt time.Time `json:"expires_at"`
}

// settled waits until a hold is settled.
func settled(t *testing.T, url, id string) (hold held) {
	t.Helper()
	for deadline := time.Now().Add(startTimeout); ; pause() {
		get(t, url+"/v1/transactions/"+id, &hold)
		if hold.Status != "held" {
			return hold
		}
		if time.Now().After(deadline) {
			t.Fatalf("the hold %s is still open", id)
		}
	}
}
