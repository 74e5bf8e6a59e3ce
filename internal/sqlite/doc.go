// Package sqlite is the [rbcs.Store] on one SQLite file, without cgo.
//
// Invariants:
//
//   - One process serves a file, whatever name it is reached by, and in it one
//     connection writes: a commit needs no lock on an account. Readers run beside
//     it on the last commit's snapshot, also those of another process.
//   - A commit is on disk when it returns: the WAL with synchronous=FULL.
//   - A commit that began runs to its end, whatever becomes of its caller.
//   - The log only grows. Sequences are contiguous from 1, and committed_at never
//     runs backward along them, so a moment is found by a binary search.
//   - The versions of an account are contiguous from 1. Each row of the log names,
//     for each side, the sequence that made that account's version before it, and
//     an account names the one that made its current version.
//   - What is not posted names the last sequence before it that is: a list of what
//     is posted goes past any number of rejections at once.
//
// The links between versions stand in for an index of all of them. Such an index
// takes one insertion at a random place for each side of each transaction: a
// whole page written to the WAL, and again to the file, for a few bytes. The more
// accounts there are, the fewer insertions share a page. So an index has only
// every 64th version, and from there a history is walked back, row by row.
// History, statements and a balance in the past cost a logarithm and at most 64
// steps more than what they return.
//
// What became of a hold, or of a transaction that was reversed, is seen from
// others in the log. So that it need not be looked for, it also stands in a small
// table, standing, which changes in the commit that changes it: one row for each
// hold and each reversed transaction, indexed by what it is now and by its
// accounts. The indexes by account begin with the era, 131,072 sequences of the
// log: what is new goes to few pages, and a list asks one era after another. A
// transfer writes nothing there. All that is to be known of an earlier transaction
// is read by its number: what settled a hold, and, from the remainder of the last
// reversal, how much was taken back by all of them.
package sqlite
