// Package bus carries ticks between feeds and streamer nodes over NATS, and hides NATS: no
// other package imports it.
//
// A message holds the records of one [market.Stream], encoded by whoever publishes; bus does
// not look inside. It goes out by core NATS, so a publisher waits for nobody and a subscriber
// gets it at most once. JetStream listens to the same subjects and remembers, in memory, the
// newest message of every stream, the last trades, and the directory of symbols: that is what
// [Bus.Last], [Bus.History] and [Bus.Symbols] read. It needs nats-server 2.11 or later; one
// without JetStream still carries live ticks; Last is empty then, the others return [ErrNoStore].
//
//	subject                    JetStream stream    keeps
//	tick.trade.<symbol>        TICKCAST_TRADES     the last Config.HistoryPerStream messages
//	tick.quote.<symbol>        TICKCAST_LAST       the newest message
//	tick.bar.<symbol>          TICKCAST_LAST       the newest message
//	dir.<symbol>               TICKCAST_LAST       the newest list of channels: "trade,quote"
//
// A [Lease] is a key in the bucket TICKCAST_LEASE.
//
// In a subject every byte of the symbol outside [A-Za-z0-9_-] is written %XX.
//
// A [Bus] looks for its server until it is closed. What is published while the server is away
// is refused, never kept for later: a late tick is worse than a missing one. Whoever reads must
// therefore expect holes, and is told when to look for them ([Handler]).
//
// A feed must publish the newest message of each stream again, and announce again, after a
// reconnect ([Bus.OnReconnect]), and every minute or so for what has been quiet. JetStream steps
// over all that came between the two oldest messages it holds when the oldest goes, at some
// 0.15 µs each, and stores nothing meanwhile: a symbol that was quiet for a day among 10,000
// messages a second would cost minutes. And a full TICKCAST_TRADES evicts whatever was published
// longest ago, be it a quiet symbol's only trade. Readers see a repetition by its seqs.
//
// All methods may be called from any goroutine, except that a Bus has one Run at a time.
package bus
