package redis

import (
	"strings"
	"testing"
	"time"
)

func TestSelfCheckFindsWhatDiffers(t *testing.T) {
	var logged logBuffer
	r := wellRig(t, logged.use)
	r.fillWith("right", 1)
	r.fillWith("behind", 1)
	r.store.change(func(f *fakeStore) { f.balances["behind"] = balanceOf("behind", 2) }) // by nobody who marked it
	r.fillWith("ahead", 3)
	r.store.set("ahead", 2)
	r.fillWith("other amount", 4)
	r.store.change(func(f *fakeStore) {
		b := f.balances["other amount"]
		b.Held = b.Balance
		f.balances["other amount"] = b
	})
	r.fillWith("gone", 1)
	r.store.change(func(f *fakeStore) { delete(f.balances, "gone") })
	r.checkOnce(t.Context(), []string{"right", "behind", "ahead", "other amount", "gone", "never cached"})
	r.idle()
	if s := r.Stats(); s.Checked != 5 || s.Differences != 4 {
		t.Errorf("checked %d and found %d differences, want 5 and 4", s.Checked, s.Differences)
	}
	if r.entry("right") == "" || r.entry("behind")+r.entry("ahead")+r.entry("other amount")+r.entry("gone") != "" {
		t.Error("what differs, and only that, is to be removed")
	}
	if !strings.Contains(logged.String(), "account=behind") {
		t.Errorf("the log does not name the account:\n%s", logged.String())
	}
}

// TestSelfCheckRaisesNoFalseAlarm changes everything between the steps of a check.
func TestSelfCheckRaisesNoFalseAlarm(t *testing.T) {
	for name, disturb := range map[string]func(r *rig){
		"a commit is under way": func(r *rig) { r.store.locked["a"] = true },
		"a commit has marked":   func(r *rig) { r.put("a", "Mother") },
		"a commit has refreshed": func(r *rig) {
			b := balanceOf("a", 2)
			r.put("a", encode(&b))
		},
		"the entry has vanished": func(r *rig) { r.put("a", "") },
		"the switch is off":      func(r *rig) { r.store.state.Serve = false },
		"another timeline":       func(r *rig) { r.store.state.Timeline = 2 },
	} {
		t.Run(name, func(t *testing.T) {
			r := wellRig(t)
			r.fillWith("a", 1)
			r.store.change(func(f *fakeStore) {
				f.balances["a"] = balanceOf("a", 2) // what the store is read to have
				f.looking = func() { disturb(r) }   // between that and the second look at the entry
				if name == "a commit is under way" {
					disturb(r)
				}
			})
			r.checkOnce(t.Context(), []string{"a"})
			if s := r.Stats(); s.Differences != 0 {
				t.Errorf("counted %d differences", s.Differences)
			}
		})
	}
}

func TestSelfCheckRuns(t *testing.T) {
	r := wellRig(t, func(o *Options) { o.CheckEvery = time.Millisecond })
	r.store.set("a", 1)
	r.await("a check", func() bool {
		r.read("a")
		return r.Stats().Checked > 0
	})
	if s := r.Stats(); s.Differences != 0 {
		t.Errorf("counted %+v", s)
	}
}

func TestSamples(t *testing.T) {
	var s samples
	for hit := range int64(10_000) {
		s.note(hit+1, "a")
		s.note(hit+1, "b")
	}
	s.note(sampleEach*100, "c")
	if got := s.take(); len(got) != 2 {
		t.Errorf("the sample is %q, want each account once", got)
	}
	if got := s.take(); got != nil {
		t.Errorf("the next sample is %q, want what was noted since", got)
	}
}
