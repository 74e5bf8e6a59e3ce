package redis

import (
	"strings"
	"testing"

	"rbcs"
)

func TestReadFillsAndHits(t *testing.T) {
	r := wellRig(t)
	r.store.set("a", 7)
	if got := r.read("a"); got.Cached || got.Version != 7 || got.Err != nil {
		t.Errorf("the first read returned %+v, want version 7 from the store", got)
	}
	r.await("the fill", func() bool { return strings.HasPrefix(r.entry("a"), "V") })
	want := rbcs.BalanceReading{Balance: balanceOf("a", 7), Cached: true}
	if got := r.read("a"); got != want {
		t.Errorf("the second read returned\n%+v, want\n%+v", got, want)
	}
	if n := r.store.reads(); n != 1 {
		t.Errorf("the store was read %d times, want once", n)
	}
}

func TestCommitMarksAndRefreshes(t *testing.T) {
	r := wellRig(t)
	r.fillWith("a", 1)
	m := r.mark("a", "never read")
	if !m.Confirmed() {
		t.Fatal("the marks were not confirmed")
	}
	if got := r.entry("a"); got != m.mine {
		t.Errorf("the key holds %q during the commit, want the mark %q", got, m.mine)
	}
	if got := r.entry("never read"); got != "" {
		t.Errorf("an account that is not cached was marked: %q", got)
	}
	if got := r.read("a"); got.Cached {
		t.Errorf("a read met the mark and returned %+v, want the store's", got)
	}
	r.store.set("a", 2)
	m.Refresh([]rbcs.Balance{balanceOf("never read", 1), balanceOf("a", 1), balanceOf("a", 2)})
	r.await("the refresh", func() bool { return r.entry("a") != m.mine })
	if got := r.read("a"); !got.Cached || got.Version != 2 {
		t.Errorf("after the refresh a read returned %+v, want version 2 from Redis", got)
	}
}
