// Package backpressure decides what happens when a subscriber is slower than its market.
//
// A [Queue] holds what one session has yet to be sent, in order, and a [Hold] what an
// interval keeps back. Both belong to one session and are touched only by the goroutine of
// that session's shard, so they take no locks. Sizes are bytes in the session's encoding;
// times are the caller's, in any unit. Push never blocks and never fails: it reports an
// [Outcome], and the caller counts it.
//
// The promise, for a stream of trades: what is delivered plus the ranges of its gap and
// aggregate events is exactly what was pushed, each seq once, rising. Conflated streams
// skip seqs, but their latest event always arrives.
//
// # Melting
//
// A queue only grows until a push takes it past its budget. Then it melts: a walk over all
// that waits conflates, sums and, if that was not enough, drops down to about half the
// budget. A melt that leaves L bytes is followed by another only when at least L/4 more
// have been pushed (the limit rises above the budget where what must stay exceeds it), so
// a melt looks at no more than five times what was pushed since the one before: the cost
// of slowness is a constant per byte pushed, and a session that keeps up pays nothing but
// one comparison.
//
// What must stay, whatever its size: gaps, aggregates, the newest event of each conflated
// stream, and what drop_newest and disconnect accepted. Control records and ticks that the
// session is owed stay too, and do not count against the budget: a session that has just
// asked for ten thousand snapshots is not slow.
package backpressure
