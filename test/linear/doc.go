// Package linear proves that no balance read is stale, whatever happens to the
// cache: several instances of the service, a real PostgreSQL and a real Redis,
// clients that post and read through all of them at once, and faults. What the
// clients have seen must be linearizable: for each account there is an order of
// all operations that agrees with real time, in which each read shows what the
// last posting before it has made of the account.
//
// # How it is checked
//
// A posting is known by the account's version, so that the log of the database
// tells the order of the postings, also of those whose answer was lost. Two
// checkers, which share no code, are to find nothing: porcupine, with a register
// per account, and a direct one. A checker that finds nothing proves little by
// itself: in mutants_test.go the cache is run without one rule of its fence at a
// time, and both checkers must find that out.
//
// # How faults are placed
//
// The instances live in the test's process, each behind proxies of its own to
// PostgreSQL and Redis. Wrappers around what the engine knows as its cache, and
// around what the cache reads, stop an instance at exactly one step of a commit
// or of a fill, for as long as it shall be paused, or for ever: then its
// connections are cut, and nothing that it still does reaches anybody.
//
// The short form runs with the ordinary tests. The long one writes
// docs/reports/cache.md:
//
//	go test -count=1 -timeout 30m ./test/linear -linear.long
package linear
