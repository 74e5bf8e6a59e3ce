package storetest

import (
	"context"
	"slices"
	"strings"

	"rbcs"
	"rbcs/internal/audit"
)

var previewTests = []test{
	{"as-committed", testPreview},
	{"no-trace", testPreviewLeavesNoTrace},
}

// previewed returns a batch with every kind of answer.
func (e *env) previewed(m *model, a, b string) []*rbcs.Transaction {
	e.t.Helper()
	h, earlier := e.hold("h", a, b, "10"), e.transfer("earlier", a, b, "1")
	e.wantOutcomes(m, "held posted", h, earlier)
	inner, conflict := e.hold("inner", a, b, "5"), new(*earlier)
	conflict.Amount = decimal("2")
	return slices.Concat(
		[]*rbcs.Transaction{
			e.transfer("1", a, b, "7"), earlier, conflict, e.transfer("2", a, b, "1000"), e.transfer("3", a, b, "0.001"), e.transfer("1", a, b, "7.00"),
			inner, e.settle(rbcs.Capture, "ci", inner, "2"), e.settle(rbcs.Capture, "ch", h, ""), e.settle(rbcs.Release, "rh", h, ""),
			e.settle(rbcs.Reversal, "v", earlier, ""), e.settle(rbcs.Reversal, "v9", &rbcs.Transaction{ID: "none"}, ""),
		},
		grouped(e.transfer("g1", a, b, "1"), e.transfer("g2", a, b, "1")),
		grouped(e.transfer("f1", a, b, "1"), e.transfer("f2", a, b, "1000")),
	)
}

// testPreview decides as a commit of the same batch does then.
func testPreview(e *env) {
	m, a, b := e.pair()
	batch := e.previewed(m, a, b)
	dry, err := e.store.Preview(e.ctx, batch)
	e.must(err)
	if len(dry) != len(batch) {
		e.t.Fatalf("%d previews of a batch of %d", len(dry), len(batch))
	}
	for i, r := range e.judged(m, batch...) {
		d := dry[i]
		if d.Err == nil && !d.Replayed && (d.Sequence != 0 || d.CommittedAt.After(r.CommittedAt) || d.CommittedAt.Year() < 2000) {
			e.t.Errorf("%s: sequence %d, at %v, in a preview before %v", d.Transaction.ID, d.Sequence, d.CommittedAt, r.CommittedAt)
		}
		if batch[i].Settles() && d.Err == nil && !d.Transaction.Timestamp.Equal(d.CommittedAt) {
			e.t.Errorf("%s: happened at %v, decided at %v", d.Transaction.ID, d.Transaction.Timestamp, d.CommittedAt)
		}
		if batch[i].Settles() {
			d.Transaction.Timestamp = r.Transaction.Timestamp
		}
		d.Sequence, d.CommittedAt, d.Instance = r.Sequence, r.CommittedAt, r.Instance
		if diff := compareResults(&d, &r); diff != nil || d.Replayed != r.Replayed {
			e.t.Errorf("%s: replayed %v, %v", r.Transaction.ID, d.Replayed, diff)
		}
	}
	again, err := e.store.Preview(e.ctx, batch) // now of what is recorded
	e.must(err)
	for i, r := range again {
		if r.Err == nil && !r.Replayed {
			e.t.Errorf("%s is recorded, and its preview is %+v", batch[i].ID, r)
		}
	}
	none, err := e.store.Preview(e.ctx, nil)
	if err != nil || len(none) != 0 {
		e.t.Errorf("a preview of nothing: %v, %v", none, err)
	}
}

// Contents returns all that a store holds, the accounts in the order of their numbers.
func Contents(ctx context.Context, store audit.Dumper) (decisions []rbcs.Result, accounts []rbcs.Account, err error) {
	err = store.Dump(ctx,
		func(r *rbcs.Result) error { decisions = append(decisions, *r); return nil },
		func(a *rbcs.Account) error { accounts = append(accounts, *a); return nil })
	slices.SortFunc(accounts, func(a, b rbcs.Account) int { return strings.Compare(a.Number, b.Number) })
	return decisions, accounts, err
}

func (e *env) contents() (decisions []rbcs.Result, accounts []rbcs.Account) {
	e.t.Helper()
	decisions, accounts, err := Contents(e.ctx, e.store)
	e.must(err)
	return decisions, accounts
}

// testPreviewLeavesNoTrace previews, and then everything is as it was.
func testPreviewLeavesNoTrace(e *env) {
	m, a, b := e.pair()
	batch := e.previewed(m, a, b)
	decisions, accounts := e.contents()
	for range 3 {
		_, err := e.store.Preview(e.ctx, batch)
		e.must(err)
	}
	after, accountsAfter := e.contents()
	if !slices.EqualFunc(decisions, after, func(a, b rbcs.Result) bool { return compareResults(&a, &b) == nil }) {
		e.t.Errorf("%d decisions before the preview, %d after it", len(decisions), len(after))
	}
	for i := range accounts {
		e.sameAccount(accountsAfter[i], accounts[i])
	}
	for _, t := range batch {
		if t.ID == e.name+"/earlier" {
			continue
		}
		_, err := e.store.Transaction(e.ctx, t.ID)
		e.wantCode(err, rbcs.NotFound)
	}
	e.wantRecord(e.hold("h", a, b, "10"), rbcs.Holding, nil, "0")
	e.wantRecord(e.transfer("earlier", a, b, "1"), rbcs.Posted, nil, "0")
	if len(e.history(rbcs.HistoryQuery{Account: a, Limit: 50})) != 3 {
		e.t.Error("the preview is in the history")
	}
}
