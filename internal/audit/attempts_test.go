package audit

import (
	"context"
	"errors"
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

// overtaken are books in which a decision is committed after the first reading,
// though its sequence is not the last one.
type overtaken struct {
	books
	late   int // its place
	dumped bool
}

func (o *overtaken) Dump(ctx context.Context, decision func(*rbcs.Result) error, account func(*rbcs.Account) error) error {
	b := o.books
	if !o.dumped {
		o.dumped = true
		b.log = slices.Delete(slices.Clone(b.log), o.late, o.late+1)
	}
	return b.Dump(ctx, decision, account)
}

// TestRetriedBetweenReadings: what was told of a rejected transaction stays true when a retry posts it later.
func TestRetriedBetweenReadings(t *testing.T) {
	d := &diary{states: map[string]*rbcs.State{"bank": {}, "a": {}, "b": {}, "c": {}, "d": {}}}
	d.write("t", rbcs.Transfer, "a", "b", 100, 0, 0, refused(rbcs.InsufficientFunds), lacking(0, 100))
	d.write("v", rbcs.Reversal, "b", "a", 0, 0, 0, of("t"), refused(rbcs.AmountExceedsReversible))
	d.write("t", rbcs.Transfer, "a", "b", 100, 0, 0, attempt(2))
	d.write("fund", rbcs.Transfer, "bank", "c", 1000, 1000, 0)
	d.close(map[string][2]int64{"bank": {0, 1000}, "c": {1000, 0}, "a": {}, "b": {}})
	report, err := Run(context.Background(), &overtaken{books: d.books, late: 2}, nil)
	if err != nil || !report.OK() {
		t.Fatalf("%v, %v", report.Faults, err)
	}
}

// derived are books beside which something stands.
type derived struct {
	books
	err error
}

func (d *derived) Derived(_ context.Context, differs func(rbcs.Difference)) error {
	differs(rbcs.Difference{Account: "a", Transaction: "t", What: "open hold", Expected: "one", Found: "none"})
	return d.err
}

// TestDerived: what a store finds by itself is reported, and its failure is no clean bill.
func TestDerived(t *testing.T) {
	d := derived{books: *clean()}
	report, err := Run(context.Background(), &d, nil)
	if err != nil || report.FaultCount != 1 || report.Faults[0].String() != `account a: transaction "t": open hold: expected one, found none` {
		t.Errorf("%v, %v", report.Faults, err)
	}
	d.err = context.Canceled
	if _, err := Run(context.Background(), &d, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
}
