package feed

import "github.com/tickcast/tickcast/pkg/market"

// The store forgets what was published longest ago, and stalls when a message goes behind
// which millions were published: package bus says why. So every symbol has its turn once in
// upkeepTurns ticks, a minute, and what was not published since the last one is published
// again. The turns are spread: 10,000 symbols make 17 of them every 100 ms.
const upkeepTurns = 600

const (
	// storeTurn is how much the store of trades takes before a quiet stream's last trade is
	// at risk. That store keeps thousands of messages of a stream, so each repetition stays,
	// and there must not be more of them than the risk asks for. An eighth of the smallest
	// store of the programs leaves room for other feeds.
	storeTurn = 32 << 20
	// storedOverhead is what a stored message takes beside its body, about.
	storedOverhead = 100
)

// upkeep publishes the newest tick of the instrument's quiet streams again, and its
// announcement: without JetStream a node that started since knows the symbol from that alone.
func (p *publisher) upkeep(in *instrument) {
	if len(p.silent) > 0 {
		return // the bus is away, and hears everything when it is back
	}
	for _, l := range in.lines {
		if l == nil {
			continue
		}
		if !l.fresh && (l.stream.Channel != market.ChannelTrade || p.tradeBytes-l.mark >= storeTurn) {
			p.repeat(l)
		}
		l.fresh = false
	}
	p.announce([]*instrument{in})
}
