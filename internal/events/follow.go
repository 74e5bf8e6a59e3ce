package events

import (
	"context"
	"log/slog"
	"math"
	"time"

	"rbcs"
)

// move is a change of the timeline, as the follower saw it.
type move struct {
	from, to int64
	kept     int64 // the last decision known to be the same in both; -1 where none is
	lost     int64 // the first sequence behind it of which that is not known
}

// follow looks at the log while there are readers, until Stop.
func (f *Feed) follow() {
	var failures int
	var swept time.Time
	for f.ctx.Err() == nil {
		if f.interested.Load() == 0 {
			select {
			case <-f.wake:
			case <-f.ctx.Done():
			}
			continue
		}
		more, err := f.look(f.ctx)
		switch {
		case f.ctx.Err() != nil:
		case err != nil:
			if failures++; failures == 1 { // an outage is one message
				f.cfg.Logger.LogAttrs(f.ctx, slog.LevelWarn, "the event stream cannot read the log; trying again", slog.Any("error", err))
			}
			sleep(f.ctx, min(f.cfg.Poll<<min(failures, 16), maxBackoff))
		default:
			failures = 0
			f.pause(more)
		}
		if now := time.Now(); now.Sub(swept) >= f.cfg.Patience/8 {
			swept = now
			f.dropSlow(now)
		}
	}
}

// pause waits until it is time for the next look.
func (f *Feed) pause(more bool) {
	if more {
		return
	}
	sleep(f.ctx, min(minGap, f.cfg.Poll))
	timer := time.NewTimer(f.cfg.Poll)
	defer timer.Stop()
	select {
	case <-f.wake:
	case <-timer.C:
	case <-f.ctx.Done():
	}
}

func sleep(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

// acquire takes a semaphore and returns what gives it back.
func acquire(ctx context.Context, semaphore chan struct{}) (func(), error) {
	select {
	case semaphore <- struct{}{}:
		return func() { <-semaphore }, nil
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// look reads once behind the end of the ring, and reports whether there is more.
func (f *Feed) look(ctx context.Context) (bool, error) {
	ctx, cancel := context.WithTimeout(ctx, lookTimeout)
	defer cancel()
	release, err := acquire(ctx, f.looking)
	if err != nil {
		return false, err
	}
	defer release()
	if !f.known {
		_, err := f.settle(ctx)
		return true, err
	}
	page, err := f.log.Log(ctx, f.ring.end, f.cfg.Page)
	if err != nil {
		return false, err
	}
	if page.Timeline != f.timeline {
		return true, f.moveTo(ctx, page.Timeline)
	}
	if page.End > f.ring.end {
		f.mu.Lock()
		f.ring.append(page.Results, page.End)
		f.broadcast()
		f.mu.Unlock()
	}
	f.unsettled.settled(page.End)
	return len(page.Results) == f.cfg.Page, nil
}

// End returns the settled end of the log now: what [Tail] stands for. It waits
// some seconds for a store that does not know yet.
func (f *Feed) End(ctx context.Context) (Position, error) {
	ctx, leave, err := f.enter(ctx)
	if err != nil {
		return Position{}, err
	}
	defer leave()
	at, err := patiently(ctx, func() (Position, error) { return f.present(ctx) })
	if err != nil {
		return Position{}, failure(err)
	}
	return at, nil
}

// present returns the settled end of the log, and brings the ring near it.
func (f *Feed) present(ctx context.Context) (Position, error) {
	release, err := acquire(ctx, f.looking)
	if err != nil {
		return Position{}, err
	}
	defer release()
	return f.settle(ctx)
}

// settle finds the settled end of the log, and brings the ring there where it is
// far away, such as after a time without readers. REQUIRES: f.looking is held.
func (f *Feed) settle(ctx context.Context) (Position, error) {
	page, err := f.log.Log(ctx, math.MaxInt64, 1)
	if err != nil {
		return Position{}, err
	}
	if f.known && page.Timeline != f.timeline {
		if err := f.moveTo(ctx, page.Timeline); err != nil {
			return Position{}, err
		}
	}
	if !f.known || page.End-f.ring.end > int64(f.cfg.Ring) {
		f.mu.Lock()
		f.known, f.timeline = true, page.Timeline
		f.ring.reset(max(0, page.End-int64(f.cfg.Page))) // readers that come back begin a little before the end
		f.broadcast()
		f.mu.Unlock()
	}
	return Position{page.Timeline, page.End}, nil
}

// moveTo goes over to another timeline: it finds out up to where the log in
// memory is the log there. REQUIRES: f.looking is held.
func (f *Feed) moveTo(ctx context.Context, timeline int64) error {
	m := move{from: f.timeline, to: timeline, kept: -1, lost: f.ring.end + 1}
	if f.ring.start == 0 {
		m.kept = 0 // the beginning of the log always stays
	}
	held, at := f.ring.all(), f.ring.start
	for len(held) > 0 {
		page, err := f.log.Log(ctx, at, f.cfg.Page)
		if err != nil {
			return err
		}
		if page.Timeline != timeline {
			return rbcs.Errorf(rbcs.Unavailable, "the database's timeline changed from %d to %d and again to %d", f.timeline, timeline, page.Timeline)
		}
		n := common(held, page.Results)
		if n > 0 {
			m.kept = held[n-1].Sequence
		}
		if held = held[n:]; n < f.cfg.Page { // they differ, or the log ends
			break
		}
		at = page.End
	}
	if len(held) > 0 {
		m.lost = held[0].Sequence
	}
	start := int64(0)
	if m.kept < 0 { // nothing is known any more
		page, err := f.log.Log(ctx, math.MaxInt64, 1)
		if err != nil {
			return err
		}
		start = max(0, page.End-int64(f.cfg.Page))
	}
	f.cfg.Logger.LogAttrs(ctx, slog.LevelWarn, "the database was promoted; readers behind the kept sequence are ended with a gap",
		slog.Int64("from_timeline", m.from), slog.Int64("to_timeline", m.to), slog.Int64("kept", m.kept), slog.Int("lost", len(held)))
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.moves = append(f.moves, m); len(f.moves) > maxMoves {
		f.moves = f.moves[1:]
	}
	f.timeline = timeline
	if m.kept < 0 {
		f.ring.reset(start)
	} else {
		f.ring.truncate(f.ring.held-len(held), m.kept)
	}
	f.unsettled.reset()
	f.broadcast()
	f.nudge()
	return nil
}

// carry returns what a position is in the present timeline. REQUIRES: f.mu is held.
func (f *Feed) carry(p Position) (Position, error) {
	asked := p
	if p.Timeline == 0 || p.Sequence == 0 { // the caller's word; or the beginning, which always stays
		return Position{f.timeline, p.Sequence}, nil
	}
	for i := len(f.moves) - 1; i >= 0 && p.Timeline != f.timeline; i-- {
		if f.moves[i].from == p.Timeline { // from here on through all later ones
			for _, m := range f.moves[i:] {
				if m.kept < 0 || p.Sequence >= m.lost {
					break
				}
				// Behind kept, up to lost, there was nothing: sequences that were never used may be used there now.
				p = Position{m.to, min(p.Sequence, m.kept)}
			}
			break
		}
	}
	if p.Timeline != f.timeline {
		return p, (&Gap{Asked: asked, Present: Position{f.timeline, f.ring.end}}).refusal()
	}
	return p, nil
}
