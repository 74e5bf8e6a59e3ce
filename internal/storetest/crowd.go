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
		stored, err := c.store.Transaction(c.ctx, a.submitted.ID)
		c.must(err)
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
		c.wantFields(a.result.Err, modelConflicts(a.submitted, &stored.Transaction)...)
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
		for _, f := range m.commit([]*rbcs.Transaction{&r.Transaction}, []rbcs.Result{r}) {
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
	if rejected := len(m.recorded) - posted; posted == 0 || rejected == 0 {
		c.t.Errorf("%d posted and %d rejected: this run has proved nothing", posted, rejected)
	}
}

// testSameIDs has everybody commit the same IDs at once on accounts of their
// own, so that no lock orders them: each ID is decided once all the same, and
// the others are told a conflict.
func testSameIDs(e *env) {
	const racers, rounds, ids = 4, 25, 8
	var pairs [racers][2]string
	for i := range pairs {
		pairs[i] = [2]string{e.account(fmt.Sprint("from", i), "USD", "unlimited"), e.account(fmt.Sprint("to", i), "USD", "0")}
	}
	for round := range rounds {
		var batches [racers][]*rbcs.Transaction
		var results [racers][]rbcs.Result
		var unknown atomic.Bool
		for i := range batches {
			for k := range ids { // each begins at another ID, every other one goes backward
				id := (k + i*ids/racers) % ids
				if i%2 == 1 {
					id = ids - 1 - id
				}
				batches[i] = append(batches[i], e.transfer(fmt.Sprintf("%d-%d", round, id), pairs[i][0], pairs[i][1], "1"))
			}
		}
		e.must(together(racers, func(i int) (err error) {
			var lost bool
			if results[i], lost, err = submit(e.ctx, e.store, batches[i]); lost {
				unknown.Store(true)
			}
			return err
		}))
		winners := map[string]int{}
		for i := range results {
			for k, r := range results[i] {
				t := batches[i][k]
				stored, err := e.store.Transaction(e.ctx, t.ID)
				e.must(err)
				switch {
				case r.Err == nil && r.Status == rbcs.Posted:
					winners[t.ID]++
					e.same(r, stored)
				case !e.isConflict(r, t):
					e.t.Errorf("%s: %+v", t.ID, r)
				default:
					e.wantFields(r.Err, "/source", "/destination")
				}
			}
		}
		for _, t := range batches[0] {
			if winners[t.ID] != 1 {
				e.t.Errorf("%s was posted for %d committers, want 1", t.ID, winners[t.ID])
			}
		}
	}
	var moved int64
	for _, pair := range pairs {
		moved += e.get(pair[1]).Version
	}
	if moved != rounds*ids {
		e.t.Errorf("%d transfers changed balances, want %d", moved, rounds*ids)
	}
}

// testCreatingTogether has everybody create the same accounts, in an order of their own.
func testCreatingTogether(e *env) {
	const accounts = 40
	asked := make([]rbcs.NewAccount, accounts)
	for i := range asked {
		asked[i] = rbcs.NewAccount{Number: e.number(fmt.Sprint(i)), Currency: currency("USD")}
	}
	var mu sync.Mutex
	created, unknown := map[string]int{}, false
	e.must(together(crowdSize, func(int) error {
		mine := slices.Clone(asked)
		rand.Shuffle(len(mine), func(i, j int) { mine[i], mine[j] = mine[j], mine[i] })
		var results []rbcs.AccountResult
		lost, err := retry(e.ctx, func() (err error) {
			results, err = e.store.CreateAccounts(e.ctx, mine)
			return err
		})
		mu.Lock()
		defer mu.Unlock()
		unknown = unknown || lost
		for i, r := range results {
			if r.Err != nil || r.Account.Number != mine[i].Number {
				return fmt.Errorf("account %s: %+v", mine[i].Number, r)
			}
			if r.Created {
				created[mine[i].Number]++
			}
		}
		return err
	}))
	for _, a := range asked {
		if n := created[a.Number]; n != 1 && !unknown {
			e.t.Errorf("account %s was created %d times", a.Number, n)
		}
		e.get(a.Number)
	}
}

// testClosingWhilePaying closes an account that money goes in and out of:
// it is closed at a moment when it has nothing, and nothing comes after that.
func testClosingWhilePaying(e *env) {
	bank, a := e.account("bank", "USD", "unlimited"), e.account("a", "USD", "0")
	const payments = 60
	var closedAt atomic.Int64 // the version at which it was closed
	e.must(together(3, func(i int) error {
		if i == 2 {
			for range payments {
				var account rbcs.Account
				_, err := retry(e.ctx, func() (err error) {
					account, err = e.store.UpdateAccount(e.ctx, a, rbcs.AccountChange{Status: new(rbcs.Closed)})
					return err
				})
				switch {
				case err == nil && !account.Balance.IsZero():
					return fmt.Errorf("closed with a balance of %v", account.Balance)
				case err == nil:
					closedAt.Store(account.Version)
					return nil
				case rbcs.CodeOf(err) != rbcs.InvalidRequest:
					return err
				}
			}
			return nil
		}
		for k := range payments {
			id := fmt.Sprintf("%d-%d", i, k)
			for _, t := range []*rbcs.Transaction{e.transfer(id+"in", bank, a, "1"), e.transfer(id+"out", a, bank, "1")} {
				results, _, err := submit(e.ctx, e.store, []*rbcs.Transaction{t})
				if err != nil {
					return err
				}
				if r := &results[0]; r.Status != rbcs.Posted && r.Code != rbcs.AccountClosed {
					return fmt.Errorf("%s: %+v", t.ID, *r)
				}
			}
		}
		return nil
	}))
	account := e.get(a)
	if account.Status == rbcs.Closed && (account.Version != closedAt.Load() || !account.Balance.IsZero()) {
		e.t.Errorf("closed at version %d, and now it is %+v", closedAt.Load(), account)
	}
	if account.Status == rbcs.Open && account.Version != 2*2*payments {
		e.t.Errorf("never closed, and after all payments it is %+v", account)
	}
}
