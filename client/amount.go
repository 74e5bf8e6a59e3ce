package client

import (
	"strings"

	"rbcs"
)

// Amount is an amount of money as the service reads and writes it: plain decimal
// digits such as "12.34". Balances and changes may have a sign: "-5.00". It is
// text, so that nothing can round it on the way.
type Amount string

// In returns the amount in minor units of a currency with the given number of
// decimals, to calculate with: Amount("12.34").In(2) is 1234.
func (a Amount) In(decimals int) (rbcs.Amount, error) {
	digits, negative := strings.CutPrefix(string(a), "-")
	d, err := rbcs.ParseDecimal(digits)
	if err != nil {
		return rbcs.Amount{}, err
	}
	units, err := d.In(decimals)
	if negative {
		units = units.Neg()
	}
	return units, err
}
