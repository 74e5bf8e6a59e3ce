package storetest

import (
	"context"
	"errors"
	"fmt"
	"time"

	"rbcs"
	"rbcs/internal/audit"
)

var dumpTests = []test{
	{"content", testDump},
	{"while-writing", testDumpWhileWriting},
	{"callback-errors", testDumpErrors},
	{"cancelled", testCancelled},
}

// testDump reads everything: decisions in the order of sequence, as they were
// answered, then the accounts as they are.
func testDump(e *env) {
	c := e.cast()
	answered := map[string]rbcs.Result{}
	for i := range 5 {
		a := in(e.transfer(fmt.Sprint(i), c.bank, c.open, "7"), "USD")
		a.Description, a.Metadata = "d", `{"ü":1}`
		for _, r := range e.commit(a, e.transfer(fmt.Sprint(i, "b"), c.poor, c.open, "1"), e.transfer(fmt.Sprint(i, "c"), c.ghost, c.open, "1.5"), e.transfer(fmt.Sprint(i, "d"), c.open, c.bank, "0.01")) {
			answered[r.Transaction.ID] = r
		}
	}
	h, t := e.hold("h", c.open, c.bank, "3"), e.transfer("t", c.bank, c.open, "2")
	h.ExpiresAt = machineFuture
	for _, r := range e.commit(append(grouped(h, t), e.settle(rbcs.Capture, "cap", h, "1"), e.settle(rbcs.Release, "rel", h, ""), e.settle(rbcs.Reversal, "rev", t, "1"), e.settle(rbcs.Reversal, "more", t, "2"))...) {
		answered[r.Transaction.ID] = r
	}
	e.update(c.open, rbcs.AccountChange{Metadata: new(`{"k":1}`), Overdraft: &rbcs.OverdraftChange{Limit: decimal("5")}})
	stored := map[string]rbcs.Account{}
	for _, number := range []string{c.bank, c.poor, c.open, c.frozen, c.closed, c.euro} {
		stored[number] = e.get(number)
	}
	sequence, accounts := int64(0), false
	err := e.store.Dump(e.ctx,
		func(r *rbcs.Result) error {
			if r.Sequence <= sequence || accounts {
				e.t.Errorf("sequence %d follows %d, after accounts: %v", r.Sequence, sequence, accounts)
			}
			sequence = r.Sequence
			if want, ok := answered[r.Transaction.ID]; ok {
				e.same(*r, want)
				delete(answered, r.Transaction.ID)
			}
			return nil
		},
		func(a *rbcs.Account) error {
			accounts = true
			if want, ok := stored[a.Number]; ok {
				e.sameAccount(*a, want)
				delete(stored, a.Number)
			}
			return nil
		})
	e.must(err)
	if len(answered) != 0 || len(stored) != 0 {
		e.t.Errorf("%d decisions and %d accounts are not in the dump", len(answered), len(stored))
	}
}

// testDumpWhileWriting audits while others commit: each dump is of one moment.
func testDumpWhileWriting(e *env) {
	bank, a := e.account("bank", "USD", "unlimited"), e.account("a", "USD", "0")
	stop := e.writing(bank, a)
	var last int64
	for range 8 {
		version := e.get(a).Version
		e.audit()
		report, err := audit.Run(e.ctx, e.store, nil)
		e.must(err)
		if report.Transactions < last || report.Posted < version {
			e.t.Errorf("%d decisions after %d, %d posted after version %d", report.Transactions, last, report.Posted, version)
		}
		last = report.Transactions
	}
	stop()
}

// testDumpErrors ends dumps by an error of a callback, which comes back as it is.
func testDumpErrors(e *env) {
	bank, a := e.account("bank", "USD", "unlimited"), e.account("a", "USD", "0")
	e.post(e.transfer("1", bank, a, "1"))
	e.post(e.transfer("2", bank, a, "1"))
	enough := errors.New("enough")
	for _, c := range []struct{ decisions, accounts int }{{1, 0}, {2, 0}, {-1, 1}, {-1, 2}} {
		stop := func(left *int) error {
			if *left--; *left == 0 {
				return enough
			}
			return nil
		}
		err := e.store.Dump(e.ctx,
			func(*rbcs.Result) error { return stop(&c.decisions) }, func(*rbcs.Account) error { return stop(&c.accounts) })
		if err != enough { //nolint:errorlint // the very error is promised
			e.t.Errorf("the dump ended with %v, want the callback's error itself", err)
		}
	}
	e.post(e.transfer("3", bank, a, "1")) // an ended dump holds nothing up
}

// testCancelled calls everything under a context that has ended: the error is
// an [rbcs.Error], and where it says that nothing was changed, nothing was.
func testCancelled(e *env) {
	bank, a := e.account("bank", "USD", "unlimited"), e.account("a", "USD", "0")
	e.post(e.transfer("before", bank, a, "1"))
	ended, cancel := context.WithCancel(e.ctx)
	cancel()
	t := e.transfer("cancelled", bank, a, "1")
	_, commitErr := e.store.Commit(ended, []*rbcs.Transaction{t})
	_, createErr := e.store.CreateAccounts(ended, []rbcs.NewAccount{{Number: e.number("new"), Currency: currency("USD")}})
	_, updateErr := e.store.UpdateAccount(ended, a, rbcs.AccountChange{Status: new(rbcs.Frozen)})
	_, declareErr := e.store.DeclareCurrencies(ended, declared)
	_, accountErr := e.store.Account(ended, a)
	_, accountsErr := e.store.Accounts(ended, rbcs.AccountQuery{Limit: 1})
	_, balanceErr := e.store.BalanceAt(ended, a, time.Now())
	_, transactionErr := e.store.Transaction(ended, t.ID)
	_, attemptsErr := e.store.Attempts(ended, t.ID)
	_, transactionsErr := e.store.Transactions(ended, rbcs.TransactionQuery{Limit: 1})
	_, historyErr := e.store.History(ended, rbcs.HistoryQuery{Account: a, Limit: 1})
	_, previewErr := e.store.Preview(ended, []*rbcs.Transaction{t})
	_, totalsErr := e.store.Totals(ended, "")
	_, dueErr := e.store.DueHolds(ended, 1)
	_, logErr := e.store.Log(ended, 0, 1)
	_, hookErr := e.store.CreateWebhook(ended, rbcs.Webhook{ID: e.name, URL: "https://example.com", Secret: webhookSecret})
	_, oneHookErr := e.store.Webhook(ended, e.name)
	_, hooksErr := e.store.Webhooks(ended)
	_, updateHookErr := e.store.UpdateWebhook(ended, e.name, rbcs.WebhookChange{})
	deleteHookErr := e.store.DeleteWebhook(ended, e.name)
	_, claimErr := e.store.ClaimWebhooks(ended, "one", time.Hour)
	_, deliveredErr := e.store.DeliveredWebhook(ended, "one", rbcs.Webhook{ID: e.name}, 0)
	dumpErr := e.store.Dump(ended, func(*rbcs.Result) error { return nil }, func(*rbcs.Account) error { return nil })
	for name, err := range map[string]error{
		"Commit": commitErr, "CreateAccounts": createErr, "UpdateAccount": updateErr, "DeclareCurrencies": declareErr, "Account": accountErr,
		"Accounts": accountsErr, "BalanceAt": balanceErr, "Transaction": transactionErr, "Transactions": transactionsErr, "Attempts": attemptsErr, "History": historyErr, "Dump": dumpErr,
		"Preview": previewErr, "Totals": totalsErr, "DueHolds": dueErr, "Log": logErr, "CreateWebhook": hookErr, "Webhook": oneHookErr, "Webhooks": hooksErr,
		"UpdateWebhook": updateHookErr, "DeleteWebhook": deleteHookErr, "ClaimWebhooks": claimErr, "DeliveredWebhook": deliveredErr,
	} {
		if code := rbcs.CodeOf(err); code != rbcs.Unavailable && code != rbcs.OutcomeUnknown {
			e.t.Errorf("%s under an ended context: %v (%q), want %s or %s", name, err, code, rbcs.Unavailable, rbcs.OutcomeUnknown)
		}
	}
	if rbcs.CodeOf(commitErr) == rbcs.Unavailable {
		_, err := e.store.Transaction(e.ctx, t.ID)
		e.wantCode(err, rbcs.NotFound)
	}
	if rbcs.CodeOf(updateErr) == rbcs.Unavailable {
		if s := e.get(a).Status; s != rbcs.Open {
			e.t.Errorf("the change that was refused left the status %q", s)
		}
	}
	if rbcs.CodeOf(createErr) == rbcs.Unavailable {
		e.account("new", "USD", "0")
	}
	e.update(a, rbcs.AccountChange{Status: new(rbcs.Open)})
	if r := e.one(t); r.Status != rbcs.Posted {
		e.t.Errorf("after the cancelled commit: %+v", r)
	}
}
