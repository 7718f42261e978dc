package feed

import (
	"time"

	"github.com/tickcast/tickcast/pkg/market"
)

const (
	barSeconds = 60
	barNS      = barSeconds * int64(time.Second)
	// barGrace is how long after its minute a bar stays open for trades that come late:
	// venues' clocks in one recording were seen 1.3 s apart.
	barGrace = 2 * int64(time.Second)
)

// A bar sums up one symbol's trades, minute by minute, in order of arrival. At most one
// minute is open; minutes without trades have no bar.
type bar struct {
	now       market.Bar
	open      bool
	changed   bool  // since it was last published
	closedEnd int64 // trades before this are late
}

// accepts says whether the trade's minute can still take trades.
func (b *bar) accepts(at int64) bool {
	return at >= b.closedEnd && (!b.open || at >= b.now.Start)
}

// ends says whether a trade at that time belongs to a later minute than the open one.
func (b *bar) ends(at int64) bool { return b.open && at >= b.now.Start+barNS }

// expired says whether the clock has passed the open minute and its grace.
func (b *bar) expired(clock int64) bool { return b.open && clock >= b.now.Start+barNS+barGrace }

// close ends the open minute, which now holds for the last time.
func (b *bar) close() {
	b.open, b.changed = false, false
	b.now.Closed = true
	b.closedEnd = b.now.Start + barNS
}

// add counts a trade that the bar accepts and that does not end it.
func (b *bar) add(t *market.Trade) {
	if !b.open {
		b.open = true
		b.now = market.Bar{
			Symbol: t.Symbol, Start: minute(t.Time), Interval: barSeconds,
			Open: t.Price, High: t.Price, Low: t.Price,
		}
	}
	b.now.High = max(b.now.High, t.Price)
	b.now.Low = min(b.now.Low, t.Price)
	b.now.Close = t.Price
	b.now.Volume += t.Size
	b.now.Trades++
	b.changed = true
}

// minute returns the start of the minute that holds at.
func minute(at int64) int64 {
	into := at % barNS
	if into < 0 {
		into += barNS
	}
	return at - into
}
