package linear

// fence is how often the fence was needed, by what the caches have counted.
type fence struct {
	hits         int64
	marksMet     int64 // reads that met a mark
	unfit        int64 // fills that were not made: a transaction held the account
	fillsRefused int64 // the lease was gone
	refreshed    int64
	confirmed    int64 // commits
	unconfirmed  int64 // commits that turned the cache off
}

func (f *fence) add(o fence) {
	f.hits, f.marksMet, f.unfit = f.hits+o.hits, f.marksMet+o.marksMet, f.unfit+o.unfit
	f.fillsRefused, f.refreshed = f.fillsRefused+o.fillsRefused, f.refreshed+o.refreshed
	f.confirmed, f.unconfirmed = f.confirmed+o.confirmed, f.unconfirmed+o.unconfirmed
}

// fence sums up over all instances that ever were.
func (w *world) fence() (sum fence) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, list := range [][]*instance{w.list, w.gone} {
		for _, in := range list {
			if in.cache != nil {
				s := in.cache.Stats()
				sum.add(fence{s.Hits, s.MarksMet, s.Unfit, s.FillsRefused, s.Refreshed, s.Confirmed, s.Unconfirmed})
			}
		}
	}
	return sum
}
