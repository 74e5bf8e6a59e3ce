package resilience

import (
	"flag"
	"math/rand/v2"
)

var (
	long      = flag.Bool("resilience.long", false, "inject at least 500 faults into at least 1,000,000 transactions, and write the report")
	share     = flag.Float64("resilience.share", 1, "how much of the long form to run: 0.2 for a fifth")
	seedFlag  = flag.Uint64("resilience.seed", 0, "seed of what is random; 0 takes a new one")
	reportDir = flag.String("resilience.report", "", "folder for resilience.md and resilience.svg (the long form's default: docs/reports)")
	only      = flag.String("resilience.only", "", "only the scenarios whose name this regular expression matches")
)

// seed is what everything random follows from, but for the order in which
// processes come to run.
func seed() uint64 {
	if *seedFlag == 0 {
		*seedFlag = uint64(rand.Uint32()) + 1
	}
	return *seedFlag
}
