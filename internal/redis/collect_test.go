package redis

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"

	"rbcs"
)

// TestConcurrentMissesShareTheNextRead: of many readers the first begins a store
// read, and all others share one that begins after they came.
func TestConcurrentMissesShareTheNextRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newFakeStore()
		store.set("a", 1)
		store.hold = make(chan struct{})
		c := newCollector(t.Context(), store)
		var readers sync.WaitGroup
		read := func(want int64) {
			readers.Go(func() {
				readings, err := c.read(t.Context(), []string{"a"})
				if err != nil || readings[0].Version != want {
					t.Errorf("a reader was told of %+v, %v, want version %d", readings, err, want)
				}
			})
			synctest.Wait()
		}
		read(1)
		store.set("a", 2) // acknowledged before the others come
		for range 100 {
			read(2)
		}
		close(store.hold)
		readers.Wait()
		if n := store.reads(); n != 2 {
			t.Errorf("the store was read %d times, want 2", n)
		}
	})
}

func TestMissesAreCollected(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newFakeStore()
		store.hold = make(chan struct{})
		c := newCollector(t.Context(), store)
		var readers sync.WaitGroup
		var numbers []string
		for i := range storeReads + 1_500 {
			number := strconv.Itoa(i)
			numbers = append(numbers, number)
			store.set(number, int64(i))
			readers.Go(func() {
				readings, err := c.read(t.Context(), []string{number, "none", number})
				if err != nil || len(readings) != 3 || readings[0].Number != number || readings[0] != readings[2] || readings[1].Err == nil {
					t.Errorf("%s: %+v, %v", number, readings, err)
				}
			})
		}
		synctest.Wait()
		close(store.hold)
		readers.Wait()
		c.wait()
		var read []string
		for _, call := range store.calls {
			if len(call) > storeReadSize {
				t.Errorf("a store read is of %d accounts", len(call))
			}
			read = append(read, call...)
		}
		if len(store.calls) > storeReads+5 {
			t.Errorf("there were %d store reads", len(store.calls))
		}
		for _, number := range numbers {
			if !slices.Contains(read, number) {
				t.Errorf("%s was not read", number)
			}
		}
	})
}

func TestReadersMayLeave(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newFakeStore()
		store.hold = make(chan struct{})
		c := newCollector(t.Context(), store)
		ctx, cancel := context.WithCancel(t.Context())
		var reader sync.WaitGroup
		reader.Go(func() {
			if _, err := c.read(ctx, []string{"a"}); rbcs.CodeOf(err) != rbcs.Unavailable {
				t.Errorf("the error is %v, want %s", err, rbcs.Unavailable)
			}
		})
		synctest.Wait()
		cancel()
		reader.Wait()
		close(store.hold)
		c.wait()
	})
}

// short is a store that forgets to answer for some.
type short struct{}

func (short) Balances(context.Context, []string) ([]rbcs.BalanceReading, error) { return nil, nil }

func TestFailedStoreReads(t *testing.T) {
	store := newFakeStore()
	store.err = errors.New("no database")
	if _, err := newCollector(t.Context(), store).read(t.Context(), []string{"a", "b"}); !errors.Is(err, store.err) {
		t.Errorf("the error is %v, want that of the store", err)
	}
	if _, err := newCollector(t.Context(), short{}).read(t.Context(), []string{"a"}); rbcs.CodeOf(err) != rbcs.Internal {
		t.Errorf("the error is %v, want %s", err, rbcs.Internal)
	}
	if _, err := newCollector(t.Context(), store).read(t.Context(), make([]string, maxWaiting+1)); rbcs.CodeOf(err) != rbcs.Overloaded {
		t.Errorf("the error is %v, want %s", err, rbcs.Overloaded)
	}
}
