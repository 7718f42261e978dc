package replay

import (
	"bytes"
	"fmt"
	"time"

	"github.com/tickcast/tickcast/pkg/market"
)

// parseBinanceTrade reads a line of trades of several venues and symbols.
func parseBinanceTrade(line []byte, ev *event) (err error) {
	var f [9][]byte
	if err = parseFields(line, f[:]); err != nil {
		return err
	}
	t := market.Trade{ID: string(f[3])}
	var got reader
	ev.key = got.time(f[0], 1)
	ev.id = got.id(f[3])
	t.Time = got.time(f[5], time.Millisecond)
	t.Price = got.price(f[6])
	t.Size = got.amount(f[7])
	t.Side = got.takerSide(f[8], "true", "false")
	if got.err != nil {
		return got.err
	}
	ev.channel, ev.trade, ev.venue, ev.symbol = market.ChannelTrade, t, f[1], f[2]
	return checkClocks(t.Time, ev.key)
}

// parseBinanceQuote reads a line of quotes of several venues and symbols. Those of spot have
// no venue's time.
func parseBinanceQuote(line []byte, ev *event) (err error) {
	var f [9][]byte
	if err = parseFields(line, f[:]); err != nil {
		return err
	}
	var got reader
	ev.key = got.time(f[0], 1)
	ev.id = got.id(f[3])
	q := market.Quote{Time: ev.key}
	if len(f[4]) > 0 {
		q.Time = got.time(f[4], time.Millisecond)
	}
	q.BidPrice, q.BidSize = got.amount(f[5]), got.amount(f[6])
	q.AskPrice, q.AskSize = got.amount(f[7]), got.amount(f[8])
	if got.err != nil {
		return got.err
	}
	ev.channel, ev.quote, ev.venue, ev.symbol = market.ChannelQuote, q, f[1], f[2]
	return checkClocks(q.Time, ev.key)
}

// parseGeminiTrade reads a line of one symbol's trades, which have no ids: equal lines are
// different trades.
func parseGeminiTrade(line []byte, ev *event) error {
	var f [4][]byte
	if err := parseFields(line, f[:]); err != nil {
		return err
	}
	var got reader
	t := market.Trade{Time: got.time(f[0], time.Second)}
	t.Price = got.price(f[1])
	t.Size = got.amount(f[2])
	t.Side = got.takerSide(f[3], "1", "0")
	ev.channel, ev.trade, ev.key = market.ChannelTrade, t, t.Time
	return got.err
}

// parseGeminiQuote reads a line of one symbol's quotes: time,bid_bidsize,ask_asksize.
func parseGeminiQuote(line []byte, ev *event) error {
	var f [3][]byte
	if err := parseFields(line, f[:]); err != nil {
		return err
	}
	var got reader
	q := market.Quote{Time: got.time(f[0], time.Second)}
	q.BidPrice, q.BidSize = got.packed(f[1])
	q.AskPrice, q.AskSize = got.packed(f[2])
	ev.channel, ev.quote, ev.key = market.ChannelQuote, q, q.Time
	return got.err
}

// parseFX reads a line of one symbol's quotes of one day: time since midnight, bid, ask.
// Bids at or above the ask are real, sizes were not recorded.
func parseFX(line []byte, ev *event) error {
	var f [3][]byte
	if err := parseFields(line, f[:]); err != nil {
		return err
	}
	var got reader
	q := market.Quote{Time: got.time(f[0], time.Millisecond)}
	q.BidPrice, q.AskPrice = got.amount(f[1]), got.amount(f[2])
	if q.Time >= int64(25*time.Hour) { // a day with a change of the clocks
		got.keep(fmt.Errorf("%w: %.40q is more than a day", errRange, f[0]))
	}
	ev.channel, ev.quote, ev.key = market.ChannelQuote, q, q.Time
	return got.err
}

// A reader reads fields and remembers the first error.
type reader struct{ err error }

func (r *reader) keep(err error) {
	if r.err == nil {
		r.err = err
	}
}

func (r *reader) time(b []byte, unit time.Duration) int64 {
	v, err := parseTime(b, unit)
	r.keep(err)
	return v
}

func (r *reader) id(b []byte) int64 {
	v, err := parseID(b)
	r.keep(err)
	return v
}

func (r *reader) amount(b []byte) float64 {
	v, err := parseAmount(b)
	r.keep(err)
	return v
}

func (r *reader) price(b []byte) float64 {
	v, err := parsePrice(b)
	r.keep(err)
	return v
}

func (r *reader) packed(b []byte) (price, size float64) {
	p, s, ok := bytes.Cut(b, []byte{'_'})
	if !ok {
		r.keep(fmt.Errorf("%w: %.40q, want price_size", errFields, b))
		return 0, 0
	}
	return r.amount(p), r.amount(s)
}

// takerSide reads whether the buyer was the maker: then the taker sold.
func (r *reader) takerSide(b []byte, yes, no string) market.Side {
	switch string(b) {
	case yes:
		return market.SideSell
	case no:
		return market.SideBuy
	}
	r.keep(fmt.Errorf("buyer is maker: %.40q, want %s or %s", b, yes, no))
	return market.SideUnknown
}
