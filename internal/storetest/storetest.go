// Package storetest is the conformance suite of [rbcs.Store]: every store runs
// it on its real engine, from a test of its own.
//
// It has four parts. The tables say what each method and each rule does,
// sentence by sentence of the contract. The machine drives a store and an
// independent model with the same random steps, and they must agree; the model is
// written over math/big and maps and calls nothing of the posting rules. The
// crowd commits from many goroutines at once and then asks whether every ID was
// decided once, everybody was told the same, and no limit was ever crossed. The
// throng does so with transactions of all types, while others follow the log and
// read sums; afterwards the model decides the whole log again. Every part ends
// with the audit of all that the store holds.
//
// The default run takes seconds. The long forms, of any store's conformance test:
//
//	go test ./internal/sqlite -run 'Conformance$/Throng' -storetest.operations=100000
//	go test ./internal/sqlite -run 'Conformance$/Machine' -rapid.checks=2000 -rapid.steps=100
package storetest

import (
	"testing"

	"rbcs"
)

// Run runs the suite over one store. It calls open whenever it needs a fresh,
// empty store; the opener closes it with t.Cleanup.
func Run(t *testing.T, open func(t *testing.T) rbcs.Store) {
	runAll(t, open)
}

// RunShared runs the suite over two instances of a store that share one
// database: the calls go to the one and the other by turns, so that each must
// see at once what the other has committed. It calls open whenever it needs a
// fresh, empty database; the opener closes both with t.Cleanup.
func RunShared(t *testing.T, open func(t *testing.T) (a, b rbcs.Store)) {
	runAll(t, func(t *testing.T) rbcs.Store {
		a, b := open(t)
		return &alternating{stores: [2]rbcs.Store{a, b}}
	})
}

func runAll(t *testing.T, open func(t *testing.T) rbcs.Store) {
	for _, group := range []struct {
		name  string
		tests []test
	}{
		{"Accounts", accountTests},
		{"Update", updateTests},
		{"Listing", listingTests},
		{"Commit", commitTests},
		{"Replay", replayTests},
		{"Retries", retryTests},
		{"Holds", holdTests},
		{"Reversals", reversalTests},
		{"Groups", groupTests},
		{"Preview", previewTests},
		{"Totals", totalsTests},
		{"Limits", limitTests},
		{"Reads", readTests},
		{"Dump", dumpTests},
		{"Log", logTests},
		{"Webhooks", webhookTests},
		{"Intake", intakeTests},
		{"Crowd", crowdTests},
		{"Settling", settlingTests},
		{"Throng", throngTests},
	} {
		t.Run(group.name, func(t *testing.T) {
			e := begin(t, open)
			for _, test := range group.tests {
				t.Run(test.name, func(t *testing.T) { test.run(e.in(t)) })
			}
			e.audit()
		})
	}
	t.Run("Machine", func(t *testing.T) { testMachine(t, open) })
}

// test is one table test. Those of a group share a store, so that opening
// stores does not cost more than the tests: each uses accounts and IDs of its own.
type test struct {
	name string
	run  func(e *env)
}
