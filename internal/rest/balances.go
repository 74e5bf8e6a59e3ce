package rest

import (
	"context"
	"errors"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"rbcs"
)

func (s *server) registerBalances(api huma.API) {
	huma.Register(api, readOperation("get-balance", "/v1/accounts/{number}/balance", "Get a balance",
		"The balance of now, or with at as it was after the last commit at or before that moment. "+
			"It is never older than what any client was told before."), s.getBalance)
	huma.Register(api, readOperation("sum-balances", "/v1/balances", "Sum balances",
		"The sums over all accounts, or over those whose number begins with prefix, by currency and from one consistent snapshot."),
		s.sumBalances)
}

type balanceInput struct {
	AccountPath
	Consistency string `query:"consistency" enum:"strong" doc:"strong: do not answer from a cache."`
	MinVersion  int64  `query:"min_version" minimum:"0" doc:"Refuse with version_not_reached below this version."`
	At          string `query:"at" doc:"The moment of commit that is asked for. RFC 3339 with its zone."`
}

type balanceOutput struct{ Body Balance }

// clockTolerance is how far ahead of this machine's clock a database's may be:
// a time that a client got from an answer must not lie in the future.
const clockTolerance = time.Minute

func (s *server) getBalance(ctx context.Context, in *balanceInput) (*balanceOutput, error) {
	var faults faults
	in.check(&faults)
	at := faults.time("/at", in.At)
	now := s.Now()
	if at.After(now.Add(clockTolerance)) {
		faults.check("/at", errors.New("this moment is not over; ask again later"))
	}
	if faults != nil {
		return nil, s.refuse(ctx, faults.err())
	}
	balance, err := s.balance(ctx, in.Number, at, now)
	if err == nil && balance.Version < in.MinVersion {
		err = rbcs.Errorf(rbcs.VersionNotReached, "the account %s has version %d, not yet %d; ask again later",
			in.Number, balance.Version, in.MinVersion)
	}
	if err != nil {
		return nil, s.refuse(ctx, err)
	}
	return &balanceOutput{balanceOf(&balance)}, nil
}

// balance reads the balance of a moment, or of now where at is zero.
func (s *server) balance(ctx context.Context, number string, at, now time.Time) (rbcs.Balance, error) {
	if !at.IsZero() {
		return s.Store.BalanceAt(ctx, number, at)
	}
	a, err := s.Store.Account(ctx, number)
	if a.UpdatedAt.After(now) { // on the database's clock: the answer is never dated before a change that it includes
		now = a.UpdatedAt
	}
	return rbcs.Balance{
		Number: a.Number, Currency: a.Currency, Balance: a.Balance, Held: a.Held, Version: a.Version, AsOf: now,
	}, err
}

type totalsInput struct {
	Prefix string `query:"prefix" doc:"Numbers that begin with this." example:"acme:"`
}

type totalsOutput struct{ Body TotalList }

func (s *server) sumBalances(ctx context.Context, in *totalsInput) (*totalsOutput, error) {
	if in.Prefix != "" {
		if err := rbcs.ValidateNumber(in.Prefix); err != nil {
			return nil, s.refuse(ctx, invalid("/prefix", "%s", err))
		}
	}
	totals, err := s.Store.Totals(ctx, in.Prefix)
	if err != nil {
		return nil, s.refuse(ctx, err)
	}
	out := &totalsOutput{TotalList{Balances: make([]Total, len(totals))}}
	for i := range totals {
		out.Body.Balances[i] = totalOf(&totals[i])
	}
	return out, nil
}
