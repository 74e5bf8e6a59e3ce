package resilience

import (
	"slices"
	"strings"
	"testing"

	"rbcs"
)

// TestFollowerFindsAnomalies gives a follower something else than the log in every way that the suite looks for.
func TestFollowerFindsAnomalies(t *testing.T) {
	at := func(sequence int64, id string) event { return event{sequence, id, rbcs.Posted, 1000 + sequence} }
	whole := []event{at(3, "a"), at(4, "b"), at(7, "c"), at(9, "d")}
	hooked := []event{whole[0], whole[2], whole[3]}
	lost := at(7, "lost")
	for name, c := range map[string]struct {
		damage func(f *follower)
		want   string // "" for nothing
	}{
		"right":             {func(*follower) {}, ""},
		"passed over":       {func(f *follower) { f.streamed = slices.Delete(f.streamed, 1, 2) }, "stream of events had 3 decisions, and the log has 4"},
		"the end missing":   {func(f *follower) { f.streamed = f.streamed[:3] }, "stream of events had 3 decisions"},
		"twice":             {func(f *follower) { f.streamed = append(f.streamed, whole[3]) }, "stream of events had 5 decisions"},
		"out of order":      {func(f *follower) { f.streamed[0], f.streamed[1] = whole[1], whole[0] }, "the first that differ"},
		"another status":    {func(f *follower) { f.streamed[0].status = rbcs.Rejected }, "the first that differ"},
		"not in the log":    {func(f *follower) { f.broken = []event{lost} }, "is not in the log"},
		"a gap, read anew":  {func(f *follower) { f.broken = whole[:2] }, ""},
		"lost":              {func(f *follower) { f.broken = []event{lost}; f.books.lossy.Store(2000) }, ""},
		"delivered again":   {func(f *follower) { f.delivered = append(f.delivered, hooked[1:]...) }, ""},
		"not delivered":     {func(f *follower) { f.delivered = f.delivered[:2] }, "1 of 3 decisions were not delivered"},
		"one passed over":   {func(f *follower) { f.delivered = slices.Delete(f.delivered, 1, 2) }, "before 1 others"},
		"late":              {func(f *follower) { f.delivered = []event{hooked[0], hooked[2], hooked[1], hooked[2]} }, "before 1 others"},
		"delivered, lost":   {func(f *follower) { f.delivered = slices.Insert(f.delivered, 1, lost); f.books.lossy.Store(2000) }, ""},
		"delivered of none": {func(f *follower) { f.delivered = append(f.delivered, lost) }, "delivered to the webhook and is not in the log"},
	} {
		t.Run(name, func(t *testing.T) {
			f := &follower{books: newBooks("t", "a:", 0), streamed: slices.Clone(whole), delivered: slices.Clone(hooked)}
			c.damage(f)
			f.judge(whole, hooked)
			found := strings.Join(f.books.anomalies, "\n")
			if (c.want == "") != (found == "") || !strings.Contains(found, c.want) {
				t.Errorf("found %q, want %q", found, c.want)
			}
		})
	}
}
