package storetest

import (
	"time"

	"rbcs"
)

var replayTests = []test{
	{"replay", testReplay},
	{"conflict", testConflict},
	{"in-one-batch", testDuplicatesInOneBatch},
	{"mixed-batch", testMixedBatch},
}

// testReplay submits the same content in other words: the answer is the
// recorded one, with balances and versions as they were then.
func testReplay(e *env) {
	bank, a := e.account("bank", "USD", "unlimited"), e.account("a", "USD", "0")
	original := e.transfer("1", bank, a, "1.0")
	original.Description, original.Metadata = "d", `{"k":1}`
	first := e.post(original)
	e.post(e.transfer("later", bank, a, "8"))
	e.update(a, rbcs.AccountChange{Status: new(rbcs.Frozen)}) // does not matter to what is decided
	for name, change := range map[string]func(t *rbcs.Transaction){
		"the same":                  func(*rbcs.Transaction) {},
		"fewer decimals":            func(t *rbcs.Transaction) { t.Amount = decimal("1") },
		"more decimals":             func(t *rbcs.Transaction) { t.Amount = decimal("1.00") },
		"more than the currency's":  func(t *rbcs.Transaction) { t.Amount = decimal("1.000000") },
		"the currency":              func(t *rbcs.Transaction) { in(t, "USD") },
		"another actor":             func(t *rbcs.Transaction) { t.Actor = "mallory" },
		"a time in another zone":    func(t *rbcs.Transaction) { t.Timestamp = t.Timestamp.In(time.FixedZone("", 5*3600)) },
		"more than the microsecond": func(t *rbcs.Transaction) { t.Timestamp = t.Timestamp.Add(999); in(t, "USD") },
	} {
		t := *original
		change(&t)
		r := e.one(&t)
		if d := compareResults(&r, &first); d != nil || !r.Replayed {
			e.t.Errorf("%s: replayed %v, %v", name, r.Replayed, d)
		}
	}
	if v := e.get(a).Version; v != 2 {
		e.t.Errorf("version %d after replays, want 2", v)
	}
}

// testConflict submits an ID with other content: each field that differs is
// named, and nothing moves.
func testConflict(e *env) {
	bank, a, b := e.account("bank", "USD", "unlimited"), e.account("a", "USD", "0"), e.account("b", "USD", "0")
	posted := in(e.transfer("posted", bank, a, "1"), "USD")
	posted.Description, posted.Metadata = "d", `{"k":1}`
	rejected := *posted
	rejected.ID, rejected.Source, rejected.Destination = posted.ID+"-not", a, bank
	rejected.Amount = decimal("100.00")
	results := e.commit(posted, &rejected)
	before := []rbcs.Account{e.get(bank), e.get(a), e.get(b)}
	for name, c := range map[string]struct {
		change func(t *rbcs.Transaction)
		fields []string
	}{
		"source":                 {func(t *rbcs.Transaction) { t.Source = b }, []string{"/source"}},
		"destination":            {func(t *rbcs.Transaction) { t.Destination = b }, []string{"/destination"}},
		"amount":                 {func(t *rbcs.Transaction) { t.Amount = decimal("1.01") }, []string{"/amount"}},
		"amount of other scale":  {func(t *rbcs.Transaction) { t.Amount, t.Currency = decimal("1.0001"), "" }, []string{"/amount"}},
		"currency":               {func(t *rbcs.Transaction) { t.Currency = "EUR" }, []string{"/currency"}},
		"timestamp":              {func(t *rbcs.Transaction) { t.Timestamp = t.Timestamp.Add(time.Microsecond) }, []string{"/timestamp"}},
		"description":            {func(t *rbcs.Transaction) { t.Description = "D" }, []string{"/description"}},
		"no description":         {func(t *rbcs.Transaction) { t.Description = "" }, []string{"/description"}},
		"metadata":               {func(t *rbcs.Transaction) { t.Metadata = `{"k":2}` }, []string{"/metadata"}},
		"no metadata":            {func(t *rbcs.Transaction) { t.Metadata = "" }, []string{"/metadata"}},
		"an account of no one":   {func(t *rbcs.Transaction) { t.Source = e.number("ghost") }, []string{"/source"}},
		"source and description": {func(t *rbcs.Transaction) { t.Source, t.Description = b, "D" }, []string{"/source", "/description"}},
	} {
		for _, recorded := range []*rbcs.Transaction{posted, &rejected} {
			t := *recorded
			c.change(&t)
			r := e.one(&t)
			if !e.isConflict(r, &t) {
				e.t.Errorf("%s: %+v, want %s", name, r, rbcs.IDConflict)
				continue
			}
			e.wantFields(r.Err, c.fields...)
		}
	}
	for i, number := range []string{bank, a, b} {
		e.sameAccount(e.get(number), before[i])
	}
	for _, r := range results {
		stored := e.recorded(r.Transaction.ID).Result
		e.same(stored, r)
	}
}

// isConflict reports whether the answer is an ID conflict that carries the
// submitted transaction and decides nothing.
func (e *env) isConflict(r rbcs.Result, t *rbcs.Transaction) bool {
	return r.Err != nil && r.Err.Code == rbcs.IDConflict && r.Status == "" && r.Sequence == 0 && !r.Replayed &&
		compareTransactions(&r.Transaction, t) == nil
}

// testDuplicatesInOneBatch has an ID several times in one batch: the first is
// decided, the others are replays of it or conflicts with it.
func testDuplicatesInOneBatch(e *env) {
	bank, a := e.account("bank", "USD", "unlimited"), e.account("a", "USD", "0")
	post, reject := e.transfer("post", bank, a, "1"), e.transfer("reject", a, bank, "50")
	other, ghost := *post, *reject
	other.Amount, ghost.Source = decimal("2"), e.number("ghost")
	batch := []*rbcs.Transaction{post, post, reject, &other, in(new(*post), "USD"), reject, &ghost, post}
	for round := range 2 {
		results := e.commit(batch...)
		for i, first := range []int{0, 0, 2, -1, 0, 2, -1, 0} {
			r := results[i]
			if first < 0 {
				if !e.isConflict(r, batch[i]) {
					e.t.Errorf("round %d, %d: %+v, want a conflict", round, i, r)
				}
				continue
			}
			e.same(r, results[first])
			if r.Replayed != (i != first || round > 0) {
				e.t.Errorf("round %d, %d: replayed is %v", round, i, r.Replayed)
			}
			stored := e.recorded(r.Transaction.ID).Result
			e.same(r, stored)
		}
	}
	if account := e.get(a); account.Version != 1 || account.Balance != money("1", "USD") {
		e.t.Errorf("the account is %+v", account)
	}
}

// testMixedBatch has every kind of answer in one batch, in the order given.
func testMixedBatch(e *env) {
	bank, a := e.account("bank", "USD", "unlimited"), e.account("a", "USD", "0")
	earlier := e.transfer("earlier", bank, a, "1")
	first := e.post(earlier)
	conflict := *earlier
	conflict.Destination = e.number("elsewhere")
	results := e.commit(
		e.transfer("z", bank, a, "1"), earlier, e.transfer("m", a, bank, "900"), &conflict,
		e.transfer("fine", bank, a, "0.001"), e.transfer("a", a, bank, "2"), e.transfer("k", e.number("ghost"), a, "1"),
	)
	type answer struct {
		status   rbcs.Status
		code     rbcs.Code
		replayed bool
		err      rbcs.Code
	}
	for i, want := range []answer{
		{status: rbcs.Posted},
		{status: rbcs.Posted, replayed: true},
		{status: rbcs.Rejected, code: rbcs.InsufficientFunds},
		{err: rbcs.IDConflict},
		{err: rbcs.InvalidRequest},
		{status: rbcs.Posted},
		{status: rbcs.Rejected, code: rbcs.AccountNotFound},
	} {
		r := results[i]
		if got := (answer{r.Status, r.Code, r.Replayed, rbcs.CodeOf(errorOf(&r))}); got != want {
			e.t.Errorf("%d: %+v, want %+v", i, got, want)
		}
	}
	e.same(results[1], first)
	if balance := e.get(a).Balance; !balance.IsZero() {
		e.t.Errorf("the balance is %v, want 0", balance)
	}
}
