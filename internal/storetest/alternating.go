package storetest

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"rbcs"
)

// alternating is two instances over one database seen as one store: each call
// goes to the instance that the last one did not go to.
type alternating struct {
	stores [2]rbcs.Store
	calls  atomic.Uint64
}

func (s *alternating) next() rbcs.Store { return s.stores[s.calls.Add(1)%2] }

func (s *alternating) Commit(ctx context.Context, batch []*rbcs.Transaction) ([]rbcs.Result, error) {
	return s.next().Commit(ctx, batch)
}

func (s *alternating) DeclareCurrencies(ctx context.Context, declared []rbcs.Currency) ([]rbcs.Currency, error) {
	return s.next().DeclareCurrencies(ctx, declared)
}

func (s *alternating) CreateAccounts(ctx context.Context, accounts []rbcs.NewAccount) ([]rbcs.AccountResult, error) {
	return s.next().CreateAccounts(ctx, accounts)
}

func (s *alternating) UpdateAccount(ctx context.Context, number string, change rbcs.AccountChange) (rbcs.Account, error) {
	return s.next().UpdateAccount(ctx, number, change)
}

func (s *alternating) Account(ctx context.Context, number string) (rbcs.Account, error) {
	return s.next().Account(ctx, number)
}

func (s *alternating) Balances(ctx context.Context, numbers []string) ([]rbcs.BalanceReading, error) {
	return s.next().Balances(ctx, numbers)
}

func (s *alternating) Accounts(ctx context.Context, q rbcs.AccountQuery) ([]rbcs.Account, error) {
	return s.next().Accounts(ctx, q)
}

func (s *alternating) BalanceAt(ctx context.Context, number string, at time.Time) (rbcs.Balance, error) {
	return s.next().BalanceAt(ctx, number, at)
}

func (s *alternating) Transaction(ctx context.Context, id string) (rbcs.Record, error) {
	return s.next().Transaction(ctx, id)
}

func (s *alternating) Attempts(ctx context.Context, id string) ([]rbcs.Result, error) {
	return s.next().Attempts(ctx, id)
}

func (s *alternating) Transactions(ctx context.Context, q rbcs.TransactionQuery) ([]rbcs.Record, error) {
	return s.next().Transactions(ctx, q)
}

func (s *alternating) History(ctx context.Context, q rbcs.HistoryQuery) ([]rbcs.Entry, error) {
	return s.next().History(ctx, q)
}

func (s *alternating) Preview(ctx context.Context, batch []*rbcs.Transaction) ([]rbcs.Result, error) {
	return s.next().Preview(ctx, batch)
}

func (s *alternating) Totals(ctx context.Context, prefix string) ([]rbcs.Total, error) {
	return s.next().Totals(ctx, prefix)
}

func (s *alternating) DueHolds(ctx context.Context, limit int) ([]rbcs.Transaction, error) {
	return s.next().DueHolds(ctx, limit)
}

func (s *alternating) Log(ctx context.Context, after int64, limit int) (rbcs.LogPage, error) {
	return s.next().Log(ctx, after, limit)
}

func (s *alternating) CreateWebhook(ctx context.Context, w rbcs.Webhook) (rbcs.Webhook, error) {
	return s.next().CreateWebhook(ctx, w)
}

func (s *alternating) Webhook(ctx context.Context, id string) (rbcs.Webhook, error) {
	return s.next().Webhook(ctx, id)
}

func (s *alternating) Webhooks(ctx context.Context) ([]rbcs.Webhook, error) {
	return s.next().Webhooks(ctx)
}

func (s *alternating) UpdateWebhook(ctx context.Context, id string, change rbcs.WebhookChange) (rbcs.Webhook, error) {
	return s.next().UpdateWebhook(ctx, id, change)
}

func (s *alternating) DeleteWebhook(ctx context.Context, id string) error {
	return s.next().DeleteWebhook(ctx, id)
}

func (s *alternating) ClaimWebhooks(ctx context.Context, instance string, lease time.Duration) ([]rbcs.Webhook, error) {
	return s.next().ClaimWebhooks(ctx, instance, lease)
}

func (s *alternating) DeliveredWebhook(ctx context.Context, instance string, w rbcs.Webhook, from int64) (bool, error) {
	return s.next().DeliveredWebhook(ctx, instance, w, from)
}

func (s *alternating) Dump(ctx context.Context, decision func(*rbcs.Result) error, account func(*rbcs.Account) error) error {
	return s.next().Dump(ctx, decision, account)
}

func (s *alternating) Check(ctx context.Context) error {
	return errors.Join(s.stores[0].Check(ctx), s.stores[1].Check(ctx))
}

func (s *alternating) Close() error {
	return errors.Join(s.stores[0].Close(), s.stores[1].Close())
}

func (s *alternating) Enqueue(ctx context.Context, txs []*rbcs.Transaction) ([]rbcs.IntakeResult, error) {
	return s.next().Enqueue(ctx, txs)
}

func (s *alternating) ClaimIntake(ctx context.Context, c rbcs.IntakeClaim) (rbcs.IntakeBatch, error) {
	return s.next().ClaimIntake(ctx, c)
}

func (s *alternating) SettleIntake(ctx context.Context, claimant string, sources []string, outcomes []rbcs.IntakeOutcome) error {
	return s.next().SettleIntake(ctx, claimant, sources, outcomes)
}

func (s *alternating) Intake(ctx context.Context, id string) (rbcs.IntakeEntry, error) {
	return s.next().Intake(ctx, id)
}

func (s *alternating) IntakeHistory(ctx context.Context, id string) ([]rbcs.IntakeEvent, error) {
	return s.next().IntakeHistory(ctx, id)
}

func (s *alternating) Intakes(ctx context.Context, q rbcs.IntakeQuery) ([]rbcs.IntakeEntry, error) {
	return s.next().Intakes(ctx, q)
}

func (s *alternating) ReplayIntake(ctx context.Context, a rbcs.IntakeAction) ([]*rbcs.Error, error) {
	return s.next().ReplayIntake(ctx, a)
}

func (s *alternating) DiscardIntake(ctx context.Context, a rbcs.IntakeAction) ([]*rbcs.Error, error) {
	return s.next().DiscardIntake(ctx, a)
}

func (s *alternating) IntakeStats(ctx context.Context) (rbcs.IntakeStats, error) {
	return s.next().IntakeStats(ctx)
}
