package rbcs_test

import (
	"errors"
	"strings"
	"testing"

	"rbcs"
)

func members(ids ...string) []*rbcs.Transaction {
	txs := make([]*rbcs.Transaction, len(ids))
	for i, id := range ids {
		txs[i] = &rbcs.Transaction{ID: id}
	}
	for i, t := range txs {
		t.Group = rbcs.Group{ID: rbcs.GroupID(txs), Position: i, Size: len(txs)}
	}
	return txs
}

func TestUnit(t *testing.T) {
	alone := &rbcs.Transaction{ID: "0"}
	huge := members("1")
	huge[0].Group.Size = rbcs.MaxGroup + 1
	for name, c := range map[string]struct {
		txs  []*rbcs.Transaction
		want int // 0 for an error
	}{
		"no group":                   {append([]*rbcs.Transaction{alone}, members("1", "2")...), 1},
		"a group, and others behind": {append(members("1", "2"), alone, alone), 2},
		"a group of one":             {members("1"), 1},
		"two groups":                 {append(members("1", "2"), members("3")...), 2},
		"the end is missing":         {members("1", "2")[:1], 0},
		"the start is missing":       {members("1", "2")[1:], 0},
		"interrupted":                {[]*rbcs.Transaction{members("1", "2")[0], alone, members("1", "2")[1]}, 0},
		"an ID twice":                {members("1", "2", "1"), 0},
		"too large":                  {huge, 0},
	} {
		t.Run(name, func(t *testing.T) {
			n, err := rbcs.Unit(c.txs)
			if n != c.want || (err != nil) != (c.want == 0) || err != nil && err.Code != rbcs.InvalidRequest {
				t.Errorf("got %d, %v, want %d", n, err, c.want)
			}
		})
	}
}

func TestGroupIDDependsOnMembersAndOrder(t *testing.T) {
	seen := map[string]bool{}
	for _, ids := range [][]string{{"1", "2"}, {"2", "1"}, {"12"}, {"1"}, {"1", "2", "3"}, {"1 2"}} {
		seen[members(ids...)[0].Group.ID] = true
	}
	if len(seen) != 6 {
		t.Errorf("six groups have %d IDs", len(seen))
	}
}

func TestPrepareSettlement(t *testing.T) {
	for name, c := range map[string]struct {
		edit func(*rbcs.Transaction)
		want string // a part of the error; "" for none
	}{
		"capture of all":           {func(*rbcs.Transaction) {}, ""},
		"capture of a part":        {func(t *rbcs.Transaction) { t.Amount = rbcs.Decimal{Units: rbcs.AmountOf(1)} }, ""},
		"release":                  {func(t *rbcs.Transaction) { t.Type = rbcs.Release }, ""},
		"no original":              {func(t *rbcs.Transaction) { t.Original = "" }, "/original: the ID is missing"},
		"itself":                   {func(t *rbcs.Transaction) { t.Original = t.ID }, "/id: a transaction cannot refer to itself"},
		"an ID of the service":     {func(t *rbcs.Transaction) { t.ID = rbcs.ReservedPrefix + "1" }, "/id: IDs that begin"},
		"a negative amount":        {func(t *rbcs.Transaction) { t.Amount = rbcs.Decimal{Units: rbcs.AmountOf(-1)} }, "/amount: the amount must be greater than zero"},
		"a currency":               {func(t *rbcs.Transaction) { t.Currency = "EUR" }, "/currency: the currency follows"},
		"a description too long":   {func(t *rbcs.Transaction) { t.Description = strings.Repeat("x", 1025) }, "/description: "},
		"an amount with a release": {func(t *rbcs.Transaction) { t.Type, t.Amount = rbcs.Release, rbcs.Decimal{Units: rbcs.AmountOf(1)} }, "/amount: a release gives all"},
	} {
		t.Run(name, func(t *testing.T) {
			tx := rbcs.Transaction{ID: "c", Type: rbcs.Capture, Original: "h"}
			c.edit(&tx)
			err := tx.PrepareSettlement()
			var known *rbcs.Error
			switch {
			case c.want == "" && err == nil:
			case c.want == "" || !errors.As(err, &known) || known.Code != rbcs.InvalidRequest || !strings.Contains(err.Error(), c.want):
				t.Errorf("got %v, want %q", err, c.want)
			}
		})
	}
}
