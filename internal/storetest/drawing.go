package storetest

import (
	"fmt"
	"slices"
	"time"

	"pgregory.net/rapid"

	"rbcs"
)

// unit draws a new transaction or atomic group, or a submitted one as it was or changed.
func (m *machine) unit(t *rapid.T) []*rbcs.Transaction {
	if len(m.submitted) > 0 {
		switch choice(t, "kind", "new", "new", "new", "new", "new", "again", "changed", "retry") {
		case "again":
			var again []*rbcs.Transaction
			for _, s := range choice(t, "which", m.submitted...) {
				again = append(again, new(*s))
				again[len(again)-1].Actor = "somebody else"
			}
			return again
		case "retry":
			again := retried(choice(t, "which", m.submitted...)[0], rapid.IntRange(2, 4).Draw(t, "attempt"))
			again.Group = rbcs.Group{} // a member is not retried alone
			return []*rbcs.Transaction{again}
		case "changed":
			return m.changedUnit(t, choice(t, "which", m.submitted...))
		}
	}
	m.submitted = append(m.submitted, nil)
	unit := &m.submitted[len(m.submitted)-1]
	size := choice(t, "members", 1, 1, 1, 1, 1, 1, 2, 3, 4)
	for range size {
		*unit = append(*unit, m.transaction(t))
	}
	if size > 1 || choice(t, "a group of one", false, false, false, true) {
		grouped(*unit...)
	}
	return *unit
}

// changedUnit changes one field of one transaction, or the members of a group:
// their order or number, or a member is submitted by itself.
func (m *machine) changedUnit(t *rapid.T, unit []*rbcs.Transaction) []*rbcs.Transaction {
	changed := make([]*rbcs.Transaction, len(unit))
	for i, s := range unit {
		changed[i] = new(*s)
	}
	if len(unit) > 1 {
		at := rapid.IntRange(0, len(unit)-1).Draw(t, "member")
		switch choice(t, "change of a group", "order", "fewer", "more", "alone", "field") {
		case "order":
			slices.Reverse(changed)
			return grouped(changed...)
		case "fewer":
			return grouped(slices.Delete(changed, at, at+1)...)
		case "more":
			return grouped(append(changed, m.transaction(t))...)
		case "alone":
			changed[at].Group = rbcs.Group{}
			return changed[at : at+1]
		}
		changed[at] = m.changed(t, *changed[at])
		return changed
	}
	return []*rbcs.Transaction{m.changed(t, *changed[0])}
}

// transaction draws a new transaction.
func (m *machine) transaction(t *rapid.T) *rbcs.Transaction {
	m.count++
	id := fmt.Sprint(m.run, m.count)
	kind := choice(t, "type", rbcs.Transfer, rbcs.Transfer, rbcs.Transfer, rbcs.Hold, rbcs.Hold, rbcs.Capture, rbcs.Capture, rbcs.Release, rbcs.Expiry, rbcs.Reversal, rbcs.Reversal)
	if kind != rbcs.Transfer && kind != rbcs.Hold {
		return m.settlement(t, id, kind)
	}
	n := &rbcs.Transaction{
		ID: id, Type: kind, Source: m.number(t, "source"), Destination: m.number(t, "destination"),
		Amount: m.amount(t), Currency: choice(t, "currency", "", "", "USD", "EUR", "JPY"), Timestamp: eventTime, Actor: "machine",
	}
	if kind == rbcs.Hold {
		n.ExpiresAt = choice(t, "end", time.Time{}, time.Time{}, machineFuture, eventTime, eventTime.Add(time.Second))
	}
	if n.Prepare(known) != nil { // the amount does not fit the currency: let the account say so
		n.Currency = ""
	}
	return n
}

// machineFuture is later than any run.
var machineFuture = time.Date(9000, 1, 1, 0, 0, 0, 0, time.UTC)

// settlement draws what refers to something that was submitted, most often of
// late and of the right type, as who has looked that up would submit it.
func (m *machine) settlement(t *rapid.T, id string, kind rbcs.Type) *rbcs.Transaction {
	n := &rbcs.Transaction{ID: id, Type: kind, Original: m.run + "nothing", Actor: "machine"}
	var candidates []*rbcs.Transaction
	fitting := choice(t, "fitting", true, true, true, true, false)
	for _, unit := range m.submitted {
		for _, s := range unit {
			if !fitting || (s.Type == rbcs.Hold) == (kind != rbcs.Reversal) {
				candidates = append(candidates, s)
			}
		}
	}
	if len(candidates) > 0 && choice(t, "known", true, true, true, true, true, true, true, false) {
		back := min(rapid.IntRange(0, 12).Draw(t, "how far back"), len(candidates)-1)
		original := candidates[len(candidates)-1-back]
		n.Original = original.ID
		if d := m.model.decided[original.ID]; d != nil {
			original = &d.Transaction
		}
		if n.Source, n.Destination = original.Source, original.Destination; kind == rbcs.Reversal {
			n.Source, n.Destination = n.Destination, n.Source
		}
		if (kind == rbcs.Capture || kind == rbcs.Reversal) && rapid.Bool().Draw(t, "a part") {
			n.Amount = m.partOf(t, original)
		}
	}
	return n
}

// partOf draws an amount around that of an original.
func (m *machine) partOf(t *rapid.T, original *rbcs.Transaction) rbcs.Decimal {
	n, small := original.Amount.Units.Int64()
	if !small || n < 2 || rapid.IntRange(0, 5).Draw(t, "any amount") == 0 {
		return m.amount(t)
	}
	return rbcs.Decimal{Units: rbcs.AmountOf(rapid.Int64Range(1, n+n/4).Draw(t, "part")), Scale: original.Amount.Scale}
}

// amount draws a small amount, mostly: also the largest, and some too fine for a currency.
func (m *machine) amount(t *rapid.T) rbcs.Decimal {
	switch choice(t, "size of amount", "small", "small", "small", "small", "small", "large", "fine") {
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
	fields := []string{"source", "destination", "amount", "scale", "currency", "timestamp", "description", "metadata", "type"}
	if c.Type == rbcs.Hold {
		fields = append(fields, "end", "end")
	}
	if c.Settles() {
		fields = []string{"amount", "scale", "all", "original", "timestamp", "description", "metadata", "type"}
	}
	switch choice(t, "field", fields...) {
	case "source":
		c.Source = m.number(t, "other source")
	case "destination":
		c.Destination = m.number(t, "other destination")
	case "amount":
		if c.Amount, c.Currency = m.amount(t), ""; c.Type == rbcs.Release || c.Type == rbcs.Expiry {
			c.Amount = rbcs.Decimal{} // they have none
		}
	case "all":
		c.Amount = rbcs.Decimal{}
	case "scale":
		if wider, err := c.Amount.In(int(c.Amount.Scale) + 1); err == nil && !wider.IsZero() { // else it has 38 digits
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
	case "end":
		c.ExpiresAt = choice(t, "other end", time.Time{}, eventTime, machineFuture)
	case "original":
		c.Original = m.run + "nothing"
	case "type":
		c.Type, c.ExpiresAt = m.otherType(c.Type), time.Time{}
		if c.Type == rbcs.Release || c.Type == rbcs.Expiry {
			c.Amount = rbcs.Decimal{}
		}
	}
	return &c
}

// otherType is another type with the same fields.
func (m *machine) otherType(kind rbcs.Type) rbcs.Type {
	return map[rbcs.Type]rbcs.Type{
		rbcs.Transfer: rbcs.Hold, rbcs.Hold: rbcs.Transfer, rbcs.Capture: rbcs.Release,
		rbcs.Release: rbcs.Expiry, rbcs.Expiry: rbcs.Release, rbcs.Reversal: rbcs.Capture,
	}[kind]
}
