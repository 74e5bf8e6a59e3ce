package storetest

import (
	"fmt"
	"sync"

	"rbcs"
)

var retryTests = []test{
	{"posts", testRetryPosts},
	{"currency", testRetryCurrency},
	{"refused", testRetryRefused},
	{"settlements", testRetrySettlements},
	{"twins", testRetryTwins},
	{"bounded", testRetryBounded},
}

// retried is an explicit retry of a submitted transaction, as the given attempt.
func retried(t *rbcs.Transaction, attempt int) *rbcs.Transaction {
	again := *t
	again.Retry = attempt
	return &again
}

// testRetryPosts rejects a transaction three times, and then it is posted: once,
// however often it is retried or submitted afterwards.
func testRetryPosts(e *env) {
	m, a, b := e.pair()
	t := e.transfer("t", a, b, "150") // more than a has
	e.wantOutcomes(m, "insufficient_funds insufficient_funds insufficient_funds", t, retried(t, 2), retried(t, 2))
	e.wantOutcomes(m, "insufficient_funds", t) // the latest one, and no fourth
	e.wantOutcomes(m, "insufficient_funds", retried(t, 7))
	e.update(a, rbcs.AccountChange{Overdraft: &rbcs.OverdraftChange{Limit: decimal("1000")}})
	m.update(a, rbcs.AccountChange{Overdraft: &rbcs.OverdraftChange{Limit: decimal("1000")}})
	m.accounts[a].account.UpdatedAt = e.get(a).UpdatedAt
	dry, err := e.store.Preview(e.ctx, []*rbcs.Transaction{retried(t, 4)})
	e.must(err)
	if dry[0].Status != rbcs.Posted || dry[0].Attempt != 4 {
		e.t.Errorf("a preview of the retry: %+v", dry[0])
	}
	e.wantOutcomes(m, "insufficient_funds posted posted posted", t, retried(t, 4), retried(t, 4), t)
	e.wantOutcomes(m, "posted posted posted", retried(t, 2), t, retried(t, 4))

	attempts, err := e.store.Attempts(e.ctx, t.ID)
	e.must(err)
	if len(attempts) != 4 {
		e.t.Fatalf("%d attempts, want 4", len(attempts))
	}
	for i, r := range attempts {
		if r.Attempt != i+1 || (r.Status == rbcs.Posted) != (i == 3) || i > 0 && r.Sequence <= attempts[i-1].Sequence {
			e.t.Errorf("attempt %d is %+v", i+1, r)
		}
	}
	stored := e.recorded(t.ID).Result
	e.same(stored, attempts[3])
	list, err := e.store.Transactions(e.ctx, rbcs.TransactionQuery{Account: b, Status: rbcs.Rejected, Limit: 10})
	e.must(err)
	if len(list) != 3 {
		e.t.Errorf("%d rejections are listed, want 3", len(list))
	}
	if none, err := e.store.Attempts(e.ctx, e.name+"none"); err != nil || len(none) != 0 {
		e.t.Errorf("attempts of nothing: %v, %v", none, err)
	}
}

// testRetryCurrency leaves out, in a retry, a currency that is not the account's: it stays what was recorded.
func testRetryCurrency(e *env) {
	m, a, b := e.pair()
	t := e.transfer("t", a, b, "1.00")
	t.Currency = "EUR"
	without := retried(t, 2)
	without.Currency = ""
	for _, r := range e.wantOutcomes(m, "currency_mismatch currency_mismatch", t, without) {
		if r.Transaction.Currency != "EUR" {
			e.t.Errorf("attempt %d is in %q", r.Attempt, r.Transaction.Currency)
		}
	}
}

// testRetryRefused retries what cannot be: nothing is recorded.
func testRetryRefused(e *env) {
	m, a, b := e.pair()
	posted, held, rejected := e.transfer("p", a, b, "1"), e.hold("h", a, b, "1"), e.transfer("x", a, b, "1000")
	group := grouped(e.transfer("g1", a, b, "1000"), e.transfer("g2", a, b, "1"))
	e.wantOutcomes(m, "posted held insufficient_funds insufficient_funds group_failed", append([]*rbcs.Transaction{posted, held, rejected}, group...)...)
	other := *rejected
	other.Amount = decimal("1")
	alone := *group[1]
	alone.Group = rbcs.Group{}
	e.wantOutcomes(m, "!not_rejected !not_rejected !not_found !id_conflict !id_conflict",
		retried(posted, 2), retried(held, 2), retried(e.transfer("none", a, b, "1"), 2), retried(&other, 2), retried(&alone, 2))
	for _, id := range []string{posted.ID, rejected.ID, group[1].ID} {
		if attempts, err := e.store.Attempts(e.ctx, id); err != nil || len(attempts) != 1 {
			e.t.Errorf("%d attempts of %s, %v", len(attempts), id, err)
		}
	}
}

// testRetrySettlements retries captures, releases and reversals, before and
// after what they refer to was itself retried.
func testRetrySettlements(e *env) {
	m, a, b := e.pair()
	h, t := e.hold("h", a, b, "150"), e.transfer("t", a, b, "150")
	capture, release, reversal := e.settle(rbcs.Capture, "c", h, ""), e.settle(rbcs.Release, "r", h, ""), e.settle(rbcs.Reversal, "v", t, "")
	e.wantOutcomes(m, "hold_not_found", capture)
	e.wantOutcomes(m, "insufficient_funds insufficient_funds hold_not_open hold_not_open amount_exceeds_reversible",
		h, t, retried(capture, 2), release, reversal)
	e.update(a, rbcs.AccountChange{Overdraft: &rbcs.OverdraftChange{Unlimited: true}})
	m.update(a, rbcs.AccountChange{Overdraft: &rbcs.OverdraftChange{Unlimited: true}})
	m.accounts[a].account.UpdatedAt = e.get(a).UpdatedAt
	e.wantOutcomes(m, "held posted posted hold_not_open amount_exceeds_reversible",
		retried(h, 2), retried(t, 2), retried(capture, 3), retried(release, 2), reversal)
	e.wantOutcomes(m, "posted amount_exceeds_reversible", e.settle(rbcs.Reversal, "v2", t, "50"), e.settle(rbcs.Reversal, "v3", t, "100.01"))
}

// testRetryBounded retries an ID as often as it may be, and once more when there
// are funds: that is refused, and nothing moves.
func testRetryBounded(e *env) {
	_, a, b := e.pair()
	t := e.transfer("t", a, b, "150")
	batch := []*rbcs.Transaction{t}
	for attempt := 2; attempt <= rbcs.MaxAttempts; attempt++ {
		batch = append(batch, retried(t, attempt))
	}
	e.commit(batch...)
	e.update(a, rbcs.AccountChange{Overdraft: &rbcs.OverdraftChange{Unlimited: true}})
	last := e.recorded(t.ID).Result
	if last.Attempt != rbcs.MaxAttempts {
		e.t.Fatalf("the last of them is attempt %d", last.Attempt)
	}
	again := last.Again()
	e.wantCode(e.one(&again).Err, rbcs.InvalidRequest)
	if replay := e.one(retried(t, rbcs.MaxAttempts)); !replay.Replayed || replay.Code != rbcs.InsufficientFunds {
		e.t.Errorf("a replay of the last attempt: %+v", replay)
	}
	if balance := e.get(b).Balance; !balance.IsZero() {
		e.t.Errorf("balance %v", balance)
	}
}

// testRetryTwins retries from many sides at once what two instances find
// rejected: it is posted once, and all are told the same.
func testRetryTwins(e *env) {
	a, b := e.account("a", "USD", "0"), e.account("b", "USD", "0")
	ghost := e.number("late") // no lock orders those who find no account
	for round, t := range []*rbcs.Transaction{e.transfer("1", a, b, "10"), e.transfer("2", ghost, b, "10")} {
		e.one(t)
		if round == 0 {
			e.update(a, rbcs.AccountChange{Overdraft: &rbcs.OverdraftChange{Unlimited: true}})
		}
		var mu sync.Mutex
		decided, answers := 0, map[string]int{}
		e.must(together(8, func(int) error {
			results, _, err := submit(e.ctx, e.store, []*rbcs.Transaction{retried(t, 2)})
			if err != nil {
				return err
			}
			mu.Lock()
			defer mu.Unlock()
			r := results[0]
			if !r.Replayed {
				decided++
			}
			answers[fmt.Sprint(r.Status, r.Code, r.Sequence, r.Attempt, r.Err)]++
			return nil
		}))
		attempts, err := e.store.Attempts(e.ctx, t.ID)
		e.must(err)
		if len(attempts) != 2 || len(answers) != 1 || decided > 1 {
			e.t.Errorf("round %d: %d attempts, %d were told to have decided, answers %v", round, len(attempts), decided, answers)
		}
	}
	if balance := e.get(b).Balance; balance != money("10", "USD") {
		e.t.Errorf("balance %v", balance)
	}
}
