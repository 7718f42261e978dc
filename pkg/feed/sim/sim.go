package sim

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/tickcast/tickcast/pkg/feed"
	"github.com/tickcast/tickcast/pkg/market"
)

const (
	// stepEvery is how often a paced source wakes up at high rates.
	stepEvery = time.Millisecond
	// burstMax bounds what one step emits, in time: after a stall the source catches up at
	// twenty times its rate, and others get their turn in between.
	burstMax = 20 * time.Millisecond
	// stallMax is the longest stall that is caught up with; a machine that slept goes on.
	stallMax = 10 * time.Second
	// unpacedBurst is how many events share one reading of the clock at rate 0.
	unpacedBurst = 64
	rateMax      = 100e6
)

// Config says what to simulate.
type Config struct {
	// Symbols are names, or one number: how many, up to 10,000. Empty means 100. The
	// first is the busiest.
	Symbols []string
	// Rate is in events a second over all symbols. 0 is as fast as it goes.
	Rate float64
	Seed uint64
}

// Source is a feed.Source. Make it with New.
type Source struct {
	list []instrument
	rate float64
	seed uint64
}

// New checks cfg. Its error names every problem, each beginning with the name of the option.
func New(cfg Config) (*Source, error) {
	list, err := instruments(cfg.Symbols)
	if !(cfg.Rate >= 0 && cfg.Rate <= rateMax) {
		err = errors.Join(err, fmt.Errorf("rate %v: 0 to %.0f events a second", cfg.Rate, rateMax))
	}
	if err != nil {
		return nil, err
	}
	return &Source{list, cfg.Rate, cfg.Seed}, nil
}

// Live implements feed.Source: what is paced happens now, what is not can wait.
func (s *Source) Live() bool { return s.rate > 0 }

// Run implements feed.Source. It emits until ctx ends, from the beginning each time.
func (s *Source) Run(ctx context.Context, sink feed.Sink) error {
	all := make([]feed.Instrument, len(s.list))
	for i, in := range s.list {
		all[i] = feed.Instrument{Symbol: in.symbol, Channels: []market.Channel{market.ChannelTrade, market.ChannelQuote}}
	}
	sink.Announce(all...)
	w := newWorld(s.list, s.seed, s.rate)
	if s.rate == 0 {
		for ctx.Err() == nil {
			w.emit(sink, unpacedBurst)
		}
		return nil
	}
	s.paced(ctx, w, sink)
	return nil
}

// paced emits the nth event no earlier than n/rate after the start. Being counted from the
// start, it does not drift.
func (s *Source) paced(ctx context.Context, w *world, sink feed.Sink) {
	burst := max(1, int64(s.rate*burstMax.Seconds()))
	start := time.Now()
	timer := time.NewTimer(0)
	defer timer.Stop()
	for n := int64(0); ; {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		}
		due := int64(time.Since(start).Seconds()*s.rate) + 1 // the first at the start
		if late := due - n; float64(late) > s.rate*stallMax.Seconds() && late > burst {
			start = start.Add(time.Duration(float64(late-1) / s.rate * 1e9))
			due = n + 1
		}
		step := min(max(due-n, 0), burst)
		w.emit(sink, step)
		n += step
		next := time.Duration(math.Ceil(float64(n) / s.rate * 1e9))
		timer.Reset(max(next-time.Since(start), stepEvery))
	}
}

// emit makes n events that happen now.
func (w *world) emit(sink feed.Sink, n int64) {
	now := time.Now().UnixNano()
	for range n {
		if w.next() == market.ChannelTrade {
			w.trade.Time = now
			sink.Trade(&w.trade)
		} else {
			w.quote.Time = now
			sink.Quote(&w.quote)
		}
	}
}
