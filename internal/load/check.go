package load

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"rbcs/client"
)

// accountsAtOnce is how many accounts are made or listed with one request.
const accountsAtOnce = 1000

// createAccounts creates the accounts of the run and notes their balances. They
// may all go below zero, so that nothing is rejected.
func (r *runner) createAccounts(ctx context.Context, api *client.Client) error {
	list := make([]client.NewAccount, 0, accountsAtOnce)
	for i := range r.Accounts {
		number := string(r.plan.appendNumber(nil, uint64(i)))
		list = append(list, client.NewAccount{Number: number, Currency: currency.Code, Overdraft: client.Unlimited})
		if len(list) < cap(list) && i < r.Accounts-1 {
			continue
		}
		results, err := api.CreateAccounts(ctx, list)
		if err != nil {
			return fmt.Errorf("the accounts of the run cannot be created at %s: %w", r.URL, err)
		}
		for k, result := range results {
			if result.Err != nil {
				return fmt.Errorf("the account %s cannot be created: %w", list[k].Number, result.Err)
			}
			balance, err := cents(result.Account.Balance)
			if err != nil {
				return fmt.Errorf("the account %s: %w", list[k].Number, err)
			}
			a := &r.tally.accounts[i-len(list)+1+k]
			a.balance.Store(balance)
			a.changes.Store(result.Account.Version)
		}
		list = list[:0]
	}
	return nil
}

// cents reads a balance.
func cents(balance client.Amount) (int64, error) {
	amount, err := balance.In(currency.Decimals)
	if err != nil {
		return 0, fmt.Errorf("the balance %q: %w", balance, err)
	}
	n, ok := amount.Int64()
	if !ok {
		return 0, fmt.Errorf("the balance %q is no sum of this run", balance)
	}
	return n, nil
}

// resolvePause is the wait between two rounds of asking for unknown outcomes.
const resolvePause = 200 * time.Millisecond

// resolve submits every request again that has transactions whose outcome is
// not known, until it is, and enters what was posted. It returns how many
// transactions are still unknown when the time is up.
func (r *runner) resolve(ctx context.Context, workers []*worker, report *Report) (left int64) {
	var open []unresolved
	for _, w := range workers {
		open = append(open, w.unresolved...)
	}
	ctx, cancel := context.WithTimeout(ctx, r.ResolveFor)
	defer cancel()
	for len(open) > 0 {
		open = r.resolveRound(ctx, open, report)
		if len(open) > 0 && !sleepUntil(ctx, time.Now().Add(resolvePause)) {
			break
		}
	}
	for _, u := range open {
		for _, known := range u.known {
			if !known {
				left++
			}
		}
	}
	return left
}

// resolveRound submits every open request once more, as many at a time as there
// are clients, and returns those that are still open.
func (r *runner) resolveRound(ctx context.Context, open []unresolved, report *Report) (left []unresolved) {
	var (
		group sync.WaitGroup
		next  atomic.Int64
		mu    sync.Mutex // guards left and report
	)
	for range min(r.Clients, len(open)) {
		group.Go(func() {
			e := r.target.newExchange()
			for i := next.Add(1) - 1; i < int64(len(open)); i = next.Add(1) - 1 {
				u := open[i]
				if ctx.Err() != nil || !r.resolveOne(e, &u, report, &mu) {
					mu.Lock()
					left = append(left, u)
					mu.Unlock()
				}
			}
		})
	}
	group.Wait()
	return left
}

// resolveOne submits one request again and reports whether all of it is known now.
func (r *runner) resolveOne(e *exchange, u *unresolved, report *Report, mu *sync.Mutex) bool {
	list := r.plan.transfers(u.round, nil)
	path := string(r.plan.appendPath(nil, u.round, u.step, list))
	outcomes, _, _ := r.target.submit(e, path, r.plan.appendBody(nil, u.round, u.step, list), len(u.known)) // without an answer all are unknown
	mu.Lock()
	defer mu.Unlock()
	for i, o := range outcomes {
		// What is refused now may still have been posted by the first submission.
		if u.known[i] || o.kind != posted && o.kind != rejected {
			continue
		}
		u.known[i] = true
		report.Check.Resolved++
		if o.kind == posted {
			report.Transactions.Posted++
			r.enter(list, u.step, i, o)
		} else {
			report.Transactions.Rejected++
		}
	}
	return !slices.Contains(u.known, false)
}

// maxExamples bounds how many differences are listed.
const maxExamples = 10

// compare reads every account of the run and compares it with the tally.
func (r *runner) compare(ctx context.Context, api *client.Client, report *Report) error {
	i := 0
	query := client.AccountQuery{Prefix: string(r.plan.prefix), PageSize: accountsAtOnce}
	for got, err := range api.Accounts(ctx, query) {
		if err != nil {
			return err
		}
		// The list comes in the order of the numbers, and those of the accounts are their indices.
		for ; i < r.Accounts && string(r.plan.appendNumber(nil, uint64(i))) < got.Number; i++ {
			report.differs(string(r.plan.appendNumber(nil, uint64(i))), "an account", "none")
		}
		if i == r.Accounts || string(r.plan.appendNumber(nil, uint64(i))) != got.Number {
			report.differs(got.Number, "no such account", "an account")
			continue
		}
		if err := r.compareOne(&r.tally.accounts[i], &got, report); err != nil {
			return err
		}
		i++
	}
	for ; i < r.Accounts; i++ {
		report.differs(string(r.plan.appendNumber(nil, uint64(i))), "an account", "none")
	}
	return nil
}

// compareOne compares an account with what it must have.
func (r *runner) compareOne(want *account, got *client.Account, report *Report) error {
	balance, err := cents(got.Balance)
	if err != nil {
		return err
	}
	held, err := cents(got.Held)
	if err != nil {
		return err
	}
	wantBalance, wantHeld, wantVersion := want.balance.Load(), want.held.Load(), want.changes.Load()
	report.Check.offBy(balance - wantBalance)
	report.Check.offBy(held - wantHeld)
	switch {
	case balance != wantBalance:
		report.differs(got.Number, formatCents(wantBalance), string(got.Balance))
	case held != wantHeld:
		report.differs(got.Number, formatCents(wantHeld)+" held", string(got.Held)+" held")
	case got.Version != wantVersion:
		report.differs(got.Number, "version "+strconv.FormatInt(wantVersion, 10), "version "+strconv.FormatInt(got.Version, 10))
	}
	return nil
}
