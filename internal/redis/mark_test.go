package redis

import (
	"context"
	"strconv"
	"testing"

	"rbcs"
)

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
	r.idle()
	if s := r.Stats(); s.Confirmed != 1 || s.Unconfirmed != 0 || s.Refreshed != 1 {
		t.Errorf("counted %+v", s)
	}
}

// TestRefreshNeedsTheMark is rule 5: what another has put there stays, and so does nothing.
func TestRefreshNeedsTheMark(t *testing.T) {
	r := wellRig(t)
	for _, end := range map[string]func(*Marks){
		"refresh": func(m *Marks) { m.Refresh([]rbcs.Balance{balanceOf("a", 9), balanceOf("b", 9)}) },
		"drop":    (*Marks).Drop,
	} {
		r.put("a", "L1")
		r.put("b", "L2")
		m := r.mark("a", "b")
		if !m.Confirmed() {
			t.Fatal("the marks were not confirmed")
		}
		r.put("a", "Mother")
		r.raw.Do(t.Context(), r.raw.B().Del().Key(spaceOf(database, 1).key("b")).Build())
		end(m)
		r.idle()
		if a, b := r.entry("a"), r.entry("b"); a != "Mother" || b != "" {
			t.Errorf("the keys hold %q and %q, want another's mark and nothing", a, b)
		}
	}
}

func TestDrop(t *testing.T) {
	r := wellRig(t)
	for range 20 { // before the answers and after them
		r.put("a", "L1")
		m := r.mark("a")
		m.Drop()
		r.await("the mark to be dropped", func() bool { return r.entry("a") == "" })
	}
	r.put("a", "L1")
	m := r.mark("a")
	if !m.Confirmed() {
		t.Fatal("the mark was not confirmed")
	}
	m.Drop()
	r.await("the mark to be dropped", func() bool { return r.entry("a") == "" })
}

// TestUnconfirmedMarksAreNotRefreshed is the writer's part of rule 6.
func TestUnconfirmedMarksAreNotRefreshed(t *testing.T) {
	r := wellRig(t)
	r.put("a", "L1")
	m := r.mark("a")
	<-m.answered // but nobody asked
	m.Refresh([]rbcs.Balance{balanceOf("a", 9)})
	r.idle()
	if got := r.entry("a"); got != m.mine {
		t.Errorf("the key holds %q, want the mark", got)
	}
}

func TestMarkOfMany(t *testing.T) {
	r := wellRig(t)
	numbers := make([]string, 4_000)
	balances := make([]rbcs.Balance, len(numbers))
	for i := range numbers {
		numbers[i] = "n" + strconv.Itoa(i)
		balances[i] = balanceOf(numbers[i], 1)
	}
	for i := 0; i < len(numbers); i += 2 {
		r.put(numbers[i], "L1")
	}
	m := r.mark(numbers...)
	if !m.Confirmed() {
		t.Fatal("the marks were not confirmed")
	}
	m.Refresh(balances)
	r.await("the refreshes", func() bool { return r.Stats().Refreshed == 2_000 })
	if got, want := r.entry("n2"), encode(&balances[2]); got != want {
		t.Errorf("a key holds %q, want %q", got, want)
	}
}

func TestMarksThatCannotBe(t *testing.T) {
	r := wellRig(t)
	if !r.mark().Confirmed() {
		t.Error("a commit that changes no account is not confirmed")
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if r.Mark(ctx, rbcs.Locked{Timeline: 1, Numbers: []string{"a"}}).Confirmed() {
		t.Error("an attempt that had ended was confirmed")
	}
	store := newFakeStore()
	c, err := Open(t.Context(), "redis://127.0.0.1:1", Options{Store: store, Control: store})
	if err != nil {
		t.Fatal(err)
	}
	if c.Mark(t.Context(), rbcs.Locked{Timeline: 1, Numbers: []string{"a"}}).Confirmed() {
		t.Error("a cache that was not started has confirmed a mark")
	}
	store.set("a", 1)
	readings, err := c.Balances(t.Context(), []string{"a"})
	if err != nil || readings[0].Version != 1 || readings[0].Cached {
		t.Errorf("a cache that was not started returned %+v, %v", readings, err)
	}
	if err := c.Close(); err != nil {
		t.Error(err)
	}
}
