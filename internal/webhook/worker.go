package webhook

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"time"

	"rbcs"
	"rbcs/internal/events"
)

// worker delivers one webhook while its claim lasts.
type worker struct {
	d       *Deliverer
	hook    *hook
	ctx     context.Context // ends with the claim
	cancel  context.CancelFunc
	url     string       // as claimed
	webhook rbcs.Webhook // Cursor is up to where it is delivered

	recorded  recorded
	since     time.Time // when it was recorded
	delivered bool      // something, since then
	behind    bool      // the last event may not be the last one yet
}

// recorded is the cursor as the store has it, and how often that was written:
// a claim that overlaps with a write says nothing about either.
type recorded struct {
	mu      sync.Mutex
	cursor  int64
	writes  int
	writing bool
}

// stamp identifies what is recorded; -1 while it is being written.
func (r *recorded) stamp() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.writing {
		return -1
	}
	return r.writes
}

func (r *recorded) begin() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.writing = true
}

func (r *recorded) end(cursor int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.writing = false
	r.writes++
	r.cursor = cursor
}

func (r *recorded) at() int64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.cursor
}

// outdated reports whether someone else changed the webhook, as a claim shows
// it; stamp is from before the claim.
func (k *worker) outdated(w *rbcs.Webhook, stamp int) bool {
	return stamp >= 0 && k.recorded.stamp() == stamp && (w.Cursor != k.recorded.at() || w.URL != k.url)
}

// work delivers until a failure, the loss of the claim, or Stop, and returns
// when to claim the webhook again.
func (k *worker) work() time.Time {
	soft, cancel := context.WithCancel(k.ctx)
	defer cancel()
	defer context.AfterFunc(k.d.soft, cancel)()
	k.since = time.Now()

	reader, err := k.d.feed.Follow(soft, events.Position{Timeline: k.webhook.Timeline, Sequence: k.webhook.Cursor}, events.Filter{
		Account: k.webhook.Account, Prefix: k.webhook.Prefix,
	})
	if err != nil { // a promotion since the claim, too: the next one has the cursor that is left
		return time.Now().Add(restPause)
	}
	defer reader.Close()
	for {
		list, err := k.next(soft, reader)
		if err == nil {
			err = k.deliverAll(soft, list)
		}
		if err != nil {
			return k.leave(err)
		}
		k.move(reader.Position()) // also over what the filter did not let through
		if err := k.recordIfDue(len(list) == 0); err != nil {
			return k.leave(err)
		}
	}
}

// errors that end a worker.
var (
	errFailed   = errors.New("the delivery failed")                 // and that is recorded
	errReplaced = errors.New("the claim or the cursor is not ours") // whoever has it goes on
)

// next returns the next events; none when it is time to record how far it is.
func (k *worker) next(ctx context.Context, reader *events.Reader) ([]events.Event, error) {
	patience := skipEvery
	if k.delivered || k.behind {
		patience = recordEvery
	}
	bounded, cancel := context.WithTimeout(ctx, time.Until(k.since.Add(patience)))
	defer cancel()
	list, err := reader.Next(bounded)
	if errors.Is(err, context.DeadlineExceeded) && ctx.Err() == nil {
		k.behind = false
		k.d.setBehind(k.hook, time.Time{})
		return nil, nil
	}
	return list, err
}

// deliverAll delivers events in their order.
func (k *worker) deliverAll(ctx context.Context, list []events.Event) error {
	for _, e := range list {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		k.behind = true
		k.d.setBehind(k.hook, e.Result.CommittedAt)
		if err := k.deliver(&e); err != nil {
			return err
		}
		k.move(e.ID)
		k.delivered = true
		if err := k.recordIfDue(false); err != nil {
			return err
		}
	}
	return nil
}

// move notes up to where everything is delivered.
func (k *worker) move(to events.Position) {
	k.webhook.Timeline, k.webhook.Cursor = to.Timeline, to.Sequence
}

// deliver makes one attempt, and records its failure.
func (k *worker) deliver(e *events.Event) error {
	began := time.Now()
	result := k.d.post(k.ctx, &k.webhook, e)
	w := &k.webhook
	switch {
	case k.ctx.Err() != nil && result.err != nil:
		result.Outcome = Interrupted
	case result.err == nil:
		result.Outcome = Delivered
		if w.Failures > 0 {
			w.FailingSince, w.Failures, w.LastError, w.NextAt = time.Time{}, 0, "", time.Time{}
			k.since = time.Time{} // to be known at once
		}
	default:
		result.Outcome = k.failed(&result, time.Now())
	}
	result.Duration = time.Since(began)
	k.d.cfg.Observe(result.Delivery)
	switch result.Outcome {
	case Delivered:
		return nil
	case Interrupted:
		return context.Cause(k.ctx)
	}
	if err := k.record(); err != nil {
		return err
	}
	return errFailed
}

// failed notes a failure, and when to try again or that it makes no sense.
func (k *worker) failed(a *answer, now time.Time) Outcome {
	w := &k.webhook
	if w.Failures == 0 {
		w.FailingSince = now.UTC().Truncate(time.Microsecond)
	}
	w.Failures++
	w.LastError = a.err.Error()
	if len(w.LastError) > maxErrorBytes {
		w.LastError = strings.ToValidUTF8(w.LastError[:maxErrorBytes], "")
	}
	w.NextAt = now.Add(max(k.d.cfg.backoff(w.Failures), a.retryAfter)).UTC().Truncate(time.Microsecond)
	if w.Paused = a.gone || now.Sub(w.FailingSince) >= k.d.cfg.PauseAfter; w.Paused {
		k.d.cfg.Logger.LogAttrs(k.ctx, slog.LevelWarn, "a webhook is paused; resume it when its receiver works again",
			slog.String("webhook", w.ID), slog.Time("failing_since", w.FailingSince), slog.String("last_error", w.LastError))
		return Paused
	}
	return Failed
}

// recordIfDue records how far it is, where something was delivered or enough
// was skipped, not more often than recordEvery.
func (k *worker) recordIfDue(idle bool) error {
	moved := k.webhook.Cursor != k.recorded.at()
	if !moved || !idle && (!k.delivered || time.Since(k.since) < recordEvery) {
		if idle {
			k.since, k.delivered = time.Now(), false
		}
		return nil
	}
	return k.record()
}

// record writes the outcome so far.
func (k *worker) record() error {
	ctx, cancel := context.WithTimeout(k.ctx, storeTimeout)
	defer cancel()
	from := k.recorded.at()
	k.recorded.begin()
	ok, err := k.d.store.DeliveredWebhook(ctx, k.d.cfg.Instance, k.webhook, from)
	if !ok || err != nil {
		k.recorded.end(from)
		if err == nil {
			err = errReplaced
		}
		return err
	}
	k.recorded.end(k.webhook.Cursor)
	k.since, k.delivered = time.Now(), false
	return nil
}

// leave records what was delivered, if that is possible, and says when to claim
// the webhook again.
func (k *worker) leave(why error) time.Time {
	now := time.Now()
	switch {
	case errors.Is(why, errFailed):
		k.d.cfg.Logger.LogAttrs(k.ctx, slog.LevelInfo, "a delivery to a webhook failed",
			slog.String("webhook", k.webhook.ID), slog.Int("failures", k.webhook.Failures), slog.String("error", k.webhook.LastError))
		if k.webhook.Paused {
			return now
		}
		return k.webhook.NextAt
	case errors.Is(why, errReplaced) || k.ctx.Err() != nil:
		return now
	case k.webhook.Cursor != k.recorded.at(): // the end of the feed or of the service
		why = k.record()
	}
	if why != nil && k.d.soft.Err() == nil {
		k.d.cfg.Logger.LogAttrs(k.ctx, slog.LevelWarn, "the deliveries to a webhook were interrupted; they go on",
			slog.String("webhook", k.webhook.ID), slog.Any("error", why))
	}
	return now.Add(restPause)
}
