package storetest

import (
	"fmt"

	"rbcs"
)

// testOneBatch has each transaction of a batch see what those before it did.
func testOneBatch(e *env) {
	bank := e.account("bank", "USD", "unlimited")
	a, b, c := e.account("a", "USD", "0"), e.account("b", "USD", "0"), e.account("c", "USD", "0")
	results := e.commit(
		e.transfer("0", a, b, "1"),    // nothing there yet
		e.transfer("1", bank, a, "9"), // a 9
		e.transfer("2", a, b, "5"),    // a 4, b 5
		e.transfer("3", a, c, "5"),    // 4 are not enough
		e.transfer("4", a, c, "4"),    // a 0, c 4
		e.transfer("5", b, a, "2"),    // a 2, b 3
		e.transfer("6", c, a, "4"),    // a 6, c 0
		e.transfer("7", c, a, "0.01"), // nothing left
		e.transfer("8", a, bank, "6"), // a 0
	)
	for i, want := range []struct {
		code                rbcs.Code
		source, destination string
		sv, dv              int64
	}{
		{code: rbcs.InsufficientFunds},
		{"", "-9", "9", 1, 1},
		{"", "4", "5", 2, 1},
		{code: rbcs.InsufficientFunds},
		{"", "0", "4", 3, 1},
		{"", "3", "2", 2, 4},
		{"", "0", "6", 2, 5},
		{code: rbcs.InsufficientFunds},
		{"", "0", "-3", 6, 2},
	} {
		r := results[i]
		var source, destination rbcs.State
		if want.code == "" {
			source = rbcs.State{Balance: money(want.source, "USD"), Version: want.sv}
			destination = rbcs.State{Balance: money(want.destination, "USD"), Version: want.dv}
		}
		if r.Code != want.code || r.Source != source || r.Destination != destination || r.Err != nil {
			e.t.Errorf("%d: %q, %+v, %+v, %v; want %+v", i, r.Code, r.Source, r.Destination, r.Err, want)
		}
		if i > 0 && r.Sequence <= results[i-1].Sequence {
			e.t.Errorf("%d: sequence %d follows %d", i, r.Sequence, results[i-1].Sequence)
		}
		stored := e.recorded(r.Transaction.ID).Result
		e.same(stored, r)
	}
}

// testInvalidDecimals has amounts that only the account shows to be too fine,
// or too large: they are invalid, nothing is recorded, and the ID is still free.
func testInvalidDecimals(e *env) {
	bank, a := e.account("bank", "JPY", "unlimited"), e.account("a", "JPY", "0")
	usd := e.account("usd", "USD", "unlimited")
	fine := e.transfer("fine", bank, a, "1.5")
	zeros := e.transfer("zeros", bank, a, "1.0")
	same := e.transfer("same", bank, bank, "1.5")
	large := e.transfer("large", usd, a, "99999999999999999999999999999999999999")
	good := e.transfer("good", bank, a, "7")
	again := *fine
	again.Amount = decimal("2")
	results := e.commit(fine, zeros, good, same, large, &again)
	for i, t := range []*rbcs.Transaction{fine, zeros, nil, same, large} {
		if t == nil {
			continue
		}
		r := results[i]
		if r.Err == nil || r.Err.Code != rbcs.InvalidRequest || r.Status != "" || r.Sequence != 0 {
			e.t.Errorf("%s: %+v, want %s", t.ID, r, rbcs.InvalidRequest)
			continue
		}
		e.wantFields(r.Err, "/amount")
		if d := compareTransactions(&r.Transaction, t); d != nil {
			e.t.Errorf("%s: the answer has another transaction: %v", t.ID, d)
		}
		if t != fine {
			_, err := e.store.Transaction(e.ctx, t.ID)
			e.wantCode(err, rbcs.NotFound)
		}
	}
	for _, i := range []int{2, 5} {
		if r := results[i]; r.Err != nil || r.Status != rbcs.Posted || r.Replayed {
			e.t.Errorf("%s: %+v, want it posted", r.Transaction.ID, r)
		}
	}
	if balance := e.get(a).Balance; balance != money("9", "JPY") {
		e.t.Errorf("the balance is %v, want 9", balance)
	}
	zeros.Amount = decimal("1")
	e.post(zeros)
}

// testBatchSizes commits none, one and ten thousand.
func testBatchSizes(e *env) {
	none, err := e.store.Commit(e.ctx, nil)
	if err != nil || len(none) != 0 {
		e.t.Errorf("an empty batch: %v, %v", none, err)
	}
	const size, accounts = 10_000, 1_500
	created := make([]rbcs.NewAccount, accounts)
	for i := range created {
		created[i] = rbcs.NewAccount{Number: e.number(fmt.Sprint(i)), Currency: currency("USD"), Overdraft: rbcs.Overdraft{Unlimited: true}}
	}
	_, err = e.store.CreateAccounts(e.ctx, created)
	e.must(err)
	batch := make([]*rbcs.Transaction, size)
	want := make([]int64, accounts)
	for i := range batch {
		from, to := i%accounts, (i*7+1)%accounts
		if from == to {
			to = (to + 1) % accounts
		}
		want[from]--
		want[to]++
		batch[i] = e.transfer(fmt.Sprintf("%05d", i*7919%size), created[from].Number, created[to].Number, "0.01")
	}
	first := e.commit(batch...)
	for i, r := range first {
		if r.Status != rbcs.Posted || r.Replayed || r.Transaction.ID != batch[i].ID || i > 0 && r.Sequence <= first[i-1].Sequence {
			e.t.Fatalf("%d: %+v", i, r)
		}
	}
	for i, r := range e.commit(batch...) {
		if d := compareResults(&r, &first[i]); d != nil || !r.Replayed {
			e.t.Fatalf("%d again: replayed %v, %v", i, r.Replayed, d)
		}
	}
	for i := range accounts {
		if got := e.get(created[i].Number).Balance; got != rbcs.AmountOf(want[i]) {
			e.t.Fatalf("account %d: balance %v, want %d", i, got, want[i])
		}
	}
}
