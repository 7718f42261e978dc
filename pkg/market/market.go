// Package market is the vocabulary that every other package speaks: symbols, channels,
// streams, and the three kinds of tick. It holds values only, owns nothing, starts nothing
// and imports the standard library alone.
//
// Times are Unix nanoseconds. Prices and sizes are in the instrument's own quoted units.
package market

import (
	"errors"
	"fmt"
	"unicode/utf8"
)

// Channel is one kind of tick that a subscriber can ask for.
type Channel uint8

// The channels, in the order in which tables list them.
const (
	ChannelTrade Channel = iota
	ChannelQuote
	ChannelBar

	Channels = 3 // how many there are, for arrays indexed by Channel
)

var channelNames = [Channels]string{"trade", "quote", "bar"}

// AllChannels returns every channel, in order.
func AllChannels() []Channel { return []Channel{ChannelTrade, ChannelQuote, ChannelBar} }

// String returns the channel's name on the wire.
func (c Channel) String() string {
	if int(c) < len(channelNames) {
		return channelNames[c]
	}
	return fmt.Sprintf("Channel(%d)", uint8(c))
}

// ParseChannel is the inverse of String.
func ParseChannel(name string) (Channel, bool) {
	for c, n := range channelNames {
		if n == name {
			return Channel(c), true
		}
	}
	return 0, false
}

// Stream names one sequence of ticks: a channel of a symbol. Its seqs rise by exactly one
// per tick published.
type Stream struct {
	Channel Channel
	Symbol  string
}

// String is for logs.
func (s Stream) String() string { return s.Channel.String() + " " + s.Symbol }

// Side is the aggressor of a trade.
type Side uint8

// SideUnknown is what venues that do not tell give.
const (
	SideUnknown Side = iota
	SideBuy
	SideSell
)

// Trade is one execution.
type Trade struct {
	Symbol string
	Seq    int64
	Time   int64 // the venue's clock, ns
	Price  float64
	Size   float64
	Side   Side
	ID     string // the venue's own, may be empty
}

// Quote is the best bid and ask at one instant. A side that the venue left empty is 0, as
// is a size that it does not tell. Bid may be at or above ask: some venues do that.
type Quote struct {
	Symbol            string
	Seq               int64
	Time              int64 // the venue's clock, ns
	BidPrice, BidSize float64
	AskPrice, AskSize float64
}

// Bar sums up the trades of one interval.
type Bar struct {
	Symbol                 string
	Seq                    int64
	Start                  int64 // ns, a multiple of Interval
	Interval               int64 // seconds
	Open, High, Low, Close float64
	Volume                 float64
	Trades                 int64
	Closed                 bool // no further bar comes for this interval
}

// Aggregate stands for the trades FromSeq to ToSeq of one symbol, both included.
type Aggregate struct {
	Symbol                 string
	FromSeq, ToSeq         int64
	FirstTime, LastTime    int64 // ns
	Open, High, Low, Close float64
	Volume                 float64
	Count                  int64
}

// SeqMax is the highest number that an event has. Every reader of JSON can hold it, and a clock
// in microseconds, where numbers may begin anew, comes there in the year 2255.
const SeqMax = 1<<53 - 1

// SymbolBytesMax bounds a symbol's length.
const SymbolBytesMax = 64

// Wildcard stands for every symbol in a request. It is no legal name for one.
const Wildcard = "*"

// ErrSymbol reports a name that cannot be a symbol.
var ErrSymbol = errors.New("market: bad symbol")

// CheckSymbol says whether s can name an instrument: 1 to SymbolBytesMax bytes of UTF-8
// without control characters, and not the wildcard alone. Dots, slashes, spaces and stars
// inside a name are legal: BRK.B, BTC/USD.
func CheckSymbol(s string) error {
	switch {
	case s == "":
		return fmt.Errorf("%w: empty", ErrSymbol)
	case len(s) > SymbolBytesMax:
		return fmt.Errorf("%w: %d bytes, at most %d", ErrSymbol, len(s), SymbolBytesMax)
	case s == Wildcard:
		return fmt.Errorf("%w: %q is the wildcard", ErrSymbol, s)
	case !utf8.ValidString(s):
		return fmt.Errorf("%w: %q is not UTF-8", ErrSymbol, s)
	}
	for _, r := range s {
		if r < 0x20 || r >= 0x7f && r < 0xa0 {
			return fmt.Errorf("%w: %q holds a control character", ErrSymbol, s)
		}
	}
	return nil
}
