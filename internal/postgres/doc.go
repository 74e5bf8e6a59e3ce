// Package postgres is the [rbcs.Store] on PostgreSQL 14 or newer.
//
// # Invariants
//
//   - A commit is acknowledged only after PostgreSQL has answered COMMIT with
//     synchronous_commit on, without a warning. [Open] refuses a server without
//     fsync or full_page_writes.
//   - What was found recorded is acknowledged in the same way: the COMMIT that
//     recorded it may have ended with a warning, so that a replay, too, waits for
//     a COMMIT of its own, of a message in the WAL where nothing is new.
//   - A backend that waits in COMMIT is never cancelled and its connection never
//     closed by this side: PostgreSQL would then commit with only a warning,
//     before its standby has the commit.
//   - Accounts are locked in the order of their numbers, in one statement; IDs
//     are looked up in a later one, whose snapshot shows what was committed by
//     those that held the locks before.
//   - Sequences are taken under the locks: on one account they are in the order
//     of its versions, and of one original's settlements and reversals the last
//     one says what is left of it. A transaction has its number (xid) before it
//     takes a sequence: up to where the log is settled follows from that (log.go).
//   - open_holds has exactly the holds that the log has not settled. A commit that
//     settles one that is not there is rolled back.
//   - No commit becomes visible while a balance cache could answer with what was
//     before it: cache.go says how, and balances.go what a cache may take.
//   - transactions and account_changes are append-only, by trigger and by grant.
//   - A connection has no state beyond its transaction: every setting is local to
//     one, so that a transaction-mode pooler may stand between. Whether
//     one does is found out (pooler.go), since nothing can be kept prepared then.
//
// # A commit in three round trips
//
//  1. load: begin · settings · lock the accounts · look up the IDs, those that
//     settlements and reversals refer to, and what became of these · take sequences
//     and the time, see whether a cache is in use ([posting.Batch] then decides)
//  2. record: insert the decisions, sorted by ID · update the accounts · add the
//     holds that are open now, remove those that no longer are · take the time
//     limits off
//  3. COMMIT, by itself
//
// The locks do not order two commits of the same ID on other accounts. The
// second one then fails on the unique index, is rolled back, and runs
// again: it finds the ID recorded.
//
// Two settlements of one hold name the same accounts: the locks order them, and
// the second one sees the first. A preview loads the same from one snapshot,
// without a lock, and decides; it takes no sequence.
//
// # What a transaction is now
//
// The log is append-only, and a transaction's state follows from what refers to
// it: original_sequence leads from there to it, and outcome is what it has become
// by that. Each status has partial indexes, which cost plain transfers nothing.
//
// # Plans
//
// PostgreSQL plans a statement by what it knows of the tables, and on tables
// that were empty then it scans them whole for as long as the plan lives. The
// settings of each transaction leave it only one way: index look-ups where keys
// are given, and, where the accounts are written, the row's place (ctid) that
// the lock has returned. An index that has the column of a look-up behind another
// one would be taken for it, and read whole, while the table is empty: there must
// be none.
package postgres
