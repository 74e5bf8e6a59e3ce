// Package resilience breaks everything that the service stands on, under load,
// and checks that nothing was lost, moved twice or left unanswered.
//
// A primary and a streaming standby of PostgreSQL, Redis and two `rbcs serve`
// processes are real; the load comes from the public client, through a balancer
// that asks for readiness as a gateway or Kubernetes does. Between the service
// and each database host stand two proxies: toxiproxy, for latency, loss and
// resets, and one that breaks a COMMIT off. The proxies keep their addresses
// when a standby takes over and a new one is made, as host names do.
//
// Each fault is a value: a name, how it is done, how it is undone. A scenario
// injects one of them, or several together at random, again and again, and then
// checks the books: see [books]. A [follower] reads the stream of events and
// receives a webhook meanwhile, and must have been given what the log has.
//
// The short form runs with the ordinary tests. The long one writes the report:
//
//	go test -count=1 -timeout 60m ./test/resilience -resilience.long
package resilience
