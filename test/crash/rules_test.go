package crash

import (
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strings"
	"testing"
	"time"

	"rbcs/internal/testenv"
)

// rule is what an account may do from one moment on.
type rule struct {
	from      time.Time
	frozen    bool
	overdraft int64 // in cents
}

// TestRulesOfAnAccountUnderLoad changes an account's status and overdraft while
// two instances move its money: from the moment of each change on, nothing is
// committed that it forbids.
func TestRulesOfAnAccountUnderLoad(t *testing.T) {
	store := testenv.Postgres(t)
	instances := []*testenv.Process{
		serve(t, "--store", store, "--listen", "127.0.0.1:0", "--instance", "a", "--migrate"),
		serve(t, "--store", store, "--listen", "127.0.0.1:0", "--instance", "b"),
	}
	createAccounts(t, instances[0].URL)
	account := number(3)
	a, err := post(instances[0].URL+"/v1/transactions", transaction{"first", world, account, 1}.json())
	if err != nil || a.status != http.StatusCreated {
		t.Fatalf("%d %s %v", a.status, a.body, err)
	}
	load := startLoad(t, instances...)
	random := rand.New(rand.NewPCG(seed(t), 2))
	rules := []rule{{}}
	for n := range 60 {
		r := rule{frozen: random.IntN(4) == 0, overdraft: random.Int64N(50_000)}
		status := "open"
		if r.frozen {
			status = "frozen"
		}
		r.from = change(t, instances[n%2].URL+"/v1/accounts/"+account, fmt.Sprintf(`{"status":%q,"overdraft":%q}`, status, dollars(r.overdraft)))
		rules = append(rules, r)
		load.await(t, 40) // which meet it
	}
	load.end()

	checked, at := 0, 0
	for cursor := ""; ; {
		var page struct {
			Transactions []struct {
				ID          string
				Direction   string
				Balance     string
				CommittedAt time.Time `json:"committed_at"`
			}
			NextCursor string `json:"next_cursor"`
		}
		get(t, instances[0].URL+"/v1/accounts/"+account+"/transactions?limit=1000&cursor="+cursor, &page)
		for _, e := range page.Transactions {
			for at+1 < len(rules) && e.CommittedAt.After(rules[at+1].from) {
				at++
			}
			r := rules[at]
			balance := cents(t, e.Balance)
			if at > 0 && (r.frozen || e.Direction == "debit" && balance < -r.overdraft) {
				t.Errorf("%s, a %s to %s, was committed at %s under %+v", e.ID, e.Direction, e.Balance, e.CommittedAt, r)
			}
			checked++
		}
		if cursor = page.NextCursor; cursor == "" {
			break
		}
	}
	t.Logf("%d changes of the account under %d rules", checked, len(rules))
	verify(t, store)
}

// change changes an account and returns when.
func change(t *testing.T, url, body string) time.Time {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPatch, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Content-Type", "application/json")
	response, err := client.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil || response.StatusCode != http.StatusOK {
		t.Fatalf("PATCH: %s %s %v", response.Status, text, err)
	}
	var account struct {
		UpdatedAt time.Time `json:"updated_at"`
	}
	if err := json.Unmarshal(text, &account); err != nil {
		t.Fatal(err)
	}
	return account.UpdatedAt
}

// cents reads an amount with two decimals.
func cents(t *testing.T, amount string) int64 {
	t.Helper()
	var n int64
	if _, err := fmt.Sscan(strings.Replace(amount, ".", "", 1), &n); err != nil {
		t.Fatal(err)
	}
	return n
}
