package audit

import (
	"fmt"

	"rbcs"
)

// money is an amount as it is written in a fault: with the decimals of its
// currency, as everywhere else.
type money struct {
	amount   rbcs.Amount
	decimals int
}

// String returns the amount with its decimals.
func (m money) String() string { return m.amount.Format(m.decimals) }

// written returns an amount of the currency that the transaction's is written in.
func written(t *rbcs.Transaction, amount rbcs.Amount) money {
	return money{amount, int(t.Amount.Scale)}
}

// state is the state of an account as it is written in a fault.
type state struct {
	balance, held money
	version       int64
}

func stateOf(t *rbcs.Transaction, s rbcs.State) state {
	return state{written(t, s.Balance), written(t, s.Held), s.Version}
}

// String names the parts.
func (s state) String() string {
	return fmt.Sprintf("balance %s, held %s, version %d", s.balance, s.held, s.version)
}

// shortfall is what is missing as it is written in a fault.
type shortfall struct{ available, overdraft, needed, short money }

func shortfallOf(t *rbcs.Transaction, s rbcs.Shortfall) shortfall {
	return shortfall{written(t, s.Available), written(t, s.Overdraft), written(t, s.Needed), written(t, s.Short)}
}

// String names the parts.
func (s shortfall) String() string {
	return fmt.Sprintf("available %s, overdraft %s, needed %s, short %s", s.available, s.overdraft, s.needed, s.short)
}
