package storetest

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"rbcs"
)

var crowdTests = []test{
	{"same-transactions", testCrowd},
	{"same-ids-other-accounts", testSameIDs},
	{"creating", testCreatingTogether},
	{"closing", testClosingWhilePaying},
}

// crowdSize is how many commit at once.
const crowdSize = 8

// crowd is what the committers of [testCrowd] share.
type crowd struct {
	*env
	variants [][2]*rbcs.Transaction // the two contents that are submitted under each ID: mostly the same
	mu       sync.Mutex
	answers  []answer
	unknown  atomic.Bool // whether an outcome was: the first answer may be lost then
}

type answer struct {
	submitted *rbcs.Transaction
	result    rbcs.Result
}

// testCrowd has everybody submit the same transactions at once, in batches and
// an order of their own; some IDs with two contents. Then every ID was decided
// once, everybody was told the same, and one after the other, in the order of
// the log, the model decides each as the store did: so no limit was crossed.
func testCrowd(e *env) {
	seed := uint64(time.Now().UnixNano())
	e.t.Logf("seed %d", seed)
	m := newModel()
	var asked []rbcs.NewAccount
	for name, limit := range map[string]string{"bank": "unlimited", "a": "0", "b": "0", "c": "0", "d": "20", "e": "1000"} {
		asked = append(asked, rbcs.NewAccount{Number: e.number(name), Currency: currency("USD"), Overdraft: overdraft(limit, "USD")})
	}
	created, err := e.store.CreateAccounts(e.ctx, asked)
	e.must(err)
	for _, f := range m.create(asked, created) {
		e.t.Error(f)
	}
	c := &crowd{env: e, variants: e.crowdTransactions(rand.New(rand.NewPCG(seed, 0)), asked)}
	e.must(together(crowdSize, func(i int) error { return c.committer(i, rand.New(rand.NewPCG(seed, uint64(i)+1))) }))
	c.checkAnswers()
	c.checkLog(m)
}

// crowdTransactions returns transfers between few accounts, first those that
// give them something to spend.
func (e *env) crowdTransactions(random *rand.Rand, accounts []rbcs.NewAccount) (variants [][2]*rbcs.Transaction) {
	const ids = 400
	draw := func(id string) *rbcs.Transaction {
		from := random.IntN(len(accounts))
		to := (from + 1 + random.IntN(len(accounts)-1)) % len(accounts)
		return e.transfer(id, accounts[from].Number, accounts[to].Number, rbcs.AmountOf(1+random.Int64N(3000)).Format(2))
	}
	for i := range ids {
		id := fmt.Sprintf("%03d", i)
		one := draw(id)
		other := one
		if i%8 == 0 {
			other = draw(id)
		}
		variants = append(variants, [2]*rbcs.Transaction{one, other})
	}
	return variants
}

// committer submits all transactions once, and sees each of its postings in the
// account at once.
func (c *crowd) committer(i int, random *rand.Rand) error {
	order := random.Perm(len(c.variants))
	for len(order) > 0 {
		batch := make([]*rbcs.Transaction, 1+random.IntN(min(25, len(order))))
		for k := range batch {
			batch[k] = c.variants[order[k]][i%2]
		}
		order = order[len(batch):]
		results, unknown, err := submit(c.ctx, c.store, batch)
		if err != nil {
			return err
		}
		if unknown {
			c.unknown.Store(true)
		}
		c.mu.Lock()
		for k, r := range results {
			c.answers = append(c.answers, answer{batch[k], r})
		}
		c.mu.Unlock()
		last := &results[len(results)-1]
		if last.Status != rbcs.Posted {
			continue
		}
		a, err := c.store.Account(c.ctx, last.Transaction.Source)
		if err != nil {
			return err
		}
		if a.Version < last.Source.Version {
			return fmt.Errorf("%s was told version %d of %s, and then read version %d", last.Transaction.ID, last.Source.Version, a.Number, a.Version)
		}
	}
	return nil
}

// checkAnswers checks that each ID was decided once and everybody was told so.
func (c *crowd) checkAnswers() {
	decided, told := map[string]int{}, make([]rbcs.Result, 0, len(c.answers))
	for _, a := range c.answers {
		told = append(told, a.result)
		stored := c.recorded(a.submitted.ID).Result
		if a.result.Err == nil {
			c.same(a.result, stored)
			if !a.result.Replayed {
				decided[a.submitted.ID]++
			}
			continue
		}
		if !c.isConflict(a.result, a.submitted) {
			c.t.Errorf("%s: %+v", a.submitted.ID, a.result)
		}
		c.wantFields(a.result.Err, modelConflicts(a.submitted, &stored)...)
	}
	for _, v := range c.variants {
		if n := decided[v[0].ID]; n > 1 || n == 0 && !c.unknown.Load() {
			c.t.Errorf("%s: %d answers tell that it was decided just then, want 1", v[0].ID, n)
		}
	}
	c.must(CheckAcknowledged(c.ctx, c.store, told))
}

// checkLog has the model decide what is in the log, in its order.
func (c *crowd) checkLog(m *model) {
	log := c.pageTransactions(rbcs.TransactionQuery{Limit: 500})
	slices.Reverse(log)
	posted := 0
	for _, r := range log {
		if !strings.HasPrefix(r.Transaction.ID, c.name+"/") {
			continue // another test's
		}
		for _, f := range m.commit([]*rbcs.Transaction{&r.Transaction}, []rbcs.Result{r.Result}) {
			c.t.Error(f)
		}
		if r.Status == rbcs.Posted {
			posted++
		}
	}
	for number, a := range m.accounts {
		c.sameAccount(c.get(number), *a.want())
		for _, entry := range c.history(rbcs.HistoryQuery{Account: number, Limit: 500}) {
			if o := a.account.Overdraft; !o.Unlimited && entry.Balance.Cmp(o.Limit.Neg()) < 0 {
				c.t.Errorf("account %s had %v after %s, beyond its overdraft of %v", number, entry.Balance, entry.Result.Transaction.ID, o.Limit)
			}
		}
	}
	if rejected := len(m.decided) - posted; posted == 0 || rejected == 0 {
		c.t.Errorf("%d posted and %d rejected: this run has proved nothing", posted, rejected)
	}
}
