package storetest

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"

	"rbcs"
)

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
				stored := e.recorded(t.ID).Result
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
