// Package redis serves balances from a Redis that all instances share, and never
// an older one than anybody was told of.
//
// # The rules
//
// One key per account holds one entry, which begins with a letter: a mark
// M<token> of a writer, a lease L<token> of a reader, or a value V<version …>.
// What keeps the promise are seven rules, found by the model in model_test.go,
// which shows for each of them what goes wrong without it. The code names the
// rule where it follows it.
//
//  1. Get: serve a value. Where there is nothing, set a lease with a token of
//     one's own. Who meets a mark or the lease of another reads the store and
//     never fills.
//  2. Fill only where the key still holds one's own lease: one script compares
//     and sets.
//  3. The store read for a fill begins once the lease is certain, and may fill
//     only if no other transaction held the account's row. That lock is the
//     fence: no clock, and no loss in Redis, lets an old value in.
//  4. Mark every account after its row is locked, and know that each mark is
//     there before COMMIT is sent, with a new token per attempt. Where a key
//     does not exist there is nothing to mark: whoever sets a lease from then on
//     meets the lock.
//  5. After COMMIT replace one's own mark by the value; where it is gone, do
//     nothing. After an abort that is known delete it, where it is one's own.
//  6. A mark that is not certain is never refreshed, and its commit goes on only
//     after the store has turned the cache off for every instance.
//     A hit is served only on a look at the store's switch that began at most
//     [rbcs.Trust] before the read.
//  7. Lives are absolute. A read never makes an entry live longer; and what is
//     older, by the database's clock, than an entry can become is not served,
//     whatever the clock of Redis says.
//
// The key carries the database's identity and its timeline, so that a database
// that was promoted without its last commits never meets what was cached before.
//
// # What Redis may do
//
// Redis may lose any entry at any time, be unreachable, slow, full or read-only:
// reads then go to the store, and commits follow rule 6. A command may be
// carried out late, at any time after it was given up, but not twice: the client
// never sends one again. Only a Redis that brings back entries which it had lost
// can be stale, for a lease's and a value's life.
//
// # Parts
//
// [Cache.Balances] reads, [Cache.Mark] begins what a commit owes. A [link] keeps
// the connection and knows whether Redis is worth asking; [looks] polls the
// switch; [collector] makes store reads out of misses; [worker] fills, refreshes
// and drops behind everybody's back.
package redis
