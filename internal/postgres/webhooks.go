package postgres

import (
	"cmp"
	"context"
	"crypto/rand"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgtype"

	"rbcs"
)

const webhookColumns = `w.id, w.url, w.secret, coalesce(w.account, ''), coalesce(w.prefix, ''), w.created_at, coalesce(w.created_by, ''),
	w.cursor, w.failing_since, w.failures, coalesce(w.last_error, ''), w.next_at, w.paused`

// The lock makes the bound exact. Deliveries wait for it, readers do not.
const (
	lockWebhooksSQL  = "lock table webhooks in share row exclusive mode"
	createWebhookSQL = `
insert into webhooks as w (id, url, secret, account, prefix, created_at, created_by, cursor, failing_since, failures, last_error, next_at, paused)
select $1, $2, $3, nullif($4::text, ''), nullif($5::text, ''), clock_timestamp(), nullif($6::text, ''), $7, $8, $9, nullif($10::text, ''), $11, $12
where (select count(*) from webhooks) < $13
on conflict (id) do nothing returning ` + webhookColumns
)

const (
	webhookSQL  = "select " + webhookColumns + " from webhooks w where w.id = $1"
	webhooksSQL = "select " + webhookColumns + " from webhooks w order by w.id"
	// To resume is to forget the failures.
	updateWebhookSQL = `
update webhooks w set url = coalesce($2, w.url), cursor = coalesce($3, w.cursor), paused = coalesce($4, w.paused),
	failing_since = case when $4 is not false then w.failing_since end, failures = case when $4 is not false then w.failures else 0 end,
	last_error = case when $4 is not false then w.last_error end, next_at = case when $4 is not false then w.next_at end
where w.id = $1 returning ` + webhookColumns
	deleteWebhookSQL = "delete from webhooks where id = $1"
	claimWebhooksSQL = `
update webhooks w set claimed_by = $1, claimed_until = clock_timestamp() + $2::interval
from (
	select id from webhooks where not paused and coalesce(next_at <= clock_timestamp(), true)
		and (claimed_by = $1 or coalesce(claimed_until <= clock_timestamp(), true))
	order by id for no key update skip locked
) as free where w.id = free.id returning ` + webhookColumns
	// What an operator has paused meanwhile stays so.
	deliveredWebhookSQL = `
update webhooks set cursor = $4, failing_since = $5, failures = $6, last_error = nullif($7::text, ''), next_at = $8, paused = paused or $9
where id = $1 and claimed_by = $2 and claimed_until > clock_timestamp() and cursor = $3 and $10 in (0, ` + timelineNumberSQL + `)`
)

// CreateWebhook implements [rbcs.WebhookStore]. It gives an ID where w has none.
func (s *Store) CreateWebhook(ctx context.Context, w rbcs.Webhook) (rbcs.Webhook, error) {
	var created, existing []rbcs.Webhook
	w.ID = cmp.Or(w.ID, rand.Text())
	err := s.write(ctx, func(b *pgx.Batch) {
		b.Queue(lockWebhooksSQL)
		b.Queue(createWebhookSQL, w.ID, w.URL, w.Secret, w.Account, w.Prefix, w.CreatedBy, w.Cursor, timeOrNull(w.FailingSince), w.Failures,
			w.LastError, timeOrNull(w.NextAt), w.Paused, rbcs.MaxWebhooks).Query(collectWebhooks(&created))
		b.Queue(webhookSQL, w.ID).Query(collectWebhooks(&existing))
	}, func() error {
		switch {
		case len(created) > 0:
			return nil
		case len(existing) > 0:
			return rbcs.Errorf(rbcs.IDConflict, "there is a webhook %s already", w.ID)
		}
		return rbcs.Errorf(rbcs.InvalidRequest, "there are %d webhooks, and no more are allowed; delete one first", rbcs.MaxWebhooks)
	})
	return first(created), err
}

// Webhook implements [rbcs.WebhookStore].
func (s *Store) Webhook(ctx context.Context, id string) (rbcs.Webhook, error) {
	var found []rbcs.Webhook
	err := s.read(ctx, collectWebhooks(&found), webhookSQL, id)
	if err == nil && len(found) == 0 {
		err = noWebhook(id)
	}
	return first(found), err
}

// Webhooks implements [rbcs.WebhookStore].
func (s *Store) Webhooks(ctx context.Context) (list []rbcs.Webhook, err error) {
	err = s.read(ctx, collectWebhooks(&list), webhooksSQL)
	return list, err
}

// UpdateWebhook implements [rbcs.WebhookStore].
func (s *Store) UpdateWebhook(ctx context.Context, id string, change rbcs.WebhookChange) (rbcs.Webhook, error) {
	var updated []rbcs.Webhook
	err := s.write(ctx, func(b *pgx.Batch) {
		b.Queue(updateWebhookSQL, id, change.URL, change.Cursor, change.Paused).Query(collectWebhooks(&updated))
	}, func() error {
		if len(updated) == 0 {
			return noWebhook(id)
		}
		return nil
	})
	return first(updated), err
}

// DeleteWebhook implements [rbcs.WebhookStore].
func (s *Store) DeleteWebhook(ctx context.Context, id string) error {
	var deleted pgconn.CommandTag
	return s.write(ctx, func(b *pgx.Batch) {
		b.Queue(deleteWebhookSQL, id).Exec(keep(&deleted))
	}, func() error {
		if deleted.RowsAffected() == 0 {
			return noWebhook(id)
		}
		return nil
	})
}

// ClaimWebhooks implements [rbcs.WebhookStore].
func (s *Store) ClaimWebhooks(ctx context.Context, instance string, lease time.Duration) ([]rbcs.Webhook, error) {
	var claimed []rbcs.Webhook
	var timeline int64
	err := s.write(ctx, func(b *pgx.Batch) {
		b.Queue(claimWebhooksSQL, instance, lease).Query(collectWebhooks(&claimed))
		b.Queue("select " + timelineNumberSQL).Query(one(&timeline))
	}, nil)
	if err != nil {
		return nil, err
	}
	for i := range claimed {
		claimed[i].Timeline = timeline
	}
	slices.SortFunc(claimed, func(a, b rbcs.Webhook) int { return strings.Compare(a.ID, b.ID) })
	return claimed, nil
}

// DeliveredWebhook implements [rbcs.WebhookStore].
func (s *Store) DeliveredWebhook(ctx context.Context, instance string, w rbcs.Webhook, from int64) (bool, error) {
	var updated pgconn.CommandTag
	err := s.write(ctx, func(b *pgx.Batch) {
		b.Queue(deliveredWebhookSQL, w.ID, instance, from, w.Cursor, timeOrNull(w.FailingSince), w.Failures, w.LastError,
			timeOrNull(w.NextAt), w.Paused, w.Timeline).Exec(keep(&updated))
	}, nil)
	return err == nil && updated.RowsAffected() > 0, err
}

// write runs statements and commits them, unless check says why not.
func (s *Store) write(ctx context.Context, queue func(*pgx.Batch), check func() error) error {
	tx, err := s.begin(ctx)
	if err != nil {
		return err
	}
	defer tx.rollback(ctx)
	b := tx.open(ctx)
	queue(b)
	b.Queue(s.settings.commit)
	if err := tx.send(ctx, b); err != nil {
		return failure(err)
	}
	if check != nil {
		if err := check(); err != nil {
			return err
		}
	}
	return tx.commit(ctx)
}

func collectWebhooks(to *[]rbcs.Webhook) func(pgx.Rows) error {
	return func(rows pgx.Rows) error {
		var w rbcs.Webhook
		var failing, next pgtype.Timestamptz
		targets := []any{
			&w.ID, &w.URL, &w.Secret, &w.Account, &w.Prefix, &w.CreatedAt, &w.CreatedBy,
			&w.Cursor, &failing, &w.Failures, &w.LastError, &next, &w.Paused,
		}
		_, err := pgx.ForEachRow(rows, targets, func() error {
			w.FailingSince, w.NextAt = failing.Time, next.Time
			*to = append(*to, w)
			return nil
		})
		return err
	}
}

func noWebhook(id string) error { return rbcs.Errorf(rbcs.NotFound, "there is no webhook %s", id) }

// first returns the first of a list, or the zero value of an empty one.
func first[T any](list []T) (t T) {
	if len(list) > 0 {
		t = list[0]
	}
	return t
}

// timeOrNull is a time as a parameter.
func timeOrNull(t time.Time) any {
	if t.IsZero() {
		return nil
	}
	return t
}
