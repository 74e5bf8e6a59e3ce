package storetest

import (
	"slices"

	"rbcs"
)

var accountTests = []test{
	{"created", testCreated},
	{"twice-in-one-call", testCreatedTwice},
	{"conflict", testCreateConflict},
	{"created-before-changes", testCreatedBeforeChanges},
}

// testCreated creates two accounts: they are stored as they were asked for, and
// again is the same.
func testCreated(e *env) {
	asked := []rbcs.NewAccount{
		{Number: e.number("b"), Currency: currency("USD"), Overdraft: overdraft("10.50", "USD"), Metadata: `{"a":[1,"ü"]}`, Actor: "alice"},
		{Number: e.number("a"), Currency: currency("BTC"), Overdraft: overdraft("unlimited", "BTC")},
	}
	first, err := e.store.CreateAccounts(e.ctx, asked)
	e.must(err)
	if len(first) != len(asked) {
		e.t.Fatalf("%d results for %d accounts", len(first), len(asked))
	}
	for i, r := range first {
		if r.Err != nil || !r.Created {
			e.t.Fatalf("account %s: created %v, error %v", asked[i].Number, r.Created, r.Err)
		}
		want := rbcs.Account{
			Number: asked[i].Number, Currency: asked[i].Currency, Status: rbcs.Open, Overdraft: asked[i].Overdraft,
			Metadata: asked[i].Metadata, CreatedAt: r.Account.CreatedAt, UpdatedAt: r.Account.CreatedAt,
		}
		e.sameAccount(r.Account, want)
		e.sameAccount(e.get(want.Number), want)
		if r.Account.CreatedAt.Year() < 2000 || r.Account.CreatedAt.Nanosecond()%1000 != 0 {
			e.t.Errorf("created_at is %v, want the present to the microsecond", r.Account.CreatedAt)
		}
	}
	again, err := e.store.CreateAccounts(e.ctx, asked)
	e.must(err)
	for i, r := range again {
		if r.Err != nil || r.Created {
			e.t.Errorf("account %s again: created %v, error %v", asked[i].Number, r.Created, r.Err)
		}
		e.sameAccount(r.Account, first[i].Account)
	}
	none, err := e.store.CreateAccounts(e.ctx, nil)
	e.must(err)
	if len(none) != 0 {
		e.t.Errorf("no accounts: %d results", len(none))
	}
}

// testCreatedTwice has one number three times in a call: created once, then the
// same, then a conflict.
func testCreatedTwice(e *env) {
	usd, eur := currency("USD"), currency("EUR")
	a, b := e.number("a"), e.number("b")
	results, err := e.store.CreateAccounts(e.ctx, []rbcs.NewAccount{
		{Number: a, Currency: usd}, {Number: b, Currency: usd}, {Number: a, Currency: usd}, {Number: a, Currency: eur},
	})
	e.must(err)
	created := make([]bool, len(results))
	for i, r := range results {
		created[i] = r.Created
	}
	if !slices.Equal(created, []bool{true, true, false, false}) {
		e.t.Errorf("created: %v", created)
	}
	if results[2].Err != nil {
		e.t.Errorf("the same again in one call: %v", results[2].Err)
	}
	e.sameAccount(results[2].Account, results[0].Account)
	e.wantAccountConflict(results[3], "/currency")
	if c := e.get(a).Currency; c != usd {
		e.t.Errorf("the account's currency is %v, want the first one's", c)
	}
}

func (e *env) wantAccountConflict(r rbcs.AccountResult, fields ...string) {
	e.t.Helper()
	if r.Created || r.Err == nil || r.Err.Code != rbcs.AccountConflict {
		e.t.Fatalf("created %v, error %v; want %s", r.Created, r.Err, rbcs.AccountConflict)
	}
	e.wantFields(r.Err, fields...)
}

// testCreateConflict asks for a number with other content: each field that
// differs is named, nothing is changed, and the other accounts of the call are
// created all the same.
func testCreateConflict(e *env) {
	stored := rbcs.NewAccount{Number: e.number("a"), Currency: currency("USD"), Overdraft: overdraft("5.00", "USD"), Metadata: `{"k":1}`}
	before, err := e.store.CreateAccounts(e.ctx, []rbcs.NewAccount{stored})
	e.must(err)
	for i, c := range []struct {
		change func(a *rbcs.NewAccount)
		fields []string
	}{
		{func(a *rbcs.NewAccount) { a.Currency = currency("EUR") }, []string{"/currency"}},
		{func(a *rbcs.NewAccount) { a.Overdraft = overdraft("5.01", "USD") }, []string{"/overdraft"}},
		{func(a *rbcs.NewAccount) { a.Overdraft = overdraft("unlimited", "USD") }, []string{"/overdraft"}},
		{func(a *rbcs.NewAccount) { a.Metadata = "" }, []string{"/metadata"}},
		{func(a *rbcs.NewAccount) {
			a.Currency, a.Overdraft, a.Metadata = currency("JPY"), rbcs.Overdraft{}, `{"k":2}`
		}, []string{"/currency", "/overdraft", "/metadata"}},
	} {
		other := stored
		c.change(&other)
		beside := rbcs.NewAccount{Number: e.number("beside" + string(rune('0'+i))), Currency: currency("USD")}
		results, err := e.store.CreateAccounts(e.ctx, []rbcs.NewAccount{other, beside})
		e.must(err)
		e.wantAccountConflict(results[0], c.fields...)
		if len(c.fields) > 1 {
			e.wantText(results[0].Err, "account_conflict: the account "+stored.Number+" was created with other content; "+
				`/currency: created as "USD"; /overdraft: created as "5.00"; /metadata: created as "{"k":1}"`)
		}
		if !results[1].Created {
			e.t.Errorf("the account beside the conflict was not created: %v", results[1].Err)
		}
	}
	other := stored
	other.Actor = "somebody else" // is not content
	results, err := e.store.CreateAccounts(e.ctx, []rbcs.NewAccount{other})
	e.must(err)
	if results[0].Err != nil || results[0].Created {
		e.t.Errorf("the same from another actor: created %v, error %v", results[0].Created, results[0].Err)
	}
	e.sameAccount(e.get(stored.Number), before[0].Account)
}

// testCreatedBeforeChanges creates accounts again that were changed since: their
// original words are the same account, as it is now, and any others a conflict,
// also where they are what it has become.
func testCreatedBeforeChanges(e *env) {
	usd := currency("USD")
	for i, c := range []struct {
		overdraft, metadata string   // at its creation
		changes             []string // of the metadata; the overdraft changes with each
	}{
		{"5.00", `{"k":1}`, []string{`{"k":2}`, ""}},
		{"unlimited", `{"k":1}`, []string{""}},
		{"0", "", []string{`{"k":2}`}},
		{"5.00", "", []string{`{"k":2}`, "", `{"k":3}`}},
	} {
		asked := rbcs.NewAccount{
			Number: e.number(string(rune('a' + i))), Currency: usd, Overdraft: overdraft(c.overdraft, "USD"), Metadata: c.metadata,
		}
		create := func(n rbcs.NewAccount) rbcs.AccountResult {
			results, err := e.store.CreateAccounts(e.ctx, []rbcs.NewAccount{n})
			e.must(err)
			return results[0]
		}
		if r := create(asked); !r.Created {
			e.t.Fatalf("%d: not created: %v", i, r.Err)
		}
		for j, metadata := range c.changes {
			limit := decimal([]string{"7", "9", "11"}[j])
			now := e.update(asked.Number, rbcs.AccountChange{
				Status: new(rbcs.Frozen), Overdraft: &rbcs.OverdraftChange{Limit: limit}, Metadata: &metadata,
			})
			r := create(asked)
			if r.Err != nil || r.Created {
				e.t.Fatalf("%d: again after change %d: created %v, error %v", i, j, r.Created, r.Err)
			}
			e.sameAccount(r.Account, now)

			other := asked
			other.Overdraft = now.Overdraft
			e.wantAccountConflict(create(other), "/overdraft")
			if metadata != asked.Metadata {
				other = asked
				other.Metadata = metadata
				e.wantAccountConflict(create(other), "/metadata")
			}
			e.sameAccount(e.get(asked.Number), now)
		}
	}
}
