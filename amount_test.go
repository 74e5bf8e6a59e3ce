package rbcs_test

import (
	"errors"
	"math"
	"math/big"
	"math/rand/v2"
	"strings"
	"testing"

	"rbcs"
)

// limit is 10³⁸, the first number outside the range.
var limit = new(big.Int).Exp(big.NewInt(10), big.NewInt(rbcs.MaxDigits), nil)

// word is 2⁶⁴.
var word = new(big.Int).Lsh(big.NewInt(1), 64)

// toBig reads an amount by its words, so that nothing of Amount's own arithmetic or formatting is trusted.
func toBig(a rbcs.Amount) *big.Int {
	hi, lo := a.Words()
	n := new(big.Int).Mul(big.NewInt(hi), word)
	return n.Add(n, new(big.Int).SetUint64(lo))
}

// fromBig is the inverse of toBig for |n| < 10³⁸.
func fromBig(t *testing.T, n *big.Int) rbcs.Amount {
	t.Helper()
	hi, lo := new(big.Int).DivMod(n, word, new(big.Int)) // Euclidean: lo ≥ 0
	a, err := rbcs.AmountFromWords(hi.Int64(), lo.Uint64())
	if err != nil {
		t.Fatalf("AmountFromWords of %s: %v", n, err)
	}
	return a
}

func inRange(n *big.Int) bool { return new(big.Int).Abs(n).Cmp(limit) < 0 }

// checkPair compares everything that an Amount can do with what math/big does.
func checkPair(t *testing.T, a, b rbcs.Amount) {
	t.Helper()
	x, y := toBig(a), toBig(b)
	checkOp := func(name string, got rbcs.Amount, ok bool, want *big.Int) {
		t.Helper()
		switch {
		case ok != inRange(want):
			t.Fatalf("%s %s %s: ok = %v, but the exact result is %s", x, name, y, ok, want)
		case ok && toBig(got).Cmp(want) != 0:
			t.Fatalf("%s %s %s = %s, want %s", x, name, y, toBig(got), want)
		case !ok && !got.IsZero():
			t.Fatalf("%s %s %s left the range and still returned %s", x, name, y, got)
		}
	}
	sum, ok := a.Add(b)
	checkOp("+", sum, ok, new(big.Int).Add(x, y))
	difference, ok := a.Sub(b)
	checkOp("-", difference, ok, new(big.Int).Sub(x, y))
	checkOp("neg", a.Neg(), true, new(big.Int).Neg(x))
	if got, want := a.Cmp(b), x.Cmp(y); got != want {
		t.Fatalf("%s.Cmp(%s) = %d, want %d", x, y, got, want)
	}
	if (a == b) != (x.Cmp(y) == 0) {
		t.Fatalf("%s == %s is %v", x, y, a == b)
	}
	if a.Sign() != x.Sign() || a.IsZero() != (x.Sign() == 0) {
		t.Fatalf("%s: Sign = %d, IsZero = %v", x, a.Sign(), a.IsZero())
	}
	if n, ok := a.Int64(); ok != x.IsInt64() || ok && n != x.Int64() {
		t.Fatalf("%s.Int64() = %d, %v", x, n, ok)
	}
	if a.String() != x.String() {
		t.Fatalf("String of %s is %s", x, a)
	}
	for decimals := range rbcs.MaxDecimals + 1 {
		if got, want := a.Format(decimals), formatBig(x, decimals); got != want {
			t.Fatalf("%s.Format(%d) = %q, want %q", x, decimals, got, want)
		}
	}
}

// formatBig is an independent Format.
func formatBig(n *big.Int, decimals int) string {
	digits := new(big.Int).Abs(n).String()
	digits = strings.Repeat("0", max(0, decimals+1-len(digits))) + digits
	if decimals > 0 {
		digits = digits[:len(digits)-decimals] + "." + digits[len(digits)-decimals:]
	}
	if n.Sign() < 0 {
		digits = "-" + digits
	}
	return digits
}

// edges are the numbers at which a 128-bit integer of at most 38 digits can go wrong.
func edges(t *testing.T) []rbcs.Amount {
	list := []rbcs.Amount{{}}
	add := func(n *big.Int) {
		for _, delta := range []int64{-1, 0, 1} {
			m := new(big.Int).Add(n, big.NewInt(delta))
			for _, m := range []*big.Int{m, new(big.Int).Neg(m)} {
				if inRange(m) {
					list = append(list, fromBig(t, m))
				}
			}
		}
	}
	for n := big.NewInt(1); n.Cmp(limit) <= 0; n = new(big.Int).Mul(n, big.NewInt(10)) {
		add(n)
	}
	add(new(big.Int).Rsh(limit, 1))
	for _, bits := range []uint{31, 32, 63, 64, 65, 126} {
		add(new(big.Int).Lsh(big.NewInt(1), bits))
	}
	return list
}

func TestAmountAgreesWithMathBig(t *testing.T) {
	list := edges(t)
	random := rand.New(rand.NewPCG(1, 2))
	for range 200 { // of every length in bits
		n := new(big.Int).SetUint64(random.Uint64())
		n.Mul(n, word).Add(n, new(big.Int).SetUint64(random.Uint64()))
		n.Rsh(n, uint(2+random.IntN(126)))
		if random.IntN(2) == 0 {
			n.Neg(n)
		}
		if inRange(n) {
			list = append(list, fromBig(t, n))
		}
	}
	for i, a := range list {
		checkPair(t, a, a)
		checkPair(t, a, a.Neg())
		checkPair(t, a, list[(i*7+1)%len(list)])
		checkPair(t, a, list[random.IntN(len(list))])
	}
}

func TestAmountEndsExactlyBelow10To38(t *testing.T) {
	maximum, one := rbcs.MaxAmount(), rbcs.AmountOf(1)
	if want := strings.Repeat("9", rbcs.MaxDigits); maximum.String() != want {
		t.Fatalf("MaxAmount = %s, want %s", maximum, want)
	}
	below, ok := maximum.Sub(one)
	if !ok {
		t.Fatal("10³⁸ − 2 is refused")
	}
	if sum, ok := below.Add(one); !ok || sum != maximum {
		t.Fatalf("10³⁸ − 2 + 1 = %s, %v", sum, ok)
	}
	for name, op := range map[string]func() (rbcs.Amount, bool){
		"max + 1":    func() (rbcs.Amount, bool) { return maximum.Add(one) },
		"max + max":  func() (rbcs.Amount, bool) { return maximum.Add(maximum) },
		"-max - 1":   func() (rbcs.Amount, bool) { return maximum.Neg().Sub(one) },
		"-max - max": func() (rbcs.Amount, bool) { return maximum.Neg().Sub(maximum) },
		"max - -1":   func() (rbcs.Amount, bool) { return maximum.Sub(rbcs.AmountOf(-1)) },
	} {
		if got, ok := op(); ok || !got.IsZero() {
			t.Errorf("%s = %s, %v; want a refusal", name, got, ok)
		}
	}
}

func TestAmountFromWordsRefusesWhatIsOutOfRange(t *testing.T) {
	hi, lo := rbcs.MaxAmount().Words()
	minHi, minLo := rbcs.MaxAmount().Neg().Words()
	for _, outside := range []struct {
		hi int64
		lo uint64
	}{{hi, lo + 1}, {hi + 1, 0}, {math.MaxInt64, math.MaxUint64}, {math.MinInt64, 0}, {math.MinInt64, 1}, {minHi, minLo - 1}} {
		if a, err := rbcs.AmountFromWords(outside.hi, outside.lo); !errors.Is(err, rbcs.ErrAmountRange) || !a.IsZero() {
			t.Errorf("AmountFromWords(%#x, %#x) = %s, %v; want ErrAmountRange", outside.hi, outside.lo, a, err)
		}
	}
	if a, err := rbcs.AmountFromWords(minHi, minLo); err != nil || a != rbcs.MaxAmount().Neg() {
		t.Errorf("the smallest amount: %s, %v", a, err)
	}
}

func TestAmountOf(t *testing.T) {
	for _, n := range []int64{0, 1, -1, math.MaxInt64, math.MinInt64} {
		if got := toBig(rbcs.AmountOf(n)); got.Cmp(big.NewInt(n)) != 0 {
			t.Errorf("AmountOf(%d) = %s", n, got)
		}
		if back, ok := rbcs.AmountOf(n).Int64(); !ok || back != n {
			t.Errorf("AmountOf(%d).Int64() = %d, %v", n, back, ok)
		}
	}
}

func TestAmountAppendFormatKeepsWhatIsThere(t *testing.T) {
	if got := string(rbcs.AmountOf(-5).AppendFormat([]byte("x="), 2)); got != "x=-0.05" {
		t.Errorf("got %q", got)
	}
}

func FuzzAmount(f *testing.F) {
	hi, lo := rbcs.MaxAmount().Words()
	f.Add(int64(0), uint64(0), int64(0), uint64(1))
	f.Add(hi, lo, hi, lo)
	f.Add(hi, lo, int64(-1), uint64(math.MaxUint64))
	f.Add(int64(0), uint64(math.MaxUint64), int64(0), uint64(1))
	f.Fuzz(func(t *testing.T, ahi int64, alo uint64, bhi int64, blo uint64) {
		read := func(hi int64, lo uint64) (rbcs.Amount, bool) {
			n := new(big.Int).Mul(big.NewInt(hi), word)
			n.Add(n, new(big.Int).SetUint64(lo))
			a, err := rbcs.AmountFromWords(hi, lo)
			if (err == nil) != inRange(n) {
				t.Fatalf("AmountFromWords of %s: %v", n, err)
			}
			return a, err == nil
		}
		a, okA := read(ahi, alo)
		b, okB := read(bhi, blo)
		if okA && okB {
			checkPair(t, a, b)
		}
	})
}

func BenchmarkAmountFormat(b *testing.B) {
	buf := make([]byte, 0, 64)
	for b.Loop() {
		buf = rbcs.AmountOf(123456789).AppendFormat(buf[:0], 2)
	}
}
