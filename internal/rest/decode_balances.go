package rest

import (
	"fmt"
	"net/http"
	"strconv"

	"rbcs"
)

var balancesMembers = []string{"numbers", "consistency"}

// balances reads the body of a request for balances.
func (d *decoder) balances() (numbers []string, isStrong bool, err error) {
	err = d.document(d.body, func() error {
		seen, err := d.object("the request", balancesMembers, func(name int) error {
			if balancesMembers[name] == "consistency" {
				word, err := d.word("/consistency")
				if isStrong = word == strong; err == nil && !isStrong {
					d.fault("/consistency", `this is "strong" or left out`)
				}
				return err
			}
			return d.array("/numbers", func(i int) error {
				if i == MaxBalances {
					return refusal(http.StatusRequestEntityTooLarge, fmt.Sprintf("a request asks for at most %d balances; send several", MaxBalances))
				}
				pointer := "/numbers/" + strconv.Itoa(i)
				before := len(d.faults)
				number, err := d.str(pointer)
				if fault := rbcs.ValidateNumber(number); err == nil && len(d.faults) == before && fault != nil {
					d.fault(pointer, fault.Error())
				}
				numbers = append(numbers, number)
				return err
			})
		})
		if err == nil && !seen.has(0) {
			d.fault("/numbers", "the numbers are missing")
		}
		return err
	})
	if err == nil {
		if fault := d.invalid(0, "the request is invalid"); fault != nil {
			err = fault
		}
	}
	return numbers, isStrong, err
}
