package linear

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"

	"rbcs"
)

// How clients work. The pauses are what leaves time for values to be cached.
const (
	writePause = 100 * time.Millisecond // at most, between two postings of a client
	readPause  = 12 * time.Millisecond  // and between two reads
	timeout    = 4 * time.Second        // of a request
	resubmits  = 4                      // of what has no answer
)

// user is a client: it does one thing after the other, each through any instance.
type user struct {
	w      *world
	number int
	random *rand.Rand
}

// pause waits at most so long, and reports whether to go on.
func (c *user) pause(most time.Duration) bool {
	select {
	case <-c.w.stop:
		return false
	case <-time.After(rand.N(most)):
		return true
	}
}

func (c *user) anyone() *instance {
	list := c.w.live()
	return list[c.random.IntN(len(list))]
}

func (c *user) write() {
	for c.pause(writePause) {
		switch n := c.random.IntN(10); {
		case n < 6:
			c.submit(c.transaction(rbcs.Transfer))
		case n < 9:
			txs := make([]*rbcs.Transaction, 2+c.random.IntN(4))
			for i := range txs {
				txs[i] = c.transaction(rbcs.Transfer)
			}
			c.submit(txs...)
		default:
			c.hold()
		}
	}
}

// hold reserves, and settles at once what it has reserved.
func (c *user) hold() {
	hold := c.transaction(rbcs.Hold)
	if !c.submit(hold) {
		return
	}
	settle := *hold
	settle.ID, settle.Original, settle.Type, settle.Amount = hold.ID+"-settled", hold.ID, rbcs.Capture, rbcs.Decimal{}
	if c.random.IntN(2) == 0 {
		settle.Type = rbcs.Release
	}
	settle.Currency = ""
	c.submit(&settle)
}

func (c *user) transaction(kind rbcs.Type) *rbcs.Transaction {
	from := c.random.IntN(len(numbers))
	to := (from + 1 + c.random.IntN(len(numbers)-1)) % len(numbers)
	return &rbcs.Transaction{
		ID: fmt.Sprintf("%s-%d", kind, c.w.serial.Add(1)), Type: kind, Source: numbers[from], Destination: numbers[to],
		Amount: rbcs.Decimal{Units: rbcs.AmountOf(1 + c.random.Int64N(1_000)), Scale: uint8(euro.Decimals)}, Currency: euro.Code,
		Timestamp: time.Now().UTC().Truncate(time.Microsecond),
	}
}

// submit submits transactions until all are answered, a few times at most and
// each time to any instance, reads one of the accounts through any other, and
// reports whether all were answered.
func (c *user) submit(txs ...*rbcs.Transaction) bool {
	in := c.anyone()
	c.w.history.submit(c.number, in.name, txs)
	open := txs
	for range resubmits {
		ctx, cancel := context.WithTimeout(in.ctx, timeout)
		results, err := in.submit(ctx, open)
		now := c.w.history.now()
		cancel()
		if err == nil {
			if open = c.w.history.answered(now, open, results); len(open) == 0 {
				other := c.anyone()
				c.look(other, false, []string{txs[c.random.IntN(len(txs))].Source})
				return true
			}
		}
		if !c.pause(4 * writePause) {
			break
		}
		in = c.anyone()
	}
	c.w.history.fail()
	return false
}

func (c *user) read() {
	for c.pause(readPause) {
		in := c.anyone()
		switch n := c.random.IntN(20); {
		case n < 14:
			c.look(in, false, numbers[c.random.IntN(len(numbers)):][:1])
		case n < 19:
			c.look(in, false, numbers)
		default: // consistency=strong
			c.look(in, true, numbers[c.random.IntN(len(numbers)):][:1])
		}
	}
}

// look reads balances through an instance.
func (c *user) look(in *instance, strong bool, numbers []string) {
	c.lookFor(timeout, in, strong, numbers)
}

func (c *user) lookFor(timeout time.Duration, in *instance, strong bool, numbers []string) {
	ctx, cancel := context.WithTimeout(in.ctx, timeout)
	defer cancel()
	call := c.w.history.now()
	readings, err := in.balances(ctx, numbers, strong)
	now := c.w.history.now()
	if err != nil || !in.alive() { // who was killed answers nobody
		c.w.history.fail()
		return
	}
	c.w.history.read(c.number, in.name, call, now, readings)
}
