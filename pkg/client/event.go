package client

import (
	"github.com/tickcast/tickcast/pkg/codec"
	"github.com/tickcast/tickcast/pkg/market"
)

// Event is one of [Trade], [Quote], [Bar], [Aggregate], [Snapshot], [Gap], [Stat] and
// [Refused], always as a value.
type Event = codec.Event

// The events, and what they are made of.
type (
	// Trade is one execution.
	Trade = market.Trade
	// Quote is the best bid and ask at one instant.
	Quote = market.Quote
	// Bar sums up the trades of one interval; it comes as it forms, and once closed.
	Bar = market.Bar
	// Aggregate stands for the trades FromSeq to ToSeq, with [PolicyAggregate].
	Aggregate = market.Aggregate
	// Snapshot is where a stream stood when it was subscribed: its last Trade, Quote or Bar,
	// or nil if it has none yet. The next event of a trade stream is the very next one.
	Snapshot = codec.Snapshot
	// Gap says that the seqs From to To of a stream, both included, do not come, and why.
	Gap = codec.Gap
	// Stat is how well this client keeps up, as the node sees it. See [Client.Stats].
	Stat = codec.Stat
	// Hops are the parts of ticks' way to the node's sockets, in a Stat.
	Hops = codec.Hops
	// Hop is how long one of them took.
	Hop = codec.Hop

	// Stream names one sequence of events: a channel of a symbol.
	Stream = market.Stream
	// Channel is one kind of tick.
	Channel = market.Channel
	// Side is the aggressor of a trade.
	Side = market.Side
	// Reason says why a gap is there.
	Reason = codec.Reason
)

// Refused says that the client does not get a stream that it had: its new token, or the token
// on the node that it reconnected to, does not allow it, or allows fewer. The stream has ended.
// Its symbol is [Wildcard] where that was refused.
type Refused struct {
	Stream Stream
	Err    error // an *[Error]
}

// The channels.
const (
	ChannelTrade = market.ChannelTrade
	ChannelQuote = market.ChannelQuote
	ChannelBar   = market.ChannelBar
)

// ParseChannel returns the channel of a name: "trade", "quote" or "bar".
func ParseChannel(name string) (Channel, bool) { return market.ParseChannel(name) }

// The sides.
const (
	SideUnknown = market.SideUnknown
	SideBuy     = market.SideBuy
	SideSell    = market.SideSell
)

// Wildcard alone in [Subscription].Symbols stands for every symbol that the token allows.
const Wildcard = market.Wildcard

// The reasons of gaps. Nodes of later versions may know more.
const (
	ReasonSlow     = codec.ReasonSlow     // this program could not keep up
	ReasonUpstream = codec.ReasonUpstream // lost before the node had it
	ReasonHistory  = codec.ReasonHistory  // missed while disconnected, and no longer kept
	ReasonReset    = codec.ReasonReset    // numbers that were never used
	// ReasonUnexplained is the client's own: the node passed over trades without a word, which
	// its protocol forbids.
	ReasonUnexplained Reason = "unexplained"
)
