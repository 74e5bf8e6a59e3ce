// Package events fans the committed log out to readers: one follower per
// instance reads the store, however many readers there are.
//
// # Invariants
//
//  1. A reader gets every settled decision behind its position that its filter
//     lets through, exactly once and in the order of the log, until it ends.
//  2. It ends with a reason: its own Close, the feed's Stop, slowness, or a [Gap].
//  3. Readers pull. Nothing here waits for a reader, let alone a commit.
//  4. Bounded are the ring of decisions in memory, the number of readers, and
//     how many of them read the store at once. Without readers nothing is read.
//
// # How it works
//
// The follower asks [Log] for what is behind the end of its ring: after each
// [Feed.Wake], and every [Config].Poll for what other instances committed. The
// ring holds every decision in (start, end]. A reader at or behind start reads
// pages of the log by itself until it is within the ring, and goes on from
// there; should it fall out again, it goes back to pages. Both ways give what
// follows one sequence in one log, so the seam can neither skip nor repeat.
//
// # Timelines
//
// A promotion of a standby that lagged loses the end of the log and gives its
// sequences out again, to other decisions. That is why a [Position] names the
// timeline in which its sequence was read. In another timeline it says nothing,
// unless one can prove that the log up to it is the same. The follower can: when
// the timeline changes under it, it compares its ring with the new log, decision
// by decision. Readers up to the last one that was kept go on as if nothing had
// happened; those who have seen what was lost, and positions of which this
// instance cannot know (it was started later, or had no readers), are answered
// with a [Gap]. The client then knows that it must reconcile, and reads again
// from a sequence of its choice in the present timeline, "0-1234"; transaction
// IDs tell it what it has already.
package events
