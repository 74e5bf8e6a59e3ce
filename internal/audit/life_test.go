package audit

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"rbcs"
)

// diary writes books with every type of transaction: a decision at each second.
type diary struct {
	books
	states map[string]*rbcs.State
}

func (d *diary) write(id string, kind rbcs.Type, source, destination string, amount, change, held int64, edit ...func(*rbcs.Result)) {
	n := len(d.log)
	r := rbcs.Result{
		Transaction: rbcs.Transaction{
			ID: id, Type: kind, Source: source, Destination: destination, Timestamp: start,
			Amount: rbcs.Decimal{Units: rbcs.AmountOf(amount), Scale: 2}, Currency: "USD",
		},
		Status: rbcs.Posted, Sequence: int64(n + 1), CommittedAt: start.Add(time.Duration(n) * time.Second), Attempt: 1, Instance: "one",
	}
	if kind == rbcs.Hold {
		r.Status = rbcs.Holding
	}
	for _, e := range edit {
		e(&r)
	}
	touch := func(number string, change, held int64) rbcs.State {
		s := d.states[number]
		s.Version++
		s.Balance, _ = s.Balance.Add(rbcs.AmountOf(change))
		s.Held, _ = s.Held.Add(rbcs.AmountOf(held))
		return *s
	}
	if change != 0 || held != 0 {
		r.Source = touch(source, -change, held)
	}
	if change != 0 {
		r.Destination = touch(destination, change, 0)
	}
	d.log = append(d.log, r)
}

func of(original string) func(*rbcs.Result) {
	return func(r *rbcs.Result) { r.Transaction.Original = original }
}

func left(remainder int64) func(*rbcs.Result) {
	return func(r *rbcs.Result) { r.Remainder = rbcs.AmountOf(remainder) }
}

func until(second int) func(*rbcs.Result) {
	return func(r *rbcs.Result) { r.Transaction.ExpiresAt = start.Add(time.Duration(second) * time.Second) }
}

func refused(code rbcs.Code) func(*rbcs.Result) {
	return func(r *rbcs.Result) { r.Status, r.Code = rbcs.Rejected, code }
}

func lacking(available, needed int64) func(*rbcs.Result) {
	return func(r *rbcs.Result) {
		r.Shortfall = rbcs.Shortfall{Available: rbcs.AmountOf(available), Needed: rbcs.AmountOf(needed), Short: rbcs.AmountOf(needed - available)}
	}
}

func settledBy(id string) func(*rbcs.Result) {
	return func(r *rbcs.Result) { r.SettledBy = id }
}

func member(position int, ids ...string) func(*rbcs.Result) {
	txs := make([]*rbcs.Transaction, len(ids))
	for i, id := range ids {
		txs[i] = &rbcs.Transaction{ID: id}
	}
	return func(r *rbcs.Result) {
		r.Transaction.Group = rbcs.Group{ID: rbcs.GroupID(txs), Position: position, Size: len(ids)}
	}
}

// lively returns books without a fault in which everything happens.
func lively() *books {
	const transfer, hold, capture, release, expiry, reversal = rbcs.Transfer, rbcs.Hold, rbcs.Capture, rbcs.Release, rbcs.Expiry, rbcs.Reversal
	d := &diary{states: map[string]*rbcs.State{"bank": {}, "a": {}, "b": {}}}
	d.write("fund", transfer, "bank", "a", 1000, 1000, 0)
	d.write("h1", hold, "a", "b", 600, 0, 600)
	d.write("c1", capture, "a", "b", 250, 250, -600, of("h1"), left(350))
	d.write("h2", hold, "a", "b", 100, 0, 100, until(100))
	d.write("c2", capture, "a", "b", 600, 0, 0, of("h1"), refused(rbcs.HoldNotOpen), settledBy("c1"))
	d.write("c3", capture, "a", "b", 101, 0, 0, of("h2"), refused(rbcs.AmountExceedsHold), lacking(100, 101), left(-1))
	d.write("r1", release, "a", "b", 100, 0, -100, of("h2"))
	d.write("h3", hold, "a", "b", 50, 0, 50, until(8))
	d.write("c4", capture, "a", "b", 50, 0, 0, of("h3"), refused(rbcs.HoldNotOpen)) // it is due
	d.write("x3", expiry, "a", "b", 50, 0, -50, of("h3"))
	d.write("v1", reversal, "b", "a", 100, 100, 0, of("c1"), left(150))
	d.write("v2", reversal, "b", "a", 151, 0, 0, of("c1"), refused(rbcs.InsufficientFunds), lacking(150, 151), left(-1))
	d.write("fund2", transfer, "bank", "b", 70, 70, 0)
	d.write("v3", reversal, "b", "a", 151, 0, 0, of("c1"), refused(rbcs.AmountExceedsReversible), lacking(150, 151), left(-1))
	d.write("v4", reversal, "b", "a", 150, 150, 0, of("c1"))
	d.write("v5", reversal, "b", "a", 0, 0, 0, of("c1"), refused(rbcs.AmountExceedsReversible))
	d.write("v6", reversal, "b", "a", 0, 0, 0, of("h1"), refused(rbcs.AmountExceedsReversible)) // of a hold
	d.write("g1", transfer, "a", "b", 10, 10, 0, member(0, "g1", "h4"))
	d.write("f1", transfer, "a", "b", 1, 0, 0, member(0, "f1", "f2"), refused(rbcs.GroupFailed)) // of another commit
	d.write("h4", hold, "a", "b", 5, 0, 5, member(1, "g1", "h4"))
	d.write("f2", transfer, "a", "b", 990, 0, 0, member(1, "f1", "f2"), refused(rbcs.InsufficientFunds), lacking(989, 990))
	d.write("h5", hold, "a", "b", 2000, 0, 0, refused(rbcs.InsufficientFunds), lacking(985, 2000))
	d.write("r5", release, "a", "b", 2000, 0, 0, of("h5"), refused(rbcs.HoldNotOpen))
	d.write("r9", release, "", "", 0, 0, 0, of("nothing"), refused(rbcs.HoldNotFound))
	d.write("v9", reversal, "b", "a", 0, 0, 0, of("fund9"), refused(rbcs.AccountNotFound), settledBy("a"))
	d.close(map[string][2]int64{"bank": {0, 1070}, "a": {1250, 260}, "b": {330, 250}})
	return &d.books
}

// close writes the accounts, which received and sent so much.
func (d *diary) close(totals map[string][2]int64) {
	for number, sums := range totals {
		s := d.states[number]
		d.accounts = append(d.accounts, rbcs.Account{
			Number: number, Currency: usd, Status: rbcs.Open, Balance: s.Balance, Held: s.Held, Version: s.Version,
			Received: rbcs.AmountOf(sums[0]), Sent: rbcs.AmountOf(sums[1]), CreatedAt: start, UpdatedAt: start.Add(time.Hour),
		})
	}
}

// get returns the decision with the given ID.
func (b *books) get(id string) *rbcs.Result {
	return &b.log[slices.IndexFunc(b.log, func(r rbcs.Result) bool { return r.Transaction.ID == id })]
}

func (b *books) lose(ids ...string) {
	b.log = slices.DeleteFunc(b.log, func(r rbcs.Result) bool { return slices.Contains(ids, r.Transaction.ID) })
}

func TestLivelyBooks(t *testing.T) {
	report := run(t, lively())
	for _, f := range report.Faults {
		t.Errorf("clean books: %v", f)
	}
	if report.Transactions != 25 || report.Posted != 8 || report.Held != 4 || report.Rejected != 13 || report.OpenHolds != 1 {
		t.Errorf("counts: %+v", report)
	}
	if held := report.Currencies[0].Held; held != "0.05" {
		t.Errorf("%s is held by the open hold, not 0.05", held)
	}
}

// TestCorruptLife corrupts one thing at a time of holds, reversals and groups.
func TestCorruptLife(t *testing.T) {
	amount := func(n int64) rbcs.Decimal { return rbcs.Decimal{Units: rbcs.AmountOf(n), Scale: 2} }
	for name, c := range map[string]struct {
		corrupt func(b *books)
		want    string // begins one of the faults
	}{
		"hold that is posted":     {func(b *books) { b.get("h1").Status = rbcs.Posted }, `transaction "h1": status: expected held, found posted`},
		"transfer that is held":   {func(b *books) { b.get("fund").Status = rbcs.Holding }, `transaction "fund": status: expected posted, found held`},
		"hold that moved":         {func(b *books) { b.get("h1").Source.Balance = rbcs.AmountOf(400) }, `account a: transaction "h1": balance: expected 10.00, found 4.00`},
		"hold that reserved less": {func(b *books) { b.get("h1").Source.Held = rbcs.AmountOf(1) }, `account a: transaction "h1": held: expected 6.00, found 0.01`},
		"hold on the destination": {func(b *books) { b.get("h1").Destination.Version = 1 }, `account b: transaction "h1": state of the destination: expected`},
		"hold lost":               {func(b *books) { b.lose("h1") }, `account a: transaction "c1": original: expected an open hold, found "h1"`},
		"hold opened twice":       {func(b *books) { b.get("h5").Transaction.ID = "h4"; b.get("r1").Transaction.Original = "h1" }, `account a: transaction "r1": original: expected an open hold, found "h1"`},
		"open hold again":         {func(b *books) { b.get("h3").Transaction.ID = "h2"; b.lose("r1") }, `account a: transaction "h2": hold: expected one that is not open`},
		"captured twice":          {func(b *books) { b.get("c2").Status, b.get("c2").Code, b.get("c2").SettledBy = rbcs.Posted, "", "" }, `account a: transaction "c2": original: expected an open hold, found "h1"`},
		"captured more than held": {func(b *books) {
			b.get("c1").Transaction.Amount = amount(601)
			b.get("c1").Remainder = rbcs.AmountOf(-1)
		}, `account a: transaction "c1": amount: expected at most the hold's 6.00, found 6.01`},
		"captured and still held":    {func(b *books) { b.get("c1").Source.Held = rbcs.AmountOf(350) }, `account a: transaction "c1": held: expected 0.00, found 3.50`},
		"remainder of a capture":     {func(b *books) { b.get("c1").Remainder = rbcs.AmountOf(1) }, `account a: transaction "c1": remainder: expected 3.50, found 0.01`},
		"remainder of a transfer":    {func(b *books) { b.get("fund").Remainder = rbcs.AmountOf(1) }, `account bank: transaction "fund": remainder: expected 0.00, found 0.01`},
		"captured after its end":     {func(b *books) { b.get("h1").Transaction.ExpiresAt = start.Add(2 * time.Second) }, `account a: transaction "c1": committed_at: expected before the hold's end`},
		"captured from another":      {func(b *books) { b.get("h1").Transaction.Destination = "bank" }, `account a: transaction "c1": destination: expected bank, found b`},
		"released in part":           {func(b *books) { b.get("r1").Transaction.Amount = amount(99) }, `account a: transaction "r1": amount: expected 1.00, found 0.99`},
		"released for nothing":       {func(b *books) { b.get("r1").Transaction.Original = "h9" }, `account a: transaction "r1": original: expected an open hold, found "h9"`},
		"expired before its end":     {func(b *books) { b.get("h3").Transaction.ExpiresAt = start.Add(time.Hour) }, `account a: transaction "x3": original: expected a hold that is due`},
		"expired without an end":     {func(b *books) { b.get("h3").Transaction.ExpiresAt = time.Time{} }, `account a: transaction "x3": original: expected a hold that is due`},
		"refused though open":        {func(b *books) { b.get("h3").Transaction.ExpiresAt = start.Add(9 * time.Second) }, `account a: transaction "c4": original: expected a hold that is not open, found "h3"`},
		"exceeds nothing":            {func(b *books) { b.get("c3").Transaction.Original = "h1" }, `account a: transaction "c3": original: expected an open hold, found "h1"`},
		"exceeds another amount":     {func(b *books) { b.get("c3").Remainder = rbcs.AmountOf(9) }, `account a: transaction "c3": amount and remainder: expected 1.00, found 1.10`},
		"settled by another":         {func(b *books) { b.get("c2").SettledBy = "r1" }, `transaction "h1": settled by: expected "c1", found "r1"`},
		"settled by nothing":         {func(b *books) { b.get("c2").SettledBy = "" }, `transaction "h1": settled by: expected "c1", found ""`},
		"settled, but never was":     {func(b *books) { b.get("r5").SettledBy = "c1" }, `transaction "h5": settled by: expected nothing, found "c1"`},
		"settled later on":           {func(b *books) { b.get("c4").SettledBy = "x3" }, `account a: transaction "c4": original: expected a hold that is not open`},
		"an account of no part":      {func(b *books) { b.get("v9").SettledBy = "c" }, `account b: transaction "v9": account of account_not_found: expected the source or the destination, found "c"`},
		"settled without a reason":   {func(b *books) { b.get("r9").SettledBy = "c1" }, `transaction "r9": settled by: expected , found c1`},
		"no hold, but a hold":        {func(b *books) { b.get("r9").SettledBy = "hold" }, `transaction "r9": settled by: expected , found hold`},
		"open hold lost at the end":  {func(b *books) { b.lose("h4") }, `account a: held: expected 0.00, found 0.05`},
		"stored held":                {func(b *books) { b.accounts[slices.IndexFunc(b.accounts, isA)].Held = rbcs.AmountOf(1) }, `account a: held by open holds: expected 0.05, found 0.01`},
		"reversed too much":          {func(b *books) { b.get("c1").Transaction.Amount = amount(249) }, `account a: transaction "c1": amount that was reversible: expected 2.49, found 2.50`},
		"reversed of nothing":        {func(b *books) { b.get("c1").Transaction.ID = "c9" }, `transaction "c1": original: expected one in the log: it was reversed, found none`},
		"reversed twice":             {func(b *books) { b.get("v4").Remainder = rbcs.AmountOf(150) }, `account b: transaction "v4": amount and remainder: expected 1.50, found 3.00`},
		"reversed below zero":        {func(b *books) { b.get("v4").Remainder = rbcs.AmountOf(-1) }, `account b: transaction "v4": remainder: expected not below zero, found -0.01`},
		"reversed forward":           {func(b *books) { b.get("v1").Transaction.Original = "fund2" }, `account bank: transaction "fund2": sequence: expected less than its reversals' 11, found 13`},
		"reversed elsewhere":         {func(b *books) { b.get("v4").Transaction.Original = "g1"; b.get("v5").Transaction.Original = "fund" }, `account bank: transaction "fund": destination of its reversals: expected bank, found a`},
		"reversed a hold":            {func(b *books) { b.get("v6").Remainder = rbcs.AmountOf(600) }, `account a: transaction "h1": amount that was reversible: expected 0.00, found 6.00`},
		"refused what was left":      {func(b *books) { b.get("v3").Remainder = rbcs.AmountOf(1) }, `account b: transaction "v3": remainder: expected below zero, found 0.01`},
		"told another left":          {func(b *books) { b.get("v3").Shortfall.Available = rbcs.AmountOf(1) }, `account b: transaction "v3": available before the rejection: expected 1.50, found 0.01`},
		"group cut short":            {func(b *books) { b.lose("f2") }, `transaction "` + lively().get("f1").Transaction.Group.ID + `": members of the atomic group: expected 2, found 1`},
		"group out of order":         {func(b *books) { b.get("g1").Transaction.Group.Position = 1 }, `transaction "g1": position in its group: expected 0, found 1`},
		"group of another size":      {func(b *books) { b.get("h4").Transaction.Group.Size = 3 }, `transaction "h4": size of its group: expected 2, found 3`},
		"group of two commits":       {func(b *books) { b.get("h4").Instance = "two" }, `transaction "h4": instance of its group: expected one, found two`},
		"group of other members":     {func(b *books) { b.get("f1").Transaction.ID = "f0" }, `transaction "f2": group: expected `},
		"group half rejected":        {func(b *books) { b.get("f1").Status, b.get("f1").Code = rbcs.Posted, "" }, `transaction "f2": rejected members of its group: expected 2, found 1`},
		"group without a cause":      {func(b *books) { b.get("f2").Code, b.get("f2").Shortfall = rbcs.GroupFailed, rbcs.Shortfall{} }, `transaction "f2": members that made its group fail: expected 1, found 0`},
		"failed group without group": {func(b *books) { b.get("f1").Transaction.Group = rbcs.Group{} }, `transaction "f1": group: expected one, since it failed, found none`},
	} {
		t.Run(name, func(t *testing.T) {
			b := lively()
			c.corrupt(b)
			wantFault(t, b, c.want)
		})
	}
}

func isA(a rbcs.Account) bool { return a.Number == "a" }

// growing are books that get more while they are read, and whose second reading may fail.
type growing struct {
	*books
	dumps int
	err   error
}

func (g *growing) Dump(ctx context.Context, decision func(*rbcs.Result) error, account func(*rbcs.Account) error) error {
	if g.dumps++; g.dumps > 1 {
		if g.err != nil {
			return g.err
		}
		late := *g.get("c1")
		late.Transaction.ID, late.Transaction.Original, late.Sequence = "late", "h1", 1000
		return (&books{log: append(slices.Clone(g.log), late), accounts: g.accounts}).Dump(ctx, decision, account)
	}
	return g.books.Dump(ctx, decision, account)
}

// TestSecondReading: the log is read again only where something refers to an
// original, and no farther than the first time.
func TestSecondReading(t *testing.T) {
	plain := &growing{books: clean()}
	if report, err := Run(t.Context(), plain, nil); err != nil || !report.OK() || plain.dumps != 1 {
		t.Errorf("transfers were read %d times: %v, %v", plain.dumps, report.Faults, err)
	}
	full := &growing{books: lively()}
	if report, err := Run(t.Context(), full, nil); err != nil || !report.OK() || report.Transactions != 25 || full.dumps != 2 {
		t.Errorf("read %d times: %+v, %v", full.dumps, report, err)
	}
	broken := errors.New("the disk is gone")
	if _, err := Run(t.Context(), &growing{books: lively(), err: broken}, nil); !errors.Is(err, broken) {
		t.Errorf("the error is %v, want the second dump's", err)
	}
}
