package linear

import "testing"

// TestCheckersSeeWhatIsWrong gives both checkers histories of a few operations.
func TestCheckersSeeWhatIsWrong(t *testing.T) {
	log := []entry{{"a", value{1, 0}}, {"b", value{3, 0}}, {"c", value{6, 2}}}
	read := func(version, call, ret int64) op {
		v, _ := at(log, version)
		return op{version: version, value: v, call: call, ret: ret}
	}
	posted := map[string]*submission{"a": {call: 1, ret: 5}, "b": {call: 10, ret: 20}, "c": {call: 30, ret: never}}
	for name, c := range map[string]struct {
		reads             []op
		anomalies, beside int // beside: what porcupine does not look at
	}{
		"nothing was read":                         {},
		"before, while and after":                  {reads: []op{read(0, 0, 3), read(1, 2, 4), read(1, 12, 13), read(2, 14, 15), read(2, 21, 22)}},
		"what has no answer, or not yet":           {reads: []op{read(3, 31, 32), read(3, 40, 41), read(2, 30, 31)}},
		"stale after the acknowledgement":          {reads: []op{read(1, 21, 22)}, anomalies: 1},
		"stale after another read":                 {reads: []op{read(2, 11, 12), read(1, 13, 14)}, anomalies: 1},
		"stale after a read of what has no answer": {reads: []op{read(3, 31, 32), read(2, 33, 34)}, anomalies: 1},
		"before it was asked for":                  {reads: []op{read(2, 6, 7)}, anomalies: 1},
		"a balance that never was":                 {reads: []op{{version: 2, value: value{2, 0}, call: 25, ret: 26}}, anomalies: 1, beside: 1},
		"held is not what it was":                  {reads: []op{{version: 3, value: value{6, 0}, call: 35, ret: 36}}, anomalies: 1, beside: 1},
		"a version that never was":                 {reads: []op{{version: 4, call: 50, ret: 51}}, anomalies: 1},
	} {
		h := newHistory()
		h.submissions, h.reads["x"] = posted, c.reads
		v := judge(h, map[string][]entry{"x": log})
		if v.anomalies != c.anomalies {
			t.Errorf("%s: %d anomalies, want %d: %q", name, v.anomalies, c.anomalies, v.examples)
		}
		if wrong := v.illegal > 0; wrong != (c.anomalies > c.beside) || v.undecided > 0 {
			t.Errorf("%s: porcupine says illegal: %v", name, wrong)
		}
	}
}

// TestCheckersSeeWhatIsLost gives the check of acknowledgements a log that does not have them.
func TestCheckersSeeWhatIsLost(t *testing.T) {
	log := map[string][]entry{"x": {{"a", value{1, 0}}}}
	for name, c := range map[string]struct {
		told told
		want int
	}{
		"as told":          {told{"x", 1, value{1, 0}}, 0},
		"another balance":  {told{"x", 1, value{2, 0}}, 1},
		"not in the log":   {told{"x", 2, value{1, 0}}, 1},
		"another account":  {told{"y", 1, value{1, 0}}, 1},
		"another version ": {told{"x", 3, value{1, 0}}, 1},
	} {
		h := newHistory()
		h.submissions["a"] = &submission{call: 0, ret: 1, told: []told{c.told}}
		if v := judge(h, log); v.anomalies != c.want {
			t.Errorf("%s: %d anomalies, want %d", name, v.anomalies, c.want)
		}
	}
}
