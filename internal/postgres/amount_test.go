package postgres

import (
	"context"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"

	"rbcs"
	"rbcs/internal/testenv"
)

func newRandom(seed uint64) *rand.Rand { return rand.New(rand.NewPCG(seed, seed)) }

// amountConn connects to a server and registers the codecs.
func amountConn(t testing.TB) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), testenv.Postgres(t))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(context.Background()) })
	registerTypes(conn.TypeMap())
	return conn
}

// roundTrip sends an amount as a parameter, as an element of an array, and in
// both formats, and compares what the server makes of it with its digits.
func roundTrip(t *testing.T, conn *pgx.Conn, a rbcs.Amount) {
	t.Helper()
	if text, err := conn.TypeMap().Encode(pgtype.NumericOID, pgtype.TextFormatCode, a, nil); err != nil || string(text) != a.String() {
		t.Fatalf("%v as text is %s: %v", a, text, err)
	}
	c := newColumn(pgtype.NumericOID, 2, 0)
	c.amount(a)
	c.null()
	for _, format := range []int16{pgtype.BinaryFormatCode, pgtype.TextFormatCode} {
		var text, first string
		var back rbcs.Amount
		var none int
		err := conn.QueryRow(t.Context(), "select $1::numeric::text, $1::numeric, ($2::numeric[])[1]::text, array_length(array_positions($2::numeric[], null), 1)",
			pgx.QueryResultFormats{pgtype.TextFormatCode, format, pgtype.TextFormatCode, pgtype.BinaryFormatCode}, a, c).Scan(&text, &back, &first, &none)
		if err != nil {
			t.Fatalf("%v: %v", a, err)
		}
		if text != a.String() || first != a.String() || back != a || none != 1 {
			t.Fatalf("%v became %s, in an array %s, and came back as %v in format %d", a, text, first, back, format)
		}
	}
}

func TestAmountsKeepTheirDigits(t *testing.T) {
	conn := amountConn(t)
	for digits := 1; digits <= rbcs.MaxDigits; digits++ {
		for _, s := range []string{strings.Repeat("9", digits), "1" + strings.Repeat("0", digits-1), "1" + strings.Repeat("0", digits-1)[:max(0, digits-2)] + strings.Repeat("1", min(1, digits-1))} {
			d, err := rbcs.ParseDecimal(s)
			if err != nil {
				t.Fatal(err)
			}
			roundTrip(t, conn, d.Units)
			roundTrip(t, conn, d.Units.Neg())
		}
	}
	roundTrip(t, conn, rbcs.Amount{})
}

func FuzzAmount(f *testing.F) {
	conn := amountConn(f)
	f.Add(int64(0), uint64(0))
	f.Add(int64(-1), uint64(1))
	f.Add(int64(5421010862427522170), uint64(687399551400673279))
	f.Fuzz(func(t *testing.T, high int64, low uint64) {
		if a, err := rbcs.AmountFromWords(high, low); err == nil {
			roundTrip(t, conn, a)
		}
	})
}

func TestNumericsThatAreNoAmounts(t *testing.T) {
	conn := amountConn(t)
	for _, s := range []string{
		"0.5", "1.25", "NaN", "Infinity", "-Infinity", "1e38", "-1e38", "1e40", "1e60", strings.Repeat("9", 39), "1e-4",
		"340282366920938463463374607431768211461", "-680564733841876926926749214863536422917", // 2¹²⁸ + 5, −(2¹²⁹ + 5)
	} {
		for _, format := range []int16{pgtype.BinaryFormatCode, pgtype.TextFormatCode} {
			var a rbcs.Amount
			err := conn.QueryRow(t.Context(), "select $1::text::numeric", pgx.QueryResultFormats{format}, s).Scan(&a)
			if err == nil {
				t.Errorf("%s in format %d is %v", s, format, a)
			}
		}
	}
	var a rbcs.Amount
	var o rbcs.Overdraft
	if err := conn.QueryRow(t.Context(), "select null::numeric, null::numeric").Scan(&a, &o); err != nil || !a.IsZero() || !o.Unlimited {
		t.Errorf("NULL is %v and %v: %v", a, o, err)
	}
	if err := conn.QueryRow(t.Context(), "select 7.00, 8.00").Scan(&a, &o); err != nil || a != rbcs.AmountOf(7) || o.Limit != rbcs.AmountOf(8) || o.Unlimited {
		t.Errorf("7 is %v, 8 is %v: %v", a, o, err)
	}
	var number string // other Go types are left to pgx
	var n pgtype.Numeric
	if err := conn.QueryRow(t.Context(), "select $1::numeric::text, 2.5::numeric", 1.5).Scan(&number, &n); err != nil || number != "1.5" {
		t.Errorf("a float is %s: %v", number, err)
	}
	if _, err := decodeBinary([]byte{0, 1}); err == nil {
		t.Error("a numeric that is too short is accepted")
	}
	if _, err := conn.Exec(t.Context(), "select $1::bigint[]", newColumn(pgtype.TextOID, 0, 0)); err == nil {
		t.Error("a column of texts is accepted as integers")
	}
}
