package storetest

import (
	"fmt"
	"time"

	"pgregory.net/rapid"
	"rbcs"
)

// transaction draws a new transaction, or a submitted one as it was or changed.
func (m *machine) transaction(t *rapid.T) *rbcs.Transaction {
	if len(m.submitted) > 0 {
		switch choice(t, "kind", "new", "new", "new", "new", "again", "changed") {
		case "again":
			again := *choice(t, "which", m.submitted...)
			again.Actor = "somebody else"
			return &again
		case "changed":
			return m.changed(t, *choice(t, "which", m.submitted...))
		}
	}
	n := &rbcs.Transaction{
		ID: fmt.Sprint(m.run, len(m.submitted)), Type: rbcs.Transfer, Source: m.number(t, "source"), Destination: m.number(t, "destination"),
		Amount: m.amount(t), Currency: choice(t, "currency", "", "", "USD", "EUR", "JPY"), Timestamp: eventTime, Actor: "machine",
	}
	if n.Prepare(known) != nil { // the amount does not fit the currency: let the account say so
		n.Currency = ""
	}
	m.submitted = append(m.submitted, n)
	return n
}

// amount draws a small amount, mostly: also the largest, and some too fine for a currency.
func (m *machine) amount(t *rapid.T) rbcs.Decimal {
	switch choice(t, "size of amount", "small", "small", "small", "small", "large", "fine") {
	case "large":
		return decimal(largest(choice(t, "of", "USD", "JPY")))
	case "fine":
		return decimal(choice(t, "digits", "1.0", "1.001", "0.010", "5.000"))
	}
	return rbcs.Decimal{Units: rbcs.AmountOf(rapid.Int64Range(1, 2000).Draw(t, "cents")), Scale: uint8(choice(t, "scale", 2, 2, 1, 0))}
}

// changed returns a submitted transaction with one field changed, which may be
// only another way to write the same.
func (m *machine) changed(t *rapid.T, c rbcs.Transaction) *rbcs.Transaction {
	switch choice(t, "field", "source", "destination", "amount", "scale", "currency", "timestamp", "description", "metadata") {
	case "source":
		c.Source = m.number(t, "other source")
	case "destination":
		c.Destination = m.number(t, "other destination")
	case "amount":
		c.Amount, c.Currency = m.amount(t), ""
	case "scale":
		if wider, err := c.Amount.In(int(c.Amount.Scale) + 1); err == nil { // else it has 38 digits
			c.Amount, c.Currency = rbcs.Decimal{Units: wider, Scale: c.Amount.Scale + 1}, ""
		}
	case "currency":
		if c.Currency = choice(t, "other currency", "USD", "EUR", "JPY"); c.Prepare(known) != nil {
			c.Currency = ""
		}
	case "timestamp":
		c.Timestamp = c.Timestamp.Add(choice(t, "later", time.Microsecond, time.Hour))
	case "description":
		c.Description = choice(t, "words", "x", "é")
	case "metadata":
		c.Metadata = choice(t, "other metadata", `{"k":1}`, `{"k":2}`)
	}
	return &c
}
