// Package engine turns concurrent submissions into batches for a
// [rbcs.Committer]: admit → batch → commit → acknowledge → drain. It knows no
// database: it sees a Committer, time and limits.
//
// # Invariants
//
//  1. Every admitted transaction is answered exactly once: with the store's
//     result, with an error, or with [rbcs.OutcomeUnknown].
//  2. It is answered with a result only after the store's Commit returned it,
//     that is, after the commit is on disk.
//  3. [rbcs.Unavailable] and [rbcs.Internal] mean that this submission certainly
//     recorded nothing. As soon as one attempt may have taken effect unseen, only
//     a result or OutcomeUnknown can follow.
//  4. Batches in flight at the same time share neither an account nor a
//     transaction ID, their own or that of an original: two commits of one engine
//     never wait for each other's row locks, let alone deadlock.
//  5. Transactions that share an account or an ID are committed in the order in
//     which they were admitted; those of one Submit are admitted in its order.
//     What the durable queue submits keeps it in failure, too: once a transaction
//     of a source is left without a decision, those behind it in the same Submit
//     are not attempted (see stuck).
//  6. An atomic group is in one batch, whatever happens to the batch: a group that
//     is larger than [Config].MaxBatch is a batch of its own.
//  7. What is admitted and unanswered is bounded in number and in bytes, a batch
//     too, and so is all work done under the one mutex: admission is O(1) per
//     transaction, forming a batch O([Config].MaxBatch + [rbcs.MaxGroup]).
//
// # The way of a transaction
//
//  1. [Engine.Submit] admits all transactions of a call or none, and waits for
//     all their results or for its context. An ended context retracts nothing.
//  2. schedule.push puts them at the end of one queue in the order of admission.
//     Engine.wake starts a commit if there is something to start and a commit
//     may be added to those in flight. Nothing ever waits for a timer: what
//     arrived while the commits in flight were under way is the next batch.
//  3. schedule.take forms the batch, keeping invariants 4 to 6: it walks the
//     queue in order and passes over what conflicts with a batch in flight or
//     with something that it passed over before.
//  4. Engine.run carries one batch through: Engine.commit calls the store, tries
//     again after transient and ambiguous failures until [Config].Deadline, and
//     splits a batch that fails for another reason until the transaction or group
//     that poisons it stands alone. Engine.attempt is one call of the store.
//     While the store is away nothing is admitted, and no attempt is made but
//     the one that finds it back: see breaker.
//  5. Engine.finish gives the accounts free, lets the next batch start, and only
//     then hands out the results: request.fill wakes each Submit once, when its
//     last result is there.
//  6. [Engine.Stop] refuses admission, lets all that was admitted be committed
//     and answered, and waits. If its context ends first, Engine.abort answers
//     what is left.
//
// [Engine.Preview] goes past all this: it decides nothing, so that no order and
// no outcome is to be kept.
package engine
