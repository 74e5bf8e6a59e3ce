package events

import (
	"context"
	"errors"
	"time"

	"rbcs"
)

// Reader reads the log from one position on. Close may be called at any time;
// the other methods are for one goroutine.
type Reader struct {
	feed   *Feed
	filter Filter
	own    bool // a part of the service: neither counted nor dropped
	ahead  bool // it began beyond the settled end of the log

	// Guarded by feed.mu.
	at      Position // everything up to here was returned or filtered out
	reading bool     // in Next
	since   time.Time
	err     error // why it ended; nil while it has not
	ended   chan struct{}
}

// Subscribe returns a reader of what follows a position. ctx bounds the call
// alone. Its error is a [*rbcs.Error]: [rbcs.Overloaded] where there are too many
// readers, [rbcs.Unavailable] where the feed stops or the store is away, and
// [rbcs.InvalidRequest] with a [*Gap] in its chain where the position is of
// another timeline and cannot be carried over.
func (f *Feed) Subscribe(ctx context.Context, after Position, filter Filter) (*Reader, error) {
	return f.open(ctx, after, filter, false)
}

// Follow is Subscribe for a part of the service itself, which bounds the number
// of its readers: they are not counted, and not dropped for being slow.
func (f *Feed) Follow(ctx context.Context, after Position, filter Filter) (*Reader, error) {
	return f.open(ctx, after, filter, true)
}

func (f *Feed) open(ctx context.Context, after Position, filter Filter, own bool) (*Reader, error) {
	r := &Reader{feed: f, filter: filter, own: own, at: after, since: time.Now(), ended: make(chan struct{})}
	if err := f.admit(r); err != nil {
		return nil, err
	}
	ctx, leave, err := f.enter(ctx)
	if err != nil {
		return nil, err
	}
	defer leave()
	present, err := patiently(ctx, func() (Position, error) { return f.present(ctx) })
	if err == nil {
		f.mu.Lock()
		if after == Tail {
			r.at = present
		}
		r.at, err = f.carry(r.at)
		r.ahead = r.at.Sequence > present.Sequence
		f.mu.Unlock()
	}
	if err != nil {
		r.Close()
		if ctx.Err() != nil {
			err = context.Cause(ctx) // the caller's, or Stop
		}
		return nil, failure(err)
	}
	f.nudge()
	return r, nil
}

// admit counts a reader, or refuses it.
func (f *Feed) admit(r *Reader) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	switch {
	case f.stopped:
		return stopping()
	case !r.own && f.counted >= f.cfg.MaxReaders:
		return &rbcs.Error{Code: rbcs.Overloaded, Message: "too many readers of events are connected; come back later", RetryAfter: retryAfter}
	}
	if !r.own {
		f.counted++
	}
	f.readers[r] = struct{}{}
	if f.interested.Add(1) == 1 {
		f.unsettled.reset() // nobody looked since
	}
	return nil
}

// end ends a reader, once. REQUIRES: f.mu is held.
func (f *Feed) end(r *Reader, why error) {
	if r.err != nil {
		return
	}
	r.err = why
	close(r.ended)
	delete(f.readers, r)
	f.interested.Add(-1)
	if !r.own {
		f.counted--
	}
}

// dropSlow ends the readers that fell out of the ring and do not come back.
func (f *Feed) dropSlow(now time.Time) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for r := range f.readers {
		if !r.own && !r.reading && r.at.Sequence < f.ring.start && now.Sub(r.since) >= f.cfg.Patience {
			f.drop(r)
		}
	}
}

// drop ends a reader that is too slow, and counts it, once. REQUIRES: f.mu is held.
func (f *Feed) drop(r *Reader) {
	if r.err != nil {
		return
	}
	f.dropped++
	f.end(r, &rbcs.Error{
		Code: rbcs.Overloaded, Message: "the reader was too slow for the log; resume from the last event ID", RetryAfter: retryAfter,
	})
}

// Drop ends the reader as too slow: its client does not take what it was sent.
func (r *Reader) Drop() {
	r.feed.mu.Lock()
	defer r.feed.mu.Unlock()
	r.feed.drop(r)
}

// Ahead reports whether the reader began beyond the settled end of the log, as it
// was then: at a decision that was committed a moment ago, or at what never was.
func (r *Reader) Ahead() bool { return r.ahead }

// enter begins a use of the store, which Stop ends and waits for.
func (f *Feed) enter(ctx context.Context) (context.Context, func(), error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.stopped {
		return nil, nil, stopping()
	}
	f.running.Add(1)
	ctx, cancel := context.WithCancelCause(ctx)
	unhook := context.AfterFunc(f.ctx, func() { cancel(stopping()) })
	return ctx, func() {
		unhook()
		cancel(nil)
		f.running.Done()
	}, nil
}

// failure makes an error of the store, or of a context, one of this package.
func failure(err error) error {
	if e, ok := errors.AsType[*rbcs.Error](err); ok {
		return e
	}
	return &rbcs.Error{Code: rbcs.Unavailable, Message: "the log could not be read; resume from the last event ID", RetryAfter: retryAfter, Err: err}
}

// Close ends the reader.
func (r *Reader) Close() {
	r.feed.mu.Lock()
	defer r.feed.mu.Unlock()
	r.feed.end(r, &rbcs.Error{Code: rbcs.Unavailable, Message: "the reader is closed"})
}

// Position returns up to where everything was returned or filtered out: where
// another reader can go on.
func (r *Reader) Position() Position {
	r.feed.mu.Lock()
	defer r.feed.mu.Unlock()
	return r.at
}

// Next returns the next events, at least one and in the order of the log. It
// waits for them, or returns the cause of ctx's end; another call goes on then,
// nothing is lost. All other errors are a [*rbcs.Error]. After a failure of the
// store one may call again too; a reader that has ended stays so, and says why:
// [rbcs.Unavailable] (Stop or Close), [rbcs.Overloaded] (it was too slow), or
// [rbcs.InvalidRequest] with a [*Gap] in its chain.
func (r *Reader) Next(ctx context.Context) ([]Event, error) {
	defer r.rest()
	for {
		piece, err := r.fromRing()
		if err == nil && !piece.complete {
			err = r.fromStore(ctx, &piece)
		}
		if err != nil {
			return nil, err
		}
		events := r.filter.of(piece.pages, piece.at.Timeline)
		advanced := r.advance(piece.at)
		switch {
		case len(events) > 0:
			return events, nil
		case ctx.Err() != nil:
			return nil, context.Cause(ctx)
		case advanced: // over what the filter does not let through
			continue
		}
		select {
		case <-piece.changed:
		case <-r.ended:
		case <-ctx.Done():
		}
	}
}

// piece is a part of the log that a reader comes to next.
type piece struct {
	pages    [][]rbcs.Result
	at       Position        // up to where it reaches
	complete bool            // false where the reader is out of the ring
	changed  <-chan struct{} // closed when there may be more than when the ring was looked at
}

// fromRing takes what the ring has for the reader.
func (r *Reader) fromRing() (piece, error) {
	f := r.feed
	f.mu.Lock()
	defer f.mu.Unlock()
	r.reading = true
	if r.err != nil {
		return piece{}, r.err
	}
	at, err := f.carry(r.at)
	if err != nil {
		f.end(r, err)
		return piece{}, err
	}
	r.at = at
	p := piece{at: at, changed: f.changed}
	pages, end, ok := f.ring.after(at.Sequence, f.cfg.Page)
	if ok {
		p.pages, p.at.Sequence, p.complete = pages, end, true
	}
	return p, nil
}

// fromStore reads a page of what follows the reader's position. Where it turns
// out to be of another timeline, it lets the feed move there and reads nothing.
func (r *Reader) fromStore(ctx context.Context, p *piece) error {
	f := r.feed
	inner, leave, err := f.enter(ctx)
	if err != nil {
		return err
	}
	defer leave()
	page, err := f.readPage(inner, p.at.Sequence)
	if err == nil && page.Timeline != p.at.Timeline {
		_, err = f.present(inner)
		page = rbcs.LogPage{}
	}
	switch {
	case err == nil:
		p.pages, p.at.Sequence = [][]rbcs.Result{page.Results}, max(p.at.Sequence, page.End)
		return nil
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case inner.Err() != nil:
		return context.Cause(inner) // Stop
	default:
		return failure(err)
	}
}

func (f *Feed) readPage(ctx context.Context, after int64) (rbcs.LogPage, error) {
	release, err := acquire(ctx, f.catchingUp)
	if err != nil {
		return rbcs.LogPage{}, err
	}
	defer release()
	return f.log.Log(ctx, after, f.cfg.Page)
}

// advance moves the reader on, and reports whether that is any further.
func (r *Reader) advance(to Position) bool {
	r.feed.mu.Lock()
	defer r.feed.mu.Unlock()
	advanced := to != r.at
	r.at = to
	return advanced
}

// rest notes that the reader has left Next.
func (r *Reader) rest() {
	r.feed.mu.Lock()
	defer r.feed.mu.Unlock()
	r.reading, r.since = false, time.Now()
}
