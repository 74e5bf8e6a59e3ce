package load

import (
	"math/bits"
	"strconv"
	"time"

	"rbcs"
)

// plan says what each request of a run is. It is a pure function of the
// request's number, so that a request can be made again, byte for byte, without
// being kept.
type plan struct {
	prefix   []byte // of account numbers: "bench:<run>:"
	ids      []byte // of transactions' IDs
	time     []byte
	seed     uint64
	workload Workload
	accounts uint64
	batch    int
}

func newPlan(cfg *Config, run string) plan {
	return plan{
		prefix:   []byte("bench:" + run + ":"),
		ids:      []byte("bench-" + run + "-"),
		time:     time.Now().UTC().AppendFormat(nil, rbcs.TimeFormat),
		seed:     cfg.Seed,
		workload: cfg.Workload,
		accounts: uint64(cfg.Accounts),
		batch:    cfg.Batch,
	}
}

// transfer is one transaction of a request.
type transfer struct {
	source, destination uint64 // indices of accounts
	cents               int64
	captured            int64 // of a hold: how much of it is captured; 0 where it is released
}

// stream is the random numbers of one request (SplitMix64).
type stream uint64

func (p *plan) stream(n int64) stream {
	s := stream(p.seed ^ uint64(n)*0xD1342543DE82EF95)
	s.next()
	return s
}

func (s *stream) next() uint64 {
	*s += 0x9E3779B97F4A7C15
	z := uint64(*s)
	z = (z ^ z>>30) * 0xBF58476D1CE4E5B9
	z = (z ^ z>>27) * 0x94D049BB133111EB
	return z ^ z>>31
}

func (s *stream) below(n uint64) uint64 {
	hi, _ := bits.Mul64(s.next(), n)
	return hi
}

// zipf returns x < n about 1/(x+1) as often as 0: first one of the powers of
// two, each as likely as the other, then a number from there to the next.
func (s *stream) zipf(n uint64) uint64 {
	octaves := uint64(bits.Len64(n))
	for {
		low := uint64(1) << s.below(octaves)
		if x := low + s.below(low); x <= n {
			return x - 1
		}
	}
}

func (p *plan) pick(s *stream) uint64 {
	if p.workload == Zipf {
		return s.zipf(p.accounts)
	}
	return s.below(p.accounts)
}

func (p *plan) transfer(s *stream) transfer {
	t := transfer{source: p.pick(s), cents: 1 + int64(s.below(99_99))}
	if p.workload != Hot {
		t.destination = p.pick(s)
	}
	for t.source == t.destination {
		t.source = s.below(p.accounts)
	}
	if p.workload == Hold {
		switch t.captured = t.cents; s.below(8) {
		case 0:
			t.captured = 0
		case 1:
			t.captured = 1 + int64(s.below(uint64(t.cents)))
		}
	}
	return t
}

// read reports whether the n-th request reads a balance, and whose. The stream
// is behind that decision then.
func (p *plan) read(n int64) (account uint64, yes bool, rest stream) {
	s := p.stream(n)
	yes = p.workload == Read || p.workload == Mixed && s.next()&1 == 0
	if yes {
		account = p.pick(&s)
	}
	return account, yes, s
}

// transfers returns the transactions of the n-th request, appended to list.
func (p *plan) transfers(n int64, list []transfer) []transfer {
	_, _, s := p.read(n)
	for range p.batch {
		list = append(list, p.transfer(&s))
	}
	return list
}

// step is one request of a round: the transactions, or the settlement of one of
// the holds that they are.
type step int

// size returns how many transactions the step submits.
func (p *plan) size(k step) int {
	if k == 0 {
		return p.batch
	}
	return 1
}

// appendPath appends the path of a step of the n-th round.
func (p *plan) appendPath(dst []byte, n int64, k step, list []transfer) []byte {
	dst = append(dst, "/v1/transactions"...)
	switch {
	case k > 0:
		verb := "/capture"
		if list[k-1].captured == 0 {
			verb = "/release"
		}
		return append(p.appendID(append(dst, '/'), n, int(k-1)), verb...)
	case p.batch > 1:
		return append(dst, "/batch"...)
	}
	return dst
}

// appendBody appends the JSON of a step of the n-th round, which has the given transactions.
func (p *plan) appendBody(dst []byte, n int64, k step, list []transfer) []byte {
	switch {
	case k > 0:
		return p.appendSettlement(dst, n, int(k-1), list[k-1])
	case p.batch == 1:
		return p.appendTransaction(dst, n, 0, list[0])
	}
	dst = append(dst, `{"transactions":[`...)
	for i, t := range list {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = p.appendTransaction(dst, n, i, t)
	}
	return append(dst, "]}"...)
}

func (p *plan) appendID(dst []byte, n int64, i int) []byte {
	dst = strconv.AppendInt(append(dst, p.ids...), n, 10)
	return strconv.AppendInt(append(dst, '-'), int64(i), 10)
}

func (p *plan) appendTransaction(dst []byte, n int64, i int, t transfer) []byte {
	dst = p.appendID(append(dst, `{"id":"`...), n, i)
	if p.workload == Hold {
		dst = append(dst, `","type":"hold`...)
	}
	dst = p.appendNumber(append(dst, `","source":"`...), t.source)
	dst = p.appendNumber(append(dst, `","destination":"`...), t.destination)
	dst = rbcs.AmountOf(t.cents).AppendFormat(append(dst, `","amount":"`...), currency.Decimals)
	dst = append(append(dst, `","timestamp":"`...), p.time...)
	return append(dst, `"}`...)
}

func (p *plan) appendSettlement(dst []byte, n int64, i int, t transfer) []byte {
	dst = append(p.appendID(append(dst, `{"id":"`...), n, i), "-settled\""...)
	if t.captured > 0 {
		dst = rbcs.AmountOf(t.captured).AppendFormat(append(dst, `,"amount":"`...), currency.Decimals)
		dst = append(dst, '"')
	}
	return append(dst, '}')
}

// currency is what all accounts of a run are in.
var currency = rbcs.Currency{Code: "USD", Decimals: 2}

// numberDigits is enough for maxAccounts, so that numbers sort as their indices.
const numberDigits = 8

func (p *plan) appendNumber(dst []byte, account uint64) []byte {
	dst = append(dst, p.prefix...)
	at := len(dst)
	dst = append(dst, "00000000"[:numberDigits]...)
	for i := at + numberDigits - 1; account > 0; i-- {
		dst[i] = byte('0' + account%10)
		account /= 10
	}
	return dst
}
