package engine_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"rbcs"
	"rbcs/internal/engine"
)

// previewing starts a Preview, and returns when it waits or is done.
func previewing(ctx context.Context, e *engine.Engine, txs ...*rbcs.Transaction) *submission {
	s := &submission{txs: txs, returned: make(chan struct{})}
	begin := time.Now()
	go func() {
		s.results, s.err = e.Preview(ctx, txs)
		s.after = time.Since(begin)
		close(s.returned)
	}()
	synctest.Wait()
	return s
}

func echo(pause time.Duration) func(context.Context, []*rbcs.Transaction) ([]rbcs.Result, error) {
	return func(ctx context.Context, batch []*rbcs.Transaction) ([]rbcs.Result, error) {
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return nil, &rbcs.Error{Code: rbcs.Unavailable, Message: "interrupted", Err: ctx.Err()}
		}
		results := make([]rbcs.Result, len(batch))
		for i, tx := range batch {
			results[i] = rbcs.Result{Transaction: *tx, Status: rbcs.Posted}
		}
		return results, nil
	}
}

func TestPreviewsAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &fakeStore{preview: echo(time.Second)}
		e := newEngine(t, store, engine.Config{Previews: 2, CommitTimeout: 10 * time.Second, Deadline: 10 * time.Second})
		var all []*submission
		for range 18 {
			all = append(all, previewing(t.Context(), e, series("p", 3)...))
		}
		over := previewing(t.Context(), e, series("p", 1)...)
		if !over.done() || rbcs.CodeOf(over.err) != rbcs.Overloaded {
			t.Errorf("the one too many: done %v with %v", over.done(), over.err)
		}
		stop(t, e) // waits for them
		for i, s := range all {
			s.want(t, "")
			if want := time.Duration(1+i/2) * time.Second; s.after != want {
				t.Errorf("preview %d took %v, want %v", i, s.after, want)
			}
		}
		if store.mostPreviews != 2 || store.calls != 0 {
			t.Errorf("%d previews at once, %d commits", store.mostPreviews, store.calls)
		}
		if late := previewing(t.Context(), e, series("p", 1)...); rbcs.CodeOf(late.err) != rbcs.Unavailable {
			t.Errorf("a preview after Stop: %v", late.err)
		}
	})
}

func TestPreviewOfTooMuchOrNothing(t *testing.T) {
	e := newEngine(t, &fakeStore{}, engine.Config{MaxPending: 3, MaxPendingBytes: 2000})
	if results, err := e.Preview(t.Context(), nil); results != nil || err != nil {
		t.Errorf("of nothing: %v, %v", results, err)
	}
	long := tx("long", "a", "b")
	long.Metadata = strings.Repeat("x", 2000)
	for _, txs := range [][]*rbcs.Transaction{series("p", 4), {long}} {
		if _, err := e.Preview(t.Context(), txs); rbcs.CodeOf(err) != rbcs.InvalidRequest {
			t.Errorf("of %d: %v", len(txs), err)
		}
	}
	stop(t, e)
}

func TestPreviewFailures(t *testing.T) {
	fail := func(err error) func(context.Context, []*rbcs.Transaction) ([]rbcs.Result, error) {
		return func(context.Context, []*rbcs.Transaction) ([]rbcs.Result, error) { return nil, err }
	}
	for name, c := range map[string]struct {
		preview func(context.Context, []*rbcs.Transaction) ([]rbcs.Result, error)
		want    rbcs.Code
	}{
		"away":      {fail(rbcs.Errorf(rbcs.Unavailable, "away")), rbcs.Unavailable},
		"unknown":   {fail(rbcs.Errorf(rbcs.OutcomeUnknown, "lost")), rbcs.Unavailable},
		"damaged":   {fail(rbcs.Errorf(rbcs.Internal, "damaged")), rbcs.Internal},
		"unnamed":   {fail(errors.New("EOF")), rbcs.Internal},
		"too short": {fail(nil), rbcs.Internal},
		"panic":     {func(context.Context, []*rbcs.Transaction) ([]rbcs.Result, error) { panic("no") }, rbcs.Internal},
		"too slow":  {echo(time.Hour), rbcs.Unavailable},
	} {
		synctest.Test(t, func(t *testing.T) {
			var logged bytes.Buffer
			e := newEngine(t, &fakeStore{preview: c.preview}, engine.Config{
				CommitTimeout: 5 * time.Second, Logger: slog.New(slog.NewTextHandler(&logged, nil)),
			})
			s := previewing(t.Context(), e, series("p", 2)...)
			stop(t, e)
			s.want(t, c.want)
			if s.after > 5*time.Second {
				t.Errorf("%s: after %v", name, s.after)
			}
			if lines := strings.Count(logged.String(), "\n"); (lines == 1) != (c.want == rbcs.Internal) {
				t.Errorf("%s: %d lines logged", name, lines)
			}
		})
	}
}

func TestPreviewEndsWithItsCaller(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newEngine(t, &fakeStore{preview: echo(time.Hour)}, engine.Config{Previews: 1, CommitTimeout: time.Hour, Deadline: time.Hour, Logger: quiet})
		ctx, cancel := context.WithCancel(t.Context())
		running := previewing(ctx, e, series("p", 1)...)
		waiting := previewing(ctx, e, series("p", 1)...)
		cancel()
		synctest.Wait()
		running.want(t, rbcs.Unavailable)
		if !waiting.done() || rbcs.CodeOf(waiting.err) != rbcs.Unavailable {
			t.Errorf("what waited: done %v with %v", waiting.done(), waiting.err)
		}

		stubborn := previewing(t.Context(), e, series("p", 1)...)
		impatient, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := e.Stop(impatient); err == nil {
			t.Error("Stop did not wait for the preview")
		}
		stubborn.want(t, rbcs.Unavailable)
		stop(t, e)
	})
}
