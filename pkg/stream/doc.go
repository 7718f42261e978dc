// Package stream is one streamer node: it takes ticks from an upstream, and pushes to each
// session the ones that it subscribed to, as batches of events.
//
// Three kinds of goroutine share the work, and each owns what it touches:
//
//   - The ingest, on the upstream's goroutine, checks each message, keeps the last tick of
//     every stream that somebody wants, notices holes, and hands immutable chunks to the
//     shards.
//   - A shard owns a fixed set of sessions, their queues and their subscriptions. Others
//     reach it through its inbox alone; inside a turn it takes no lock.
//   - An engine owns the sockets. It posts what a subscriber sent into the inbox, and takes
//     one message at a time from the shard.
//
// Times inside are nanoseconds on the node's own monotonic clock; only what goes to a
// subscriber is Unix time.
package stream
