// Package tape is the market of a benchmark: trades whose order, sizes and times are the
// same for everybody who serves them, so that servers can be compared. The kth trade is of
// symbol k mod M and happens k/rate after the start: in any stretch of time every symbol
// trades equally often.
package tape

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strconv"
	"time"

	"github.com/tickcast/tickcast/pkg/codec"
	"github.com/tickcast/tickcast/pkg/feed"
	"github.com/tickcast/tickcast/pkg/market"
)

// Symbols returns the names of a market of n, all of one length.
func Symbols(n int) []string {
	all := make([]string, n)
	for i := range all {
		all[i] = fmt.Sprintf("Q%05d/USD", i)
	}
	return all
}

// A Tape makes the trades of a market as time goes on. Not for use from two goroutines.
type Tape struct {
	symbols []string
	rate    float64
	start   time.Time
	seq     int64 // of every symbol's last trade of the round before the first
	n       int64
	id      []byte
	trade   market.Trade
}

// New starts a market at the given instant. rate is trades a second over all symbols.
func New(symbols []string, rate float64, start time.Time) *Tape {
	// Numbers begin at the clock, as those of a feed do that cannot know an earlier one.
	return &Tape{symbols: symbols, rate: rate, start: start, seq: start.UnixMicro()}
}

// Due says how many trades have happened by now that Next has not given.
func (t *Tape) Due(now time.Time) int {
	return max(0, int(int64(now.Sub(t.start).Seconds()*t.rate)-t.n))
}

// NextAt is when the next trade happens.
func (t *Tape) NextAt() time.Time {
	return t.start.Add(time.Duration(float64(t.n+1) / t.rate * 1e9))
}

// Next returns the next trade, valid until the call after, and its symbol's index.
func (t *Tape) Next() (*market.Trade, int) {
	i := int(t.n % int64(len(t.symbols)))
	round := t.n / int64(len(t.symbols))
	t.n++
	t.id = strconv.AppendInt(t.id[:0], 100_000_000+t.n, 10)
	t.trade = market.Trade{
		Symbol: t.symbols[i], Seq: t.seq + round + 1,
		Time:  t.start.UnixNano() + int64(float64(t.n)/t.rate*1e9),
		Price: float64(10_000+t.n*7919%500) / 100, Size: float64(1+t.n%9) * 100,
		Side: market.SideBuy + market.Side(t.n%2), ID: string(t.id),
	}
	return &t.trade, i
}

// Windows gathers what happens into one chunk of records per symbol, as every server wants
// it that sends a window's trades at once.
type Windows struct {
	*Tape
	Chunks [][]byte // by symbol: msgpack records
	Counts []int    // how many each chunk holds
	Total  int
}

// NewWindows returns one that is empty.
func NewWindows(t *Tape) *Windows {
	return &Windows{Tape: t, Chunks: make([][]byte, len(t.symbols)), Counts: make([]int, len(t.symbols))}
}

// Take replaces the last window by what has happened since.
func (w *Windows) Take(now time.Time) {
	for i := range w.Chunks {
		w.Chunks[i], w.Counts[i] = w.Chunks[i][:0], 0
	}
	w.Total = w.Due(now)
	for range w.Total {
		t, i := w.Next()
		w.Chunks[i], _ = codec.AppendTrade(w.Chunks[i], t) // fails for bad names and numbers only
		w.Counts[i]++
	}
}

// A Source plays a market to a feed.
type Source struct {
	Symbols []string
	Rate    float64
	// Stamp gives each trade the time at which the feed gets it, for latencies from there.
	Stamp  bool
	Random bool // each trade is of a symbol by chance, from a fixed seed, and not of the next one
}

// stepEvery is how often a Source looks at the clock.
const stepEvery = time.Millisecond

// Live implements feed.Source.
func (s *Source) Live() bool { return true }

// Run implements feed.Source.
func (s *Source) Run(ctx context.Context, sink feed.Sink) error {
	all := make([]feed.Instrument, len(s.Symbols))
	for i, name := range s.Symbols {
		all[i] = feed.Instrument{Symbol: name, Channels: []market.Channel{market.ChannelTrade}}
	}
	sink.Announce(all...)
	t := New(s.Symbols, s.Rate, time.Now())
	rng := rand.New(rand.NewPCG(1, 2))
	step := time.NewTicker(stepEvery)
	defer step.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case now := <-step.C:
			for range t.Due(now) {
				trade, _ := t.Next()
				if s.Stamp {
					trade.Time = time.Now().UnixNano()
				}
				if s.Random {
					trade.Symbol = s.Symbols[rng.IntN(len(s.Symbols))] // the feed numbers them
				}
				sink.Trade(trade)
			}
		}
	}
}
