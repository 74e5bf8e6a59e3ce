package sqlite

import (
	"path/filepath"
	"testing"
	"time"

	"rbcs"
)

var usd = rbcs.Currency{Code: "USD", Decimals: 2}

func openTemp(t testing.TB) *Store {
	t.Helper()
	s, err := Open(t.Context(), filepath.Join(t.TempDir(), "rbcs.db"), Options{Instance: "test"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func transfer(id, source, destination string, cents int64) *rbcs.Transaction {
	return &rbcs.Transaction{
		ID: id, Type: rbcs.Transfer, Source: source, Destination: destination,
		Amount: rbcs.Decimal{Units: rbcs.AmountOf(cents), Scale: 2}, Timestamp: time.Unix(1_700_000_000, 0).UTC(),
	}
}
