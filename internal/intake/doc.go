// Package intake works the durable queue of transactions that are decided
// later: it makes submissions durable in batches, and posts what is due through
// the engine.
//
// # Invariants
//
//  1. A submission is acknowledged only once it is durable ([Queue.Enqueue]).
//  2. Each entry is decided once, whoever claims it how often: it is posted under
//     its own ID, and a second posting finds the decision of the first.
//  3. Of a source account, entries are decided in their order: a claim has whole
//     sources, and one goes through the engine in order. After an error of the
//     infrastructure the engine attempts nothing that is behind on the source, and
//     that waits for its first entry to be tried again, or to be a dead letter. A
//     rejection that retry_until has decided again lets others pass: the wait may
//     be long, and others may be what it waits for.
//  4. An entry leaves the queue only by a decision in the log, or by an operator.
//     What cannot be decided becomes a dead letter after [Config].MaxAttempts.
//  5. Nothing is kept in memory that a restart would miss: what a dead worker has
//     claimed is free again after [Config].Lease.
package intake
