package events_test

import (
	"context"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"rbcs"
	"rbcs/internal/events"
)

// inBubble hides that a test has a deadline, which may not be asked for in a bubble.
type inBubble struct{ testing.TB }

// client is a reader and what it has seen.
type client struct {
	reader *events.Reader
	prefix string
	got    []string
}

// TestRandomInterleavings commits in random order, with readers that come from
// anywhere, stop reading, fall out of the ring and reconnect. In the end each has
// seen exactly what its filter lets through, in the order of the log.
func TestRandomInterleavings(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rapid.Check(inBubble{t}, func(t *rapid.T) {
			log := newLog()
			f := events.New(log, events.Config{
				Ring: rapid.IntRange(1, 6).Draw(t, "ring"), Page: rapid.IntRange(1, 4).Draw(t, "page"), Patience: 24 * time.Hour,
			})
			f.Start()
			defer stop(t, f)
			var clients []*client
			pick := func(t *rapid.T) *client {
				if len(clients) == 0 {
					t.Skip("no client")
				}
				return rapid.SampledFrom(clients).Draw(t, "client")
			}
			t.Repeat(map[string]func(*rapid.T){
				"begin": func(*rapid.T) { log.begin() },
				"end": func(t *rapid.T) {
					open := log.opened()
					if len(open) == 0 {
						t.Skip("nothing is open")
					}
					s := rapid.SampledFrom(open).Draw(t, "sequence")
					if rapid.IntRange(0, 4).Draw(t, "outcome") == 0 {
						log.abort(s)
						return
					}
					log.commit(s, rapid.SampledFrom([]string{"a:1", "b:1"}).Draw(t, "source"), "b:2")
					if rapid.Bool().Draw(t, "local") {
						f.Wake(s)
					}
				},
				"connect": func(t *rapid.T) {
					c := &client{prefix: rapid.SampledFrom([]string{"", "a:", "c:"}).Draw(t, "prefix")}
					c.reader = subscribe(t, f, events.Position{}, events.Filter{Prefix: c.prefix})
					clients = append(clients, c)
				},
				"reconnect": func(t *rapid.T) {
					c := pick(t)
					at := c.reader.Position()
					c.reader.Close()
					c.reader = subscribe(t, f, at, events.Filter{Prefix: c.prefix})
				},
				"read": func(t *rapid.T) {
					c := pick(t)
					ctx, cancel := context.WithTimeout(context.Background(), time.Millisecond)
					defer cancel()
					list, _ := c.reader.Next(ctx)
					c.take(list)
				},
				"wait": func(*rapid.T) { time.Sleep(150 * time.Millisecond) },
			})
			for _, s := range log.opened() {
				log.commit(s, "a:1", "b:2")
			}
			for _, c := range clients {
				want := log.ids(0, func(r *rbcs.Result) bool { return strings.HasPrefix(r.Transaction.Source, c.prefix) })
				c.got = append(c.got, read(t, c.reader, len(want)-len(c.got))...)
				quiet(t, c.reader)
				equal(t, c.got, want)
			}
		})
	})
}

func (c *client) take(list []events.Event) {
	for _, e := range list {
		c.got = append(c.got, e.Result.Transaction.ID)
	}
}

func (l *fakeLog) opened() []int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	open := make([]int64, 0, len(l.open))
	for s := range l.open {
		open = append(open, s)
	}
	slices.Sort(open)
	return open
}
