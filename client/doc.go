// Package client speaks the HTTP interface of rbcs: it creates accounts,
// submits transactions, reads balances, history and statements, and follows the
// log of what was decided.
//
//	c, err := client.New("http://localhost:8080")
//	…
//	defer c.Close()
//	result, err := c.Submit(ctx, client.Transaction{
//		ID: "order-1", Source: "alice", Destination: "bob", Amount: "12.34", Timestamp: time.Now(),
//	})
//
// # Outcomes and errors
//
// A rejection, such as a lack of funds, is an outcome: it is recorded under the
// transaction's ID like a posting. It comes back as a [Result] with the status
// [rbcs.Rejected] and a code, and with a nil error, from [Client.Submit] as from
// [Client.SubmitBatch]. So err != nil always means that there is no outcome:
//
//	result, err := c.Submit(ctx, t)
//	switch {
//	case err != nil:                       // no outcome is known; see below
//	case result.Status == rbcs.Rejected:   // decided: no, because of result.Code
//	default:                               // decided: yes
//	}
//
// Errors are [*Error], with the codes of package rbcs. With the code
// [rbcs.OutcomeUnknown] the transaction may or may not have been posted: submit
// it again, unchanged, and the service answers with the one outcome that it has.
// With every other code nothing was recorded.
//
// # More than transfers
//
// A [Transaction] of the type [rbcs.Hold] reserves an amount, and [Client.Capture]
// or [Client.Release] settles it; [Client.Reverse] moves money back. Each of them
// is a transaction with an ID of its own. [Client.SubmitGroup] posts several
// transactions or none. With [DryRun] all of these only tell what would become of
// them.
//
// # Retries
//
// What may pass is tried again by itself: lost and refused connections, 429, 503
// and the other 5xx, with exponential backoff and full jitter, not before
// Retry-After, within the bounds of [Retry] and of the context. The same bytes
// with the same ID are sent each time, so that money moves at most once however
// often they arrive. Of a batch, only the items that may pass are sent again.
// What the service refused (400, 409 and so on) is never tried again.
//
// Where an attempt ended in doubt and the last one was refused, the error says
// outcome unknown: an "overloaded" after a lost answer says nothing about the
// request whose answer was lost.
package client
