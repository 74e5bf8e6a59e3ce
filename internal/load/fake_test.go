package load

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"

	"rbcs"
	"rbcs/client"
)

// fake is a service with faults to order. A hook that returns true has answered
// or dropped the n-th write request (from 1) by itself.
type fake struct {
	before func(n int, w http.ResponseWriter) bool // the request is carried out
	after  func(n int, w http.ResponseWriter) bool // it was carried out, and is not answered yet
	lie    func(n int, cents int64) int64          // what is really booked on the destination
	item   func(n, i int) string                   // the JSON of a result in a batch instead of an outcome; "" for none
	behind int64                                   // how many changes a read does not see

	mu       sync.Mutex
	requests int
	accounts map[string]*fakeAccount
	recorded map[string]string // the answer, by ID
	holds    map[string]client.Transaction
}

type fakeAccount struct{ cents, held, version int64 }

// corrupted returns a service that changes some account by itself, once.
func corrupted(change func(*fakeAccount)) *fake {
	f := &fake{}
	f.after = func(n int, _ http.ResponseWriter) bool {
		if n == 3 {
			f.mu.Lock()
			defer f.mu.Unlock()
			for _, a := range f.accounts {
				change(a)
				break
			}
		}
		return false
	}
	return f
}

func (f *fake) start(t *testing.T) string {
	t.Helper()
	f.requests, f.accounts, f.recorded, f.holds = 0, map[string]*fakeAccount{}, map[string]string{}, map[string]client.Transaction{}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /v1/accounts/batch", f.createAccounts)
	mux.HandleFunc("GET /v1/accounts", f.list)
	mux.HandleFunc("GET /v1/accounts/{number}/balance", f.balance)
	mux.HandleFunc("POST /v1/transactions", func(w http.ResponseWriter, r *http.Request) {
		var tx client.Transaction
		f.decode(r, &tx)
		f.write(w, http.StatusCreated, func(n int) string { return f.post(n, tx) })
	})
	mux.HandleFunc("POST /v1/transactions/batch", func(w http.ResponseWriter, r *http.Request) {
		var batch struct{ Transactions []client.Transaction }
		f.decode(r, &batch)
		f.write(w, http.StatusOK, func(n int) string {
			var results []string
			for i, tx := range batch.Transactions {
				result := ""
				if f.item != nil {
					result = f.item(n, i)
				}
				if result == "" {
					result = f.post(n, tx)
				}
				results = append(results, result)
			}
			return `{"results":[` + strings.Join(results, ",") + `]}`
		})
	})
	for _, verb := range []string{"capture", "release"} {
		mux.HandleFunc("POST /v1/transactions/{id}/"+verb, func(w http.ResponseWriter, r *http.Request) {
			var s client.Settlement
			f.decode(r, &s)
			f.write(w, http.StatusCreated, func(n int) string { return f.settle(n, r.PathValue("id"), s) })
		})
	}
	s := httptest.NewServer(mux)
	t.Cleanup(s.Close)
	return s.URL
}

func (f *fake) decode(r *http.Request, into any) {
	if err := json.NewDecoder(r.Body).Decode(into); err != nil {
		panic(err) // of the handler: the client gets no answer
	}
}

func (f *fake) write(w http.ResponseWriter, status int, carryOut func(n int) string) {
	f.mu.Lock()
	f.requests++
	n := f.requests
	f.mu.Unlock()
	if f.before != nil && f.before(n, w) {
		return
	}
	f.mu.Lock()
	answer := carryOut(n)
	f.mu.Unlock()
	if f.after != nil && f.after(n, w) {
		return
	}
	w.WriteHeader(status)
	fmt.Fprint(w, answer)
}

func (f *fake) post(n int, tx client.Transaction) string {
	if answer, ok := f.recorded[tx.ID]; ok {
		return answer
	}
	cents := centsOf(tx.Amount)
	source, destination := f.accounts[tx.Source], f.accounts[tx.Destination]
	if tx.Type == rbcs.Hold {
		source.held += cents
		source.version++
		f.holds[tx.ID] = tx
		f.recorded[tx.ID] = fmt.Sprintf(`{"id":%q,"status":"held","source_version":%d}`, tx.ID, source.version)
		return f.recorded[tx.ID]
	}
	source.cents -= cents
	source.version++
	if f.lie != nil {
		cents = f.lie(n, cents)
	}
	destination.cents += cents
	destination.version++
	answer := fmt.Sprintf(`{"id":%q,"status":"posted","source_version":%d,"destination_version":%d}`,
		tx.ID, source.version, destination.version)
	f.recorded[tx.ID] = answer
	return answer
}

// settle captures a hold, or releases it where there is no amount.
func (f *fake) settle(n int, hold string, s client.Settlement) string {
	if answer, ok := f.recorded[s.ID]; ok {
		return answer
	}
	tx := f.holds[hold]
	source, destination := f.accounts[tx.Source], f.accounts[tx.Destination]
	source.held -= centsOf(tx.Amount)
	source.version++
	if s.Amount != "" {
		cents := centsOf(s.Amount)
		source.cents -= cents
		if f.lie != nil {
			cents = f.lie(n, cents)
		}
		destination.cents += cents
		destination.version++
	}
	f.recorded[s.ID] = fmt.Sprintf(`{"id":%q,"status":"posted","source_version":%d,"destination_version":%d}`,
		s.ID, source.version, destination.version)
	return f.recorded[s.ID]
}

func centsOf(a client.Amount) int64 {
	n, err := cents(a)
	if err != nil {
		panic(err)
	}
	return n
}

func (f *fake) createAccounts(w http.ResponseWriter, r *http.Request) {
	var list []client.NewAccount
	f.decode(r, &list)
	f.mu.Lock()
	defer f.mu.Unlock()
	var results []string
	for _, a := range list {
		f.accounts[a.Number] = &fakeAccount{}
		results = append(results, `{"status":"created","account":`+f.account(a.Number)+`}`)
	}
	fmt.Fprintf(w, `{"results":[%s]}`, strings.Join(results, ","))
}

func (f *fake) account(number string) string {
	a := f.accounts[number]
	return fmt.Sprintf(`{"number":%q,"currency":"USD","balance":%q,"held":%q,"version":%d}`,
		number, formatCents(a.cents), formatCents(a.held), a.version)
}

func (f *fake) list(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	defer f.mu.Unlock()
	var numbers, page []string
	for number := range f.accounts {
		if strings.HasPrefix(number, r.FormValue("prefix")) && number > r.FormValue("cursor") {
			numbers = append(numbers, number)
		}
	}
	slices.Sort(numbers)
	cursor := ""
	for i, number := range numbers {
		if i == 7 { // small pages, so that there are several
			cursor = numbers[i-1]
			break
		}
		page = append(page, f.account(number))
	}
	fmt.Fprintf(w, `{"accounts":[%s],"next_cursor":%q}`, strings.Join(page, ","), cursor)
}

func (f *fake) balance(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	defer f.mu.Unlock()
	a := f.accounts[r.PathValue("number")]
	fmt.Fprintf(w, `{"balance":%q,"version":%d}`, formatCents(a.cents), max(0, a.version-f.behind))
}

// problem answers as the service does.
func problem(w http.ResponseWriter, status int, code string) bool {
	w.WriteHeader(status)
	fmt.Fprintf(w, `{"type":"urn:rbcs:problem:%s","code":%q,"transaction":{"code":"x"}}`, code, code)
	return true
}

// drop closes the connection instead of answering.
func drop(http.ResponseWriter) bool { panic(http.ErrAbortHandler) }
