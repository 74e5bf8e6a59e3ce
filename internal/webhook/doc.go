// Package webhook delivers the committed log to webhooks: one POST per
// decision, signed as Standard Webhooks 1.0 describes.
//
// # Invariants
//
//  1. A webhook gets every decision that its filter lets through, in the order
//     of the log, at least once: the next is sent only after a 2xx for the last.
//     What is sent again has the same webhook-id.
//  2. One instance at a time delivers a webhook: the one that holds its claim.
//     It stops before its lease ends if it cannot renew it.
//  3. A cursor is only ever moved from where it was read: an operator who moves
//     it while a delivery is under way wins.
//  4. No request goes to an address that is not allowed, whatever a name
//     resolves to at that moment, and no redirect is followed.
//
// # How it works
//
// Deliverer.manage claims webhooks every [Config].ClaimEvery, which renews its
// own claims, and keeps one worker for each. A worker follows the log behind the
// webhook's cursor and delivers. It records how far it came after half a second
// of deliveries or of silence, not after each one: what a crash in between makes
// it send again is what "at least once" is for. The first failure ends it; it is
// recorded with the time of the next attempt, at which whoever claims the
// webhook then goes on.
package webhook
