package mock

import (
	"bufio"
	"context"
	"io"
	"strconv"
)

const (
	bufferBytes  = 256 << 10
	checkEvery   = 1 << 14 // lines between two looks at the context
	keepEvery    = 64      // of how many lines one is kept to be repeated
	keepAtMost   = 256
	perMille     = 1000
	repeats      = 10 // of 1000 lines
	overdraws    = 10
	fundings     = 150
	payouts      = 30
	describedOne = 8 // of how many lines one has a description
	currencyOne  = 4
	metadataOne  = 16
)

var descriptions = []string{
	"Invoice", "Monthly rent", "Lunch", "Groceries", "Refill", "Coffee ☕", "工资", "Ticket", "Gift", "Subscription",
}

// WriteAccounts writes the accounts as NDJSON.
func (g *Generator) WriteAccounts(ctx context.Context, w io.Writer) error {
	return g.lines(ctx, w, g.cfg.Accounts, func(dst []byte, i int64) []byte {
		dst = g.cast.appendNumber(append(dst, `{"number":"`...), i)
		dst = append(append(dst, `","currency":"`...), g.cfg.Currency.Code...)
		if g.cast.isTreasury(i) {
			return append(dst, `","overdraft":"unlimited"}`...)
		}
		if limit := g.cast.overdraft(i); limit > 0 {
			dst = g.money.append(append(dst, `","overdraft":"`...), limit*g.money.unit)
		}
		return append(dst, `"}`...)
	})
}

// WriteTransactions writes the transactions as NDJSON, in the order in which
// they are to be decided.
func (g *Generator) WriteTransactions(ctx context.Context, w io.Writer) error {
	return g.lines(ctx, w, g.cfg.Transactions, g.appendTransaction)
}

// WriteExpected writes each account's balance, available and version after the
// transactions that were written so far, as NDJSON.
func (g *Generator) WriteExpected(ctx context.Context, w io.Writer) error {
	return g.lines(ctx, w, g.cfg.Accounts, func(dst []byte, i int64) []byte {
		balance := g.book[i].balance
		dst = g.cast.appendNumber(append(dst, `{"number":"`...), i)
		dst = append(append(dst, `","currency":"`...), g.cfg.Currency.Code...)
		dst = g.money.append(append(dst, `","balance":"`...), balance)
		dst = g.money.append(append(dst, `","available":"`...), balance) // nothing is held
		dst = strconv.AppendInt(append(dst, `","version":`...), g.book[i].version, 10)
		return append(dst, '}')
	})
}

// lines writes n lines through one buffer. It stops early when the context ends.
func (g *Generator) lines(ctx context.Context, w io.Writer, n int, line func(dst []byte, i int64) []byte) error {
	out := bufio.NewWriterSize(w, bufferBytes)
	for i := range int64(n) {
		if i%checkEvery == 0 && ctx.Err() != nil {
			return context.Cause(ctx)
		}
		g.line = append(line(g.line[:0], i), '\n')
		if _, err := out.Write(g.line); err != nil {
			return err
		}
	}
	return out.Flush()
}

// appendTransaction makes the i-th line and books what it must come to.
func (g *Generator) appendTransaction(dst []byte, i int64) []byte {
	kind := g.draw.below(perMille)
	if kind < repeats && len(g.recent) > 0 {
		g.summary.Replayed++
		return append(dst, g.recent[g.draw.below(int64(len(g.recent)))]...)
	}
	source, destination, amount := g.transfer(kind - repeats)
	g.enter(source, destination, amount)

	g.clock.tick(g.draw)
	dst = g.clock.appendID(append(dst, `{"id":"`...), g.draw)
	dst = g.cast.appendNumber(append(dst, `","source":"`...), source)
	dst = g.cast.appendNumber(append(dst, `","destination":"`...), destination)
	dst = g.money.append(append(dst, `","amount":"`...), amount)
	dst = g.clock.appendTime(append(dst, `","timestamp":"`...))
	dst = append(dst, '"')
	dst = g.appendExtras(dst)
	dst = append(dst, '}')
	if i%keepEvery == 0 {
		g.keep(dst, i/keepEvery)
	}
	return dst
}

// transfer chooses the accounts and the amount. Nobody but an overdraw spends
// what he does not have: such a draw becomes a smaller one or a funding.
func (g *Generator) transfer(kind int64) (source, destination, amount int64) {
	someone := g.pick()
	treasury := g.treasury()
	if kind < fundings {
		return treasury, someone, 100*g.money.unit + g.money.payment(g.draw)
	}
	usable := g.book[someone].balance + g.cast.overdraft(someone)*g.money.unit
	other := g.payee(someone, treasury)
	if kind < fundings+overdraws {
		return someone, other, usable + 1 + g.draw.below(100*g.money.unit)
	}
	if usable <= 0 {
		return treasury, someone, 100*g.money.unit + g.money.payment(g.draw)
	}
	if kind < fundings+overdraws+payouts {
		other = treasury
	}
	if amount = g.money.payment(g.draw); amount > usable {
		amount = 1 + g.draw.below(usable)
	}
	return someone, other, amount
}

// pick chooses a merchant or user by the shape. Money has to reach those who
// spend it, so in the hot shape too everybody is as likely as any other here.
func (g *Generator) pick() int64 {
	n := g.cast.all - g.cast.treasuries
	if g.cfg.Shape == Zipf {
		return g.cast.treasuries + g.draw.zipf(n)
	}
	return g.cast.treasuries + g.draw.below(n)
}

func (g *Generator) treasury() int64 {
	if g.cfg.Shape == Hot {
		return 0
	}
	return g.draw.below(g.cast.treasuries)
}

// payee chooses whom someone pays: another one, or the treasury where there is no other.
func (g *Generator) payee(someone, treasury int64) int64 {
	other := g.cast.treasuries // the hot one: the first merchant
	if g.cfg.Shape != Hot {
		other = g.pick()
	}
	if other == someone {
		return treasury
	}
	return other
}

// enter enters what the transfer must come to on both accounts.
func (g *Generator) enter(source, destination, amount int64) {
	from, to := &g.book[source], &g.book[destination]
	if !g.cast.isTreasury(source) && from.balance-amount < -g.cast.overdraft(source)*g.money.unit {
		g.summary.Rejected++
		return
	}
	g.summary.Posted++
	from.balance -= amount
	from.version++
	to.balance += amount
	to.version++
}

// appendExtras appends the optional fields that some lines have.
func (g *Generator) appendExtras(dst []byte) []byte {
	chance := g.draw.pcg.Uint64()
	if chance%currencyOne == 0 {
		dst = append(append(append(dst, `,"currency":"`...), g.cfg.Currency.Code...), '"')
	}
	if chance >>= 8; chance%describedOne == 0 {
		text := descriptions[g.draw.below(int64(len(descriptions)))]
		dst = append(append(append(dst, `,"description":"`...), text...), '"')
	}
	if chance >>= 8; chance%metadataOne == 0 {
		dst = strconv.AppendInt(append(dst, `,"metadata":{"order":"A-`...), 1000+g.draw.below(1_000_000), 10)
		dst = append(dst, `"}`...)
	}
	return dst
}

// keep remembers a line so that a later one can repeat it.
func (g *Generator) keep(line []byte, n int64) {
	if len(g.recent) < keepAtMost {
		g.recent = append(g.recent, append([]byte(nil), line...))
		return
	}
	slot := n % keepAtMost
	g.recent[slot] = append(g.recent[slot][:0], line...)
}
