package sqlite

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"rbcs"
)

func anyAmount(t *rapid.T, name string) rbcs.Amount {
	a, err := rbcs.AmountFromWords(
		rapid.OneOf(rapid.Int64Range(-0x4B3B4CA85A86C479, 0x4B3B4CA85A86C479), rapid.Int64Range(-1, 1)).Draw(t, name+" hi"),
		rapid.Uint64().Draw(t, name+" lo"),
	)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// TestAmountEncoding: it comes back, and bytes sort as numbers do.
func TestAmountEncoding(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, b := anyAmount(t, "a"), anyAmount(t, "b")
		var ea, eb [amountBytes]byte
		putAmount(ea[:], a)
		putAmount(eb[:], b)
		if back, err := amountOf(ea[:]); err != nil || back != a {
			t.Fatalf("%v became %v, %v", a, back, err)
		}
		if got := bytes.Compare(ea[:], eb[:]); got != a.Cmp(b) {
			t.Fatalf("the bytes of %v and %v compare as %d", a, b, got)
		}
	})
}

func TestAmountEncodingRefuses(t *testing.T) {
	for _, b := range [][]byte{nil, make([]byte, 15), make([]byte, 17), make([]byte, 16), bytes.Repeat([]byte{0xff}, 16)} {
		if a, err := amountOf(b); err == nil {
			t.Errorf("%x is read as %v", b, a)
		}
	}
	s := openTemp(t)
	err := s.withRead(t.Context(), func(c *conn) error {
		q, err := c.stmt("SELECT zeroblob(16)")
		if err != nil {
			return err
		}
		if q.next() {
			q.amountAt(0)
		}
		return q.done()
	})
	wantError(t, err, rbcs.Internal, "damaged")
}

// TestTimeEncoding: every time that a client may write comes back, in order.
func TestTimeEncoding(t *testing.T) {
	first, last := time.Date(1, 1, 1, 0, 0, 0, 0, time.UTC), time.Date(9999, 12, 31, 23, 59, 59, 999_999_000, time.UTC)
	rapid.Check(t, func(t *rapid.T) {
		m := rapid.Int64Range(micros(first), micros(last)).Draw(t, "µs")
		at := timeOf(m)
		if at.Location() != time.UTC || at.Before(first) || at.After(last) || micros(at) != m {
			t.Fatalf("%d became %v", m, at)
		}
		// Of a time between two microseconds, what is before it includes the first of them.
		if between := at.Add(time.Nanosecond); microsUp(at) != m || microsUp(between) != m+1 {
			t.Fatalf("%v: rounded up to %d and %d", at, microsUp(at), microsUp(between))
		}
	})
}

// TestLongParameters writes what does not fit into the memory for parameters.
func TestLongParameters(t *testing.T) {
	s := openTemp(t)
	createAccounts(t, s, "a", "b")
	tx := transfer("1", "a", "b", 100)
	tx.Actor = strings.Repeat("x", scratchBytes-amountRoom-10)
	tx.Description = strings.Repeat("y", 1000)
	tx.Metadata = `{"k":"` + strings.Repeat("ü", 8000) + `"}`
	tx.ExpiresAt, tx.Original = tx.Timestamp.Add(time.Hour), "0"
	mustCommit(t, s, tx)
	r, err := s.Transaction(t.Context(), "1")
	if err != nil || r.Transaction != *withCurrency(tx) {
		t.Errorf("%+v, %v", r.Transaction, err)
	}
}

func withCurrency(tx *rbcs.Transaction) *rbcs.Transaction {
	tx.Currency = "USD"
	return tx
}
