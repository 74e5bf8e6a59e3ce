// Package postgres is the [rbcs.Store] on PostgreSQL 14 or newer.
//
// # Invariants
//
//   - A commit is acknowledged only after PostgreSQL has answered COMMIT with
//     synchronous_commit on, without a warning. [Open] refuses a server without
//     fsync or full_page_writes.
//   - A backend that waits in COMMIT is never cancelled and its connection never
//     closed by this side: PostgreSQL would then commit with only a warning,
//     before its standby has the commit.
//   - Accounts are locked in the order of their numbers, in one statement; IDs
//     are looked up in a later one, whose snapshot shows what was committed by
//     those that held the locks before.
//   - Sequences are taken under the locks: on one account they are in the order
//     of its versions.
//   - transactions and account_changes are append-only, by trigger and by grant.
//   - A connection has no state beyond its transaction: every setting is local to
//     one, so that a transaction-mode pooler may stand between.
//
// # A commit in three round trips
//
//  1. load: begin · settings · lock the accounts · look up the IDs · take
//     sequences and the time ([posting.Batch] then decides)
//  2. record: insert the decisions, sorted by ID · update the accounts ·
//     take the time limits off
//  3. COMMIT, by itself
//
// The locks do not order two commits of the same ID on other accounts. The
// second one then inserts fewer rows than it sent, is rolled back, and runs
// again: it finds the ID recorded.
//
// # Plans
//
// PostgreSQL plans a statement by what it knows of the tables, and on tables
// that were empty then it scans them whole for as long as the plan lives. The
// settings of each transaction leave it only one way: index look-ups where keys
// are given, and, where the accounts are written, the row's place (ctid) that
// the lock has returned.
package postgres
