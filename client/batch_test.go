package client_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"rbcs"
	"rbcs/client"
)

func ids(t *testing.T, body string) []string {
	t.Helper()
	var batch struct {
		Transactions []struct {
			ID string `json:"id"`
		} `json:"transactions"`
	}
	if err := json.Unmarshal([]byte(body), &batch); err != nil {
		t.Fatal(err)
	}
	var list []string
	for _, tx := range batch.Transactions {
		list = append(list, tx.ID)
	}
	return list
}

func transactions(ids ...string) []client.Transaction {
	list := make([]client.Transaction, len(ids))
	for i, id := range ids {
		list[i] = order
		list[i].ID = id
	}
	return list
}

// answers is a batch's body; each item is a status, or an error's code with ! where it is retryable.
func answers(items ...string) string {
	for i, item := range items {
		code, retryable := strings.CutSuffix(item, "!")
		switch item {
		case "posted":
			items[i] = strings.Replace(posted, `"order-1"`, fmt.Sprintf(`"id-%d"`, i), 1)
		case "rejected":
			items[i] = `{"id":"x","status":"rejected","code":"insufficient_funds","detail":"too little","available":"1.00","short":"11.34"}`
		default:
			items[i] = fmt.Sprintf(`{"status":"error","code":%q,"detail":"d","retryable":%v,"errors":[{"pointer":"/transactions/%d/amount","message":"m"}]}`, code, retryable, i)
		}
	}
	return `{"results":[` + strings.Join(items, ",") + `]}`
}

func TestOfABatchOnlyWhatMayPassIsSentAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, s := scripted(t, client.Retry{},
			step{status: 503, body: problem("unavailable", "x")},
			step{status: 200, body: answers("posted", "overloaded!", "id_conflict", "outcome_unknown!", "rejected", "overloaded!")},
			step{err: errReset},
			step{status: 200, body: answers("posted", "overloaded!", "rejected")},
			step{status: 200, body: answers("posted")},
		)
		results, err := c.SubmitBatch(t.Context(), transactions("a", "b", "c", "d", "e", "f"))
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, r := range results {
			got = append(got, fmt.Sprint(r.Status, " ", r.Code, " ", r.Err != nil))
		}
		want := []string{"posted  false", "posted  false", "error id_conflict true", "posted  false", "rejected insufficient_funds false", "rejected insufficient_funds false"}
		if !slices.Equal(got, want) {
			t.Errorf("got  %q\nwant %q", got, want)
		}
		if f := results[2].Err.Fields; len(f) != 1 || f[0].Pointer != "/amount" || results[2].ID != "c" {
			t.Errorf("the conflict: %+v", results[2])
		}
		if r := results[4]; r.Available != "1.00" || r.Short != "11.34" || r.Detail != "too little" {
			t.Errorf("the rejection: %+v", r)
		}
		for i, want := range [][]string{{"a", "b", "c", "d", "e", "f"}, {"a", "b", "c", "d", "e", "f"}, {"b", "d", "f"}, {"b", "d", "f"}, {"d"}} {
			if got := ids(t, s.sent[i].body); !slices.Equal(got, want) {
				t.Errorf("attempt %d sent %v, want %v", i+1, got, want)
			}
		}
	})
}

func TestABatchThatIsGivenUp(t *testing.T) {
	// Nothing is known of any: an error.
	c, _ := scripted(t, client.Retry{Attempts: 1}, step{status: 413, body: problem("invalid_request", "too many")})
	if results, err := c.SubmitBatch(t.Context(), transactions("a", "b")); rbcs.CodeOf(err) != rbcs.InvalidRequest || results != nil {
		t.Errorf("got %v, %v", results, err)
	}

	// Something is known: results, and what is known of the rest.
	synctest.Test(t, func(t *testing.T) {
		for _, c := range []struct {
			name   string
			second step
			want   [4]rbcs.Code
		}{
			{"refused", step{status: 200, body: answers("overloaded!", "overloaded!", "internal!")}, [4]rbcs.Code{"", rbcs.Overloaded, rbcs.OutcomeUnknown, rbcs.Internal}},
			{"not reached", step{err: errRefused}, [4]rbcs.Code{"", rbcs.Unavailable, rbcs.OutcomeUnknown, rbcs.Unavailable}},
			{"lost", step{err: errReset}, [4]rbcs.Code{"", rbcs.OutcomeUnknown, rbcs.OutcomeUnknown, rbcs.OutcomeUnknown}},
			{"unreadable", step{status: 200, body: answers("posted")}, [4]rbcs.Code{"", rbcs.OutcomeUnknown, rbcs.OutcomeUnknown, rbcs.OutcomeUnknown}},
		} {
			cl, _ := scripted(t, client.Retry{Attempts: 2},
				step{status: 200, body: answers("posted", "overloaded!", "outcome_unknown!", "overloaded!")}, c.second)
			results, err := cl.SubmitBatch(t.Context(), transactions("a", "b", "c", "d"))
			if err != nil {
				t.Fatalf("%s: %v", c.name, err)
			}
			for i, r := range results {
				if r.Err == nil && c.want[i] == "" && r.Status == rbcs.Posted {
					continue
				}
				if r.Err == nil || r.Err.Code != c.want[i] || r.Code != c.want[i] || r.Status != client.StatusError || r.ID != string(rune('a'+i)) {
					t.Errorf("%s: result %d is %+v, %v; want %q", c.name, i, r, r.Err, c.want[i])
				}
			}
		}
	})
}

func TestAnEmptyBatchAsksNobody(t *testing.T) {
	c, _ := scripted(t, client.Retry{})
	if results, err := c.SubmitBatch(t.Context(), nil); len(results) != 0 || err != nil {
		t.Errorf("got %v, %v", results, err)
	}
	if results, err := c.CreateAccounts(t.Context(), nil); len(results) != 0 || err != nil {
		t.Errorf("got %v, %v", results, err)
	}
}

func TestRejection(t *testing.T) {
	record := `{"id":"order-1","type":"transfer","status":"rejected","code":"insufficient_funds","source":"alice","amount":"12.34","currency":"USD",` +
		`"sequence":9,"available":"1.00","overdraft":"0.00","needed":"12.34","short":"11.34"}`
	body := `{"status":422,"code":"insufficient_funds","detail":"too little","available":"1.00","transaction":` + record + `}`
	c, _ := scripted(t, client.Retry{}, step{status: 422, body: body, replayed: true}, step{status: 422, body: problem("a_new_code", "why")})
	r, err := c.Submit(t.Context(), order)
	if err != nil || r.Status != rbcs.Rejected || r.Code != rbcs.InsufficientFunds || r.Detail != "too little" || r.Sequence != 9 || r.Short != "11.34" || !r.Replayed {
		t.Errorf("got %+v, %v", r, err)
	}
	r, err = c.Submit(t.Context(), order)
	if err != nil || r.ID != "order-1" || r.Status != rbcs.Rejected || r.Code != "a_new_code" || r.Detail != "why" {
		t.Errorf("without a record: %+v, %v", r, err)
	}
}

func TestWhatCannotBeWrittenIsNotSent(t *testing.T) {
	c, _ := scripted(t, client.Retry{})
	broken := order
	broken.Metadata = json.RawMessage(`{"a":`)
	_, single := c.Submit(t.Context(), broken)
	_, batch := c.SubmitBatch(t.Context(), []client.Transaction{order, broken})
	_, account := c.CreateAccount(t.Context(), client.NewAccount{Metadata: broken.Metadata})
	_, accounts := c.CreateAccounts(t.Context(), []client.NewAccount{{Metadata: broken.Metadata}})
	for _, err := range []error{single, batch, account, accounts} {
		if rbcs.CodeOf(err) != rbcs.InvalidRequest || errors.Unwrap(err) == nil {
			t.Errorf("got %v, want invalid_request with its cause", err)
		}
	}
}

// TestAGroupIsAlwaysSentWhole: its outcome is one, under the IDs of all members in their order.
func TestAGroupIsAlwaysSentWhole(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, s := scripted(t, client.Retry{},
			step{status: 200, body: answers("outcome_unknown!", "outcome_unknown!")},
			step{err: errReset},
			step{status: 200, body: answers("overloaded!", "overloaded!")},
			step{status: 200, body: answers("posted", "posted")},
		)
		results, err := c.SubmitGroup(t.Context(), transactions("a", "b"))
		if err != nil || len(results) != 2 || results[0].Status != rbcs.Posted || results[0].Err != nil || results[1].Status != rbcs.Posted {
			t.Fatalf("got %+v, %v", results, err)
		}
		for _, sent := range s.sent {
			if got := ids(t, sent.body); !slices.Equal(got, []string{"a", "b"}) || sent.url != "http://rbcs.test/v1/transactions/batch?atomic=true" {
				t.Errorf("sent %v to %s", got, sent.url)
			}
		}
	})
}

func TestAGroupThatIsNotDecided(t *testing.T) {
	c, s := scripted(t, client.Retry{}, step{status: 200, body: answers("invalid_request", "group_failed")})
	results, err := c.SubmitGroup(t.Context(), transactions("a", "b"), client.DryRun())
	if err != nil || results[0].Err == nil || results[0].Err.Fields[0].Pointer != "/amount" || results[1].Err == nil || results[1].Err.Code != rbcs.GroupFailed {
		t.Errorf("got %+v, %v", results, err)
	}
	if s.sent[0].url != "http://rbcs.test/v1/transactions/batch?atomic=true&dry_run=true" {
		t.Errorf("sent to %s", s.sent[0].url)
	}
}
