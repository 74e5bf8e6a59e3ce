package resilience

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"rbcs"
	"rbcs/client"
)

// follower is who lives by the log: a reader of the stream of events, which
// resumes by Last-Event-ID over all instances, and the receiver of a webhook. It
// lives through a scenario, and must have been given what the log has at the end:
//
//   - By the stream every decision, once, in the order of the log. Where a
//     promotion breaks it off with a gap, it is read again from where it began, as
//     the problem says, and that reading must be whole.
//   - By the webhook every decision of its accounts at least once, and none for
//     the first time before all that stand before it.
//   - Nothing that the log does not have, unless a promotion may have lost it.
type follower struct {
	api        *client.Client
	books      *books
	hook       client.Webhook
	receiver   http.Server
	promotions func() int64
	stop       context.CancelFunc
	running    sync.WaitGroup

	mu        sync.Mutex
	streamed  []event // since the last gap
	broken    []event // before it
	gaps      int64
	delivered []event
}

// event is what identifies a decision in the log.
type event struct {
	sequence    int64
	id          string
	status      rbcs.Status
	committedAt int64
}

func eventOf(r *client.Result) event {
	return event{r.Sequence, r.ID, r.Status, r.CommittedAt.UnixMicro()}
}

// hookedPrefix begins the numbers of the webhook's accounts, behind the load's
// prefix: the world, and a few that are busy. It is posted to once per decision.
const hookedPrefix = "000"

// newFollower begins to follow what is decided from now on.
func newFollower(ctx context.Context, s *system, api *client.Client, b *books) (*follower, error) {
	before := s.promotions.Load()
	f := &follower{api: api, books: b, promotions: func() int64 { return s.promotions.Load() - before }}
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	f.receiver.Handler = http.HandlerFunc(f.receive)
	f.receiver.ReadHeaderTimeout = startTimeout
	ctx, f.stop = context.WithCancel(ctx)
	context.AfterFunc(ctx, func() { _ = f.receiver.Close() })
	f.running.Go(func() { _ = f.receiver.Serve(listener) }) // until it is closed
	f.hook, err = api.CreateWebhook(ctx, client.NewWebhook{URL: "http://" + listener.Addr().String() + "/", Prefix: b.prefix + hookedPrefix})
	if err != nil {
		f.close()
		return nil, fmt.Errorf("the webhook: %w", err)
	}
	f.running.Go(func() { f.follow(ctx) })
	return f, nil
}

func (f *follower) close() {
	f.stop()
	f.running.Wait()
}

// follow reads the stream until ctx ends.
func (f *follower) follow(ctx context.Context) {
	begin := fmt.Sprintf("0-%d", f.hook.Cursor)
	for after := begin; ctx.Err() == nil; {
		for e, err := range f.api.Events(ctx, client.EventQuery{After: after}) {
			switch {
			case ctx.Err() != nil:
			case err == nil:
				after = e.EventID
				f.mu.Lock()
				f.streamed = append(f.streamed, eventOf(&e.Result))
				f.mu.Unlock()
			case rbcs.CodeOf(err) == rbcs.InvalidRequest:
				after = begin
				f.gap(err)
			case !retryable(err):
				f.books.anomaly("the stream of events ends behind %s: %v", after, err)
				return
			}
		}
	}
}

func retryable(err error) bool {
	var known *rbcs.Error
	return errors.As(err, &known) && known.Retryable()
}

// gap begins anew. There is one per promotion at most.
func (f *follower) gap(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.gaps++; f.gaps > f.promotions() {
		f.books.anomaly("a gap in the stream of events, the %dth with %d promotions: %v", f.gaps, f.promotions(), err)
	}
	f.broken, f.streamed = append(f.broken, f.streamed...), nil
}

// receive takes a delivery of the webhook.
func (f *follower) receive(w http.ResponseWriter, r *http.Request) {
	var body struct{ Data client.Result }
	if err := json.NewDecoder(r.Body).Decode(&body); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest) // it was cut off: it will come again
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.delivered = append(f.delivered, eventOf(&body.Data))
}

// finish waits until the follower has come to the end of the log, and compares.
// Of the log it is given all, and the webhook's part.
func (f *follower) finish(ctx context.Context, whole, hooked []event) {
	for at, moved := f.count(), time.Now(); !f.reached(whole, hooked) && time.Since(moved) < recoveryTimeout; <-time.After(pause) {
		if now := f.count(); now != at {
			at, moved = now, time.Now()
		}
	}
	if err := f.api.DeleteWebhook(ctx, f.hook.ID); err != nil {
		f.books.anomaly("the webhook is not deleted: %v", err)
	}
	f.close()
	f.judge(whole, hooked)
}

// count returns how much was given.
func (f *follower) count() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.streamed) + len(f.delivered)
}

// reached reports whether the last decisions were given. Later sequences may have
// been, of a log that was lost.
func (f *follower) reached(whole, hooked []event) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	n, m, k := len(f.streamed), len(whole), len(hooked)
	return (m == 0 || n > 0 && f.streamed[n-1] == whole[m-1]) && (k == 0 || slices.Contains(f.delivered, hooked[k-1]))
}

// judge compares what was given with the log, and with the webhook's part of it.
func (f *follower) judge(whole, hooked []event) {
	for _, e := range f.broken {
		f.known(whole, e, "was in the stream of events")
	}
	for k := range max(len(f.streamed), len(whole)) {
		if k >= len(f.streamed) || k >= len(whole) || f.streamed[k] != whole[k] {
			f.books.anomaly("the stream of events had %d decisions, and the log has %d; the first that differ are %+v and %+v",
				len(f.streamed), len(whole), f.streamed[min(k, len(f.streamed)):min(k+1, len(f.streamed))], whole[min(k, len(whole)):min(k+1, len(whole))])
			break
		}
	}
	next := 0
	for _, e := range f.delivered {
		k, ok := f.known(hooked, e, "was delivered to the webhook")
		if ok && k > next {
			f.books.anomaly("%+v was delivered to the webhook before %d others, such as %+v", e, k-next, hooked[next])
			next = k
		}
		if ok && k == next {
			next++
		}
	}
	if next < len(hooked) {
		f.books.anomaly("%d of %d decisions were not delivered to the webhook, the first is %+v", len(hooked)-next, len(hooked), hooked[next])
	}
}

// known finds a decision in the log.
func (f *follower) known(log []event, e event, where string) (int, bool) {
	k, ok := slices.BinarySearchFunc(log, e.sequence, func(l event, s int64) int { return int(l.sequence - s) })
	ok = ok && log[k] == e
	if !ok && !f.books.mayBeLost(&told{committedAt: e.committedAt}) {
		f.books.anomaly("%+v %s and is not in the log", e, where)
	}
	return k, ok
}

// recorder keeps what a follower must have been given of the log that is read through it.
type recorder struct {
	dumper
	hook          client.Webhook
	whole, hooked []event
}

// Dump implements [audit.Dumper].
func (r *recorder) Dump(ctx context.Context, decision func(*rbcs.Result) error, account func(*rbcs.Account) error) error {
	return r.dumper.Dump(ctx, func(d *rbcs.Result) error {
		if d.Sequence > r.hook.Cursor {
			e := event{d.Sequence, d.Transaction.ID, d.Status, d.CommittedAt.UnixMicro()}
			r.whole = append(r.whole, e)
			if strings.HasPrefix(d.Transaction.Source, r.hook.Prefix) || strings.HasPrefix(d.Transaction.Destination, r.hook.Prefix) {
				r.hooked = append(r.hooked, e)
			}
		}
		return decision(d)
	}, account)
}
