package audit

import (
	"context"
	"slices"
	"strings"
	"testing"

	"rbcs"
)

func attempt(n int) func(*rbcs.Result) {
	return func(r *rbcs.Result) { r.Attempt = n }
}

// retriedBooks are books without a fault in which rejected transactions are
// retried, and settlements that were refused before and after that.
func retriedBooks() *diary {
	const transfer, hold, capture, reversal = rbcs.Transfer, rbcs.Hold, rbcs.Capture, rbcs.Reversal
	d := &diary{states: map[string]*rbcs.State{"bank": {}, "a": {}, "b": {}}}
	d.write("t", transfer, "a", "b", 100, 0, 0, refused(rbcs.InsufficientFunds), lacking(0, 100))
	d.write("v", reversal, "b", "a", 0, 0, 0, of("t"), refused(rbcs.AmountExceedsReversible))
	d.write("h", hold, "a", "b", 50, 0, 0, refused(rbcs.InsufficientFunds), lacking(0, 50))
	d.write("c", capture, "a", "b", 50, 0, 0, of("h"), refused(rbcs.HoldNotOpen))
	d.write("t", transfer, "a", "b", 100, 0, 0, refused(rbcs.InsufficientFunds), lacking(0, 100), attempt(2))
	d.write("fund", transfer, "bank", "a", 1000, 1000, 0)
	d.write("t", transfer, "a", "b", 100, 100, 0, attempt(3))
	d.write("h", hold, "a", "b", 50, 0, 50, attempt(2))
	d.write("c", capture, "a", "b", 50, 50, -50, of("h"), attempt(2))
	d.write("v2", reversal, "b", "a", 60, 60, 0, of("t"), left(40))
	d.write("c3", capture, "a", "b", 50, 0, 0, of("h"), refused(rbcs.HoldNotOpen), settledBy("c"))
	d.close(map[string][2]int64{"bank": {0, 1000}, "a": {1060, 150}, "b": {150, 60}})
	return d
}

func TestRetriedBooks(t *testing.T) {
	d := retriedBooks()
	report, err := Run(context.Background(), &d.books, nil)
	if err != nil || !report.OK() {
		t.Fatalf("%v, %v", report.Faults, err)
	}
	last := len(d.log) - 1
	for name, c := range map[string]struct {
		spoil func(b *books)
		want  string
	}{
		"an attempt is missing":      {func(b *books) { b.log = slices.Delete(b.log, 4, 5) }, "attempt: expected 2, found 3"},
		"the first one is missing":   {func(b *books) { b.log = slices.Delete(b.log, 0, 1) }, "attempt 1: expected one in the log"},
		"an attempt twice":           {func(b *books) { b.log[4].Attempt = 1; b.log[6].Attempt = 2; b.log[7].Attempt = 3 }, "attempt: expected 2, found 3"},
		"posted twice":               {func(b *books) { b.log[last] = b.log[6]; b.log[last].Sequence, b.log[last].Attempt = int64(last+1), 4 }, "outcome before attempt 4"},
		"retried what was posted":    {func(b *books) { b.log[5].Transaction.ID = "v2"; b.log[9].Attempt = 2 }, "outcome before attempt 2"},
		"other content":              {func(b *books) { b.log[4].Transaction.Description = "x" }, "/description of attempt"},
		"the first has other words":  {func(b *books) { b.log[0].Transaction.Description = "x" }, "/description of attempt 1"},
		"attempt 0":                  {func(b *books) { b.log[5].Attempt = 0 }, "attempt: expected at least 1"},
		"reversed before it was":     {func(b *books) { b.log[1].Remainder = rbcs.AmountOf(5) }, "reversible before it was retried"},
		"settled before it was held": {func(b *books) { b.log[3].SettledBy = "x" }, "settled by before it was retried"},
	} {
		d := retriedBooks()
		c.spoil(&d.books)
		report, err := Run(context.Background(), &d.books, nil)
		if err != nil {
			t.Fatal(err)
		}
		var all strings.Builder
		for _, f := range report.Faults {
			all.WriteString(f.String() + "\n")
		}
		if !strings.Contains(all.String(), c.want) {
			t.Errorf("%s: the audit says\n%swant %q", name, &all, c.want)
		}
	}
}
