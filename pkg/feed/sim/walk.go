package sim

import (
	"math"
	"math/rand/v2"
	"strconv"

	"github.com/tickcast/tickcast/pkg/market"
)

const (
	tradeShare = 0.2  // of all events: four quotes a trade
	moveShare  = 0.1  // of quotes: those that move the price, at moveRate or less
	moveRate   = 1000 // events a second; beyond, each moves prices less often, as if in busy markets
	moveLeast  = 0.002
	// bandTicks keeps every price above zero: the further from its opening price, the more
	// likely the next step leads back, and a fifth away it is certain.
	bandShare = 0.2
	bandTicks = 100 // an opening price has at least so many ticks
	spreadMax = 6   // ticks
)

// A book is the state of one instrument. Prices are whole ticks.
type book struct {
	symbol             string
	open, band         int64 // ticks
	bid, spread        int64 // ticks; spread >= 1
	bidLots, askLots   int64
	trades             uint64
	quoted             bool
	tick               int64
	priceUnit, lotUnit float64 // units in 1.0: prices are divided, never multiplied, so that they print short
	lot                int64
}

func newBook(in instrument) book {
	k := in.kind
	unit := math.Pow10(k.decimals)
	open := max(int64(math.Round(in.open*unit))/k.tick, bandTicks)
	return book{
		symbol: in.symbol, open: open, band: int64(bandShare * float64(open)),
		bid: open, spread: 1, bidLots: 1, askLots: 1,
		tick: k.tick, priceUnit: unit, lot: k.lot, lotUnit: math.Pow10(k.lotDigits),
	}
}

func (b *book) price(ticks int64) float64 { return float64(ticks*b.tick) / b.priceUnit }
func (b *book) size(lots int64) float64   { return float64(lots*b.lot) / b.lotUnit }

// A world is everything that happens, one event after the other.
type world struct {
	rnd   *rand.Rand
	books []book
	pick  picker
	move  float64 // probability that a quote moves the price

	trade market.Trade // filled by next, with quote
	quote market.Quote
	id    []byte
}

func newWorld(list []instrument, seed uint64, rate float64) *world {
	w := &world{
		rnd:   rand.New(rand.NewPCG(seed, 0x7469636b63617374)),
		books: make([]book, len(list)),
		pick:  newPicker(len(list)),
		move:  moveLeast,
	}
	if rate > 0 {
		w.move = min(max(moveShare*moveRate/rate, moveLeast), moveShare)
	}
	for i, in := range list {
		w.books[i] = newBook(in)
	}
	return w
}

// next makes the next event and says whether it is a trade or a quote. Its Time is not set.
func (w *world) next() market.Channel {
	b := &w.books[w.pick.draw(w.rnd)]
	if b.quoted && w.rnd.Float64() < tradeShare {
		w.print(b)
		return market.ChannelTrade
	}
	w.requote(b)
	return market.ChannelQuote
}

// print makes a trade at the bid or the ask of the last quote.
func (w *world) print(b *book) {
	b.trades++
	w.id = strconv.AppendUint(w.id[:0], b.trades, 10)
	w.trade = market.Trade{Symbol: b.symbol, ID: string(w.id), Side: market.SideBuy, Price: b.price(b.bid + b.spread)}
	waiting := b.askLots
	if w.rnd.Uint64()&1 == 0 {
		w.trade.Side, w.trade.Price = market.SideSell, b.price(b.bid)
		waiting = b.bidLots
	}
	w.trade.Size = b.size(min(w.lots(4), waiting))
}

// requote makes a quote: mostly new sizes, sometimes a new spread or price.
func (w *world) requote(b *book) {
	b.quoted = true
	if w.rnd.Float64() < w.move {
		// The pull is 0 at the opening price and 1 at the edge of the band.
		pull := float64(b.open-b.bid) / float64(b.band)
		if w.rnd.Float64()*2 < 1+pull {
			b.bid++
		} else {
			b.bid--
		}
		b.spread = 1
		for b.spread < spreadMax && w.rnd.Uint64()&3 == 0 {
			b.spread++
		}
	}
	if w.rnd.Uint64()&1 == 0 {
		b.bidLots = w.lots(16)
	} else {
		b.askLots = w.lots(16)
	}
	w.quote = market.Quote{
		Symbol:   b.symbol,
		BidPrice: b.price(b.bid), BidSize: b.size(b.bidLots),
		AskPrice: b.price(b.bid + b.spread), AskSize: b.size(b.askLots),
	}
}

// lots draws a size of that mean or so; most are small and a few large.
func (w *world) lots(mean float64) int64 { return 1 + int64(w.rnd.ExpFloat64()*mean) }

// A picker draws ranks from 0 up, the rth with weight 1/(r+1), by Walker's alias method: one
// table look-up a draw, however many there are.
type picker struct {
	keep  []float64 // probability of staying at the column drawn
	alias []int32
}

func newPicker(n int) picker {
	p := picker{keep: make([]float64, n), alias: make([]int32, n)}
	total := 0.0
	for i := range n {
		total += 1 / float64(i+1)
	}
	var small, large []int32
	for i := range n {
		p.keep[i] = float64(n) / float64(i+1) / total
		p.alias[i] = int32(i)
		if p.keep[i] < 1 {
			small = append(small, int32(i))
		} else {
			large = append(large, int32(i))
		}
	}
	for len(small) > 0 && len(large) > 0 {
		s, l := small[len(small)-1], large[len(large)-1]
		small = small[:len(small)-1]
		p.alias[s] = l
		p.keep[l] -= 1 - p.keep[s]
		if p.keep[l] < 1 {
			large = large[:len(large)-1]
			small = append(small, l)
		}
	}
	return p
}

func (p *picker) draw(rnd *rand.Rand) int {
	i := rnd.IntN(len(p.keep))
	if rnd.Float64() < p.keep[i] {
		return i
	}
	return int(p.alias[i])
}
