package webhook

import (
	"context"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"rbcs"
	"rbcs/internal/events"
)

// Deliverer delivers the webhooks that its instance has claimed.
type Deliverer struct {
	store  rbcs.WebhookStore
	feed   *events.Feed
	cfg    Config
	client *http.Client

	soft, hard  context.Context // nothing new begins after the one; what is under way ends with the other
	stop, abort context.CancelFunc
	again       chan struct{} // asks for a claim
	running     sync.WaitGroup

	mu    sync.Mutex
	hooks map[string]*hook
}

// hook is a webhook that this instance delivers, or waits to deliver again.
type hook struct {
	worker *worker   // nil while it waits
	next   time.Time // when to claim it again, while it waits
	behind time.Time // when the oldest decision was committed that is not delivered; zero for none
}

// New returns a deliverer over the log that feed follows. It does nothing until
// [Deliverer.Start], and is to be stopped before the feed.
func New(store rbcs.WebhookStore, feed *events.Feed, cfg Config) *Deliverer {
	cfg = cfg.withDefaults()
	d := &Deliverer{store: store, feed: feed, cfg: cfg, again: make(chan struct{}, 1), hooks: map[string]*hook{}}
	d.client = &http.Client{
		Transport:     cfg.Transport,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	d.soft, d.stop = context.WithCancel(context.Background())
	d.hard, d.abort = context.WithCancel(context.Background())
	return d
}

// Start begins to claim and to deliver. REQUIRES: it is called once, and not
// after Stop.
func (d *Deliverer) Start() { d.running.Go(d.manage) }

// Wake claims at once. It may be called after a webhook was created or changed,
// which otherwise takes up to [Config].ClaimEvery to show, and never blocks.
func (d *Deliverer) Wake() {
	select {
	case d.again <- struct{}{}:
	default:
	}
}

// Stop lets the requests under way end, records what was delivered, gives the
// claims back, and waits.
// If ctx ends first, or the lease, it interrupts them. It may be called again.
func (d *Deliverer) Stop(ctx context.Context) error {
	d.stop()
	done := make(chan struct{})
	go func() {
		d.running.Wait()
		close(done)
	}()
	defer d.client.CloseIdleConnections()
	select {
	case <-done:
		d.giveBack(ctx)
		return nil
	case <-ctx.Done():
		d.abort()
		return &rbcs.Error{
			Code: rbcs.Unavailable, Message: "deliveries to webhooks were interrupted; they will be made again", Err: context.Cause(ctx),
		}
	}
}

// giveBack ends the claims, so that another instance goes on at once.
func (d *Deliverer) giveBack(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, min(storeTimeout, d.cfg.Lease/3))
	defer cancel()
	if _, err := d.store.ClaimWebhooks(ctx, d.cfg.Instance, 0); err != nil {
		d.cfg.Logger.LogAttrs(ctx, slog.LevelInfo, "the claims of webhooks could not be given back; they end by themselves", slog.Any("error", err))
	}
}

// Stats is what a deliverer is busy with.
type Stats struct {
	Claimed int           // webhooks that this instance delivers now
	Waiting int           // webhooks that it will try again later
	Lag     time.Duration // how long ago the oldest decision was committed that waits for its webhook
}

// Stats returns what the deliverer is busy with now.
func (d *Deliverer) Stats() Stats {
	d.mu.Lock()
	defer d.mu.Unlock()
	var s Stats
	now := time.Now()
	for _, h := range d.hooks {
		if h.worker != nil {
			s.Claimed++
		} else {
			s.Waiting++
		}
		if !h.behind.IsZero() {
			s.Lag = max(s.Lag, now.Sub(h.behind))
		}
	}
	return s
}

// manage claims webhooks until Stop, and gives up those whose lease it cannot renew.
func (d *Deliverer) manage() {
	renewed := d.cfg.Lease - d.cfg.Lease/10
	expire := time.AfterFunc(renewed, d.giveUp)
	failing := false
	for d.soft.Err() == nil {
		began := time.Now()
		err := d.claim()
		switch {
		case err == nil:
			failing = false
			expire.Reset(renewed - time.Since(began))
		case !failing && d.soft.Err() == nil: // an outage is one message
			failing = true
			d.cfg.Logger.LogAttrs(d.soft, slog.LevelWarn, "webhooks cannot be claimed; trying again", slog.Any("error", err))
		}
		if err != nil {
			wait(d.soft, d.cfg.ClaimEvery, nil)
			continue
		}
		wait(d.soft, minClaimGap, nil)
		wait(d.soft, time.Until(d.due(began)), d.again)
	}
}

// due returns when to claim next.
func (d *Deliverer) due(last time.Time) time.Time {
	d.mu.Lock()
	defer d.mu.Unlock()
	due := last.Add(d.cfg.ClaimEvery)
	for _, h := range d.hooks {
		if h.worker == nil && h.next.Before(due) {
			due = h.next
		}
	}
	return due
}

func wait(ctx context.Context, d time.Duration, sooner <-chan struct{}) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-sooner:
	case <-ctx.Done():
	}
}

// giveUp interrupts all workers: their claims may end at any moment.
func (d *Deliverer) giveUp() {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, h := range d.hooks {
		if h.worker != nil {
			h.worker.cancel()
		}
	}
}

// claim claims webhooks, and renews the claims that this instance has: it starts
// workers for those that have none, and ends those that have lost their claim or
// whose webhook was changed.
func (d *Deliverer) claim() error {
	stamps := d.stamps()
	ctx, cancel := context.WithTimeout(d.soft, min(storeTimeout, d.cfg.Lease/3))
	defer cancel()
	list, err := d.store.ClaimWebhooks(ctx, d.cfg.Instance, d.cfg.Lease)
	if err != nil {
		return err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.soft.Err() != nil {
		return nil
	}
	mine := make(map[string]bool, len(list))
	for _, w := range list {
		mine[w.ID] = true
		h := d.hooks[w.ID]
		if h == nil {
			h = &hook{}
			d.hooks[w.ID] = h
		}
		if h.worker == nil {
			d.start(h, w)
		} else if h.worker.outdated(&w, stamps[w.ID]) {
			h.worker.cancel()
		}
	}
	now := time.Now()
	for id, h := range d.hooks {
		switch {
		case mine[id]:
		case h.worker != nil:
			h.worker.cancel()
		case !now.Before(h.next): // another instance has it, or nobody
			delete(d.hooks, id)
		}
	}
	return nil
}

// stamps notes what the workers have recorded before a claim.
func (d *Deliverer) stamps() map[string]int {
	d.mu.Lock()
	defer d.mu.Unlock()
	stamps := make(map[string]int, len(d.hooks))
	for id, h := range d.hooks {
		if h.worker != nil {
			stamps[id] = h.worker.recorded.stamp()
		}
	}
	return stamps
}

// start starts a worker. REQUIRES: d.mu is held.
func (d *Deliverer) start(h *hook, w rbcs.Webhook) {
	k := &worker{d: d, hook: h, webhook: w, url: w.URL}
	k.ctx, k.cancel = context.WithCancel(d.hard)
	k.recorded.cursor = w.Cursor
	h.worker, h.behind = k, time.Time{}
	d.running.Go(func() {
		defer k.cancel()
		next := k.work()
		d.mu.Lock()
		h.worker, h.next = nil, next
		d.mu.Unlock()
		d.Wake() // to note next
	})
}

// setBehind notes which decision waits to be delivered.
func (d *Deliverer) setBehind(h *hook, since time.Time) {
	d.mu.Lock()
	defer d.mu.Unlock()
	h.behind = since
}
