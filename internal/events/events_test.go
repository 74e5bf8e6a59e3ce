package events_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"rbcs"
	"rbcs/internal/events"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// TestReconnectsUnderLoad: four committers commit late and out of order, and a
// reader that reconnects 100 times sees every sequence exactly once.
func TestReconnectsUnderLoad(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := newLog()
		f := start(t, log, events.Config{Ring: 50, Page: 20})
		ctx, cancel := context.WithCancel(t.Context())
		var committers sync.WaitGroup
		for i := range 4 {
			committers.Go(func() {
				random := rand.New(rand.NewPCG(1, uint64(i)))
				for ctx.Err() == nil {
					s := log.begin()
					time.Sleep(time.Duration(random.IntN(20_000)) * time.Microsecond)
					if random.IntN(10) == 0 {
						log.abort(s)
						continue
					}
					log.commit(s, "a", "b")
					f.Wake(s)
				}
			})
		}
		var got []string
		var at events.Position
		for range 100 {
			r := subscribe(t, f, at, events.Filter{})
			for range 1 + rand.IntN(3) {
				list, err := r.Next(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				for _, e := range list {
					got = append(got, e.Result.Transaction.ID)
					at = e.ID
				}
			}
			r.Close()
			time.Sleep(time.Duration(rand.IntN(300)) * time.Millisecond)
		}
		cancel()
		committers.Wait()
		r := subscribe(t, f, at, events.Filter{})
		want := log.ids(0, nil)
		got = append(got, read(t, r, len(want)-len(got))...)
		quiet(t, r)
		equal(t, got, want)
		if len(want) < 2_000 {
			t.Errorf("only %d were committed", len(want))
		}
	})
}

func TestAnOpenTransactionHoldsTheStreamAndIsNotSkipped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := newLog()
		f := start(t, log, events.Config{})
		r := subscribe(t, f, events.Tail, events.Filter{})
		late := log.begin()
		f.Wake(log.post(3))
		quiet(t, r) // a minute
		if lag := f.Stats().Lag; lag != time.Minute {
			t.Errorf("the lag is %v", lag)
		}
		f.Wake(log.post(1))
		log.commit(late, "a", "b")
		equal(t, read(t, r, 5), []string{"t1-1", "t1-2", "t1-3", "t1-4", "t1-5"})
		synctest.Wait()
		if s := f.Stats(); s.Lag != 0 || s.End != (events.Position{Timeline: 1, Sequence: 5}) || s.Readers != 1 {
			t.Errorf("got %+v", s)
		}
	})
}

func TestLagMovesOnWithTheStream(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := newLog()
		f := start(t, log, events.Config{})
		subscribe(t, f, events.Tail, events.Filter{})
		first, second := log.begin(), log.begin()
		log.commit(first, "a", "b")
		other := log.begin()
		log.commit(other, "a", "b")
		time.Sleep(time.Second)
		f.Wake(other) // the first is settled already
		time.Sleep(time.Second)
		if lag := f.Stats().Lag; lag != time.Second {
			t.Errorf("the lag is %v", lag)
		}
		log.commit(second, "a", "b")
		time.Sleep(time.Second)
		if lag := f.Stats().Lag; lag != 0 {
			t.Errorf("the lag is %v", lag)
		}
		f.Wake(other) // is a replay
		if lag := f.Stats().Lag; lag != 0 {
			t.Errorf("the lag is %v after a replay", lag)
		}
	})
}

func TestCommitsOfOtherInstancesAreFound(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := newLog()
		f := start(t, log, events.Config{})
		r := subscribe(t, f, events.Tail, events.Filter{})
		time.Sleep(time.Second)
		log.post(1)
		before := time.Now()
		read(t, r, 1)
		if took := time.Since(before); took > 110*time.Millisecond {
			t.Errorf("took %v", took)
		}
	})
}

func TestFilters(t *testing.T) {
	accounts := [][2]string{{"acme:1", "bank"}, {"bank", "acme:2"}, {"bank", "other"}, {"acme:1", "acme:2"}, {"acme", "other"}}
	for _, c := range []struct {
		filter events.Filter
		want   []string
	}{
		{events.Filter{}, []string{"t1-1", "t1-2", "t1-3", "t1-4", "t1-5"}},
		{events.Filter{Account: "bank"}, []string{"t1-1", "t1-2", "t1-3"}},
		{events.Filter{Account: "acme:2"}, []string{"t1-2", "t1-4"}},
		{events.Filter{Prefix: "acme:"}, []string{"t1-1", "t1-2", "t1-4"}},
		{events.Filter{Account: "bank", Prefix: "acme:"}, []string{"t1-1", "t1-2"}},
		{events.Filter{Account: "nobody"}, nil},
	} {
		synctest.Test(t, func(t *testing.T) {
			log := newLog()
			f := start(t, log, events.Config{Ring: 2, Page: 2, Patience: time.Hour})
			live := subscribe(t, f, events.Tail, c.filter)
			for _, a := range accounts {
				log.commit(log.begin(), a[0], a[1])
			}
			log.abort(log.begin())
			past := subscribe(t, f, events.Position{}, c.filter)
			for name, r := range map[string]*events.Reader{"live": live, "past": past} {
				if got := read(t, r, len(c.want)); strings.Join(got, " ") != strings.Join(c.want, " ") {
					t.Errorf("%+v %s: got %q, want %q", c.filter, name, got, c.want)
				}
				quiet(t, r)
				if at := r.Position(); at != (events.Position{Timeline: 1, Sequence: 6}) {
					t.Errorf("%+v %s: the position is %v", c.filter, name, at)
				}
			}
		})
	}
}

func TestAReaderThatFellOutOfTheRingGoesOnWithPages(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := newLog()
		f := start(t, log, events.Config{Ring: 10, Page: 5})
		r := subscribe(t, f, events.Tail, events.Filter{})
		busy := subscribe(t, f, events.Tail, events.Filter{})
		log.post(3)
		got := read(t, r, 3)
		for range 10 {
			log.post(10)
			read(t, busy, 10)
		}
		time.Sleep(10 * time.Second) // within its patience
		got = append(got, read(t, r, 100)...)
		log.post(5)
		got = append(got, read(t, r, 5)...)
		equal(t, got, log.ids(0, nil))
	})
}

func (stubborn) Log(context.Context, int64, int) (rbcs.LogPage, error) {
	time.Sleep(time.Minute)
	return rbcs.LogPage{}, nil
}

func TestPositions(t *testing.T) {
	for _, p := range []events.Position{{}, {Timeline: 1, Sequence: 42}, {Sequence: 7}, {Timeline: 1 << 40, Sequence: 1<<63 - 1}} {
		if got, err := events.ParsePosition(p.String()); err != nil || got != p {
			t.Errorf("%s: got %v, %v", p, got, err)
		}
	}
	for _, s := range []string{
		"", "1", "-", "1-", "-1", "1-2-3", "a-b", "1-a", "+1-2", "1-+2", "01-2", "1-02", " 1-2", "1--2", "-1-2",
		"1-9223372036854775808", events.Tail.String(),
	} {
		if p, err := events.ParsePosition(s); rbcs.CodeOf(err) != rbcs.InvalidRequest {
			t.Errorf("%q: got %v, %v", s, p, err)
		}
	}
}

func TestType(t *testing.T) {
	for status, want := range map[rbcs.Status]string{
		rbcs.Posted: "transaction.posted", rbcs.Holding: "transaction.held", rbcs.Rejected: "transaction.rejected",
	} {
		if got := events.Type(&rbcs.Result{Status: status}); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}

func Example() {
	log := newLog()
	feed := events.New(log, events.Config{})
	feed.Start()
	defer func() { _ = feed.Stop(context.Background()) }()

	log.post(2)
	last, _ := events.ParsePosition("1-1") // of a Last-Event-ID
	reader, err := feed.Subscribe(context.Background(), last, events.Filter{Account: "a"})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer reader.Close()
	list, _ := reader.Next(context.Background())
	for _, e := range list {
		fmt.Println(e.ID, events.Type(e.Result), e.Result.Transaction.ID)
	}
	// Output: 1-2 transaction.posted t1-2
}
